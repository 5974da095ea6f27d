"""Rotary positions (Su et al. 2021): a pair of features turns by an angle that grows with the position."""

import math
import sys

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from lm_keras.errors import InputError

LLAMA3 = ["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"]


def rotary_angles(positions, head_dim, base=10000.0, scaling=None):
    """Angles float32 [B, 1, t, head_dim / 2] of positions int [B, t]: position * base^(-2i / head_dim).

    `scaling`: a checkpoint's `rope_scaling`, {"rope_type": "linear" or "llama3", "factor": ...}.
    """
    speeds = base ** (-np.arange(0, head_dim, 2, dtype="float64") / head_dim)
    return ops.cast(positions, "float32")[:, None, :, None] * _scaled(speeds, scaling).astype("float32")


@keras.saving.register_keras_serializable("lm_keras")
class Rotary(layers.Layer):
    """Positions int [B, t] -> cosines and signed sines [B, 1, t, head_dim] of their angles, for `rotate`.

    Args:
        head_dim: D, the width of a head, even.
        base: how slowly the last pair of features turns.
        scaling: a checkpoint's `rope_scaling`, or None.
    """

    def __init__(self, head_dim: int, base: float = 10000.0, scaling: dict | None = None, **kwargs):
        super().__init__(**kwargs)
        self.head_dim, self.base, self.scaling = head_dim, base, scaling

    def call(self, positions):
        angles = rotary_angles(positions, self.head_dim, self.base, self.scaling)
        cos, sin = ops.cast(ops.cos(angles), self.compute_dtype), ops.cast(ops.sin(angles), self.compute_dtype)
        return ops.concatenate([cos, cos], -1), ops.concatenate([-sin, sin], -1)

    def compute_output_spec(self, positions):
        batch, steps = positions.shape
        shape = (batch, 1, steps, self.head_dim)
        return keras.KerasTensor(shape, self.compute_dtype), keras.KerasTensor(shape, self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "head_dim": self.head_dim, "base": self.base, "scaling": self.scaling}


def rotate(x, cos, sin):
    """Turns feature i with feature i + D/2 of x [B, H, t, D], the layout of Llama checkpoints in safetensors.

    cos, sin [B, 1, t, D]: of `Rotary`, the sines of the first half negative.
    """
    left, right = tf.split(x, 2, axis=-1)
    return x * cos + tf.concat([right, left], -1) * sin


def check_scaling(scaling):
    """Raises InputError for a `rope_scaling` of a kind that is not built here, or without its numbers."""
    if scaling is None or scaling == {}:
        return
    kind = scaling.get("rope_type", scaling.get("type")) if isinstance(scaling, dict) else None
    wanted = {"linear": ["factor"], "llama3": LLAMA3}.get(kind) if isinstance(kind, str) else None
    if wanted is None or not all(_positive(scaling.get(key)) for key in wanted):
        raise InputError(f"rope_scaling {scaling!r} is not known; give rope_type linear or llama3 with its factors")
    if kind == "llama3" and not scaling["low_freq_factor"] < scaling["high_freq_factor"]:
        raise InputError(f"rope_scaling {scaling!r} has a low_freq_factor that is not below its high_freq_factor")


def _positive(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= sys.float_info.max


def _scaled(speeds, scaling):
    if not scaling:
        return speeds
    if scaling.get("rope_type", scaling.get("type")) == "linear":
        return speeds / scaling["factor"]
    # Llama 3.1: slow turns are slowed down further, fast ones stay, those between are mixed.
    turns = scaling["original_max_position_embeddings"] * speeds / (2 * math.pi)  # within the original length
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    kept = np.clip((turns - low) / (high - low), 0, 1)
    return kept * speeds + (1 - kept) * speeds / scaling["factor"]


# === Where each token of a text stands ===


def with_columns_checked(ids: tf.Tensor, most: int, message: str) -> tf.Tensor:
    """Returns ids [B, T] as they are, once a check while the graph runs has found T to be at most `most`.

    What reads the result runs after the check. Beside it a lookup of a position that is not there might fail first,
    in the words of the backend.
    """
    check = tf.debugging.assert_less_equal(tf.shape(ids)[1], most, message)
    with tf.control_dependencies([] if check is None else [check]):
        return tf.identity(ids)


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
            message = f"a text has more tokens than the model's max_length={self.max_length}; cut it"
            ids = with_columns_checked(ids, self.max_length, message)
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


# === Positions as waves of many lengths (Vaswani et al. 2017, section 3.5) ===


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


# === Each position with those before it, side by side: what a feed-forward or convolutional model looks at ===


@keras.saving.register_keras_serializable("lm_keras")
class ContextWindow(layers.Layer):
    """x [B, T, D] -> [B, T, length * D]: x[t - (length - 1) * dilation], ..., x[t - dilation], x[t], concatenated.

    A Dense layer behind it is a causal convolution. `past` [B, (length - 1) * dilation, D] comes before x;
    None: zeros.
    """

    def __init__(self, length, dilation=1, **kwargs):
        super().__init__(**kwargs)
        self.length, self.dilation = length, dilation
        self.reach = (length - 1) * dilation

    def call(self, x, past=None):
        steps = ops.shape(x)[1]
        if past is None:
            x = ops.pad(x, ((0, 0), (self.reach, 0), (0, 0)))
        else:
            x = ops.concatenate([past, x], axis=1)
        starts = range(0, self.reach + 1, self.dilation)
        return ops.concatenate([x[:, start : start + steps] for start in starts], axis=-1)

    def get_config(self):
        return {**super().get_config(), "length": self.length, "dilation": self.dilation}
