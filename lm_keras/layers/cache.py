"""The growing memory of an attention model: what was seen of each row, packed from the left.

A cache is [B, K, L + 1, D]: K heads, room for L tokens. Rows fill at their own pace, so the n-th token of a row
stands in slot n, whatever padding its batch has, and a slot is also the token's position. Slots that are not filled
are zero; the last one stays so, it takes the writes of columns that hold no token.
"""

import contextlib
import contextvars

import keras
import tensorflow as tf
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
    """cache [B, K, L + 1, D], slots `place` [B, t], ids [B, t] -> what `write` needs, made once for all caches.

    Rows int32 [B K t], or [B K t, 1], of the table [B K (L + 1), D], and which columns are tokens, bool [B, 1, t, 1].
    """

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)  # in mixed precision too: the cache is asked for its shape alone

    def call(self, cache, place, ids):
        return cache_rows(cache, place), (ids >= 0)[:, None, :, None]

    def compute_output_spec(self, cache, place, ids):
        batch, steps = ids.shape
        return keras.KerasTensor((None, 1), "int32"), keras.KerasTensor((batch, 1, steps, 1), "bool")


def cache_rows(cache, place):
    """Rows of the table [B K (L + 1), D] for vectors of the slots `place` [B, t], as `write` takes them."""
    batch, heads, room = ops.shape(cache)[:3]
    texts = ops.arange(batch * heads, dtype="int32") * room
    rows = ops.reshape(texts, (batch, heads, 1)) + place[:, None]
    return ops.reshape(rows, (-1,) if _IN_PLACE.get() else (-1, 1))


def write(caches, new, rows):
    """The caches [B, K, L + 1, D], each with its part of `new` [B, K, t, D] in `rows`, of `cache_rows`."""
    shape, table = tf.shape(caches[0]), tf.constant([-1, new[0].shape[-1]])
    change = _in_place if _IN_PLACE.get() else tf.tensor_scatter_nd_update
    return [
        tf.reshape(change(tf.reshape(cache, table), rows, tf.reshape(tf.cast(part, cache.dtype), table)), shape)
        for cache, part in zip(caches, new, strict=True)
    ]


def _in_place(table, rows, new):
    return tf.raw_ops.InplaceUpdate(x=table, i=rows, v=new)
