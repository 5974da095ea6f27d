"""The model that is given a context, of every family, against the step of the model without contexts on vectors."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_models import KINDS_OF_STATE, VOCAB, array, build, ids

import lm_keras as lk
from lm_keras.models.conditional import ConditionalModel

CONTEXTS = np.array([-1, 0, 2])  # of three rows
WAYS = ("token", "vector")
FAMILIES = [*KINDS_OF_STATE, "rnn_skip"]


def conditional(family, by, **changes):
    """A model with contexts whose vectors are not 0."""
    model = ConditionalModel(build(family, **changes), 3, by)
    model.table.assign(np.random.default_rng(1).normal(size=model.table.shape).astype("float32"))
    return model


def marked(model, rows):
    return np.concatenate([np.array([[model.mark(context)] for context in CONTEXTS]), rows], 1).astype("int32")


def expected(model, rows):
    """Logits [3, T, V]: the vectors of words and contexts put together here, and read by the inner model's step."""
    inner, table = model.inner, array(model.table)[CONTEXTS + 1][:, None]
    words = array(inner.word_vectors_model(rows))
    vectors = np.concatenate([table, words], 1) if model.by == "token" else words + table
    logits, _ = inner.step_vectors(tf.constant(vectors), inner.initial_state(len(rows), 20))
    return array(logits)[:, -rows.shape[1] :]


