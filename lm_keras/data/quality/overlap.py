"""How much of a test set stands in the training text."""

import heapq
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from lm_keras.data.quality.duplicates import check_text_stream, runs
from lm_keras.errors import InputError
from lm_keras.utils.checks import check_whole

CONTAMINATED = 0.7


class Overlapping(NamedTuple):
    """A test text, its place, and the share of its n-grams that stand in the training text."""

    index: int
    share: float
    text: str


class Overlap(NamedTuple):
    """What `overlap` found.

    Attributes:
        n: Words of an n-gram.
        num_texts: Test texts.
        num_ngrams: Their n-grams.
        num_found: How many of these stand in the training text.
        num_touched: Test texts with at least one such n-gram.
        num_contaminated: With at least 70 %.
        num_whole: With all.
        worst: The test texts with the largest shares, a list of `Overlapping`; none with a share of 0.
    """

    n: int
    num_texts: int
    num_ngrams: int
    num_found: int
    num_touched: int  # test texts with at least one such n-gram
    num_contaminated: int  # with at least 70 %
    num_whole: int  # with all
    worst: list

    @property
    def share(self) -> float:
        """The share of the n-grams that stand in the training text."""
        return self.num_found / self.num_ngrams


def overlap(train: Iterable[str], test: Iterable[str], n: int = 8, *, num_worst: int = 10) -> Overlap:
    """Measures how much of a test set stands in the training text, by their n-grams.

    Case, punctuation and white space do not count. n=8, and a text as contaminated from 70 % of its n-grams on, as
    for PaLM (Chowdhery et al. 2022, section 8); n=13 as for GPT-3 (Brown et al. 2020, appendix C). A test text of
    fewer than n words is one n-gram and found where a training text is the same as a whole; blank texts do not count.

    Args:
        train: The training texts, read once and not held.
        test: The test texts, whose n-grams are held, about 150 bytes each.
        n: Words (characters, in Chinese) of an n-gram.
        num_worst: How many of the worst test texts are listed.

    Returns:
        An `Overlap`.

    Raises:
        InputError: For n below 1, and a test set without texts.
    """
    check_whole("n", n)
    check_whole("num_worst", num_worst, least=0)
    check_text_stream(train, "train")
    check_text_stream(test, "test")
    if isinstance(test, Iterator):
        test = list(test)
    wanted, found = set(), set()
    for text in test:
        wanted.update(_ngrams(text, n))
    if not wanted:
        raise InputError("there is no test text; give at least one")
    for text in train:
        found |= wanted.intersection(runs(text, n))
    return _report(test, found, n, num_worst)


def _ngrams(text, n):
    return [ngram for ngram in runs(text, n) if ngram]  # a blank text is one run of nothing


def _report(test, found, n, num_worst):
    counts = dict.fromkeys(("texts", "ngrams", "found", "touched", "contaminated", "whole"), 0)
    worst = []  # a heap of the largest shares; of equal ones the first texts
    for index, text in enumerate(test):
        ngrams = _ngrams(text, n)
        if not ngrams:
            continue
        hits = sum(ngram in found for ngram in ngrams)
        share = hits / len(ngrams)
        more = (1, len(ngrams), hits, hits > 0, share >= CONTAMINATED, hits == len(ngrams))
        counts = {name: counts[name] + number for name, number in zip(counts, more, strict=True)}
        if hits:
            heapq.heappush(worst, (share, -index, text))
            if len(worst) > num_worst:
                heapq.heappop(worst)
    examples = [Overlapping(-place, share, text) for share, place, text in sorted(worst, reverse=True)]
    return Overlap(n, **{f"num_{name}": number for name, number in counts.items()}, worst=examples)
