"""The growing memory of an attention model: what was seen of each row, packed from the left.

A cache is [B, K, L + 1, D]: K heads, room for L tokens. Rows fill at their own pace, so the n-th token of a
row stands in slot n, whatever padding its batch has, and a slot is also the token's position. Slots that
are not filled are zero; the last one stays so, it takes the writes of columns that hold no token.
"""

from keras import ops


def slots(ids, filled):
    """Where tokens `ids` [B, t] (negative: no token) of rows with `filled` [B] tokens go: ([B, t], filled after)."""
    valid = ops.cast(ids >= 0, "int32")
    place = filled[:, None] + ops.cumsum(valid, axis=1) - 1
    after = filled + ops.sum(valid, axis=1)
    return ops.where(ids >= 0, place, after[:, None]), after


def write(cache, new, place, ids):
    """The cache with `new` [B, K, t, D] in slots `place` [B, t]; columns without token write zeros after the rest."""
    batch, heads, steps, _ = ops.shape(new)
    rows = ops.arange(batch, dtype="int32")[:, None, None] * ops.ones((1, heads, steps), "int32")
    heads = ops.arange(heads, dtype="int32")[None, :, None] * ops.ones_like(rows)
    indices = ops.stack([rows, heads, place[:, None] * ops.ones_like(rows)], -1)
    new = ops.where(ids[:, None, :, None] >= 0, ops.cast(new, cache.dtype), 0)
    return ops.scatter_update(cache, indices, new)
