"""Cutting texts into the pieces inside which BPE merges, in a TensorFlow graph.

The patterns of GPT-2 and its successors look ahead, and their classes are Unicode's: RE2 can run neither. But each
character belongs to one of a few classes, and where a piece starts depends on the runs of characters of one class:
their neighbours and lengths. So the rules below are arithmetic on runs, for all texts at once. The classes are asked
of the regular expression engine of `tokenizers` itself, so that both know the same version of Unicode.
"""

import functools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

OTHER, LETTER, NUMBER, SPACE, NEWLINE = range(5)
_EDGE = 5  # what stands before the first run of a text and after its last


class Runs(NamedTuple):
    """The R runs of a batch, each int32 [R] or bool [R]; `before` and `after` are the neighbours' kinds."""

    start: object
    length: object
    kind: object
    before: object
    after: object
    ends_in_blank: object  # its last character is U+0020


def tf_pretokens(codes: "tf.RaggedTensor", pattern: str) -> "tuple[tf.Tensor, tf.Tensor]":
    """Returns the pieces of texts.

    Args:
        codes: The texts' code points, int32, ragged [B, (n)].
        pattern: A name of `pipeline.PATTERNS`.

    Returns:
        Strings [T], and the row splits of the texts' pieces, int64 [B + 1].
    """
    import tensorflow as tf

    flat, splits = codes.flat_values, codes.row_splits
    rules = _llama3_starts if pattern in ("llama3", "qwen2") else _gpt2_starts
    starts = rules(flat, splits, pattern)
    row_splits = tf.searchsorted(starts, tf.cast(splits, starts.dtype), out_type=tf.int64)
    ends = tf.concat([starts, [tf.size(flat)]], axis=0)
    pieces = tf.RaggedTensor.from_row_splits(flat, ends, validate=False)
    return tf.strings.unicode_encode(pieces, "UTF-8"), row_splits


def _gpt2_starts(codes, splits, pattern):
    """'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"""

    runs = _runs(codes, splits, pattern)
    space = runs.kind == SPACE
    # A blank before a word, a number or signs belongs to them. "Digits" has cut around each digit before.
    attached = ~space & _previous(space & runs.ends_in_blank, False) & (runs.before != _EDGE)
    quoted = _contractions(codes, runs, attached, folded=False)
    first = ~attached & (runs.length > quoted)
    last = space & (runs.length > 1) & (runs.after <= NUMBER)
    return _starts(runs, quoted, first, last)


def _llama3_starts(codes, splits, pattern):
    """(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|

    \\s*[\\r\\n]+|\\s+(?!\\S)|\\s+
    """
    import tensorflow as tf

    runs = _runs(codes, splits, pattern)
    kind, before, after = runs.kind, runs.before, runs.after
    space = kind == SPACE
    blank_before = _previous(space & runs.ends_in_blank, False) & (before == SPACE)
    attached_sign = (kind == OTHER) & blank_before
    # One sign that no blank has taken, or any one space, goes to the letters after it.
    gives = (kind == OTHER) & (runs.length == 1) & ~attached_sign
    quoted = _contractions(codes, runs, attached_sign, folded=True)
    attached_letters = (kind == LETTER) & ((before == SPACE) | (_previous(gives, False) & (before == OTHER)))
    # Newlines belong to the signs or spaces before them; spaces to the newlines after them, and if they follow
    # newlines, too, then that is all one piece. Newlines that the signs have taken are not part of it.
    own_newlines = (kind == NEWLINE) & (before != OTHER)
    inside = space & (before == NEWLINE) & _previous(own_newlines, False) & (after == NEWLINE)
    attached_newlines = (kind == NEWLINE) & ((before == SPACE) | (before == OTHER))
    first = ~(attached_sign | attached_newlines | inside)
    first = tf.where(quoted > 0, runs.length > quoted, first & ~attached_letters)
    last = space & (runs.length > 1) & (after <= NUMBER)
    starts = _starts(runs, quoted, first, last)
    return starts if pattern == "qwen2" else _every_third_digit(codes, runs, starts)


def _starts(runs, quoted, first, last):
    """The sorted starts of pieces: of runs, behind the letters of a contraction, and of a run's last space."""
    import tensorflow as tf

    own = tf.where(first)[:, 0]
    own = tf.gather(runs.start, own) + tf.gather(quoted, own)
    spaces = tf.where(last)[:, 0]  # few
    spaces = tf.gather(runs.start, spaces) + tf.gather(runs.length, spaces) - 1
    return tf.sort(tf.concat([own, spaces], axis=0))


def _every_third_digit(codes, runs, starts):
    import tensorflow as tf

    long = tf.where((runs.kind == NUMBER) & (runs.length > 3))[:, 0]
    more = (tf.gather(runs.length, long) - 1) // 3
    rows = tf.RaggedTensor.from_row_lengths(tf.range(tf.reduce_sum(more)), more, validate=False)
    step = tf.range(tf.reduce_sum(more)) - tf.repeat(tf.cast(rows.row_starts(), tf.int32), more) + 1
    extra = tf.repeat(tf.gather(runs.start, long), more) + 3 * step
    both = tf.concat([starts, extra], axis=0)[:, None]
    marked = tf.tensor_scatter_nd_update(tf.zeros_like(codes, tf.bool), both, tf.ones([tf.size(both)], tf.bool))
    return tf.cast(tf.where(marked)[:, 0], tf.int32)


