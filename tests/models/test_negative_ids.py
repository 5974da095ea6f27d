"""A negative id is no token in both views of every causal model; a text above max_length is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_models import CAUSAL, VOCAB, array, build, ids, shared

import lm_keras as lk

EQUAL = {"rtol": 1e-5, "atol": 1e-6}
LIMITED = ("attention_rnn", "gpt2", "llama")


@pytest.fixture(scope="module", params=sorted(CAUSAL))
def model(request):
    return shared(request.param)


def padded():
    """(rows with tokens at all kinds of places, which of their columns hold tokens)."""
    x = np.full((4, 7), -1, "int32")
    x[0, 3:], x[1, :4], x[2, 1:6:2], x[3] = ids(1, 4)[0], ids(1, 4)[0], ids(1, 3, 1)[0], ids(1, 7, 2)[0]
    x[0, :3] = [-1, -7, -(2**31)]  # any negative id
    return x, x >= 0


@pytest.mark.parametrize("jit", [False, True])
def test_both_views_read_past_negative_ids(model, jit):
    x, real = padded()
    whole = tf.function(model, jit_compile=True) if jit else model
    logits, steps = array(whole(tf.constant(x))), array(model.step(x, model.initial_state(4))[0])
    np.testing.assert_allclose(logits[real], steps[real], **EQUAL)
    for row, kept, found in zip(x, real, logits, strict=True):
        np.testing.assert_allclose(found[kept], array(model(row[kept][None]))[0], **EQUAL)
    assert np.isfinite(logits).all()


def test_padding_changes_no_gradient(model):
    x, y = ids(2, 4), ids(2, 4, 1)
    left = np.pad(x, ((0, 0), (3, 0)), constant_values=-1)

    def gradients(x, y):
        with tf.GradientTape() as tape:
            nats = keras.losses.sparse_categorical_crossentropy(np.maximum(y, 0), model(x), from_logits=True)
            loss = tf.reduce_sum(tf.where(y >= 0, nats, 0.0))
        return [tf.convert_to_tensor(g).numpy() for g in tape.gradient(loss, model.trainable_weights)]

    padded = gradients(left, np.pad(y, ((0, 0), (3, 0)), constant_values=-1))
    for mine, other in zip(gradients(x, y), padded, strict=True):
        np.testing.assert_allclose(other, mine, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("family", ["rnn", "lstm"])
def test_the_last_word_form_reads_the_last_token(family):
    model, x = build(family, return_sequences=False), ids(2, 4)
    for widths in ((2, 0), (0, 2)):
        wide = np.pad(x, ((0, 0), widths), constant_values=-1)
        np.testing.assert_allclose(array(model(wide)), array(model(x)), **EQUAL)


@pytest.mark.parametrize("family", LIMITED)
def test_attention_weights_stand_where_the_tokens_stand(family):
    x = ids(1, 4)
    for alone, wide in zip(
        shared(family).attention_weights(x),
        shared(family).attention_weights(np.pad(x, ((0, 0), (2, 1)), constant_values=-1)),
        strict=True,
    ):
        np.testing.assert_allclose(array(wide)[:, :, 2:6, 2:6], array(alone), **EQUAL)
        assert array(wide).sum() == pytest.approx(array(alone).sum(), abs=1e-4)


@pytest.mark.parametrize("family", LIMITED)
def test_a_text_above_max_length_is_refused(family):
    model = shared(family)
    graphs = [tf.function(model, jit_compile=jit, autograph=False) for jit in (False, True)]
    for call in (model, *graphs):
        with pytest.raises(lk.InputError, match=r"25 tokens and the model max_length=24"):
            call(ids(1, 25))
    assert model(ids(1, 24)).shape == (1, 24, VOCAB)


@pytest.mark.parametrize("family", ["attention_rnn", "gpt2"])  # a Llama has its views from where GPT-2 has them
def test_a_text_of_unknown_length_above_max_length_gives_no_number(family):
    model, spec = shared(family), [tf.TensorSpec([None, None], tf.int32)]
    graph = tf.function(model, input_signature=spec)
    for _ in range(20):  # a lookup beside the check, not after it, would fail first in about half of the calls
        with pytest.raises(tf.errors.InvalidArgumentError, match="max_length=24; cut it"):
            graph(ids(1, 25))
    np.testing.assert_allclose(array(graph(ids(1, 24))), array(model(ids(1, 24))), **EQUAL)
    compiled = tf.function(model, input_signature=spec, jit_compile=True)
    assert np.isnan(array(compiled(ids(1, 25)))).all()  # no check runs under XLA
    np.testing.assert_allclose(array(compiled(ids(1, 24))), array(model(ids(1, 24))), **EQUAL)


def test_an_encoder_under_xla_gives_no_number_either():
    bert, x = shared("bert"), dict.fromkeys(("token_ids", "segment_ids", "padding_mask"), ids(1, 25) * 0 + 1)
    spec = [{name: tf.TensorSpec([None, None], tf.int32) for name in x}]
    compiled = tf.function(bert, input_signature=spec, jit_compile=True)
    assert np.isnan(array(compiled({name: tf.constant(part) for name, part in x.items()})["sequence_output"])).all()
    shorter = {name: tf.constant(part[:, :24]) for name, part in x.items()}
    expected = array(bert(shorter)["sequence_output"])
    np.testing.assert_allclose(array(compiled(shorter)["sequence_output"]), expected, rtol=1e-4, atol=1e-5)


def test_fit_under_xla_refuses_windows_above_max_length():
    model, x = build("gpt2"), ids(2, 25)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=True)
    with pytest.raises(lk.InputError, match="max_length=24"):
        model.fit(x, x, verbose=0)


@pytest.mark.parametrize("family", LIMITED)
def test_a_state_without_room_is_refused(family):
    model = shared(family)
    _, state = model.step(ids(2, 20), model.initial_state(2))
    _, full = model.step(np.pad(ids(2, 4), ((0, 0), (3, 3)), constant_values=-1), state)
    for tokens, before, message in (
        (ids(2, 25), model.initial_state(2), "room for 24 tokens and would hold 25"),
        (ids(2, 1), full, "room for 24 tokens and would hold 25"),
        (ids(2, 6), model.initial_state(2, 5), "room for 5 tokens and would hold 6"),
    ):
        with pytest.raises(lk.InputError, match=message):
            model.step(tokens, before)
    assert model.step(np.full((2, 3), -1, "int32"), full)[0].shape == (2, 3, VOCAB)
    assert model.step(ids(0, 2), model.initial_state(0))[0].shape == (0, 2, VOCAB)
