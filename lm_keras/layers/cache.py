"""The growing memory of an attention model: what was seen of each row, packed from the left.

A cache is [B, K, L + 1, D]: K heads, room for L tokens. Rows fill at their own pace, so the n-th token of a
row stands in slot n, whatever padding its batch has, and a slot is also the token's position. Slots that
are not filled are zero; the last one stays so, it takes the writes of columns that hold no token.
"""

import contextlib
import contextvars

from keras import ops

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


def write(cache, new, place, ids):
    """The cache with `new` [B, K, t, D] in slots `place` [B, t]; columns without token write zeros after the rest."""
    batch, heads, steps, dim = ops.shape(new)
    new = ops.where(ids[:, None, :, None] >= 0, ops.cast(new, cache.dtype), 0)
    # Seen as a table [B K (L + 1), D], every new vector is a row of it.
    texts = ops.arange(batch * heads, dtype="int32") * ops.shape(cache)[2]
    rows = ops.reshape(texts, (batch, heads, 1)) + place[:, None]  # (B, K, t)
    table, rows, new = ops.reshape(cache, (-1, dim)), ops.reshape(rows, (-1,)), ops.reshape(new, (-1, dim))
    if _IN_PLACE.get():
        import tensorflow as tf

        table = tf.raw_ops.InplaceUpdate(x=table, i=rows, v=new)
    else:
        table = ops.scatter_update(table, rows[:, None], new)
    return ops.reshape(table, ops.shape(cache))
