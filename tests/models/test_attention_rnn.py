"""The recurrent language model with attention: its equations, its cells, its memory."""

import attention_oracles as oracle
import numpy as np
import pytest
from gradients import check_gradients, cross_entropy, float64
from keras import ops

from lm_keras.errors import InputError
from lm_keras.models import build_attention_rnn_lm

# Large weights, so that scores differ.
SMALL = {"embedding_dim": 5, "hidden_dim": 6, "max_length": 12, "initializer_range": 1.0, "seed": 0}
SCORES = ("additive", "multiplicative")
IDS = np.random.default_rng(0).integers(0, 7, (2, 6)).astype("int32")


def array(tensor):
    return ops.convert_to_numpy(tensor)


def weights_of(model, layer):
    return [array(w).astype("float64") for w in model.get_layer(layer).weights]


@pytest.mark.parametrize("score", SCORES)
def test_logits_are_those_of_the_equations(score):
    model = build_attention_rnn_lm(7, attention=score, **SMALL)
    (keys,), (combine,), (logits, bias) = (weights_of(model, layer) for layer in ("keys", "combine", "logits"))
    states = array(model.get_layer("lstm_0")(model.get_layer("embedding")(IDS))[0]).astype("float64")  # test_lstm.py
    for b, h in enumerate(states):  # (T, H)
        if score == "additive":
            kernel, v = weights_of(model, "alignment")
            scores = oracle.additive(h, h, kernel, keys, v[:, 0])
        else:
            scores = oracle.multiplicative(h, h, keys)
        a = oracle.softmax(np.where(oracle.causal(6), scores, -np.inf))
        by_hand = np.tanh(np.concatenate([a @ h, h], 1) @ combine) @ logits + bias
        np.testing.assert_allclose(array(model(IDS))[b], by_hand, rtol=0, atol=1e-5)
        np.testing.assert_allclose(array(model.attention_weights(IDS)[0])[b, 0], a, rtol=0, atol=1e-5)


@pytest.mark.parametrize("score", SCORES)
def test_gradients_equal_finite_differences(score):
    with float64():
        model = build_attention_rnn_lm(7, attention=score, **SMALL)
        check_gradients(lambda: cross_entropy(model, IDS, np.roll(IDS, -1, 1)), model.trainable_weights)


@pytest.mark.parametrize("cell, score", [("lstm", "multiplicative"), ("gru", "additive"), ("rnn", "multiplicative")])
def test_steps_equal_the_full_pass_for_every_cell_and_score(cell, score):
    model = build_attention_rnn_lm(7, attention=score, cell=cell, num_layers=2, **SMALL)
    first, state = model.step(IDS[:, :2], model.initial_state(2, length=6))
    rest, _ = model.step(IDS[:, 2:], state)
    steps = np.concatenate([array(first), array(rest)], 1)
    np.testing.assert_allclose(steps, array(model(IDS)), rtol=1e-5, atol=1e-6)


def test_the_memory_is_as_large_as_asked_for():
    model = build_attention_rnn_lm(7, **SMALL)
    assert model.context_length == 12
    for length, room in ((5, 6), (12, 13), (99, 13), (None, 13)):
        filled, h, c, keys, values = model.initial_state(3, length)
        assert keys.shape == values.shape == (3, 1, room, 6)
        assert not any(np.any(array(part)) for part in (filled, h, c, keys, values))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"attention": "dot"}, "score is 'dot'"),
        ({"cell": "mlp"}, "cell is 'mlp'"),
        ({"max_length": 0}, "max_length"),
        ({"hidden_dim": 2.5}, "hidden_dim"),
    ],
)
def test_impossible_arguments(change, message):
    with pytest.raises(InputError, match=message):
        build_attention_rnn_lm(7, **{**SMALL, **change})
