"""Positions as waves of many lengths (Vaswani et al. 2017, section 3.5)."""

import keras
import numpy as np
from keras import layers, ops


@keras.saving.register_keras_serializable("lm_keras")
class Sinusoids(layers.Layer):
    """Positions int [B, T] -> [B, T, dim], dim even: sin(p / 10000^(2i / dim)) at 2i, its cosine at 2i + 1."""

    def __init__(self, dim, **kwargs):
        super().__init__(**kwargs)
        self.dim = dim
        self.speeds = (10000.0 ** (-np.arange(0, dim, 2) / dim)).astype("float32")

    def call(self, positions):
        # float32 in mixed precision too: bfloat16 cannot count beyond 256.
        angles = ops.cast(positions, "float32")[..., None] * self.speeds  # (B, T, dim / 2)
        waves = ops.stack([ops.sin(angles), ops.cos(angles)], -1)
        return ops.cast(ops.reshape(waves, (*ops.shape(positions), self.dim)), self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "dim": self.dim}
