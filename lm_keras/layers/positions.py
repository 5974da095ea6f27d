"""Where each token of a text stands."""

import keras
from keras import layers, ops

from lm_keras.errors import InputError


@keras.saving.register_keras_serializable("lm_keras")
class Positions(layers.Layer):
    """ids [B, T] -> 0 ... T - 1, int32 [1, T]. Raises InputError where T is known and above `max_length`.

    Without it a lookup in a table of `max_length` rows fails in the words of the backend, or not at all under XLA.
    """

    def __init__(self, max_length, **kwargs):
        super().__init__(**kwargs)
        self.max_length = max_length

    def call(self, ids):
        if ids.shape[1] is not None and ids.shape[1] > self.max_length:
            raise InputError(f"a text has {ids.shape[1]} tokens and the model max_length={self.max_length}; cut it")
        return ops.cumsum(ops.ones_like(ids[:1]), axis=1) - 1

    def compute_output_shape(self, shape):
        return (1, shape[1])

    def get_config(self):
        return {**super().get_config(), "max_length": self.max_length}
