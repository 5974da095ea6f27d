"""What every builder keeps to: one set of tests over all language models, and one over the other models."""

import dataclasses
import functools
import tempfile
from inspect import signature

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from small_models import CAUSAL, OTHERS, VOCAB, answers, array, build, ids, inputs_of, shared

import lm_keras as lk

EQUAL = {"rtol": 1e-5, "atol": 1e-6}
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.fixture(scope="module", params=sorted(CAUSAL))
def family(request):
    return request.param


@pytest.fixture(scope="module")
def model(family):
    return shared(family)


@pytest.fixture(scope="module", params=sorted(OTHERS))
def other(request):
    return request.param


@pytest.fixture(params=sorted([*CAUSAL, *OTHERS]))
def any_family(request):
    return request.param


@functools.cache
def reloaded(family):
    """The shared model as it comes back from a .keras file that was written while its first layer was frozen."""
    model = shared(family)
    return saved_frozen(model, next(layer for layer in model.layers if layer.trainable_weights))


def saved_frozen(model, part):
    """(model, what was frozen) -> the model of a file written meanwhile, and the trainable weights, config then."""
    part.trainable = False
    with tempfile.TemporaryDirectory() as folder:
        model.save(f"{folder}/x.keras")
        kept = [weight.path for weight in model.trainable_weights], model.get_config()
        part.trainable = True
        return lk.models.load_model(f"{folder}/x.keras"), *kept


@pytest.mark.parametrize("batch, length", [(1, 1), (3, 7), (2, 20)])
def test_ids_give_logits_for_every_word(model, batch, length):
    assert model(ids(batch, length)).shape == (batch, length, VOCAB)
    assert model.output_shape == (None, None, VOCAB)
    assert model.vocab_size == VOCAB


def test_a_later_token_changes_no_earlier_logits(model):
    x = ids(2, 9)
    before = array(model(x))
    for t in (1, 4, 8):
        changed = x.copy()
        changed[:, t] = (changed[:, t] + 1) % VOCAB
        after = array(model(changed))
        np.testing.assert_array_equal(after[:, :t], before[:, :t])
        assert np.abs(after[:, t] - before[:, t]).max() > 1e-6


@pytest.mark.parametrize("chunks", [[1] * 12, [5, 1, 4, 2], [12]])
def test_steps_equal_the_full_forward_pass(model, chunks):
    x = ids(3, sum(chunks))
    state, logits, start = model.initial_state(3), [], 0
    for size in chunks:
        part, state = model.step(x[:, start : start + size], state)
        logits.append(array(part))
        start += size
    np.testing.assert_allclose(np.concatenate(logits, 1), array(model(x)), **EQUAL)


@pytest.mark.parametrize(
    "sizes", [{}, {"embedding_dim": None}, {"tie_embeddings": True}], ids=["", "one_hot", "tied"]
)
def test_vectors_are_read_in_the_place_of_words(family, sizes):
    if sizes.keys() - signature(getattr(lk.models, CAUSAL[family])).parameters:
        pytest.skip(f"{family} has no such option")
    model, x = build(family, **sizes) if sizes else shared(family), ids(2, 5)
    vectors = model.word_vectors_model(x)
    assert vectors.shape == (2, 5, VOCAB) if "embedding_dim" in sizes else vectors.shape[:2] == (2, 5)
    (logits, state), (expected, after) = (
        model.step_vectors(vectors, model.initial_state(2)),
        model.step(x, model.initial_state(2)),
    )
    np.testing.assert_allclose(array(logits), array(expected), **EQUAL)
    for a, b in zip(state, after, strict=True):
        np.testing.assert_allclose(array(a), array(b), **EQUAL)
    other, _ = model.step_vectors(vectors[:, ::-1], model.initial_state(2))
    assert np.abs(array(other) - array(logits)).max() > 1e-4


def test_a_builder_that_does_not_name_its_word_vectors_is_told(model):
    unnamed = lk.models.CausalLM(
        model.input, model.output, views=dataclasses.replace(model.views, step_embedded=None), name="unnamed"
    )
    with pytest.raises(lk.InputError, match="unnamed does not say which tensor holds its word vectors"):
        unnamed.step_vectors(np.zeros((1, 2, 3), "float32"), unnamed.initial_state(1))


def test_the_initial_state_has_a_row_for_each_text(model):
    for batch in (1, 4):
        assert all(part.shape[0] == batch for part in model.initial_state(batch))


def test_negative_ids_before_a_text_change_nothing(model):
    x = ids(3, 6)
    padded = np.full((3, 9), -1, "int32")
    padded[0, 3:], padded[1, 3:], padded[2, 3:] = x
    padded[1, :3] = [-1, -7, -2]  # any negative id is no token
    logits, state = model.step(x, model.initial_state(3))
    padded_logits, padded_state = model.step(padded, model.initial_state(3))
    np.testing.assert_allclose(array(padded_logits)[:, 3:], array(logits), **EQUAL)
    for a, b in zip(padded_state, state, strict=True):
        np.testing.assert_allclose(array(a), array(b), **EQUAL)


