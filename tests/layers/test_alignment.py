"""Additive and multiplicative alignment against their equations in NumPy."""

import attention_oracles as oracle
import numpy as np
import pytest
from arrays import CLOSE, array, normal

from lm_keras.errors import InputError
from lm_keras.layers.alignment import Alignment


def by_hand(layer, keys_kernel, h, memory, visible):
    if layer.score == "additive":
        kernel, v = map(array, layer.weights)
        scores = oracle.additive(h, memory, kernel, keys_kernel, v[:, 0])
    else:
        scores = oracle.multiplicative(h, memory, keys_kernel)
    weights = oracle.softmax(np.where(visible, scores, -np.inf))
    return weights @ memory, weights


@pytest.mark.parametrize("sparing", [False, True])
@pytest.mark.parametrize("score", ["additive", "multiplicative"])
def test_alignment_is_the_equation(score, sparing):
    layer = Alignment(score)
    h, memory, kernel = normal(2, 3, 6), normal(2, 5, 4, seed=1), normal(4, 6, seed=2)
    visible = np.array([[[1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 0, 1, 1, 1]]] * 2, bool)
    context, weights = layer(h, memory @ kernel, memory, visible, sparing=sparing)
    for b in range(2):
        c, a = by_hand(layer, kernel, h[b], memory[b], visible[b])
        np.testing.assert_allclose(array(context)[b], c, **CLOSE)
        np.testing.assert_allclose(array(weights)[b], a, **CLOSE)


def test_there_are_two_scores():
    with pytest.raises(InputError, match="'dot'.*additive"):
        Alignment("dot")
