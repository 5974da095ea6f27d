"""Attention from one text to another: the decoder of a transformer looks at what the encoder has read."""

import keras
from keras import layers, ops

from lm_keras.layers.attention import attend


@keras.saving.register_keras_serializable("lm_keras")
class MemoryHeads(layers.Layer):
    """memory [B, S, E], valid bool [B, S] -> keys, values [B, H, S, D] of all heads, computed once for a source.

    Values are zero where there is no token, so that a source without any token gives nothing, not an average.
    """

    def __init__(self, num_heads, head_dim, kernel_initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        self.num_heads, self.head_dim = num_heads, head_dim
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.dense = layers.Dense(
            2 * num_heads * head_dim, use_bias=False, kernel_initializer=self.kernel_initializer, name="keys_values"
        )

    def build(self, memory_shape, *_):
        self.dense.build(memory_shape)

    def call(self, memory, valid):
        heads = _heads(self.dense(memory), 2 * self.num_heads, self.head_dim)
        keys, values = heads[:, : self.num_heads], heads[:, self.num_heads :]
        return keys, ops.where(valid[:, None, :, None], values, 0)

    def get_config(self):
        return {**super().get_config(), **_config(self)}


@keras.saving.register_keras_serializable("lm_keras")
class CrossAttention(layers.Layer):
    """x [B, t, E] looks at keys, values [B, H, S, D] where valid [B, S]: (x [B, t, E], weights [B, H, t, S])."""

    def __init__(
        self,
        num_heads,
        head_dim,
        kernel_initializer="glorot_uniform",
        output_initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads, self.head_dim = num_heads, head_dim
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.output_initializer = keras.initializers.get(output_initializer)
        options = {"use_bias": False, "kernel_initializer": self.kernel_initializer}
        self.query = layers.Dense(num_heads * head_dim, **options, name="query")

    def build(self, x_shape, *_):
        self.query.build(x_shape)
        options = {"use_bias": False, "kernel_initializer": self.output_initializer}
        self.out = layers.Dense(x_shape[-1], **options, name="out")
        self.out.build((*x_shape[:-1], self.num_heads * self.head_dim))

    def call(self, x, keys, values, valid):
        query = _heads(self.query(x), self.num_heads, self.head_dim)
        mixed, weights = attend(query, keys, values, valid[:, None])  # (B, H, t, D), (B, H, t, S)
        mixed = ops.transpose(mixed, (0, 2, 1, 3))
        return self.out(ops.reshape(mixed, (*ops.shape(mixed)[:2], self.num_heads * self.head_dim))), weights

    def get_config(self):
        output_initializer = keras.initializers.serialize(self.output_initializer)
        return {**super().get_config(), **_config(self), "output_initializer": output_initializer}


def _heads(x, heads, dim):
    """[B, t, heads * dim] -> [B, heads, t, dim]."""
    return ops.transpose(ops.reshape(x, (*ops.shape(x)[:2], heads, dim)), (0, 2, 1, 3))


def _config(layer):
    initializer = keras.initializers.serialize(layer.kernel_initializer)
    return {"num_heads": layer.num_heads, "head_dim": layer.head_dim, "kernel_initializer": initializer}
