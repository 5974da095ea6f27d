"""The growing memory of an attention model: what was seen of each row, packed from the left.

A cache is [B, K, L + 1, D]: K heads, room for L tokens. Rows fill at their own pace, so the n-th token of a
row stands in slot n, whatever padding its batch has, and a slot is also the token's position. Slots that
are not filled are zero; the last one stays so, it takes the writes of columns that hold no token.
"""

import contextlib
import contextvars

import keras
from keras import layers, ops

_IN_PLACE = contextvars.ContextVar("in_place", default=False)


@contextlib.contextmanager
def written_in_place():
    """While a TensorFlow loop is traced that alone holds its caches: `write` changes them where they stand.

    TensorFlow's scatter copies the whole cache for each token: with many long texts that is more than all weights.
    """
    token = _IN_PLACE.set(True)
    try:
        yield
    finally:
        _IN_PLACE.reset(token)


def slots(ids, filled):
    """Where tokens `ids` [B, t] (negative: no token) of rows with `filled` [B] tokens go: ([B, t], filled after)."""
    valid = ops.cast(ids >= 0, "int32")
    place = filled[:, None] + ops.cumsum(valid, axis=1) - 1
    after = filled + ops.sum(valid, axis=1)
    return ops.where(ids >= 0, place, after[:, None]), after


@keras.saving.register_keras_serializable("lm_keras")
class CacheRows(layers.Layer):
    """cache [B, K, L + 1, D], slots `place` [B, t] -> `cache_rows`, which all caches of a model share."""

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)  # in mixed precision too: the cache is asked for its shape alone

    def call(self, cache, place):
        return cache_rows(cache, place)

    def compute_output_spec(self, cache, place):
        return keras.KerasTensor((None,), "int32")


def cache_rows(cache, place):
    """Where `write` puts vectors of the slots `place` [B, t]: rows int32 [B K t] of the table [B K (L + 1), D]."""
    batch, heads, room = ops.shape(cache)[:3]
    texts = ops.arange(batch * heads, dtype="int32") * room
    return ops.reshape(ops.reshape(texts, (batch, heads, 1)) + place[:, None], (-1,))


def write(cache, new, rows, ids):
    """The cache with `new` [B, K, t, D] in its `rows` [B K t]; columns of ids [B, t] without token write zeros."""
    new = ops.where(ids[:, None, :, None] >= 0, ops.cast(new, cache.dtype), 0)
    dim = new.shape[-1]
    table, new = ops.reshape(cache, (-1, dim)), ops.reshape(new, (-1, dim))
    if _IN_PLACE.get():
        import tensorflow as tf

        table = tf.raw_ops.InplaceUpdate(x=table, i=rows, v=new)
    else:
        table = ops.scatter_update(table, rows[:, None], new)
    return ops.reshape(table, ops.shape(cache))
