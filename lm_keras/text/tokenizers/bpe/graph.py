"""Byte-pair merging of many words at once, in a TensorFlow graph.

BPE merges the pair of the lowest rank in a word, the leftmost first, until no pair is in the list of merges. Here
each round does so in all words together. A long word is cut into blocks, and a pair that is the lowest of its own
and both neighbouring blocks is merged in the same round: what could take one of its two symbols before its turn
would have to be built from lower pairs within one token's length of it. So the rounds grow with the lengths of
tokens, not with those of words.
"""

import numpy as np

_NONE = np.iinfo(np.int64).max  # no such pair in the list of merges
_ID, _MARK = 0xFFFFFFFF, 1 << 32


def merge_table(merges, ids):
    """Returns (keys, values, whether any is marked), int64 [M + 1], of merges [("a", "b"), ...].

    Key: both ids; value: rank, mark and the id of the result. A merge is marked if its result is part of a merge of
    a lower rank (lists that were not learnt in their order have such): that one is then due before anything else.
    """
    ranks = {pair: rank for rank, pair in enumerate(merges)}  # of a pair that is there twice, the last rank counts
    size = len(ranks)
    rank = np.fromiter(ranks.values(), np.int64, size)
    left = np.fromiter((ids[left] for left, _ in ranks), np.int64, size)
    right = np.fromiter((ids[right] for _, right in ranks), np.int64, size)
    result = np.fromiter((ids[left + right] for left, right in ranks), np.int64, size)
    first_use = np.full(len(ids), _NONE)
    np.minimum.at(first_use, left, rank)
    np.minimum.at(first_use, right, rank)
    marked = first_use[result] < rank
    keys, values = left << 32 | right, rank << 33 | marked * _MARK | result
    return np.append(keys, -1), np.append(values, _NONE), bool(marked.any())  # a table must not be empty


def joints(surfaces):
    """Which pairs of bytes are next to each other in any token, bool [65536] by 256 * left + right."""
    data = np.frombuffer(b"".join(surfaces), np.uint8).astype(np.int32)
    ends = np.cumsum([len(surface) for surface in surfaces])
    inside = np.ones(len(data), bool)
    inside[ends[ends > 0] - 1] = False
    found = np.zeros(65536, bool)
    found[(256 * data[:-1] + data[1:])[inside[:-1]]] = True
    return found


def tf_merge(words, byte_ids, joints, table, any_marked, longest):
    """Returns the ids of words, strings [D], as ragged int32 [D, (n)].

    `byte_ids`: the ids of the 256 bytes, -1 for one that is not in the vocabulary (nothing stands for it);
    `table`: a lookup table of `merge_table`, default 2**63 - 1; `longest`: the most bytes of a token.
    """
    import tensorflow as tf

    data = tf.cast(tf.io.decode_raw(tf.strings.reduce_join(words), tf.uint8), tf.int32)
    rows = tf.repeat(tf.range(tf.size(words)), tf.strings.length(words))
    if min(byte_ids) < 0:
        known = tf.gather(tf.constant(byte_ids) >= 0, data)
        data, rows = tf.boolean_mask(data, known), tf.boolean_mask(rows, known)
    # Between two bytes that no token holds next to each other nothing is ever merged: a word is cut there, and its
    # parts are merged once for all words (in Chinese, these are little more than the different characters).
    cut = (rows[1:] != rows[:-1]) | ~tf.gather(tf.constant(joints), 256 * data[:-1] + data[1:])
    start = tf.where(tf.concat([[True], cut], axis=0)[: tf.size(data)])[:, 0]
    parts = tf.RaggedTensor.from_row_starts(data, start, validate=False)
    parts, index = tf.unique(tf.strings.unicode_encode(parts, "UTF-8"))  # a byte as the character of its number
    parts = tf.strings.unicode_decode(parts, "UTF-8")
    parts = parts.with_flat_values(tf.gather(tf.constant(byte_ids), parts.flat_values))
    parts = tf.gather(_merge(parts, table, any_marked, longest), index)
    rows = tf.cast(tf.gather(rows, start), tf.int64)
    words = tf.RaggedTensor.from_value_rowids(parts, rows, tf.size(words, tf.int64), validate=False)
    return words.merge_dims(1, 2)


