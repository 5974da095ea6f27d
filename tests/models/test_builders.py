"""What every family of language models keeps to: one set of tests over all builders."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import lm_keras as lk
from lm_keras.models import BUILDERS

VOCAB = 11
# Small arguments of each family; a new family joins the contract by adding its line.
SMALL = {
    "attention_rnn": {
        "max_length": 24,
        "embedding_dim": 6,
        "hidden_dim": 12,
        "num_layers": 2,
        "dropout": 0.2,
        "seed": 0,
    },
    "cnn": {"embedding_dim": 6, "hidden_dim": 8, "num_layers": 2, "dropout": 0.2, "seed": 0},
    "feedforward": {"context_length": 4, "embedding_dim": 6, "hidden_dims": (8, 9), "dropout": 0.2, "seed": 0},
    "gpt2": {"max_length": 24, "hidden_dim": 8, "num_layers": 2, "num_heads": 2, "dropout": 0.2, "seed": 0},
    "llama": {
        "max_length": 24,
        "hidden_dim": 16,
        "num_layers": 2,
        "num_heads": 4,
        "num_kv_heads": 2,
        "dropout": 0.2,
        "seed": 0,
    },
    "gru": {"embedding_dim": 6, "hidden_dim": 8, "num_layers": 2, "dropout": 0.2, "seed": 0},
    "lstm": {"embedding_dim": 6, "hidden_dim": 8, "num_layers": 2, "dropout": 0.2, "seed": 0},
    "rnn": {"embedding_dim": 6, "hidden_dim": 8, "num_layers": 2, "dropout": 0.2, "seed": 0},
}
EQUAL = {"rtol": 1e-5, "atol": 1e-6}


def build(family, **changes):
    return getattr(lk.models, BUILDERS[family])(VOCAB, **{**SMALL[family], **changes})


def ids(batch, length, seed=0):
    return np.random.default_rng(seed).integers(0, VOCAB, (batch, length)).astype("int32")


def array(tensor):
    return ops.convert_to_numpy(tensor)


@pytest.fixture(scope="module", params=sorted(BUILDERS))
def family(request):
    return request.param


@pytest.fixture(scope="module")
def model(family):
    """One untrained model a family; no test changes its weights."""
    return build(family)


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


def test_keras_file_brings_back_both_views(model, tmp_path):
    model.save(tmp_path / "x.keras")
    loaded = keras.models.load_model(tmp_path / "x.keras")
    x = ids(2, 5)
    np.testing.assert_array_equal(array(loaded(x)), array(model(x)))
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
    model.compile(keras.optimizers.Adam(0.03), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    # A text that begins with one word twice cannot be learnt without absolute positions: both see the same mix.
    x[:, 0] = (x[:, 1] + 1) % VOCAB
    batch = tf.data.Dataset.from_tensors((x, y))
    losses = [model.evaluate(batch, verbose=0)]
    for steps in (1, 119):
        model.fit(batch.repeat(steps), shuffle=False, verbose=0)
        losses.append(model.evaluate(batch, verbose=0))
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
    # A GRU saves as the call of build_rnn_lm that made it.
    assert model.get_config()["builder"] == {"gru": "build_rnn_lm"}.get(family, BUILDERS[family])