def _runs(codes, splits, pattern):
    """The maximal runs of one class, cut at the edges of texts."""
    import tensorflow as tf

    size = tf.size(codes)
    table, single = _class_table(pattern)
    kinds = tf.gather(table, tf.minimum(codes, len(table) - 1))
    edges = tf.scatter_nd(splits[:, None], tf.ones_like(splits, tf.int32), tf.cast([size + 1], tf.int64)) > 0
    cut = edges[:-1] | tf.concat([[True], kinds[1:] != kinds[:-1]], axis=0)[:size]
    if single is not None:
        alone = kinds == single
        cut |= alone
    start = tf.cast(tf.where(cut)[:, 0], tf.int32)
    end = tf.concat([start[1:], [size]], axis=0)[: tf.size(start)]
    kind, last = tf.cast(tf.gather(kinds, start), tf.int32), tf.gather(codes, end - 1)
    opens, closes = tf.gather(edges, start), tf.gather(edges, end)
    if pattern == "gpt2-digits":  # each digit is a text of its own: nothing is attached to it, or looks at it
        opens |= (kind == single) | _previous(kind == single, True)
        closes |= (kind == single) | tf.concat([kind[1:] == single, [True]], axis=0)[: tf.size(kind)]
    before = tf.where(opens, _EDGE, _previous(kind, _EDGE))
    after = tf.where(closes, _EDGE, tf.concat([kind[1:], [_EDGE]], axis=0)[: tf.size(kind)])
    return Runs(start, end - start, kind, before, after, last == ord(" "))


def _previous(values, first):
    import tensorflow as tf

    return tf.concat([[first], values], axis=0)[:-1]


def _contractions(codes, runs, attached, folded):
    """How many letters of each run belong to a contraction's apostrophe before it, int32 [R]: 0, 1 or 2."""
    import tensorflow as tf

    apostrophe = (runs.kind == OTHER) & (runs.length == 1) & ~attached & (runs.after == LETTER)
    place = tf.where(apostrophe)[:, 0]
    place = tf.boolean_mask(place, tf.gather(codes, tf.gather(runs.start, place)) == ord("'")) + 1
    start, length = tf.gather(runs.start, place), tf.gather(runs.length, place)
    letters = tf.constant(_contraction_letters(folded))

    def letter(i):  # the letter of the contraction that is at i, as a code; 0 for all others
        return tf.gather(letters, tf.minimum(tf.gather(codes, i), letters.shape[0] - 1))

    one, two = letter(start), letter(tf.minimum(start + 1, tf.size(codes) - 1))

    def among(value, text):
        return tf.reduce_any([value == ord(char) for char in text], axis=0)

    double = (among(one, "rv") & (two == ord("e"))) | ((one == ord("l")) & (two == ord("l")))
    taken = tf.where(among(one, "stmd"), 1, tf.where(double & (length > 1), 2, 0))
    return tf.scatter_nd(place[:, None], taken, tf.cast(tf.shape(runs.kind), tf.int64))


@functools.cache
def _contraction_letters(folded):
    """What a code point is in 's 't 're 've 'm 'll 'd, int32 [512]: with `folded`, also S, or ſ, for s."""
    table = np.zeros(512, np.int32)
    for char in "stmdrevl":
        table[_matching(f"(?i:{char})+" if folded else char, 512)] = ord(char)
    return table


@functools.cache
def _class_table(pattern):
    """(The classes of code points, int8; the class of which each character is a run of its own, or None).

    All code points behind the end of the table are of its last entry's class.
    """
    classes, single = np.full(0x110000, OTHER, np.int8), None
    for value, expression in ((LETTER, r"\p{L}+"), (NUMBER, r"\p{N}+"), (SPACE, r"\s+")):
        classes[_matching(expression)] = value
    if pattern in ("llama3", "qwen2"):
        classes[[ord("\r"), ord("\n")]] = NEWLINE
        single = NUMBER if pattern == "qwen2" else None
    if pattern == "gpt2-digits":
        classes[_digits()] = single = _EDGE + 1
    last = int(np.flatnonzero(classes != OTHER)[-1])
    return classes[: last + 2], single


def _matching(expression, end=0x40000):
    """The code points below `end` that match, as the engine of `tokenizers` decides it: what it removes."""
    from tokenizers import Regex, normalizers

    text = _characters()[:end]
    matches = np.zeros(0x40000, bool)
    matches[_codes(text)] = True
    matches[_codes(normalizers.Replace(Regex(expression), "").normalize_str(text))] = False
    return np.flatnonzero(matches)


@functools.cache
def _digits():
    """The code points that `tokenizers` takes for digits; this class is not the regular expression engine's."""
    from tokenizers.pre_tokenizers import Digits

    split, text = Digits(individual_digits=False).pre_tokenize_str, _characters()
    pieces = [split("a" + text[i : i + 256])[1::2] for i in range(0, len(text), 256)]  # they alternate with others
    return _codes("".join(piece for line in pieces for piece, _ in line))


def _codes(text):
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


@functools.cache
def _characters():
    """Planes 0 to 3: those above them hold no letters, numbers or spaces."""
    codes = np.delete(np.arange(0x40000, dtype=np.uint32), range(0xD800, 0xE000))
    return codes.tobytes().decode("utf-32-le")