def _merge(parts, table, any_marked, longest):
    """`parts` ragged [D, (n)]: ids of bytes; returns them merged."""
    import tensorflow as tf

    symbols, rows, size = parts.flat_values, tf.cast(parts.value_rowids(), tf.int32), tf.cast(parts.nrows(), tf.int32)
    blocks, rows_of_blocks = _blocks(rows, size, max(256, 2 * longest))
    linked = rows_of_blocks[1:] == rows_of_blocks[:-1]

    def keys_at(i, symbols, places):  # of the pairs that start at i: the least is merged first
        j = tf.minimum(i + 1, tf.size(symbols) - 1)
        together = (i < j) & (tf.gather(rows, tf.gather(places, i)) == tf.gather(rows, tf.gather(places, j)))
        return tf.where(together, table.lookup(_pair(tf.gather(symbols, i), tf.gather(symbols, j))), _NONE)

    def merge_all(symbols, places, keys):  # one round
        at, unsure = _lowest(keys, tf.gather(blocks, places), linked)
        if any_marked:
            at = _until_cascade(at, unsure, symbols, keys, tf.gather(rows, places), size, table)
        results = tf.cast(tf.bitwise.bitwise_and(tf.gather(keys, at), _ID), tf.int32)
        symbols = tf.tensor_scatter_nd_update(symbols, at[:, None], results)
        stays = tf.ones_like(symbols, tf.bool)
        stays = tf.where(tf.tensor_scatter_nd_update(stays, at[:, None] + 1, tf.zeros_like(at, tf.bool)))[:, 0]
        symbols, places, keys = (tf.gather(values, stays) for values in (symbols, places, keys))
        at -= tf.range(tf.size(at))
        changed = tf.concat([at, tf.maximum(at - 1, 0)], axis=0)
        keys = tf.tensor_scatter_nd_update(keys, changed[:, None], keys_at(changed, symbols, places))
        return symbols, places, keys

    places = tf.range(tf.size(symbols))
    loop = (symbols, places, keys_at(places, symbols, places))
    shapes = (tf.TensorShape([None]),) * 3
    symbols, places, _ = tf.while_loop(lambda _, __, keys: tf.reduce_min(keys) != _NONE, merge_all, loop, shapes)
    rows = tf.cast(tf.gather(rows, places), tf.int64)
    return tf.RaggedTensor.from_value_rowids(symbols, rows, tf.cast(size, tf.int64), validate=False)


def _pair(left, right):
    import tensorflow as tf

    return tf.bitwise.left_shift(tf.cast(left, tf.int64), 32) + tf.cast(right, tf.int64)


def _blocks(rows, size, width):
    """The block of each symbol int32 [N], and the word of each block; blocks have `width` symbols or a few more."""
    import tensorflow as tf

    splits = tf.searchsorted(rows, tf.range(size + 1))
    number = tf.maximum(1, (splits[1:] - splits[:-1]) // width)
    within = (tf.range(tf.size(rows)) - tf.gather(splits, rows)) // width
    within = tf.minimum(within, tf.gather(number, rows) - 1)
    return tf.gather(tf.cumsum(number, exclusive=True), rows) + within, tf.repeat(tf.range(size), number)


def _lowest(keys, blocks, linked):
    """Where the pairs start that are lowest, int32 [M], sorted; whether the same pair before them may be later.

    `linked`: whether a block and the next one are of one word, bool [K - 1].
    """
    import tensorflow as tf

    none = tf.constant([_NONE])
    own = tf.math.unsorted_segment_min(keys, blocks, tf.size(linked) + 1)
    before = tf.concat([none, tf.where(linked, own[:-1], _NONE)], axis=0)
    low = tf.minimum(tf.minimum(own, before), tf.concat([tf.where(linked, own[1:], _NONE), none], axis=0))
    unsure = (before == low) & (low != tf.concat([none, low[:-1]], axis=0))
    at = tf.cast(tf.where((keys == tf.gather(low, blocks)) & (keys != _NONE))[:, 0], tf.int32)
    # Pairs of one symbol overlap ("aaaa"): every second of such a chain is merged, if its beginning is.
    opens = tf.concat([[True], at[1:] != at[:-1] + 1], axis=0)[: tf.size(at)]
    head = tf.gather(tf.boolean_mask(at, opens), tf.cumsum(tf.cast(opens, tf.int32)) - 1)
    cut_off = (head > 0) & (tf.gather(keys, tf.maximum(head - 1, 0)) == tf.gather(keys, head))
    at = tf.boolean_mask(at, ((at - head) % 2 == 0) & ~cut_off)
    return at, tf.gather(unsure, tf.gather(blocks, at))


def _until_cascade(at, unsure, symbols, keys, rows, size, table):
    """Of the pairs `at`, the marked ones up to each word's first whose result has a lower pair with a neighbour.

    That pair is due before the marked ones behind it, and may change what they are; so may one that is `unsure`.
    """
    import tensorflow as tf

    key, last, row = tf.gather(keys, at), tf.size(symbols) - 1, tf.gather(rows, at)
    result = tf.cast(tf.bitwise.bitwise_and(key, _ID), tf.int32)
    merged_before = tf.concat([[False], at[1:] == at[:-1] + 2], axis=0)[: tf.size(at)]
    before, after = tf.maximum(at - 1, 0), tf.minimum(at + 2, last)
    left = tf.where(merged_before, result, tf.gather(symbols, before))
    left = (table.lookup(_pair(left, result)) < key) & (at > 0) & (tf.gather(rows, before) == row)
    right = table.lookup(_pair(result, tf.gather(symbols, after))) < key
    right &= (at + 2 <= last) & (tf.gather(rows, after) == row)
    marked = tf.bitwise.bitwise_and(key, _MARK) > 0
    stop = tf.where(marked & unsure, at - 1, tf.where(marked & (left | right), at, symbols.dtype.max))
    first = tf.math.unsorted_segment_min(stop, row, size)
    return tf.boolean_mask(at, ~marked | (at <= tf.gather(first, row)))