def test_rows_of_different_lengths_equal_each_row_alone(model):
    rows = [ids(1, n, seed=n)[0] for n in (1, 4, 6)]
    batch = np.full((3, 6), -1, "int32")
    for line, row in zip(batch, rows, strict=True):
        line[6 - len(row) :] = row
    logits, state = model.step(batch, model.initial_state(3))
    for i, row in enumerate(rows):
        alone, alone_state = model.step(row[None], model.initial_state(1))
        np.testing.assert_allclose(array(logits)[i, 6 - len(row) :], array(alone)[0], **EQUAL)
        for a, b in zip(state, alone_state, strict=True):
            np.testing.assert_allclose(array(a)[i], array(b)[0], **EQUAL)


def test_a_step_without_tokens_leaves_the_state_as_it_was(model):
    _, state = model.step(ids(2, 4), model.initial_state(2))
    _, after = model.step(np.full((2, 3), -1, "int32"), state)
    for a, b in zip(after, state, strict=True):
        np.testing.assert_array_equal(array(a), array(b))


def test_both_views_hold_the_same_weights(model):
    assert {id(v) for v in model.weights} == {id(v) for v in model.step_model.weights}


def test_keras_file_brings_back_both_views(family, model):
    (loaded, *_), x = reloaded(family), ids(2, 5)
    logits, state = loaded.step(x[:, :2], loaded.initial_state(2))
    rest, _ = loaded.step(x[:, 2:], state)
    np.testing.assert_allclose(np.concatenate([array(logits), array(rest)], 1), array(model(x)), **EQUAL)
    assert {id(v) for v in loaded.weights} == {id(v) for v in loaded.step_model.weights}


def test_language_model_folder_brings_back_the_model(model, tmp_path):
    tokenizer = lk.text.WordTokenizer.train(["a b c d e f g h"], language=None)
    lk.LanguageModel(model, tokenizer).save(tmp_path / "lm")
    loaded = lk.LanguageModel.load(tmp_path / "lm")
    x = ids(2, 5)
    np.testing.assert_array_equal(array(loaded.model(x)), array(model(x)))
    np.testing.assert_allclose(
        array(loaded.model.step(x, loaded.model.initial_state(2))[0]), array(model(x)), **EQUAL
    )
    assert loaded.tokenizer.encode("a h") == tokenizer.encode("a h")
    assert loaded.model.get_config() == model.get_config()


def test_one_fit_step_lowers_the_loss_and_a_batch_can_be_learnt_by_heart(family):
    model, x, y = build(family, dropout=0.0), ids(2, 6), ids(2, 6, seed=1)
    model.compile(keras.optimizers.Adam(0.03), CROSS_ENTROPY)
    # A text that begins with one word twice cannot be learnt without absolute positions: both see the same mix.
    x[:, 0] = (x[:, 1] + 1) % VOCAB
    batch = tf.data.Dataset.from_tensors((x, y))
    losses = [CROSS_ENTROPY(y, model(x))]
    for steps in (1, 119):
        model.fit(batch.repeat(steps), shuffle=False, verbose=0)
        losses.append(CROSS_ENTROPY(y, model(x)))
    assert losses[1] < losses[0] and losses[2] < 0.05
    np.testing.assert_array_equal(array(model(x)).argmax(-1), y)
    np.testing.assert_array_equal(array(model.step(x, model.initial_state(2))[0]).argmax(-1), y)


def test_gradients_reach_every_weight(model):
    x, y = ids(4, 8), ids(4, 8, seed=1)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(y, model(x), from_logits=True))
    for weight, gradient in zip(model.trainable_weights, tape.gradient(loss, model.trainable_weights), strict=True):
        assert gradient is not None, weight.path
        assert np.abs(tf.convert_to_tensor(gradient).numpy()).max() > 0, weight.path


def test_the_summary_and_the_json_name_the_family(model, family):
    lines = []
    model.summary(print_fn=lambda line, **_: lines.append(line))
    assert model.name in "".join(lines)
    assert model.get_config()["builder"] == CAUSAL[family]


# === Other builders too ===


def test_keras_file_brings_back_config_and_outputs(any_family):
    model, (loaded, _, config), x = shared(any_family), reloaded(any_family), inputs_of(any_family, 2, 5)
    assert loaded.get_config() == config
    assert type(loaded) is type(model)
    for a, b in zip(answers(loaded, x), answers(model, x), strict=True):
        np.testing.assert_array_equal(a, b)
    assert len({weight.path for weight in loaded.weights}) == len(loaded.weights) > 0


def test_a_frozen_layer_comes_back_frozen(any_family):
    loaded, trainable, _ = reloaded(any_family)
    assert 0 < len(trainable) < len(loaded.weights)
    assert [weight.path for weight in loaded.trainable_weights] == trainable


