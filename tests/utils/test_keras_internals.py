"""Each private name of Keras and TensorFlow that is used: this fails when they rename it."""

import keras
import tensorflow as tf

from lm_keras.utils.keras_internals import WrappedDataset, flat_layers


def test_a_wrapped_dataset_is_a_dataset():
    options = tf.data.Options()
    options.deterministic = False
    wrapped = WrappedDataset(tf.data.Dataset.range(3).with_options(options))
    assert isinstance(wrapped, tf.data.Dataset)
    assert list(wrapped.map(lambda i: 2 * i).as_numpy_iterator()) == [0, 2, 4]
    assert wrapped.options().deterministic is False
    assert wrapped.element_spec == tf.TensorSpec([], tf.int64)
    assert int(wrapped.cardinality()) == 3


def test_flat_layers_are_those_within_layers_too():
    class Outer(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = keras.layers.Dense(2)

    outer = Outer()
    model = keras.Sequential([outer])
    assert {id(model), id(outer), id(outer.inner)} <= {id(layer) for layer in flat_layers(model)}
