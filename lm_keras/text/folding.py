"""Text without what makes equal words look different, in Python and in the graph: `folded`.

Two texts with the same folded text are the same for a reader who looks for words: capital letters are small, ﬁ is
fi, full-width letters are plain ones, é is one character or two, soft hyphens and other characters that are not seen
are gone. It is the compatibility caseless match of Unicode (D146 of its chapter 3.13: equal after NFKC and case
folding), with the characters decomposed.
"""

import functools
import unicodedata
from typing import TYPE_CHECKING, NamedTuple

from lm_keras.text.unicode import page_table, tf_page_lookup

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

# Planes that have characters; private ones and all others stay as they are.
_ASSIGNED = (range(0x20000), range(0x2F800, 0x2FA20), range(0xE0000, 0xE1000))
_NOT_SEEN = {0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0, *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)}


def folded(text: str) -> tuple[str, list[int]]:
    """Returns a text folded, and of each of its characters the place of that which it comes from; they never fall.

    Args:
        text: Without half characters (`text.unicode.valid`).
    """
    if text.isascii():
        return text.lower(), list(range(len(text)))
    table, order = _folds(), _orders()
    pairs = [(place, char) for place, one in enumerate(text) for char in table.get(ord(one), one)]
    found, at = [char for _, char in pairs], 0
    while at < len(found):  # marks on a letter come in the order of their classes (D109)
        end = at + 1
        while end < len(found) and ord(found[end]) in order:
            end += 1
        if end - at > 1:
            found[at:end] = sorted(found[at:end], key=lambda char: order.get(ord(char), 0))
        at = end
    return "".join(found), [place for place, _ in pairs]


class FoldedTexts(NamedTuple):
    """Folded texts in the graph.

    Attributes:
        codes: Their characters, ragged int32 [B, (n)].
        places: The place of the character in its text that each comes from, int32 [N].
    """

    codes: "tf.RaggedTensor"
    places: "tf.Tensor"


def tf_folded(texts: "tf.Tensor") -> FoldedTexts:
    """`folded` in the graph.

    Args:
        texts: Strings [B]; bad UTF-8 is read as U+FFFD.
    """
    import tensorflow as tf

    codes = tf.strings.unicode_decode(texts, "UTF-8", errors="replace")
    flat, row = codes.flat_values, tf.cast(codes.value_rowids(), tf.int32)
    place = tf.range(tf.size(row)) - tf.cast(tf.gather(codes.row_splits, row), tf.int32)
    starts, sizes, characters = _arrays()
    size, start = tf_page_lookup(sizes, flat), tf_page_lookup(starts, flat)
    origin = tf.repeat(tf.range(tf.size(flat)), size)
    nth = tf.range(tf.size(origin)) - tf.gather(tf.cumsum(size, exclusive=True), origin)
    start = tf.gather(start, origin)
    made = tf.where(start < 0, tf.gather(flat, origin), tf.gather(characters, tf.maximum(start, 0) + nth))
    row, place = tf.gather(row, origin), tf.gather(place, origin)

    # Marks in the order of their classes; a sort that leaves all other characters where they are.
    order = tf_page_lookup(page_table(_orders(), default=0), made)
    first = row != tf.concat([[-1], row], 0)[: tf.size(row)]
    letter = tf.cumsum(tf.cast((order == 0) | first, tf.int64))
    made = tf.gather(made, tf.argsort(letter * 256 + tf.cast(order, tf.int64), stable=True))
    rows = tf.cast(row, tf.int64)
    return FoldedTexts(tf.RaggedTensor.from_value_rowids(made, rows, codes.nrows(), validate=False), place)


@functools.cache
def _folds() -> dict[int, str]:
    """{code point: its folded characters}, of those that change."""
    folds = {code: _fold(chr(code)) for some in _ASSIGNED for code in some if not 0xD800 <= code < 0xE000}
    return {code: found for code, found in folds.items() if found != chr(code)}


def _fold(char):
    before = None
    while char != before:
        before = char
        char = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", char).casefold())
        char = "".join(one for one in char if not _is_hidden(one))
    return char


def _is_hidden(char):
    return ord(char) in _NOT_SEEN or unicodedata.category(char) == "Cf"


@functools.cache
def _orders() -> dict[int, int]:
    """{code point: canonical combining class}, of those that have one."""
    return {
        code: order
        for some in _ASSIGNED
        for code in some
        if (order := unicodedata.combining(chr(code)))
    }  # fmt: skip


@functools.cache
def _arrays() -> "tuple[tuple, tuple, np.ndarray]":
    """Of each code point where its folded characters start (-1: it stays), how many these are; and all of these."""
    import numpy as np

    starts, sizes, characters = {}, {}, [0]  # one, so that there is always one to look at
    for code, found in _folds().items():
        starts[code], sizes[code] = len(characters), len(found)
        characters += map(ord, found)
    return page_table(starts, default=-1), page_table(sizes, default=1), np.array(characters, np.int32)
