"""Attention: a text that looks at itself (`SelfAttention`), and one that looks at another (`CrossAttention`).

What is the same for all blocks of a pass, which tokens may be looked at and how many there are, `AttentionMask` makes
once. In the layers all tokens of a batch are rows of one matrix [B t, D], so that each dense layer is one product.
"""

import functools
import warnings
from typing import NamedTuple

import keras
import tensorflow as tf
from keras import layers

from lm_keras.errors import InputError
from lm_keras.layers.blocks import Dropout
from lm_keras.layers.cache import write
from lm_keras.layers.positions import rotate

# The first token of a text sees itself alone: there a softmax over one score is right.
warnings.filterwarnings("ignore", "You are using a softmax over axis -1 of a tensor of shape")
UNSEEN = -1e9  # in place of a score: its weight is 0, and a row that sees nothing gets no NaN


# === What is the same for all blocks of a pass ===
class Mask(NamedTuple):
    """What each token may look at, made once a pass for all blocks.

    Attributes:
        visible: bool [B or 1, 1, t, L].
        size: int32 [2], B and t.
    """

    visible: tf.Tensor
    size: tf.Tensor


@keras.saving.register_keras_serializable("lm_keras")
class AttentionMask(layers.Layer):
    """ids [B, t], visible bool, broadcast to [B, t, L]: what each token may look at -> the `Mask` of a pass."""

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)

    def call(self, ids, visible):
        return mask_of(ids, visible)

    def compute_output_spec(self, ids, visible):
        batch, *rest = visible.shape
        return Mask(keras.KerasTensor((batch, 1, *rest), "bool"), keras.KerasTensor((2,), "int32"))


def mask_of(x: tf.Tensor, visible: tf.Tensor | Mask) -> Mask:
    """The `Mask` of tokens x [B, t, ...] and visible bool [B or 1, t or 1, L]; one that is made already as it is."""
    if isinstance(visible, tuple | list):  # a list: in a functional model that was loaded
        return Mask(*visible)
    visible = tf.convert_to_tensor(visible)
    if visible.shape.rank not in (3, None):
        raise InputError(f"visible has the shape {tuple(visible.shape)}; give bool [B, t, L], or the Mask of a pass")
    return Mask(visible[:, None], tf.shape(x)[:2])


# === softmax(Q K^T / sqrt(d_k)) V ===
def attend(query, key, value, visible, dropout=None):
    """softmax(Q K^T / sqrt(d_k)) V, document 001, section 4 (Vaswani et al. 2017, equation 1).

    query [B, H, t, D], key and value [B, K, L, D], H a multiple of K: query heads share them in groups (Ainslie
    et al. 2023). visible bool, broadcast to [B, H, t, L]: what each query may look at.
    Returns the mixed values [B, H, t, D] and the weights [B, H, t, L], whose rows sum to 1.
    """
    heads, kept, dim = query.shape[1], key.shape[1], query.shape[-1]
    query *= tf.constant(dim**-0.5, query.dtype)  # D numbers each, not L
    if heads == kept:
        weights = _weights(tf.matmul(query, key, transpose_b=True), visible)
        return tf.matmul(weights if dropout is None else dropout(weights), value), weights
    query = tf.stack(tf.split(query, kept, axis=1), axis=1)  # (B, K, H / K, t, D)
    weights = _weights(tf.einsum("bkgtd,bkld->bkgtl", query, key), tf.expand_dims(visible, 1))
    mixed = tf.einsum("bkgtl,bkld->bkgtd", weights if dropout is None else dropout(weights), value)
    return _ungrouped(mixed), _ungrouped(weights)


def _weights(scores, visible):
    """Softmax of the scores that may be looked at, in float32 or more in mixed precision too."""
    exact = tf.float64 if scores.dtype == tf.float64 else tf.float32
    seen = tf.where(visible, tf.cast(scores, exact), tf.constant(UNSEEN, exact))
    return tf.cast(tf.nn.softmax(seen), scores.dtype)


def _ungrouped(x):
    """[B, K, H / K, t, n] -> [B, H, t, n]."""
    return tf.concat(tf.unstack(x, axis=1), axis=1)


def _heads(rows, size, heads, dim):
    """Rows [B t, heads dim] -> [B, heads, t, dim]."""
    return tf.transpose(tf.reshape(rows, tf.concat([size, [heads, dim]], 0)), [0, 2, 1, 3])


def _rows(heads):
    """[B, heads, t, dim] -> rows [B t, heads dim]."""
    return tf.reshape(tf.transpose(heads, [0, 2, 1, 3]), [-1, heads.shape[1] * heads.shape[3]])


def tokens_as_rows(x: tf.Tensor) -> tf.Tensor:
    """x [B, t, D] -> [B t, D]; what is rows already stays."""
    return x if x.shape.rank == 2 else tf.reshape(x, [-1, x.shape[-1]])


