"""Where each token of a text stands."""

import keras
from keras import layers, ops

from lm_keras.errors import InputError


@keras.saving.register_keras_serializable("lm_keras")
class Positions(layers.Layer):
    """ids [B, T] -> 0 ... T - 1, int32 [1, T]. Raises InputError where T is known and above `max_length`.

    Without it a lookup in a table of `max_length` rows fails in the words of the backend, or not at all under XLA.
    Where T is known only while a graph runs, that fails in one line; under XLA, which runs no check, see `Within`.
    """

    def __init__(self, max_length, **kwargs):
        super().__init__(**kwargs)
        self.max_length = max_length

    def call(self, ids):
        if ids.shape[1] is not None and ids.shape[1] > self.max_length:
            raise InputError(f"a text has {ids.shape[1]} tokens and the model max_length={self.max_length}; cut it")
        if ids.shape[1] is None and keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            message = f"a text has more tokens than the model's max_length={self.max_length}; cut it"
            tf.debugging.assert_less_equal(tf.shape(ids)[1], self.max_length, message)
        return ops.arange(ops.shape(ids)[1], dtype="int32")[None]

    def compute_output_spec(self, ids):
        return keras.KerasTensor((1, ids.shape[1]), "int32")

    def get_config(self):
        return {**super().get_config(), "max_length": self.max_length}


@keras.saving.register_keras_serializable("lm_keras")
class Within(layers.Layer):
    """x [B, T, D] as it is, and not a number where T turns out to be above `max_length`: no check runs under XLA."""

    def __init__(self, max_length, **kwargs):
        super().__init__(**kwargs)
        self.max_length = max_length

    def call(self, x):
        if x.shape[1] is not None:
            return x  # `Positions` has looked at it
        return ops.where(ops.shape(x)[1] <= self.max_length, x, float("nan"))

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, x.dtype)

    def get_config(self):
        return {**super().get_config(), "max_length": self.max_length}
