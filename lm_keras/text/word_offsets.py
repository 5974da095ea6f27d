"""Words and where they stand in their text, in Python and in the graph: what tags and answers are counted in.

`word_places` is BERT's cut, at every mark. `joined_word_places` keeps the marks inside of words, as corpora of tagged
words do: U.S., 3.5, O'Brien, well-known.
"""

import functools
import re
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
    return _words(codes, begins, kind != SPACE)


def _words(codes, begins, no_space):
    """The words of code points, ragged [B, (n)], and their places; [N]: where one begins, and what is in one."""
    import tensorflow as tf

    row, flat = tf.cast(codes.value_rowids(), tf.int32), codes.flat_values
    inside = tf.where(no_space)[:, 0]
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


# === The cut of word taggers ===

# Each character is one of a few: what the rules are about, "a" another letter, "9" a digit, "#" a word of one
# character, " " white space. Rules are about these and at most three neighbors, so that a graph can follow them.
_LETTER, _DIGIT, _MARK, _SPACE = "a", "9", "#", " "
_KEPT = dict.fromkeys("sdmlrev.-'/&_,:") | {"\u2019": "'"}
_SUFFIX = "'(?=(?:[sdm]|ll|re|ve)(?![a-z9]))"
_JOINED_WORD = re.compile(
    rf"(?:{_SUFFIX}|[a-z9])"  # a word begins with a letter, a digit, or as 's does
    r"(?:[a-z9]"
    rf"|(?!{_SUFFIX})(?<=[a-z9])[.'/&_-](?=[a-z9])"  # O'Brien, well-known, AT&T
    r"|(?<=9)[,:](?=9)"  # 1,000 and 12:30
    r"|(?<![a-z9'/&_-][a-z])(?<=[a-z])\."  # J. and U.S.
    r")*|[^ ]"
)


def joined_word_places(text: str | bytes) -> list[tuple[int, int]]:
    """Returns `(start, end)` of each word of a text, in characters; some marks stay in their word.

    As `word_places`, but these stay: . - ' / & _ between letters or digits; , and : between digits; a period after a
    single letter (J., U.S.). The endings 's 'd 'm 'll 're 've are words. An apostrophe may be U+2019.
    """
    kinds = valid(text).translate(_classes())
    return [match.span() for match in _JOINED_WORD.finditer(kinds)]


def tf_joined_word_places(strings: "tf.Tensor") -> "tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]":
    """Returns the words of strings and their places, as `joined_word_places`; see `tf_word_places`."""
    import tensorflow as tf

    codes = tf.strings.unicode_decode(strings, "UTF-8", errors="replace")
    row = codes.value_rowids()
    table = page_table({code: ord(kind) for code, kind in _classes().items()}, default=ord(_LETTER))
    kinds = tf_page_lookup(table, codes.flat_values)
    size = tf.size(kinds)

    def near(steps):
        """The kind so many characters further on; white space where the text ends."""
        at = tf.clip_by_value(tf.range(size) + steps, 0, tf.maximum(size - 1, 0))
        same = (tf.range(size) + steps == at) & (tf.gather(row, at) == row)
        return tf.where(same, tf.gather(kinds, at), ord(_SPACE))

    def one_of(kind, characters):
        return tf.reduce_any([tf.equal(kind, ord(character)) for character in characters], axis=0)

    def letter(kind):
        return (kind >= ord("a")) & (kind <= ord("z"))

    def in_word(kind):
        return letter(kind) | (kind == ord(_DIGIT))

    before, after, second, third = near(-1), near(1), near(2), near(3)
    two = (
        one_of(after, "l") & one_of(second, "l") | one_of(after, "rv") & one_of(second, "e")
    ) & ~in_word(third)  # fmt: skip
    suffix = one_of(kinds, "'") & (one_of(after, "sdm") & ~in_word(second) | two)
    between = one_of(kinds, ".-'/&_") & in_word(before) & in_word(after) & ~suffix
    between |= one_of(kinds, ",:") & (before == ord(_DIGIT)) & (after == ord(_DIGIT))
    earlier = near(-2)
    initial = (kinds == ord(".")) & letter(before) & ~in_word(earlier) & ~one_of(earlier, "-'/&_")
    goes_on = tf.concat([[False], (between | suffix)[:-1]], 0)[:size]  # the mark before holds on to this character
    joined = in_word(kinds) & (in_word(before) | goes_on) | between | initial
    return _words(codes, (kinds != ord(_SPACE)) & ~joined, kinds != ord(_SPACE))


class _Classes(dict):
    """{code point: its character of the rules}; all others are letters."""

    def __missing__(self, code):
        return _LETTER


@functools.cache
def _classes() -> dict[int, str]:
    kinds = _Classes({code: {SPACE: _SPACE, ALONE: _MARK}[kind] for code, kind in _kinds().items()})
    kinds.update({code: _DIGIT for code in range(0x110000) if unicodedata.category(chr(code)) == "Nd"})
    for character, kind in _KEPT.items():
        kinds |= {ord(each): kind or character for each in (character, character.upper())}
    return kinds
