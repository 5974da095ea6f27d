"""Activation functions by name."""

import keras
from keras import layers

from lm_keras.errors import InputError


def activation_layer(activation, name):
    """A layer for one of Keras' activations, "tanh", "relu", "sigmoid" ...; InputError for an unknown name."""
    check_activation(activation)
    return layers.Activation(activation, name=name)


def check_activation(activation):
    """Raises InputError for what is not the name of an activation: models save their arguments as text."""
    try:
        assert isinstance(activation, str)
        keras.activations.get(activation)
    except (AssertionError, ValueError):
        raise InputError(
            f'activation is {activation!r}; give the name of one of keras.activations, e.g. "tanh"'
        ) from None
