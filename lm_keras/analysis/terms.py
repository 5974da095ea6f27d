"""Texts to the words that topics and clusters are made of."""

import reprlib
from collections import Counter
from collections.abc import Iterable, Sequence

from lm_keras.errors import InputError
from lm_keras.text import stop_words, words
from lm_keras.utils.checks import check_no_record, check_number, check_sizes


def term_lists(texts: Iterable, language: str | None = "en", content: bool = True) -> list[list[str]]:
    """Returns a list of words for each text: lower case, without numbers and punctuation marks.

    Args:
        texts: Strings, or lists of words, which are taken as they are.
        language: Of the strings.
        content: Without stop words too (language None: none are known), and without words of one or two letters
            ("zh": of one character).

    Raises:
        InputError: For what is no list of texts.
    """
    if isinstance(texts, str):
        raise InputError("a list of texts is needed, not one text: give [text]")
    if not isinstance(texts, Iterable):
        raise InputError(f"a list of texts is needed, not {texts!r}")
    stop = stop_words(language) if content and language is not None else frozenset()
    shortest = 1 if not content else 2 if language == "zh" else 3

    def keep(word):
        if len(word) < shortest or word in stop:
            return False
        return any(map(str.isalpha, word)) and not any(map(str.isdigit, word))

    def listed(i, text):
        if isinstance(text, str):
            return [word for word in words(text, language, str.lower) if keep(word)]
        check_no_record(text, f"text {i}")
        if isinstance(text, (list, tuple)) and all(isinstance(word, str) for word in text):
            return list(text)
        raise InputError(f"text {i} is {reprlib.repr(text)}; give a string, or a list of words")

    return [listed(i, text) for i, text in enumerate(texts)]


def vocabulary(
    lists: Sequence[Sequence[str]], min_count: int, max_share: float = 1, vocab_size: int | None = None
) -> list[str]:
    """The words of at least `min_count` of the lists and at most the share `max_share`, the most frequent first."""
    check_sizes(min_count=min_count)
    if vocab_size is not None:
        check_sizes(vocab_size=vocab_size)
    check_number("max_share", max_share, above=0, most=1)
    counts = Counter(word for some in lists for word in set(some))
    most = max_share * len(lists)
    known = sorted((-count, word) for word, count in counts.items() if min_count <= count <= most)
    if not known:
        share = "" if max_share == 1 else f" and in at most {max_share:.0%} of them (max_share)"
        told = f"no word is in {min_count} or more of the {len(lists)} texts{share}"
        raise InputError(f"{told}; give more texts, or a smaller min_count")
    return [word for _, word in known[:vocab_size]]
