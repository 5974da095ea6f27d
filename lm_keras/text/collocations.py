"""Words that follow each other: n-grams, and those of them that are no accident."""

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


def ngrams(words, n):
    """The runs of `n` words of a list, as tuples: [("a", "b"), ("b", "c")] for ["a", "b", "c"] and 2."""
    words = check_list(words, "ngrams")
    check_whole("n", n)
    return list(zip(*(words[i:] for i in range(n)), strict=False))


def collocations(texts, n=20, measure="likelihood_ratio", *, min_count=3, size=2, language="en", lowercase=False):
    """The `n` strongest collocations of texts, a list of Collocation, by NLTK's finders. Needs no download.

    `texts`: strings, or lists of words; no pair reaches from one text to the next. `measure`: "likelihood_ratio"
    (Dunning 1993), "pmi" (Church & Hanks 1990; favours rare words, so give a larger `min_count`), "student_t",
    "chi_square" (all in Manning & Schütze 1999, chapter 5). `size`: 2 or 3 words. Runs with a stop word or a word
    without a letter are counted and left out (language None: no stop words); so are those rarer than `min_count`.
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
