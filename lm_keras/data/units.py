"""What "the same text" and "a word" are where texts of any language are compared."""

import re
import unicodedata

from lm_keras.errors import InputError
from lm_keras.utils.checks import check_text

# Lao and Thai, Burmese, Khmer, kana, Han: no spaces between words, so each character is a unit of its own.
_ALONE = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
# Vowel signs and accents, which Python's \w leaves out: Latin and Cyrillic, Hebrew, Arabic, the scripts of India.
_MARKS = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"
    "\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0900-\u0963\u0966-\u0dff"
)
_LETTERS = f"(?:[^\\W{_ALONE}]|[{_MARKS}])+"
_UNITS = re.compile(f"[{_ALONE}]|{_LETTERS}(?:['’]{_LETTERS})*")
_ASCII_UNITS = re.compile(r"[A-Za-z0-9_]+(?:'[A-Za-z0-9_]+)*")


def check_texts(texts, name="texts"):
    """Raises InputError for what is no iterable of texts, such as one string, whose characters would be taken so."""
    if isinstance(texts, (str, bytes)):
        raise InputError(f"{name}: got one string; give an iterable of texts, such as a list or read_texts(path)")
    if not hasattr(texts, "__iter__"):
        raise InputError(f"{name}: got {type(texts).__name__}; give an iterable of texts, such as a list")


def normalise(text):
    """Unicode NFKC, case folded, white space runs as one space, none at the ends.

    Two texts are exact duplicates when this gives the same for both: "Ｈｅｌｌｏ  World\\n" and "hello world" are.
    Punctuation and accents stay.
    """
    check_text(text)
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.casefold().split())


def units(normal):
    """The words of a normalised text, without punctuation; in scripts without spaces (Chinese) each character."""
    return (_ASCII_UNITS if normal.isascii() else _UNITS).findall(normal)


def runs(text, size):
    """All runs of `size` units of a text, in order, each joined by spaces: its n-grams, or shingles.

    A text of fewer units is one run of all it has; one without any unit ("?!") is one run of itself.
    """
    normal = normalise(text)
    found = units(normal)
    if len(found) <= size:
        return [" ".join(found) or normal]
    if size == 1:
        return found
    return list(map(" ".join, zip(*(found[i:] for i in range(size)), strict=False)))
