"""How good a retriever is: what it answers, what it refuses, where the right entry stands; and its threshold.

Questions are of two kinds. One that is known has an answer in the knowledge base: it is answered rightly, answered
wrongly, or refused wrongly. One out of scope has none: it is refused rightly, or answered all the same.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lm_keras.errors import InputError
from lm_keras.tasks.intervals import Interval, bootstrap_interval, wilson
from lm_keras.utils.checks import check_number, check_positive

AT = (1, 5, 10)  # of recall
SHARES = {  # of which kind of questions, and what is said of it
    "answered_rightly": (True, "answered rightly"),
    "answered_wrongly": (True, "answered wrongly"),
    "refused_wrongly": (True, "refused wrongly"),
    "refused_rightly": (False, "refused rightly"),
    "answered_out_of_scope": (False, "answered all the same"),
}


class RetrievalReport:
    """The measures of a retriever; printed, it is a table.

    Attributes:
        num_known: The number of questions that have an answer.
        num_unknown: The number of those out of scope.
        threshold: By which it was refused.
        level: Of the intervals.
        counts: {name: number of questions}: "answered_rightly", "answered_wrongly" and "refused_wrongly" of the known
            ones, "refused_rightly" and "answered_out_of_scope" of those out of scope.
        shares: {name: share} of the same names, of the questions of its kind; NaN where there are none.
        intervals: {name: Interval} of the shares (Wilson 1927), where there are such questions.
        balanced: The mean of answered_rightly and refused_rightly; NaN where one kind is missing.
        mean_reciprocal_rank: The mean of 1 / the place of the first right entry among all, whatever the threshold; 0
            where there is none. Of the known questions.
        recall_at: {k: share of the known questions with a right entry among the first k}.
    """

    def __init__(self, known: np.ndarray, ranks: np.ndarray, answered: np.ndarray, *, threshold: float, level: float):
        right = ranks == 1
        self.num_known, self.num_unknown = int(known.sum()), int((~known).sum())
        self.threshold, self.level = threshold, level
        cells = {
            "answered_rightly": known & answered & right,
            "answered_wrongly": known & answered & ~right,
            "refused_wrongly": known & ~answered,
            "refused_rightly": ~known & ~answered,
            "answered_out_of_scope": ~known & answered,
        }
        self.counts = {name: int(cell.sum()) for name, cell in cells.items()}
        totals = {name: self.num_known if known else self.num_unknown for name, (known, _) in SHARES.items()}
        self.shares = {
            name: count / totals[name] if totals[name] else float("nan") for name, count in self.counts.items()
        }
        self.intervals = {
            name: wilson(count, totals[name], level) for name, count in self.counts.items() if totals[name]
        }
        self.balanced = (self.shares["answered_rightly"] + self.shares["refused_rightly"]) / 2
        self._ranks = ranks[known]
        self._reciprocal = 1 / np.where(self._ranks > 0, self._ranks, np.inf)
        self.mean_reciprocal_rank = float(self._reciprocal.mean()) if self.num_known else float("nan")
        self.recall_at = {
            k: float(self._within(k).mean()) if self.num_known else float("nan") for k in AT
        }  # fmt: skip

    def _within(self, k):
        return (self._ranks > 0) & (self._ranks <= k)

    @cached_property
    def rank_intervals(self) -> dict[str, Interval]:
        """The intervals of "mean_reciprocal_rank" (bootstrap) and "recall_at_1", ... (Wilson)."""
        if not self.num_known:
            return {}
        recalls = {f"recall_at_{k}": wilson(int(self._within(k).sum()), self.num_known, self.level) for k in AT}
        mean = bootstrap_interval(self._reciprocal, np.mean, level=self.level, method="percentile")
        return {"mean_reciprocal_rank": mean, **recalls}

    def as_dict(self) -> dict[str, Any]:
        """Returns all measures and intervals as numbers, lists and dicts, which JSON can hold."""
        return {
            "known": self.num_known,
            "out_of_scope": self.num_unknown,
            "threshold": self.threshold,
            **self.shares,
            "balanced": self.balanced,
            "mean_reciprocal_rank": self.mean_reciprocal_rank,
            **{f"recall_at_{k}": share for k, share in self.recall_at.items()},
            "counts": dict(self.counts),
            "level": self.level,
            "intervals": {name: list(ends) for name, ends in (self.intervals | self.rank_intervals).items()},
        }

    def __str__(self) -> str:
        lines = [f"{self.num_known:,} questions with an answer, {self.num_unknown:,} out of scope"]
        lines[0] += f"; threshold {self.threshold:.4f}, {self.level:.0%} intervals"
        rows = [
            (said, f"{self.counts[name]:,}", self._shown(self.shares[name], self.intervals[name]))
            for name, (_, said) in SHARES.items()
            if name in self.intervals
        ]
        if self.num_known:
            found = self.rank_intervals
            rows += [(f"recall at {k}", "", self._shown(self.recall_at[k], found[f"recall_at_{k}"])) for k in AT]
            mean = self.mean_reciprocal_rank, found["mean_reciprocal_rank"]
            rows += [("mean reciprocal rank", "", self._shown(*mean))]
        widths = [max(len(row[i]) for row in rows) for i in (0, 1)]
        lines += [f"{name:<{widths[0]}}  {count:>{widths[1]}}  {shown}" for name, count, shown in rows]
        if self.num_known and self.num_unknown:
            lines.append(f"mean of rightly answered and rightly refused {100 * self.balanced:.1f} %")
        return "\n".join(lines)

    @staticmethod
    def _shown(share, ends):
        return f"{100 * share:5.1f} % ({100 * ends.low:.1f} to {100 * ends.high:.1f})"

    def __repr__(self) -> str:
        figures = ", ".join(f"{name} {self.shares[name]:.4f}" for name in self.intervals)
        return f"<RetrievalReport of {self.num_known + self.num_unknown} questions: {figures}>"


def retrieval_report(
    answers: Sequence[str | None],
    ranks: ArrayLike,
    answered: ArrayLike,
    *,
    threshold: float = 0.0,
    level: float = 0.95,
) -> RetrievalReport:
    """Measures what a retriever answered.

    Args:
        answers: The right answer of each of N questions; None of one out of scope.
        ranks: Whole numbers [N]: the place of the first right entry among all, from 1 on; 0 where there is none.
        answered: bool [N], whether the question was answered, by the first entry, and not refused.
        threshold: By which it was refused, for the report.
        level: The share of such intervals that hold the true value.

    Returns:
        A `RetrievalReport`.

    Raises:
        InputError: For no question, and other numbers of them.
    """
    check_number("level", level, above=0, below=1)
    known, ranks, answered = np.array([one is not None for one in answers]), np.asarray(ranks), np.asarray(answered)
    _check_lengths(answers=known, ranks=ranks, answered=answered)
    return RetrievalReport(known, ranks.astype(int), answered.astype(bool), threshold=float(threshold), level=level)


class ChosenThreshold(NamedTuple):
    """A threshold and what it does on the questions that it was chosen by.

    Attributes:
        threshold: A question is answered whose score is at least that.
        answered_rightly: Share of the known questions.
        refused_rightly: Share of the questions out of scope.
        balanced: The weighted mean of both, which no threshold exceeds.
    """

    threshold: float
    answered_rightly: float
    refused_rightly: float
    balanced: float


def choose_threshold(
    scores: ArrayLike, right: ArrayLike, known: ArrayLike, *, weights: Sequence[float] = (1.0, 1.0)
) -> ChosenThreshold:
    """Chooses the score from which on a question is answered.

    It maximizes the mean of two shares: of the known questions that are answered rightly, and of the questions out of
    scope that are refused. So the numbers of both kinds do not matter, which are seldom those of a service. To be
    chosen on development data, not on what is measured by. It lies in the middle between two scores; of several that
    are as good it is the lowest.

    Args:
        scores: The highest score of each of N questions.
        right: bool [N], whether its entry has the right answer.
        known: bool [N], whether the question has an answer in the knowledge base; False: out of scope.
        weights: What counts how much: rightly answered, rightly refused. (1, 3): a wrong answer to a question out of
            scope is three times as bad as a right one that is withheld.

    Returns:
        The ChosenThreshold.

    Raises:
        InputError: There are no questions of one kind, or other numbers of them.

    Example:

    ```python
    scores, right, known = [0.9, 0.8, 0.4, 0.3], [True, True, False, False], [True, True, False, False]
    print(lk.tasks.choose_threshold(scores, right, known).threshold)  # 0.6
    ```
    """
    scores, right, known = np.asarray(scores, "float64"), np.asarray(right, bool), np.asarray(known, bool)
    _check_lengths(scores=scores, right=right, known=known)
    if not np.isfinite(scores).all():
        raise InputError("scores has a number that is not finite; give the highest score of each question")
    if known.all() or not known.any():
        missing = "out of scope (without an answer)" if known.all() else "with an answer"
        raise InputError(f"there is no question {missing}; a threshold is chosen by questions of both kinds")
    weights = tuple(weights)
    if len(weights) != 2:
        raise InputError(f"weights is {weights!r:.60}; give two, of rightly answered and of rightly refused")
    check_positive(**dict(zip(("weight of answers", "weight of refusals"), weights, strict=True)))
    steps = np.unique(scores)
    borders = np.concatenate([[steps[0]], (steps[:-1] + steps[1:]) / 2, [steps[-1] + 1e-3]])  # all, ..., none
    hits, out = np.sort(scores[known & right]), np.sort(scores[~known])
    answered = (len(hits) - np.searchsorted(hits, borders)) / known.sum()
    refused = np.searchsorted(out, borders) / (~known).sum()
    mean = (weights[0] * answered + weights[1] * refused) / sum(weights)
    best = int(mean.argmax())
    return ChosenThreshold(float(borders[best]), float(answered[best]), float(refused[best]), float(mean[best]))


def _check_lengths(**arrays):
    lengths = {name: len(x) if x.ndim == 1 else None for name, x in arrays.items()}
    if len(set(lengths.values())) > 1 or None in lengths.values() or 0 in lengths.values():
        told = ", ".join(map(str, lengths.values()))
        raise InputError(f"{', '.join(lengths)} are of {told} questions; give one for each, and one at least")
