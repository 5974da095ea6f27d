"""Scaled dot-product attention over several heads."""

import functools
import warnings

import keras
from keras import layers, ops

from lm_keras.layers.block import Dropout
from lm_keras.layers.cache import write
from lm_keras.layers.rotary import rotate

# The first token of a text sees itself alone: there a softmax over one score is right.
warnings.filterwarnings("ignore", "You are using a softmax over axis -1 of a tensor of shape")
UNSEEN = -1e9  # in place of a score: its weight is 0, and a row that sees nothing gets no NaN


def attend(query, key, value, visible, dropout=None):
    """softmax(Q K^T / sqrt(d_k)) V, document 001, section 4 (Vaswani et al. 2017, equation 1).

    query [B, H, t, D], key and value [B, K, L, D], H a multiple of K: query heads share them in groups (Ainslie
    et al. 2023). visible bool, broadcast to [B, t, L]: what each query may look at.
    Returns the mixed values [B, H, t, D] and the weights [B, H, t, L], whose rows sum to 1.
    """
    batch, heads, steps, dim = ops.shape(query)
    kept = key.shape[1]
    grouped = ops.reshape(query / dim**0.5, (batch, kept, heads // kept * steps, dim))  # D numbers each, not L
    scores = ops.matmul(grouped, ops.transpose(key, (0, 1, 3, 2)))
    scores = ops.reshape(scores, (batch, heads, steps, ops.shape(key)[2]))
    exact = keras.backend.result_type(scores.dtype, "float32")  # in mixed precision too
    scores = ops.where(visible[:, None], ops.cast(scores, exact), UNSEEN)
    weights = ops.cast(ops.softmax(scores), query.dtype)
    mixing = weights if dropout is None else dropout(weights)
    mixing = ops.reshape(mixing, (batch, kept, heads // kept * steps, ops.shape(key)[2]))
    return ops.reshape(ops.matmul(mixing, value), (batch, heads, steps, dim)), weights


@keras.saving.register_keras_serializable("lm_keras")
class SelfAttention(layers.Layer):
    """Each token looks at those tokens of its own text that `visible`, bool [B, t, L], shows.

    x [B, t, E] -> (x [B, t, E], weights [B, H, t, L], keys, values [B, K, L, D]).

    `num_kv_heads` < `num_heads`: grouped queries. `turns`, (cosines, sines) of `Rotary`: queries and keys turn with
    their positions.
    To go on with a text, `memory` is (keys, values, rows, ids): caches [B, K, L + 1, D], the `CacheRows` [B K t] of
    the tokens that are written to them, and their ids [B, t].
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
        query, key, value = self._project(x)  # (B, H, t, D), (B, K, t, D) twice
        if turns is not None:
            query, key = rotate(query, *turns), rotate(key, *turns)
        if memory is not None:
            keys, values, rows, ids = memory
            key, value = write(keys, key, rows, ids), write(values, value, rows, ids)
        drop = None if self.dropout is None else functools.partial(self.dropout, training=training)
        mixed, weights = attend(query, key, value, visible, drop)  # (B, H, t, D), (B, H, t, L)
        mixed = ops.transpose(mixed, (0, 2, 1, 3))
        mixed = ops.reshape(mixed, (*ops.shape(mixed)[:2], self.num_heads * self.head_dim))
        return self.out(mixed), weights, key, value

    def compute_output_spec(self, x, visible, turns=None, memory=None, training=None):
        # Without it Keras traces `call` at every use, which takes most of the time to build a deep model.
        batch, steps, _ = x.shape
        length = steps if memory is None else memory[0].shape[2]
        shapes = [x.shape, (batch, self.num_heads, steps, length)]
        shapes += [(batch, self.num_kv_heads, length, self.head_dim)] * 2
        return tuple(keras.KerasTensor(shape, self.compute_dtype) for shape in shapes)

    def _project(self, x):
        queries, kept = self.num_heads, self.num_kv_heads
        heads = ops.reshape(self.qkv(x), (*ops.shape(x)[:2], queries + 2 * kept, self.head_dim))
        heads = ops.transpose(heads, (0, 2, 1, 3))  # (B, H + 2 K, t, D)
        # Not slices: their gradients are three arrays of zeros to fill and add.
        return ops.split(heads, (queries, queries + kept), axis=1)

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
