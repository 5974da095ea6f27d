"""Tokens only, side by side, whatever padding a batch has.

`ids` may hold negative numbers, "no token here", before, between and after the tokens of a row. Moved to the end,
they come after everything that the row will ever read, so a causal layer needs no mask.
"""

import keras
import tensorflow as tf
from keras import layers, ops


@keras.saving.register_keras_serializable("lm_keras")
class PackTokens(layers.Layer):
    """ids int32 [B, t] -> the same with each row's tokens first, their places [B, t], their number [B].

    `places[b, j]` is the new column of the token in column j; where there is none, some column of the row.
    """

    def call(self, ids):
        column, steps = ops.arange(ops.shape(ids)[1], dtype="int32"), ops.shape(ids)[1]
        valid = ids >= 0
        order = ops.argsort(ops.where(valid, column, column + steps), axis=1)  # no two alike: a stable order
        rank = ops.cumsum(ops.cast(valid, "int32"), axis=1)
        return _columns(ids, order), ops.maximum(rank - 1, 0), rank[:, -1]


@keras.saving.register_keras_serializable("lm_keras")
class UnpackTokens(layers.Layer):
    """x [B, t, D] of packed tokens, places [B, t] -> x in the order of the step's columns."""

    def call(self, x, places):
        return _columns(x, places)


def packed_text(ids):
    """For the training view of a causal model: ids [B, T] -> (what its layers read, how their outputs go back).

    The ids [B, T] come without any negative one: each row's tokens first, then zeros that no token looks at.
    `arrange(x [B, T, D])` gives each column of `ids` its token's vector; a column without token has some other one.
    """
    packed, places, _ = PackTokens(name="pack_text")(ids)
    unpack = UnpackTokens(name="unpack_text")
    return ops.maximum(packed, 0), lambda x: unpack(x, places)


@keras.saving.register_keras_serializable("lm_keras")
class Remember(layers.Layer):
    """Memory after a step: the last n columns of past [B, n, ...] with the first `count` [B] of new [B, t, ...]."""

    def call(self, past, new, count):
        column = ops.arange(past.shape[1], dtype="int32")
        return _columns(ops.concatenate([past, new], axis=1), count[:, None] + column)


def _columns(x, columns):
    # ops.take_along_axis takes four times as long.
    return tf.gather(x, columns, batch_dims=1)
