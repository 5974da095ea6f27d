"""WordPiece tokenization inside a TensorFlow graph.

Nothing in it looks over a space. So a batch is cut at spaces, only its distinct pieces are cut into words, and only
the distinct words are looked up: text repeats itself. `tf_words`, BERT's cleaning and its cut into words, goes
character by character, by tables.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lm_keras.text.tokenizers.wordpiece.characters import (
    ALONE,
    CODE_BITS,
    COUNT_BITS,
    DROPPED,
    RANK_SHIFT,
    SPACE,
    WORD,
    character_tables,
)
from lm_keras.text.tokenizers.wordpiece.vocabulary import MAX_WORD
from lm_keras.text.unicode import tf_page_lookup

if TYPE_CHECKING:
    import tensorflow as tf

_LENGTH = 128  # a value of the vocabulary's table is id * 128 + length


def prefix_table(ids: Mapping[str, int]) -> dict[str, int]:
    """Returns the content of the table of pieces, for all prefixes of all pieces.

    Args:
        ids: {piece: id}.

    Returns:
        {prefix of a piece: id * 128 + length of the longest piece that begins it}, 0 where no piece begins it.
        Lengths are in characters, without the "##" of pieces that go on with a word.
    """
    table = {}
    for piece, i in ids.items():
        start = 2 * piece.startswith("##")
        if 0 < len(piece) - start <= MAX_WORD:
            table[piece] = i * _LENGTH + len(piece) - start
    for piece in list(table):
        best = 0
        for end in range(1 + 2 * piece.startswith("##"), len(piece)):
            best = table.setdefault(piece[:end], best)
    return table


def longest(prefixes: Mapping[str, int]) -> int:
    """Returns the length of the longest piece in a `prefix_table`."""
    return max((value % _LENGTH for value in prefixes.values()), default=0)


def tf_encode(
    strings: "tf.Tensor", table: Any, longest: int, unk_id: int, lowercase: bool, strip_accents: bool
) -> "tf.RaggedTensor":
    """Returns the ids of texts.

    Args:
        strings: [B].
        table: A StaticHashTable of `prefix_table`, with -1 for what is not in it.
        longest: The length of its longest piece.
        unk_id: Of a word that cannot be put together.
        lowercase: Whether texts are read in lower case.
        strip_accents: Whether é is read as e.

    Returns:
        int32, ragged [B, (n)].
    """
    import tensorflow as tf

    chunks = tf.strings.split(strings, " ")
    distinct, chunk = tf.unique(chunks.flat_values)
    words = tf_words(distinct, lowercase, strip_accents)
    known, word = tf.unique(words.flat_values)
    pieces = _pieces(known, table, longest, unk_id)
    return _merged(_merged(pieces, words.with_flat_values(word)), chunks.with_flat_values(chunk))


def _merged(parts, which):
    """The parts that `which`, ragged [B, (n)], counts up, row by row, one after the other."""
    import tensorflow as tf

    chosen = tf.gather(parts, which.flat_values)
    splits = tf.gather(chosen.row_splits, which.row_splits)
    return tf.RaggedTensor.from_row_splits(chosen.flat_values, splits, validate=False)


def _pieces(words, table, longest, unk_id):
    """The ids of each word's pieces, ragged int32 [W, (n)]: the longest piece that fits first; unknown as a whole."""
    import tensorflow as tf

    size = tf.size(words)
    length = tf.strings.length(words, "UTF8_CHAR")
    value = tf.cast(table.lookup(words), tf.int32)
    whole = (value >= 0) & (value % _LENGTH == length)
    cut = ~whole & (length <= MAX_WORD)
    more, more_index = _longest_first(words, length, tf.cast(tf.where(cut)[:, 0], tf.int32), table, longest)
    # Where a rest of a word fits nothing, the word is unknown and has no pieces.
    known = tf.math.unsorted_segment_min(more, more_index, size) >= 0
    first = tf.where(whole, value // _LENGTH, tf.where(cut & known, -1, unk_id))
    more = tf.where(tf.gather(known, more_index), more, -1)
    ids, index = tf.concat([first, more], 0), tf.concat([tf.range(size), more_index], 0)
    kept = tf.where(ids >= 0)[:, 0]
    order = tf.gather(kept, tf.argsort(tf.gather(index, kept), stable=True))
    ids, rows = tf.gather(ids, order), tf.cast(tf.gather(index, order), tf.int64)
    return tf.RaggedTensor.from_value_rowids(ids, rows, nrows=tf.cast(size, tf.int64), validate=False)


def _longest_first(words, length, index, table, longest):
    """Pieces of the words at `index`: (ids [P], index of the word [P]), in order; -1 where nothing fits.

    A round takes one piece off each word. All prefixes of pieces are in the table, so how far a word follows some
    piece is found by halving.
    """
    import tensorflow as tf

    def take(rest, mark, length, index, ids, indices):
        zeros = tf.zeros_like(length)
        low, high, best = zeros, tf.minimum(length, longest), zeros
        for _ in range(longest.bit_length()):
            middle = (low + high + 1) // 2
            value = tf.cast(table.lookup(tf.strings.substr(rest, zeros, middle + mark, "UTF8_CHAR")), tf.int32)
            found = (value >= 0) & (middle > 0)
            low, high = tf.where(found, middle, low), tf.where(found, high, middle - 1)
            best = tf.where(found, value, best)
        taken = best % _LENGTH
        ids = tf.concat([ids, tf.where(taken > 0, best // _LENGTH, -1)], 0)
        indices = tf.concat([indices, index], 0)
        on = tf.where((taken > 0) & (taken < length))[:, 0]
        rest, taken, length, index = (tf.gather(x, on) for x in (rest, taken, length, index))
        rest = tf.strings.join(["##", tf.strings.substr(rest, taken + mark, length - taken, "UTF8_CHAR")])
        return rest, tf.constant(2), length - taken, index, ids, indices

    none = tf.zeros([0], tf.int32)
    vector = tf.TensorShape([None])
    result = tf.while_loop(
        lambda rest, *_: tf.size(rest) > 0,
        take,
        (tf.gather(words, index), tf.constant(0), tf.gather(length, index), index, none, none),
        shape_invariants=(vector, tf.TensorShape([]), vector, vector, vector, vector),
    )
    return result[-2:]


def tf_words(strings: "tf.Tensor", lowercase: bool, strip_accents: bool) -> "tf.RaggedTensor":
    """Returns the words of strings [B], as BERT cuts and writes them: ragged [B, (n)], in UTF-8."""
    import tensorflow as tf

    page_table, atoms = character_tables(lowercase, strip_accents)
    codes = tf.strings.unicode_decode(strings, "UTF-8", errors="replace")
    row = tf.cast(codes.value_rowids(), tf.int32)
    value = tf_page_lookup(page_table, codes.flat_values)
    atom, row = tf.cond(
        tf.reduce_any(value < 0),
        lambda: _decomposed(codes.flat_values, value, row, atoms),
        lambda: (tf.bitwise.bitwise_xor(codes.flat_values, value), row),
    )
    if strip_accents:
        rank = tf.bitwise.right_shift(atom, RANK_SHIFT)
        wrong = tf.reduce_any((rank[1:] > 0) & (rank[1:] < rank[:-1]))
        atom = tf.cond(wrong, lambda: _in_order(atom, rank, row), lambda: atom)
    kind = tf.bitwise.right_shift(atom, CODE_BITS) % 4
    keep = tf.where(kind != DROPPED)[:, 0]
    atom, kind, row = (tf.gather(x, keep) for x in (atom, kind, row))
    # A word begins with a punctuation mark, and after anything that is no letter, and with a string.
    begins = (kind == ALONE) | (tf.concat([[SPACE], kind], 0)[:-1] != WORD) | (row != tf.concat([[-1], row], 0)[:-1])
    inside = tf.where(kind != SPACE)[:, 0]
    begins = tf.where(tf.gather(begins, inside))[:, 0]
    size = tf.size(inside, tf.int64)
    letters = tf.gather(atom, inside) % (1 << CODE_BITS)
    letters = tf.RaggedTensor.from_row_splits(letters, tf.concat([begins, [size]], 0), validate=False)
    row = tf.cast(tf.gather(tf.gather(row, inside), begins), tf.int64)
    return tf.RaggedTensor.from_value_rowids(
        tf.strings.unicode_encode(letters, "UTF-8"), row, nrows=codes.nrows(), validate=False
    )


def _decomposed(codes, value, row, atoms):
    """The atoms of all characters, and the row of each of them."""
    import tensorflow as tf

    many = -1 - value
    count = tf.where(value < 0, many % (1 << COUNT_BITS), 1)
    index = tf.repeat(tf.range(tf.size(codes)), count)
    place = tf.range(tf.size(index)) - tf.gather(tf.cumsum(count, exclusive=True), index)
    many = tf.bitwise.right_shift(tf.maximum(tf.gather(many, index), 0), COUNT_BITS) + place
    value, codes, row = (tf.gather(x, index) for x in (value, codes, row))
    several = value < 0
    atoms = np.append(atoms, np.int32(0))  # never empty
    listed = tf.gather(atoms, tf.where(several, many, 0))
    return tf.where(several, listed, tf.bitwise.bitwise_xor(codes, value)), row


def _in_order(atom, rank, row):
    """Sorts each run of combining marks by rank, as Unicode's canonical order has it."""
    import tensorflow as tf

    run = tf.cumsum(tf.cast(rank == 0, tf.int32)) + row
    return tf.gather(atom, tf.argsort(tf.cast(run, tf.int64) * 256 + tf.cast(rank, tf.int64), stable=True))