def test_a_frozen_model_comes_back_frozen(model):
    loaded, trainable, _ = saved_frozen(model, model)
    assert loaded.trainable_weights == trainable == []
    assert len(model.trainable_weights) == len(model.weights)


def test_the_seed_decides_the_weights(any_family):
    again, another = build(any_family), build(any_family, seed=1)
    for mine, same, different in zip(shared(any_family).weights, again.weights, another.weights, strict=True):
        np.testing.assert_array_equal(array(same), array(mine))
        if len(mine.shape) > 1 and not mine.path.endswith(
            ("bias", "transitions")
        ):  # which start at one value, as gains
            assert np.abs(array(different) - array(mine)).max() > 1e-3, mine.path


@pytest.mark.parametrize("batch, length", [(1, 1), (3, 7)])
def test_outputs_have_their_shapes(other, batch, length):
    found = answers(shared(other), inputs_of(other, batch, length))
    assert [output.shape for output in found] == OTHERS[other].shapes(batch, length)
    assert {output.dtype for output in found} == {np.dtype("float32")}


def filled(inputs, places, fill):
    def more(x):
        return np.pad(x, ((0, 0), (0, places), *[(0, 0)] * (x.ndim - 2)), constant_values=fill)

    return keras.tree.map_structure(more, inputs)


def test_padding_changes_nothing(other):
    model, lengths = shared(other), (1, 4, 6)
    rows = [inputs_of(other, 1, length, seed=length) for length in lengths]

    def together(fill):
        """All rows, each filled up to two places more than the longest needs."""
        parts = [filled(row, 8 - length, fill) for length, row in zip(lengths, rows, strict=True)]
        return answers(model, keras.tree.map_structure(lambda *x: np.concatenate(x), *parts))

    padded, with_a_word = together(OTHERS[other].pad), together(1)
    for i, (length, row) in enumerate(zip(lengths, rows, strict=True)):
        for batch, alone in zip(padded, answers(model, row), strict=True):
            real = batch[i : i + 1, :length] if alone.ndim > 2 else batch[i : i + 1]
            np.testing.assert_allclose(real, alone, **EQUAL)
    assert all(np.abs((a - b)[0, 0]).max() > 1e-4 for a, b in zip(padded, with_a_word, strict=True))


def test_one_fit_step_changes_every_weight_and_a_batch_is_learnt_by_heart(other):
    model, (x, y) = build(other, dropout=0.0), OTHERS[other].examples(3, 5)
    model.compile(keras.optimizers.Adam(0.03), OTHERS[other].loss)
    batch, before = tf.data.Dataset.from_tensors((x, y)), model.get_weights()
    losses = [float(model.compute_loss(x, y, model(x)))]
    for steps in (1, 119):
        model.fit(batch.repeat(steps), shuffle=False, verbose=0)
        losses.append(float(model.compute_loss(x, y, model(x))))
        if steps == 1:
            same = [w.path for w, old in zip(model.weights, before, strict=True) if np.array_equal(array(w), old)]
            assert same == []
    assert losses[1] < losses[0] and losses[2] < 0.02 * losses[0]


def test_hidden_vectors_are_what_the_output_layer_reads(family, model):
    x = ids(2, 6)
    hidden = array(model.hidden_model(x))
    assert hidden.shape[:2] == (2, 6) and model.hidden_model is model.hidden_model
    logits, step_hidden, *state = model.step_hidden_model([ops.convert_to_tensor(x), *model.initial_state(2)])
    np.testing.assert_allclose(array(step_hidden), hidden, **EQUAL)
    plain_logits, plain_state = model.step(x, model.initial_state(2))
    for a, b in zip([logits, *state], [plain_logits, *plain_state], strict=True):
        np.testing.assert_array_equal(array(a), array(b))
    # Logits are linear in them.
    many = ids(40, 6, seed=1)
    hidden, logits = array(model.hidden_model(many)), array(model(many))
    design = np.c_[hidden.reshape(240, -1), np.ones(240)]
    weights, *_ = np.linalg.lstsq(design, logits.reshape(240, -1), rcond=None)
    np.testing.assert_allclose(design @ weights, logits.reshape(240, -1), atol=1e-4)
    assert {id(v) for v in model.hidden_model.weights} <= {id(v) for v in model.weights}


@pytest.mark.parametrize("kind", ["pointer_generator", "seq2seq_lstm", "seq2seq_transformer"])
def test_hidden_vectors_of_a_decoder(kind):
    model, inputs = shared(kind), inputs_of(kind, 2, 5)
    hidden, state = model.hidden_model(inputs), model.encode(inputs["source_ids"])
    logits, step_hidden, *_ = model.step_hidden_model([ops.convert_to_tensor(inputs["target_ids"]), *state])
    np.testing.assert_allclose(array(step_hidden), array(hidden), **EQUAL)
    np.testing.assert_allclose(array(logits), array(model(inputs)), **EQUAL)
