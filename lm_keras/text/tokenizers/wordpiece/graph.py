"""WordPiece tokenization inside a TensorFlow graph.

Nothing in it looks over a space. So a batch is cut at spaces, only its distinct pieces are cut into words, and only
the distinct words are looked up: text repeats itself.
"""

from lm_keras.text.wordpiece_words import tf_words

MAX_WORD = 100  # a longer word is unknown
_LENGTH = 128  # a value of the vocabulary's table is id * 128 + length


def prefix_table(ids):
    """{prefix of a piece: id * 128 + length of the longest piece that begins it}, for all prefixes of all pieces.

    `ids` is {piece: id}. Where no piece begins a prefix, it has the value 0. Lengths are in characters, without the
    "##" of pieces that go on with a word.
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


def longest(prefixes):
    """The length of the longest piece in a `prefix_table`."""
    return max((value % _LENGTH for value in prefixes.values()), default=0)


def tf_encode(strings, table, longest, unk_id, lowercase, strip_accents):
    """Returns the ids of strings [B], ragged int32 [B, (n)].

    `table`: a StaticHashTable of `prefix_table`, with -1 for what is not in it; `longest`: the length of its
    longest piece.
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
