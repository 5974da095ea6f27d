"""What every encoder-decoder keeps to: one set of tests over both families and their options."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from gradients import check_gradients, cross_entropy, float64
from keras import ops

import lm_keras as lk
from lm_keras.errors import InputError
from lm_keras.generation.beam import beam_search
from lm_keras.generation.loop import decode

SOURCE, TARGET, BEGIN, END = 9, 11, 9, 10  # sizes of the vocabularies; ids of the two marks
LSTM = {"embedding_dim": 6, "hidden_dim": 8, "num_layers": 2, "dropout": 0.2, "seed": 0}
TRANSFORMER = {"max_length": 24, "hidden_dim": 8, "num_layers": 2, "num_heads": 2, "dropout": 0.2, "seed": 0}
MODELS = {
    "lstm": ("build_seq2seq_lstm", {**LSTM, "attention": None}),
    "lstm_attention": ("build_seq2seq_lstm", {**LSTM, "bidirectional": True}),
    "pointer": ("build_pointer_generator", {**LSTM, "bidirectional": False}),
    "pointer_coverage": ("build_pointer_generator", {**LSTM, "num_layers": 1, "coverage": 1.0}),
    "transformer": ("build_seq2seq_transformer", TRANSFORMER),
}
POINTER = {"source_vocab_size": 7, "copy_slots": TARGET - 7}  # sources have two words that the vocabulary has not
EQUAL = {"rtol": 1e-5, "atol": 2e-6}


def build(kind, **changes):
    builder, arguments = MODELS[kind]
    sizes = POINTER if "pointer" in kind else {"source_vocab_size": SOURCE, "target_vocab_size": TARGET}
    return getattr(lk.models, builder)(**{**sizes, **arguments, **changes})


def ids(size, batch, length, seed=0):
    return np.random.default_rng(seed).integers(0, size, (batch, length)).astype("int32")


def array(tensor):
    return ops.convert_to_numpy(tensor)


def full(model, source, target):
    return array(model({"source_ids": source, "target_ids": target}))


@pytest.fixture(scope="module", params=sorted(MODELS))
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def model(kind):
    """One untrained model a kind; no test changes its weights."""
    return build(kind)


@pytest.fixture
def source():
    return ids(SOURCE, 3, 5)


@pytest.fixture
def target():
    return ids(TARGET, 3, 6, seed=1)


@pytest.mark.parametrize("batch, sources, targets", [(1, 1, 1), (3, 7, 4), (2, 3, 20)])
def test_two_texts_give_logits_for_every_target_word(model, batch, sources, targets):
    assert full(model, ids(SOURCE, batch, sources), ids(TARGET, batch, targets)).shape == (batch, targets, TARGET)
    assert (model.vocab_size, model.context_length) == (TARGET, None)


def test_a_later_target_token_changes_no_earlier_logits(model, source, target):
    before = full(model, source, target)
    for t in (1, 5):
        changed = target.copy()
        changed[:, t] = (changed[:, t] + 1) % TARGET
        after = full(model, source, changed)
        np.testing.assert_array_equal(after[:, :t], before[:, :t])
        assert np.abs(after[:, t] - before[:, t]).max() > 1e-6


def test_every_source_token_changes_the_first_logits(model, source, target):
    before = full(model, source, target)[:, 0]
    for s in (0, 2, 4):
        changed = source.copy()
        changed[:, s] = (changed[:, s] + 1) % SOURCE
        assert (np.abs(full(model, changed, target)[:, 0] - before).max(-1) > 1e-7).all()


@pytest.mark.parametrize("chunks", [[1] * 6, [3, 1, 2]])
def test_steps_equal_the_full_forward_pass(model, source, target, chunks):
    state, logits, start = model.encode(source, length=6), [], 0
    for size in chunks:
        part, state = model.step(target[:, start : start + size], state)
        logits.append(array(part))
        start += size
    np.testing.assert_allclose(np.concatenate(logits, 1), full(model, source, target), **EQUAL)


def test_source_padding_changes_nothing_wherever_it_stands(model, source, target):
    padded = np.full((3, 8), -1, "int32")
    padded[0, 3:], padded[1, :5], padded[2, [0, 2, 4, 6, 7]] = source
    padded[1, 5:] = [-1, -9, -2]  # any negative id is no token
    np.testing.assert_allclose(full(model, padded, target), full(model, source, target), **EQUAL)
    steps, _ = model.step(target, model.encode(padded))
    np.testing.assert_allclose(array(steps), full(model, source, target), **EQUAL)


def test_a_source_without_any_token_is_the_same_at_every_width(model, target):
    one, four = (full(model, np.full((3, width), -1), target) for width in (1, 4))
    assert np.isfinite(one).all()
    np.testing.assert_allclose(four, one, **EQUAL)


def test_negative_target_ids_change_nothing(model, source, target):
    padded = np.full((3, 9), -1, "int32")
    places = np.array([[3, 4, 5, 6, 7, 8], [0, 1, 2, 3, 4, 5], [0, 2, 3, 5, 7, 8]])
    np.put_along_axis(padded, places, target, 1)
    logits, state = model.step(padded, model.encode(source))
    plain, plain_state = model.step(target, model.encode(source))
    for got in (array(logits), full(model, source, padded)):
        np.testing.assert_allclose(np.take_along_axis(got, places[..., None], 1), array(plain), **EQUAL)
    for a, b in zip(state, plain_state, strict=True):
        np.testing.assert_allclose(array(a), array(b), **EQUAL)
    _, after = model.step(np.full((3, 2), -1, "int32"), state)
    for a, b in zip(after, state, strict=True):
        np.testing.assert_array_equal(array(a), array(b))


def test_all_views_hold_the_same_weights(model):
    parts = [w for part in (model.step_model, model.views.encoder_model) for w in part.weights]
    assert {id(w) for w in model.weights} == {id(w) for w in parts}
    assert len({w.path for w in model.weights}) == len(model.weights)


def test_keras_file_brings_back_all_views(model, source, target, tmp_path):
    model.save(tmp_path / "x.keras")
    loaded = keras.models.load_model(tmp_path / "x.keras")
    np.testing.assert_array_equal(full(loaded, source, target), full(model, source, target))
    logits, _ = loaded.step(target, loaded.encode(source))
    np.testing.assert_allclose(array(logits), full(model, source, target), **EQUAL)
    assert loaded.get_config() == model.get_config()


@pytest.mark.parametrize("kind", ["lstm_attention", "transformer"])
def test_gradients_equal_finite_differences(kind, source, target):
    scale = {} if kind == "transformer" else {"initializer_range": 0.7}  # large weights, so that scores differ
    with float64():
        model = build(kind, dropout=0.0, num_layers=1, **scale)
        inputs = {"source_ids": source, "target_ids": target}
        loss = tf.function(lambda: cross_entropy(model, inputs, np.roll(target, -1, 1)))
        check_gradients(loss, model.trainable_weights, directions=1)


def test_attention_weights_are_shares_of_the_source_tokens(model, kind, source, target):
    if kind == "lstm":
        with pytest.raises(InputError, match="no attention"):
            model.attention_weights(source, target)
        return
    source[0, 3:] = -1
    for weights in map(array, model.attention_weights(source, target)):
        assert weights.shape == (3, 2 if kind == "transformer" else 1, 6, 5)
        np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)
        assert (weights[0, ..., 3:] == 0).all() and (weights[1:] > 0).all()


def digits_and_their_reversal():
    """Twelve numbers of one to five digits, 0 to 8, and what a model is to say: the digits backwards, then END."""
    rng = np.random.default_rng(4)
    numbers = [rng.integers(0, 9, length) for length in [1, 2, 3, 3, 4, 4, 4, 5, 5, 5, 5, 5]]
    source, target, label = (np.full((12, width), -1, "int32") for width in (5, 6, 6))
    for i, number in enumerate(numbers):
        source[i, : len(number)] = number
        target[i, : len(number) + 1] = [BEGIN, *number[::-1]]
        label[i, : len(number) + 1] = [*number[::-1], END]
    return {"source_ids": source, "target_ids": target}, label


@pytest.mark.parametrize("kind", ["lstm_attention", "transformer"])
def test_a_learnt_reversal_is_decoded_as_it_was_learnt(kind):
    model = build(kind, dropout=0.0, hidden_dim=32, num_layers=1)
    inputs, labels = digits_and_their_reversal()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    model.compile(keras.optimizers.Adam(0.01), loss)
    batch = tf.data.Dataset.from_tensors((inputs, labels))
    first, second, _, last = (
        model.fit(batch.repeat(n), shuffle=False, verbose=0).history["loss"][0] for n in (1, 1, 100, 10)
    )
    assert second < first and last < 0.05

    begin, banned = tf.fill([12], BEGIN), tf.zeros([TARGET])
    state = model.encode(inputs["source_ids"], length=8)
    options = {"banned": banned, "eos_id": END}
    tokens, log_probs, *_ = decode(model, begin, state, tf.fill([12], 7), 7, **options)
    said = np.full((12, 6), -1)
    said[:, : tokens.shape[1]] = tokens
    np.testing.assert_array_equal(said, np.where(labels == END, -1, labels))
    best, _, scores = beam_search(model, begin, state, 7, 3, **options)
    said[:, :5] = best[:, 0, :5]
    np.testing.assert_array_equal(said, np.where(labels == END, -1, labels))
    assert (array(scores)[:, 0] >= array(log_probs).sum(1) - 0.2).all()


@pytest.mark.parametrize(
    "kind, change, message",
    [
        ("lstm", {"attention": "dot"}, "score is 'dot'"),
        ("lstm", {"num_layers": 0}, "num_layers"),
        ("transformer", {"num_heads": 3}, "multiple of num_heads 3"),
        ("transformer", {"share_embeddings": True}, "one vocabulary"),
        ("transformer", {"dropout": 1.0}, "dropout"),
    ],
)
def test_impossible_arguments(kind, change, message):
    with pytest.raises(InputError, match=message):
        build(kind, **change)
