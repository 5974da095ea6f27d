"""Words and where they stand in their text, in Python and in the graph: what tags and answers are counted in."""

import functools
import unicodedata
from typing import TYPE_CHECKING

from lm_keras.text.unicode import page_table, tf_page_lookup, valid

if TYPE_CHECKING:
    import tensorflow as tf

WORD, SPACE, ALONE = range(3)
# BERT's ideographs (Devlin et al. 2019's tokenizer): each is a word.
_IDEOGRAPHS = (
    *((0x3400, 0x4DC0), (0x4E00, 0xA000), (0xF900, 0xFB00), (0x20000, 0x2A6E0), (0x2A700, 0x2B820)),
    *((0x2B820, 0x2CEB0), (0x2F800, 0x2FA20)),
)


def word_places(text: str | bytes) -> list[tuple[int, int]]:
    """Returns `(start, end)` of each word of a text, in characters.

    A word is a run of characters between white space and single marks: punctuation, ASCII symbols and ideographs
    are words of one character. It is BERT's cut; characters that its cleaning drops stay in their word.
    """
    table, places, start = _kinds(), [], None
    for i, char in enumerate(valid(text)):
        kind = table.get(ord(char), WORD)
        if kind != WORD and start is not None:
            places.append((start, i))
            start = None
        if kind == ALONE:
            places.append((i, i + 1))
        elif kind == WORD and start is None:
            start = i
    return places if start is None else [*places, (start, len(text))]


def tf_word_places(strings: "tf.Tensor") -> "tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]":
    """Returns the words of strings and their places, as `word_places`.

    Args:
        strings: [B]; bad UTF-8 is read as U+FFFD.

    Returns:
        `(words, starts, ends)`, ragged [B, (n)] each.
    """
    import tensorflow as tf

    codes = tf.strings.unicode_decode(strings, "UTF-8", errors="replace")
    row, flat = tf.cast(codes.value_rowids(), tf.int32), codes.flat_values
    kind = tf_page_lookup(page_table(_kinds(), default=WORD), flat)
    first = row != tf.concat([[-1], row], 0)[:-1]
    begins = (kind == ALONE) | ((kind == WORD) & (first | (tf.concat([[SPACE], kind], 0)[:-1] != WORD)))
    inside = tf.where(kind != SPACE)[:, 0]
    word = tf.cumsum(tf.cast(begins, tf.int32))  # of each character inside one, from 1 on
    begin = tf.where(begins)[:, 0]
    letters = tf.RaggedTensor.from_value_rowids(
        tf.gather(flat, inside), tf.cast(tf.gather(word, inside) - 1, tf.int64), tf.size(begin, tf.int64), False
    )
    place = tf.range(tf.size(row)) - tf.cast(tf.gather(codes.row_splits, row), tf.int32)  # in its text
    start = tf.gather(place, begin)
    rows = tf.cast(tf.gather(row, begin), tf.int64)
    words = tf.RaggedTensor.from_value_rowids(
        tf.strings.unicode_encode(letters, "UTF-8"), rows, codes.nrows(), validate=False
    )
    ends = start + tf.cast(letters.row_lengths(), tf.int32)
    return words, words.with_flat_values(start), words.with_flat_values(ends)


@functools.cache
def _kinds() -> dict[int, int]:
    """{code point: SPACE or ALONE}, of all others WORD."""
    kinds = {code: ALONE for start, end in _IDEOGRAPHS for code in range(start, end)}
    for code in range(0x110000):
        char = chr(code)
        category = unicodedata.category(char)
        if category in ("Zs", "Zl", "Zp") or char in "\t\n\r":
            kinds[code] = SPACE
        elif category[0] == "P" or (code < 128 and category[0] == "S"):
            kinds[code] = ALONE
    return kinds
