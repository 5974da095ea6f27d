"""The private names of Keras that are used: a test fails where Keras renames one."""

import keras

from lm_keras.utils.keras_internals import flatten_layers


def test_flatten_layers_gives_the_layers_within_layers():
    inner = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="inner")])
    x = keras.Input((2,))
    model = keras.Model(x, inner(x))
    found = flatten_layers(model)
    assert found[0] is model
    assert {"inner", inner.name} <= {layer.name for layer in found}
