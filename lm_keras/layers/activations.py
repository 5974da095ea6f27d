"""GELU (Hendrycks & Gimpel 2016), in training compiled into one pass over memory each way."""

import math

import keras
from keras import layers, ops

from lm_keras.errors import InputError

WORTH_COMPILING = 2**17  # numbers: below, a dozen passes over them cost less than XLA does


@keras.saving.register_keras_serializable("lm_keras")
class Gelu(layers.Layer):
    """x P(N(0, 1) <= x); with `approximate`, 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), as GPT-2 has it.

    Any shape. Plain TensorFlow reads and writes its input a dozen times for the value and the gradient; in training
    XLA makes one loop of each where the shape is fixed, and the gradient needs no more than x.
    """

    def __init__(self, approximate=False, **kwargs):
        super().__init__(**kwargs)
        self.approximate = approximate

    def call(self, x, training=None):
        gelu = _by_tanh if self.approximate else _exact
        large = None not in x.shape and math.prod(x.shape) >= WORTH_COMPILING
        if training and large and keras.backend.backend() == "tensorflow":
            from lm_keras.utils.functions import one_pass

            return one_pass(gelu)(x)
        return gelu(x)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "approximate": self.approximate}


def _by_tanh(x):
    """0.5 (1 + tanh(z)) is sigmoid(2 z): five operations on x, where Keras' own has eight."""
    slope = 2 * math.sqrt(2 / math.pi)
    return x * ops.sigmoid(x * (slope + slope * 0.044715 * ops.square(x)))


def _exact(x):
    return ops.gelu(x, approximate=False)


def silu(x, training=None):
    """x sigmoid(x); in training by TensorFlow's own, whose gradient keeps x alone."""
    return ops.silu(x) if training else x * ops.sigmoid(x)


# === Activation functions by name ===


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
