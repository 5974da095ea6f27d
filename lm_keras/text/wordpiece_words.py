"""BERT's cleaning and its cut into words inside a TensorFlow graph, character by character, by tables."""

import numpy as np

from lm_keras.text.codepoints import tf_page_lookup
from lm_keras.text.wordpiece_characters import (
    ALONE,
    CODE_BITS,
    COUNT_BITS,
    DROPPED,
    RANK_SHIFT,
    SPACE,
    WORD,
    character_tables,
)


def tf_words(strings, lowercase, strip_accents):
    """The words of strings [B], as BERT cuts and writes them, ragged [B, (n)], in UTF-8."""
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