# === A text that looks at itself ===
@keras.saving.register_keras_serializable("lm_keras")
class SelfAttention(layers.Layer):
    """Each token looks at those tokens of its own text that `visible` shows: bool [B, t, L], or the `Mask` of a pass.

    x [B, t, E] -> (x [B, t, E], weights [B, H, t, L], keys, values [B, K, L, D]). With a `Mask`, x may be rows
    [B t, E], and what comes back for it is.

    `num_kv_heads` < `num_heads`: grouped queries. `turns`, of `Rotary`: queries and keys turn with their positions.
    To go on with a text, `memory` is (keys, values, rows, tokens): caches [B, K, L + 1, D], and what `CacheRows` says
    of the tokens that are written to them.
    """

    def __init__(
        self,
        num_heads,
        head_dim,
        *,
        num_kv_heads=None,
        qkv_bias=True,
        output_bias=True,
        dropout=0.0,
        kernel_initializer="glorot_uniform",
        output_initializer="glorot_uniform",
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads, self.head_dim, self.num_kv_heads = num_heads, head_dim, num_kv_heads or num_heads
        self.qkv_bias, self.output_bias = qkv_bias, output_bias
        self.rate, self.seed = dropout, seed
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.output_initializer = keras.initializers.get(output_initializer)
        # One product for queries, keys and values: three small ones take longer.
        heads = self.num_heads + 2 * self.num_kv_heads
        self.qkv = layers.Dense(
            heads * head_dim, use_bias=qkv_bias, kernel_initializer=self.kernel_initializer, name="qkv"
        )
        self.dropout = Dropout(dropout, seed=seed) if dropout else None

    def build(self, x_shape):
        self.qkv.build(x_shape)
        self.out = layers.Dense(
            x_shape[-1], use_bias=self.output_bias, kernel_initializer=self.output_initializer, name="out"
        )
        self.out.build((*x_shape[:-1], self.num_heads * self.head_dim))

    def call(self, x, visible, turns=None, memory=None, training=None):
        mask, rows = mask_of(x, visible), tokens_as_rows(x)
        queries, kept = self.num_heads, self.num_kv_heads
        heads = _heads(self.qkv(rows), mask.size, queries + 2 * kept, self.head_dim)  # (B, H + 2 K, t, D)
        if memory is not None:
            heads = tf.where(memory[3], heads, tf.zeros([], heads.dtype))  # no token: zeros are written
        # Not slices: their gradients are three arrays of zeros to fill and add.
        if turns is None:
            query, key, value = tf.split(heads, [queries, kept, kept], axis=1)
        else:
            turned, value = tf.split(heads, [queries + kept, kept], axis=1)
            query, key = tf.split(rotate(turned, *turns), [queries, kept], axis=1)
        if memory is not None:
            key, value = write(memory[:2], (key, value), memory[2])
        drop = None if self.dropout is None else functools.partial(self.dropout, training=training)
        mixed, weights = attend(query, key, value, mask.visible, drop)  # (B, H, t, D), (B, H, t, L)
        y = self.out(_rows(mixed))
        return y if x is rows else tf.reshape(y, tf.shape(x)), weights, key, value

    def compute_output_spec(self, x, visible, turns=None, memory=None, training=None):
        # Without it Keras traces `call` at every use, which takes most of the time to build a deep model.
        batch, steps = x.shape[:2] if len(x.shape) == 3 else (visible[0].shape[0], visible[0].shape[2])  # rows
        length = steps if memory is None else memory[0].shape[2]
        shapes = [x.shape, (batch, self.num_heads, steps, length)]
        shapes += [(batch, self.num_kv_heads, length, self.head_dim)] * 2
        return tuple(keras.KerasTensor(shape, self.compute_dtype) for shape in shapes)

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "head_dim": self.head_dim,
            "num_kv_heads": self.num_kv_heads,
            "qkv_bias": self.qkv_bias,
            "output_bias": self.output_bias,
            "dropout": self.rate,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "output_initializer": keras.initializers.serialize(self.output_initializer),
            "seed": self.seed,
        }


# === Attention from one text to another: the decoder of a transformer looks at what the encoder has read ===
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
        rows = self.dense(tokens_as_rows(memory))
        heads = _heads(rows, tf.shape(memory)[:2], 2 * self.num_heads, self.head_dim)
        keys, values = tf.split(heads, 2, axis=1)
        return keys, tf.where(valid[:, None, :, None], values, tf.zeros([], values.dtype))

    def compute_output_spec(self, memory, valid):
        shape = (memory.shape[0], self.num_heads, memory.shape[1], self.head_dim)
        return keras.KerasTensor(shape, self.compute_dtype), keras.KerasTensor(shape, self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), **_config(self)}


@keras.saving.register_keras_serializable("lm_keras")
class CrossAttention(layers.Layer):
    """x [B, t, E] looks at keys, values [B, H, S, D] where `visible`: (x [B, t, E], weights [B, H, t, S]).

    `visible` is bool [B, 1, S], or a `Mask`, with which x may be rows [B t, E].
    """

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

    def call(self, x, keys, values, visible):
        mask, rows = mask_of(x, visible), tokens_as_rows(x)
        query = _heads(self.query(rows), mask.size, self.num_heads, self.head_dim)
        mixed, weights = attend(query, keys, values, mask.visible)  # (B, H, t, D), (B, H, t, S)
        y = self.out(_rows(mixed))
        return y if x is rows else tf.reshape(y, tf.shape(x)), weights

    def get_config(self):
        output_initializer = keras.initializers.serialize(self.output_initializer)
        return {**super().get_config(), **_config(self), "output_initializer": output_initializer}


def _config(layer):
    initializer = keras.initializers.serialize(layer.kernel_initializer)
    return {"num_heads": layer.num_heads, "head_dim": layer.head_dim, "kernel_initializer": initializer}
