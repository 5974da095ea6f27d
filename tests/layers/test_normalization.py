"""Layer normalization against Keras' own, and its gradients against finite differences."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from arrays import array, normal
from gradients import check_gradients, float64, value_and_gradients

from lm_keras.layers.normalization import LayerNormalization


def pair(**options):
    """Ours and Keras' with the same weights."""
    layers = LayerNormalization(epsilon=1e-5, **options), keras.layers.LayerNormalization(epsilon=1e-5, **options)
    for layer in layers:
        layer.build((None, 6))
        layer.set_weights([1 + normal(6, seed=1), normal(6, seed=2)])
    return layers


@pytest.mark.parametrize(("shape", "offset"), [((4, 6), 0), ((2, 3, 6), 0), ((2, 3, 6), 100)])
def test_values_and_gradients_are_those_of_keras(shape, offset):
    x, upstream = normal(*shape) + np.float32(offset), normal(*shape, seed=3)
    ours, theirs = (value_and_gradients(layer, x, upstream) for layer in pair())
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(array(one), array(other), rtol=0, atol=1e-5 * (1 + offset))


def test_far_from_zero_it_is_nearer_to_the_exact_value_than_keras():
    x = normal(50, 6) + np.float32(1000)
    exact = x.astype("float64")
    exact = (exact - exact.mean(-1, keepdims=True)) / np.sqrt(exact.var(-1, keepdims=True) + 1e-5)
    layer = LayerNormalization(epsilon=1e-5)
    keras_own = keras.layers.LayerNormalization(epsilon=1e-5)
    assert np.abs(array(layer(x)) - exact).max() <= np.abs(array(keras_own(x)) - exact).max()


def test_in_mixed_precision_it_computes_in_float32():
    ours, theirs = pair(dtype="mixed_bfloat16")
    x = tf.cast(normal(4, 6), tf.bfloat16)
    assert ours(x).dtype == tf.bfloat16
    np.testing.assert_allclose(array(tf.cast(ours(x), tf.float32)), array(tf.cast(theirs(x), tf.float32)), atol=1e-2)


def test_gradients_equal_finite_differences():
    with float64():
        layer, x, upstream = (
            LayerNormalization(),
            normal(3, 6, dtype="float64"),
            normal(3, 6, seed=1, dtype="float64"),
        )
        layer.build((None, 6))
        check_gradients(lambda: tf.reduce_sum(layer(x) * upstream), layer.weights)


def test_its_config_gives_it_again():
    layer = LayerNormalization(epsilon=1e-3, name="norm")
    again = LayerNormalization.from_config(layer.get_config())
    assert (again.epsilon, again.name) == (1e-3, "norm")
