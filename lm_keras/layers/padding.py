"""What task heads read of the tokens of a text: all but padding.

Which tokens are padding says an input of the model, `valid` [B, T] (1: a token), or else the mask that Keras hands on
from layer to layer, as `Embedding(mask_zero=True)` begins one; without both every column is a token.
"""

import keras
import tensorflow as tf
from keras import layers, ops

from lm_keras.errors import InputError


@keras.saving.register_keras_serializable("lm_keras")
class TokenPooling(layers.Layer):
    """One vector a text, x [B, T, D] -> [B, D]: the "mean" of its tokens, or the "first" of them.

    A text without any token has the mean 0, and the first column.
    """

    def __init__(self, pooling, **kwargs):
        super().__init__(**kwargs)
        if pooling not in ("first", "mean"):
            raise InputError(f'pooling is {pooling!r}; it must be "first" or "mean"')
        self.pooling, self.supports_masking = pooling, True

    def call(self, x, valid=None, mask=None):
        mask = tokens(valid, mask)
        if self.pooling == "first":
            if mask is None:
                return x[:, 0]
            place = ops.argmax(ops.cast(mask, "int32"), axis=1)  # of the first 1
            return ops.take_along_axis(x, ops.reshape(place, (-1, 1, 1)), axis=1)[:, 0]
        exact = ops.cast(x, "float32")  # a sum of many tokens, in mixed precision too
        if mask is None:
            mean = ops.mean(exact, axis=1)
        else:
            weight = ops.cast(mask, "float32")[..., None]
            mean = ops.sum(exact * weight, axis=1) / ops.maximum(ops.sum(weight, axis=1), 1.0)
        return ops.cast(mean, x.dtype)

    def compute_mask(self, x, previous_mask=None):
        return None

    def compute_output_spec(self, x, valid=None, mask=None):
        return keras.KerasTensor((x.shape[0], x.shape[-1]), self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "pooling": self.pooling}


@keras.saving.register_keras_serializable("lm_keras")
class CutPadding(layers.Layer):
    """Ids [B, T, L] filled up with 0 -> [B, T, l], as wide as the longest of the batch and at least 1."""

    def call(self, ids):
        column = tf.range(1, tf.shape(ids)[2] + 1)
        longest = tf.reduce_max(tf.where(ids != 0, column, 0))
        return ids[:, :, : tf.maximum(longest, 1)]

    def compute_output_spec(self, ids):
        return keras.KerasTensor((*ids.shape[:2], None), ids.dtype)


@keras.saving.register_keras_serializable("lm_keras")
class HidePadding(layers.Layer):
    """Logits [B, T, C], float32; -1e9 at padding, which a softmax over the tokens then never chooses."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, logits, valid=None, mask=None):
        mask, logits = tokens(valid, mask), ops.cast(logits, "float32")
        return logits if mask is None else ops.where(mask[..., None], logits, -1e9)

    def compute_mask(self, logits, previous_mask=None):
        return None

    def compute_output_spec(self, logits, valid=None, mask=None):
        return keras.KerasTensor(logits.shape, "float32")


def tokens(valid, mask):
    """bool [B, T], where the columns are tokens; None: all are."""
    return ops.cast(valid, "int32") > 0 if valid is not None else mask


# === Tokens only, side by side, whatever padding a batch has ===
# `ids` may hold negative numbers, "no token here", before, between and after the tokens of a row. Moved to the end,
# they come after everything that the row will ever read, so a causal layer needs no mask.


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
