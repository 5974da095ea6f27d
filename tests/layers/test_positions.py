"""Sinusoids and rotary positions against their equations in NumPy."""

import attention_oracles as oracle
import numpy as np
import tensorflow as tf
from arrays import CLOSE, array, normal
from hypothesis import given, settings
from hypothesis import strategies as st

from lm_keras.layers.positions import Rotary, Sinusoids, rotate


def test_sinusoids_are_the_equation():
    positions = np.array([[0, 1, 2, 99], [3, 3, 7, 50]])
    waves = Sinusoids(8)(positions)
    for row, by_row in zip(positions, array(waves), strict=True):
        np.testing.assert_allclose(by_row, oracle.sinusoids(row, 8), **CLOSE)


def test_sinusoids_count_beyond_256_in_bfloat16():
    waves = array(tf.cast(Sinusoids(8, dtype="mixed_bfloat16")(np.arange(300, 340)[None]), tf.float32))[0]
    assert len(np.unique(waves, axis=0)) == 40


def test_rotation_is_a_product_of_complex_numbers():
    x, positions = normal(2, 3, 4, 8), np.array([[0, 1, 2, 3], [5, 6, 9, 40]])
    turned = array(rotate(x, *Rotary(8, base=500.0)(positions)))
    pairs = x[..., :4] + 1j * x[..., 4:]  # feature i with feature i + D/2
    speeds = 500.0 ** (-np.arange(4) / 4)
    by_hand = pairs * np.exp(1j * positions[:, None, :, None] * speeds)
    np.testing.assert_allclose(turned, np.concatenate([by_hand.real, by_hand.imag], -1), **CLOSE)


@given(a=st.integers(0, 20), b=st.integers(0, 20), shift=st.integers(0, 20))
@settings(max_examples=25, deadline=None)
def test_turned_scores_depend_on_the_distance_alone(a, b, shift):
    q, k = normal(1, 1, 1, 8), normal(1, 1, 1, 8, seed=1)

    def score(at_q, at_k):
        turned = (rotate(x, *Rotary(8)(np.array([[at]]))) for x, at in ((q, at_q), (k, at_k)))
        return float(tf.reduce_sum(next(turned) * next(turned)))

    np.testing.assert_allclose(score(a, b), score(a + shift, b + shift), **CLOSE)
