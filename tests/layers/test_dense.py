"""The dense layer over tokens, and SiLU, against Keras' own: values and gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from arrays import array, normal
from gradients import value_and_gradients

from lm_keras.layers.activations import silu
from lm_keras.layers.dense import Dense


def assert_same(ours, theirs, tolerance=1e-5):
    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape
        np.testing.assert_allclose(array(tf.cast(one, "float32")), array(tf.cast(other, "float32")), atol=tolerance)


def pair(shape, lora=False, **options):
    """Ours and Keras' with the same weights."""
    layers = Dense(4, **options), keras.layers.Dense(4, **options)
    for layer in layers:
        layer.build(shape)
        if lora:
            layer.enable_lora(2)
        layer.set_weights([normal(*weight.shape, seed=i) for i, weight in enumerate(layer.weights)])
    return layers


@pytest.mark.parametrize("shape", [(3, 6), (2, 3, 6), (2, 3, 5, 6), (0, 3, 6)])
@pytest.mark.parametrize("options", [{}, {"use_bias": False, "activation": "tanh"}, {"lora": True}])
def test_values_and_gradients_are_those_of_keras(shape, options):
    x, upstream = normal(*shape), normal(*shape[:-1], 4, seed=9)
    assert_same(*(value_and_gradients(layer, x, upstream) for layer in pair(shape, **options)))


def test_in_a_graph_of_unknown_sizes_and_in_mixed_precision():
    for layer in pair((None, None, 6), dtype="mixed_bfloat16"):
        assert layer.compute_output_shape((None, None, 6)) == (None, None, 4)
    ours, theirs = pair((None, None, 6))
    run = tf.function(lambda x: ours(x), input_signature=[tf.TensorSpec([None, None, 6])])
    assert run.get_concrete_function().structured_outputs.shape.as_list() == [None, None, 4]
    for shape in ((2, 3, 6), (1, 1, 6), (0, 2, 6)):
        assert_same([run(normal(*shape))], [theirs(normal(*shape))])
    ours, theirs = pair((None, None, 6), dtype="mixed_bfloat16")
    assert_same([ours(normal(2, 3, 6))], [theirs(normal(2, 3, 6))], 0.05)


def test_silu_is_that_of_keras_in_training_and_beside():
    x, upstream = 20 * normal(5, 7), normal(5, 7, seed=1)
    expected = value_and_gradients(keras.ops.silu, x, upstream)
    for training in (False, True):
        assert_same(value_and_gradients(lambda x, training=training: silu(x, training), x, upstream), expected)
