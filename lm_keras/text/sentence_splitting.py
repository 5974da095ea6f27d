"""The sentences of a document, cut alike in Python and in the graph.

A document that holds U+001E has a sentence between each two of them, as `joined_sentences` writes it. Every other one
is cut at its line breaks; behind 。！？； and the quotes that close there; and at white space behind . ! ? … where an
upper-case letter follows, or a letter without case. Not behind single capital letters (J. Smith, U.S.) nor behind the
`ABBREVIATIONS`. A sentence's own white space is single spaces.
"""

import functools
import re
import sys
import unicodedata
from collections.abc import Iterable
from typing import TYPE_CHECKING

from lm_keras.text.unicode import SPACES, valid

if TYPE_CHECKING:
    import tensorflow as tf

SEPARATOR = "\x1e"
ABBREVIATIONS = (
    *("Mr", "Mrs", "Ms", "Dr", "Prof", "St", "Jr", "Sr", "Mt", "Gen", "Col", "Capt", "Lt", "Rev", "Gov"),
    *("al", "cf", "e.g", "i.e", "eq", "Eq", "Eqs", "fig", "Fig", "Figs", "Sec", "vs", "resp", "approx", "w.r.t"),
)
_SPACE = " \t\xa0\u3000"
_GUARD = "\x1f"  # behind a period that ends no sentence
_CLOSING, _OPENING = "\"'”’»)\\]", "\"'“‘„«(\\[¿¡"
_CLOSING_WIDE = "\"'”’」』）】》"


def document_sentences(document: str) -> list[str]:
    """Returns the sentences of a document; none of them is empty.

    Args:
        document: A string, see above.
    """
    text = valid(document)
    if SEPARATOR not in text:
        for pattern, new in _rules():
            text = re.sub(pattern, new, text)
        text = text.replace(_GUARD, "")
    sentences = (" ".join(part.split()) for part in text.split(SEPARATOR))
    return [sentence for sentence in sentences if sentence]


def tf_document_sentences(documents: "tf.Tensor") -> "tf.RaggedTensor":
    """`document_sentences` in the graph.

    Args:
        documents: Strings [B] of valid UTF-8.

    Returns:
        Ragged strings [B, (n)].
    """
    import tensorflow as tf

    cut = documents
    for pattern, new in _rules():
        cut = tf.strings.regex_replace(cut, pattern, new)
    cut = tf.strings.regex_replace(cut, _GUARD, "")
    given = tf.strings.regex_full_match(documents, f"(?s).*{SEPARATOR}.*")
    sentences = tf.strings.split(tf.where(given, documents, cut), SEPARATOR)

    def single_spaces(parts):
        return tf.strings.strip(tf.strings.regex_replace(parts, f"{SPACES}+", " "))

    sentences = tf.ragged.map_flat_values(single_spaces, sentences)
    return tf.ragged.boolean_mask(sentences, sentences != "")


def joined_sentences(sentences: Iterable[str]) -> str:
    """Returns a document of these sentences, which `document_sentences` gives back.

    Args:
        sentences: Strings; those without a word are left out.
    """
    parts = (" ".join(valid(sentence).split()) for sentence in sentences)
    return "".join(part + SEPARATOR for part in parts if part)


@functools.cache
def _rules() -> list[tuple[str, str]]:
    r"""`(pattern, replacement)` one after the other; each means the same to `re` and to RE2."""
    names = "|".join(re.escape(name) for name in sorted(ABBREVIATIONS, key=len, reverse=True))
    return [
        (_GUARD, " "),
        ("[\n\v\f\r\x1c\x1d\x85\u2028\u2029]+", SEPARATOR),
        (f"([。！？；｡]+[{_CLOSING_WIDE}]*)", rf"\1{SEPARATOR}"),
        (rf"(^|[^A-Za-z])((?:[A-Z]\.)+|(?:{names})\.)", rf"\1\2{_GUARD}"),
        (rf"([.!?…]+[{_CLOSING}]*)[{_SPACE}]+([{_OPENING}]*[{_first_letters()}])", rf"\1{SEPARATOR}\2"),
    ]


def _first_letters() -> str:
    """The letters that a sentence may begin with, as ranges of a class: upper case, title case, and without case."""
    ranges = []
    for code in range(sys.maxunicode + 1):
        if unicodedata.category(chr(code)) in ("Lu", "Lt", "Lo"):
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)
