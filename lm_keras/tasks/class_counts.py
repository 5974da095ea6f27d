"""Hits, labels and answers of each class: what precision, recall and F1 are made of, for many resamples at once."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lm_keras.tasks.intervals import Interval, draws, interval_of


class ClassCounts(NamedTuple):
    """Numbers of texts [..., C]; the axes before the last are resamples.

    Attributes:
        hits: Texts of a class that were found to be of it.
        labels: Texts of it.
        answers: Texts that were found to be of it.
        right: Texts whose answer is right as a whole, [...].
        total: All texts.
    """

    hits: np.ndarray
    labels: np.ndarray
    answers: np.ndarray
    right: np.ndarray
    total: int

    @property
    def accuracy(self) -> np.ndarray:
        """Share of the texts whose answer is right as a whole, [...]."""
        return self.right / self.total

    @property
    def f1(self) -> np.ndarray:
        """F1 of each class, [..., C]: 2 hits / (labels + answers), 0 of a class that does not occur."""
        return _ratio(2 * self.hits, self.labels + self.answers)

    @property
    def macro_f1(self) -> np.ndarray:
        """The mean of F1 over the classes that occur, as a label or as an answer, [...]."""
        occurring = (self.labels + self.answers) > 0
        return _ratio(np.where(occurring, self.f1, 0).sum(-1), occurring.sum(-1))

    @property
    def micro_f1(self) -> np.ndarray:
        """F1 of the counts of all classes together, [...]."""
        return _ratio(2 * self.hits.sum(-1), (self.labels + self.answers).sum(-1))

    @property
    def weighted_f1(self) -> np.ndarray:
        """The mean of F1 weighted by the texts of each class, [...]."""
        return _ratio((self.labels * self.f1).sum(-1), self.labels.sum(-1))


def grouped(labels: np.ndarray, *answers: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Puts equal rows together.

    Args:
        labels: bool [N, C], whether a text is of a class.
        *answers: The same as each of several classifiers has it.

    Returns:
        How often each of U kinds of rows is there, [U]; and for each of the classifiers the numbers of a row of each
        kind, float64 [U, 3 C + 1], sums of which `counted` reads.
    """
    packed = np.packbits(np.concatenate([labels, *answers], 1), axis=1)
    _, first, counts = np.unique(packed, axis=0, return_index=True, return_counts=True)
    labels, made = labels[first], []
    for found in (some[first] for some in answers):
        right = (labels == found).all(1)[:, None]
        made.append(np.concatenate([labels & found, labels, found, right], 1).astype("float64"))
    return counts, made


def counted(sums: np.ndarray, total: int) -> ClassCounts:
    """The `ClassCounts` of `total` texts, from sums [..., 3 C + 1] of the numbers that `grouped` gives."""
    classes = sums.shape[-1] // 3
    hits, labels, answers, right = np.split(sums, np.arange(1, 4) * classes, -1)
    return ClassCounts(hits, labels, answers, right[..., 0], total)


class Bootstrap(NamedTuple):
    """What intervals of the measures of a classifier are made of.

    Attributes:
        kinds: How many texts of each kind (of label and answer) there are, [U].
        all: The `ClassCounts` of all texts.
        drawn: Those of texts that are drawn anew, with replacement, [R].
        left_out: Those without one text of each kind, [U].
    """

    kinds: np.ndarray
    all: ClassCounts
    drawn: ClassCounts
    left_out: ClassCounts

    def interval(self, measure: Callable[[ClassCounts], np.ndarray], level: float) -> Interval:
        """The BCa interval of a measure of `ClassCounts`."""
        return interval_of(*(measure(part) for part in self[1:]), self.kinds, level)


def bootstrap(labels: np.ndarray, answers: np.ndarray, resamples: int, seed: int) -> Bootstrap:
    """Draws the rows of bool `labels` [N, C] and `answers` [N, C] anew, with replacement."""
    kinds, (numbers,) = grouped(labels, answers)
    return bootstrap_of(kinds, numbers, resamples, seed)


def bootstrap_of(kinds: np.ndarray, numbers: np.ndarray, resamples: int, seed: int) -> Bootstrap:
    """Draws texts anew, with replacement.

    Args:
        kinds: How often each of U kinds of texts is there, [U].
        numbers: What a text of each kind counts, float64 [U, 3 C + 1], sums of which `counted` reads.
        resamples: How often all texts are drawn.
        seed: Of the draws.
    """
    total, sums, rng = int(kinds.sum()), kinds @ numbers, np.random.default_rng(seed)
    drawn = np.concatenate([weights @ numbers for weights in draws(kinds, resamples, rng)])
    left_out = counted(sums - numbers, max(total - 1, 1))
    return Bootstrap(kinds, counted(sums, total), counted(drawn, total), left_out)


def _ratio(above, below):
    """above / below, 0 where both are 0."""
    return above / np.where(below > 0, below, 1)