@pytest.mark.parametrize("by", WAYS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_reads_its_context(family, by):
    model, rows = conditional(family, by), ids(3, 7)
    wanted = expected(model, rows)
    assert np.abs(wanted[0] - expected(model, rows[[1, 1, 1]])[1]).max() > 1e-3  # else equality would say little
    close = {"rtol": 1e-4, "atol": 1e-5}
    np.testing.assert_allclose(array(model(marked(model, rows)))[:, 1:], wanted, **close)
    inputs = {"ids": rows, "context": CONTEXTS.astype("int32")}
    np.testing.assert_allclose(array(model.training_model()(inputs)), wanted, **close)
    # In pieces, columns without a token before and between: the context is still known.
    spread = np.full((3, 11), -1, "int32")
    spread[:, [2, 3, 4, 6, 7, 8, 9, 10]] = marked(model, rows)
    state, found = model.initial_state(3, 20), []
    for piece in np.split(spread, [3, 5, 8], axis=1):
        logits, state = model.step(piece, state)
        found.append(array(logits))
    stepped = np.concatenate(found, 1)[:, [3, 4, 6, 7, 8, 9, 10]]
    np.testing.assert_allclose(stepped, wanted, **close)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_vector_of_zeros_is_no_context_and_an_unmarked_row_has_none(family):
    model, rows = conditional(family, "vector"), ids(3, 7)
    first = array(model.table)[:1]
    model.table.assign(np.concatenate([first * 0, array(model.table)[1:]]))
    np.testing.assert_allclose(array(model(rows)), array(model.inner(rows)), rtol=1e-4, atol=1e-5)
    unmarked = conditional(family, "token")
    np.testing.assert_allclose(array(unmarked(rows)), array(unmarked.inner(rows)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("by", WAYS)
def test_it_saves_and_loads_and_keeps_what_is_frozen(by, tmp_path):
    model, rows = conditional("gpt2", by), ids(3, 7)
    model.inner.get_layer("block_0").trainable = False
    model.save(tmp_path / "m.keras")
    loaded = lk.models.load_model(tmp_path / "m.keras")
    assert isinstance(loaded, ConditionalModel) and (loaded.by, loaded.num_contexts) == (by, 3)
    np.testing.assert_array_equal(array(loaded(marked(model, rows))), array(model(marked(model, rows))))
    assert not loaded.inner.get_layer("block_0").trainable and loaded.inner.get_layer("block_1").trainable
    assert len(loaded.weights) == len(model.inner.weights) + 1


def test_contexts_are_dropped_at_random_in_training_alone():
    model = conditional("lstm", "vector", dropout=0.0)
    inputs = {"ids": np.zeros([4000, 1], "int32"), "context": np.ones([4000], "int32")}
    training = model.training_model(drop=0.3, seed=5)
    with_context, without = (array(training({"ids": np.zeros([1, 1]), "context": np.array([c])}))[0] for c in (1, -1))
    drawn = array(training(inputs, training=True))
    dropped = np.isclose(drawn, without, atol=1e-5).all((1, 2))
    assert (np.isclose(drawn, with_context, atol=1e-5).all((1, 2)) ^ dropped).all()
    assert dropped.mean() == pytest.approx(0.3, abs=4 * np.sqrt(0.3 * 0.7 / 4000))
    again = array(training(inputs, training=True))
    assert 0.3 < (np.isclose(again, without, atol=1e-5).all((1, 2)) != dropped).mean() < 0.55  # 2 * 0.3 * 0.7
    np.testing.assert_allclose(array(training(inputs)), np.tile(with_context, (4000, 1, 1)), atol=1e-5)
    same = array(model.training_model(drop=0.3, seed=5)(inputs, training=True))
    np.testing.assert_array_equal(same, drawn)


def test_plain_fit_trains_the_words_and_the_contexts():
    model = conditional("gpt2", "token", dropout=0.0)
    before = [array(weight).copy() for weight in model.weights]
    training = model.training_model(drop=0.0)
    training.compile(keras.optimizers.Adam(0.01), lk.losses.CrossEntropy(), jit_compile=False)
    x = {"ids": ids(3, 7), "context": CONTEXTS.astype("int32")}
    history = training.fit(x, ids(3, 7, seed=1), epochs=30, verbose=0).history["loss"]
    assert history[-1] < 0.8 * history[0]
    moved = [np.abs(array(weight) - old).max() for weight, old in zip(model.weights, before, strict=True)]
    assert min(moved) > 0
    table = np.abs(array(model.table) - before[[w is model.table for w in model.weights].index(True)]).max(1)
    assert (table[[0, 1, 3]] > 0).all() and table[2] == 0  # the context of no row


def test_rows_that_do_not_fit_are_refused():
    for by, room in (("token", 23), ("vector", 24)):
        model = conditional("gpt2", by)
        training = model.training_model()
        assert training.longest == room
        training.compile(loss=lk.losses.CrossEntropy())
        windows = ({"ids": ids(2, room + 1), "context": np.zeros([2], "int32")}, ids(2, room + 1))
        with pytest.raises(lk.InputError, match=f"rows of {room + 1} tokens and .* at most max_length={room}"):
            lk.evaluate(training, windows)
        with pytest.raises(lk.InputError, match="room for"):
            model(np.zeros([1, 26], "int32"))
    with pytest.raises(lk.InputError, match=r"x\['context'\] holds 3 at \[0\]"):
        lk.evaluate(training, ({"ids": ids(1, 4), "context": np.array([3], "int32")}, ids(1, 4)))
    with pytest.raises(lk.InputError, match=f"vocabulary of {VOCAB}"):
        lk.evaluate(training, ({"ids": ids(1, 4) + VOCAB, "context": np.array([0], "int32")}, ids(1, 4)))
    with pytest.raises(lk.InputError, match="it takes one number a row"):
        lk.evaluate(training, ({"ids": ids(1, 4), "context": np.zeros([1, 1], "int32")}, ids(1, 4)))


def test_what_it_is_not_made_of():
    inner = build("lstm")
    for arguments, said in [
        ((inner, 2, "prefix"), "by is 'prefix'"),
        ((inner, 0), "num_contexts is 0"),
        ((ConditionalModel(inner, 2), 2), "without contexts, not a ConditionalModel"),
        ((keras.Sequential(), 2), "not a Sequential"),
    ]:
        with pytest.raises(lk.InputError, match=said):
            ConditionalModel(*arguments)
    with pytest.raises(lk.InputError, match="drop is 1.5"):
        ConditionalModel(inner, 2).training_model(drop=1.5)
