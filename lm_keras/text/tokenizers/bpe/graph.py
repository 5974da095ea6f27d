"""Byte-level BPE inside a TensorFlow graph: the same ids as the `tokenizers` library gives.

A piece of text that BPE turns into one token is looked up as it is. Only the others are merged, each different one of
a batch once.

BPE merges the pair of the lowest rank in a word, the leftmost first, until no pair is in the list of merges. Here
each round does so in all words together. A long word is cut into blocks, and a pair that is the lowest of its own
and both neighbouring blocks is merged in the same round: what could take one of its two symbols before its turn
would have to be built from lower pairs within one token's length of it. So the rounds grow with the lengths of
tokens, not with those of words.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lm_keras.text.tokenizers.bpe import pipeline
from lm_keras.text.tokenizers.bpe.pretokens import tf_pretokens
from lm_keras.text.unicode import tf_lower_codes, tf_valid

if TYPE_CHECKING:
    import tensorflow as tf

_NONE = np.iinfo(np.int64).max  # no such pair in the list of merges
_ID, _MARK = 0xFFFFFFFF, 1 << 32


class Graph:
    """The lookup tables of one tokenizer, made outside of any function that is being traced, and what uses them.

    Args:
        tokens: The vocabulary, [V].
        merges: [("a", "b"), ...], the first to be done first.
        unk_token: Stands for a byte that is not in `tokens`, or None.
        alone: The ids that BPE gives for their own text.
        surfaces: The bytes that each id stands for, [V].
        pattern: A name of `pipeline.PATTERNS`.
        lowercase: Whether texts are read in lower case.

    Attributes:
        words: The table of a whole piece to its id.
        pairs: The table of two ids to what merging them gives.
        surfaces: The table of id to bytes.
    """

    def __init__(
        self,
        tokens: Sequence[str],
        merges: Sequence[tuple[str, str]],
        unk_token: str | None,
        alone: Sequence[int],
        surfaces: Sequence[bytes],
        pattern: str,
        lowercase: bool,
    ) -> None:
        import tensorflow as tf

        ids = {token: i for i, token in enumerate(tokens)}
        pairs, results, self.any_marked = merge_table(merges, ids)
        self.byte_ids = [ids.get(letter, ids.get(unk_token, -1)) for letter in pipeline.alphabet()]
        self.longest, self.joints = max(map(len, surfaces)), joints(surfaces)
        self.pattern, self.lowercase, self._compiled = pattern, lowercase, None
        texts = np.array([*surfaces, b""], object)  # no piece is empty, but a table may not be
        with tf.init_scope():
            self.words = _table(texts[[*alone, -1]], [*alone, -1], tf.string, tf.int64, -1)
            self.pairs = _table(pairs, results, tf.int64, tf.int64, np.iinfo(np.int64).max)
            self.surfaces = _table(np.arange(len(surfaces)), texts[:-1], tf.int64, tf.string, "")

    def encode(self, strings: "tf.Tensor") -> "tf.RaggedTensor":
        """Returns the ids of strings [B], ragged int32 [B, (n)]."""
        import tensorflow as tf

        strings = tf.convert_to_tensor(strings, tf.string)
        if not tf.executing_eagerly():
            return tf.autograph.experimental.do_not_convert(self._encode)(strings)
        if self._compiled is None:  # one by one, the many small operations of a round take 20 times as long
            spec = [tf.TensorSpec([None], tf.string)]
            self._compiled = tf.function(self._encode, input_signature=spec, autograph=False)
        return self._compiled(strings)

    def _encode(self, strings: "tf.Tensor") -> "tf.RaggedTensor":
        import tensorflow as tf

        with tf.device("/CPU:0"):  # strings and tables are there; a GPU would only copy to and fro
            codes = tf.strings.unicode_decode(strings, "UTF-8", errors="replace")
            if self.lowercase:
                codes = tf.ragged.map_flat_values(tf_lower_codes, codes)
            words, splits = tf_pretokens(codes, self.pattern)
            ids = self._ids(words)
            return tf.RaggedTensor.from_row_splits(ids.flat_values, tf.gather(ids.row_splits, splits), validate=False)

    def _ids(self, words: "tf.Tensor") -> "tf.RaggedTensor":
        """The ids of words, strings [T], as ragged int32 [T, (n)]."""
        import tensorflow as tf

        ids = tf.cast(self.words.lookup(words), tf.int32)
        longer = tf.where(ids < 0)[:, 0]
        different, index = tf.unique(tf.gather(words, longer))
        pieces = tf_merge(different, self.byte_ids, self.joints, self.pairs, self.any_marked, self.longest)
        # The parts are the ids of one-token words, each alone, then the merged words'; `part` says whose is which.
        single = tf.boolean_mask(ids, ids >= 0)
        lengths = tf.concat([tf.ones_like(single), tf.cast(pieces.row_lengths(), tf.int32)], axis=0)
        parts = tf.concat([single, pieces.flat_values], axis=0)
        parts = tf.RaggedTensor.from_row_lengths(parts, lengths, validate=False)
        part = tf.cumsum(tf.cast(ids >= 0, tf.int32)) - 1
        return tf.gather(parts, tf.tensor_scatter_nd_update(part, longer[:, None], tf.size(single) + index))

    def decode(self, ids: "tf.RaggedTensor") -> "tf.Tensor":
        """Returns the texts [B] of ragged ids; what is not in the vocabulary is nothing."""
        import tensorflow as tf

        pieces = ids.with_flat_values(self.surfaces.lookup(tf.cast(ids.flat_values, tf.int64)))
        return tf_valid(tf.strings.reduce_join(pieces, axis=1))


def _table(keys: Any, values: Any, key_type: Any, value_type: Any, default: Any) -> Any:
    import tensorflow as tf

    content = tf.lookup.KeyValueTensorInitializer(keys, values, key_type, value_type)
    return tf.lookup.StaticHashTable(content, default)


def merge_table(merges: Sequence[tuple[str, str]], ids: Mapping[str, int]) -> tuple[np.ndarray, np.ndarray, bool]:
    """Returns the content of the table of merges.

    A merge is marked if its result is part of a merge of a lower rank (lists that were not learnt in their order have
    such): that one is then due before anything else.

    Args:
        merges: [("a", "b"), ...].
        ids: {token: id}.

    Returns:
        `(keys, values, whether any is marked)`, int64 [M + 1]. A key is both ids; a value rank, mark and the id of
        the result.
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


def joints(surfaces: Sequence[bytes]) -> np.ndarray:
    """Returns which pairs of bytes are next to each other in any token, bool [65536] by 256 * left + right."""
    data = np.frombuffer(b"".join(surfaces), np.uint8).astype(np.int32)
    ends = np.cumsum([len(surface) for surface in surfaces])
    inside = np.ones(len(data), bool)
    inside[ends[ends > 0] - 1] = False
    found = np.zeros(65536, bool)
    found[(256 * data[:-1] + data[1:])[inside[:-1]]] = True
    return found


def tf_merge(
    words: "tf.Tensor", byte_ids: Sequence[int], joints: np.ndarray, table: Any, any_marked: bool, longest: int
) -> "tf.RaggedTensor":
    """Returns the ids of words.

    Args:
        words: Strings [D].
        byte_ids: Of the 256 bytes; -1 for one that is not in the vocabulary (nothing stands for it).
        joints: Of `joints`.
        table: A lookup table of `merge_table`, default 2**63 - 1.
        any_marked: Of `merge_table`.
        longest: The most bytes of a token.

    Returns:
        int32, ragged [D, (n)].
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
