"""GELU (Hendrycks & Gimpel 2016), in training compiled into one pass over memory each way."""

import math

import keras
from keras import layers, ops

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
        large = None not in x.shape and math.prod(x.shape) >= WORTH_COMPILING
        if training and large and keras.backend.backend() == "tensorflow":
            from lm_keras.layers.one_pass import one_pass

            return one_pass(ops.gelu, approximate=self.approximate)(x)
        return ops.gelu(x, approximate=self.approximate)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "approximate": self.approximate}
