"""Words that follow each other: n-grams, and those of them that are no accident."""

from collections.abc import Iterable
from typing import NamedTuple

from lm_keras.errors import InputError
from lm_keras.text import segmentation
from lm_keras.text.stop_words import stop_words
from lm_keras.utils.checks import check_choice, check_list, check_no_record, check_whole

MEASURES = {"likelihood_ratio": "likelihood_ratio", "pmi": "pmi", "student_t": "student_t", "chi_square": "chi_sq"}


class Collocation(NamedTuple):
    """Words that stand together `count` times, and by `score` more often than by chance."""

    words: tuple[str, ...]
    score: float
    count: int


def ngrams(words: Iterable[str], n: int) -> list[tuple[str, ...]]:
    """Returns the runs of `n` words of a list: [("a", "b"), ("b", "c")] for ["a", "b", "c"] and 2.

    Raises:
        InputError: For a text in place of words, or an `n` that is no whole number of at least 1.
    """
    words = check_list(words, "ngrams")
    check_whole("n", n)
    return list(zip(*(words[i:] for i in range(n)), strict=False))


def collocations(
    texts: Iterable[str | Iterable[str]],
    n: int = 20,
    measure: str = "likelihood_ratio",
    *,
    min_count: int = 3,
    size: int = 2,
    language: str | None = "en",
    lowercase: bool = False,
) -> list[Collocation]:
    """Returns the strongest collocations of texts, by NLTK's finders. Needs no download.

    Runs with a stop word or a word without a letter are counted and left out.

    Args:
        texts: Strings, or lists of words; no pair reaches from one text to the next.
        n: How many.
        measure: "likelihood_ratio" (Dunning 1993), "pmi" (Church & Hanks 1990; favors rare words, so give a larger
            `min_count`), "student_t", "chi_square" (all in Manning & Schütze 1999, chapter 5).
        min_count: How often the words must stand together.
        size: 2 or 3 words.
        language: Of the texts and of the stop words; None: words between spaces, no stop words.
        lowercase: Whether words are counted in lower case.

    Raises:
        InputError: For arguments that are none of these, and where the measure has no value.
    """
    if isinstance(texts, str):
        raise InputError("collocations takes a list of texts, not one text: give [text]")
    check_whole("n", n)
    check_choice("measure", measure, MEASURES)
    check_choice("size", size, (2, 3))
    from nltk import collocations as finders

    def words_of(i, text):
        check_no_record(text, f"text {i}")
        return segmentation.words(text, language) if isinstance(text, str) else text

    texts = (words_of(i, text) for i, text in enumerate(texts))
    if lowercase:
        texts = ([word.lower() for word in words] for words in texts)
    kinds = {2: (finders.BigramCollocationFinder, finders.BigramAssocMeasures),
             3: (finders.TrigramCollocationFinder, finders.TrigramAssocMeasures)}  # fmt: skip
    finder, measures = kinds[size]
    stop = frozenset() if language is None else stop_words(language)
    found = finder.from_documents(texts)
    found.apply_freq_filter(min_count)
    found.apply_word_filter(lambda word: word.lower() in stop or not any(map(str.isalpha, word)))
    try:
        scored = found.score_ngrams(getattr(measures, MEASURES[measure]))
    except (ValueError, ZeroDivisionError):  # a count of the contingency table is negative, or zero
        told = f"{measure} has no value where a few words are nearly all of the text; give more text, or 'pmi'"
        raise InputError(told) from None
    return [Collocation(words, score, found.ngram_fd[words]) for words, score in scored[:n]]
