"""How good answers in words are: exact match and F1 of words by the rules of SQuAD's script, with intervals.

`exact_match` and `token_f1` measure one answer, `answer_report` those of any model to many questions.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from lm_keras.errors import InputError
from lm_keras.tasks.intervals import Interval, bootstrap_interval
from lm_keras.utils.checks import check_number, check_seed

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalized_answer(text: str) -> str:
    """Returns an answer as SQuAD's script compares it (Rajpurkar et al. 2016, section 6.1).

    In lower case, without ASCII punctuation and the articles a, an, the, and with one space between words.

    Args:
        text: The answer.
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(prediction: str, golds: Sequence[str]) -> float:
    """Returns 1.0 where an answer is equal to one of the right ones, else 0.0.

    Args:
        prediction: The answer; "" says that there is none.
        golds: The right ones, at least one; [""] or [] where there is none.
    """
    found = normalized_answer(prediction)
    return float(any(found == normalized_answer(gold) for gold in golds or [""]))


def token_f1(prediction: str, golds: Sequence[str]) -> float:
    """Returns the F1 of an answer's words against those of the right answer that is nearest to it.

    Where one of both has no word, it is 1.0 if neither has, else 0.0 (Rajpurkar et al. 2018).

    Args:
        prediction: The answer; "" says that there is none.
        golds: The right ones, at least one; [""] or [] where there is none.
    """
    return max(_f1(normalized_answer(prediction).split(), normalized_answer(gold).split()) for gold in golds or [""])


def _f1(found, gold):
    if not found or not gold:
        return float(found == gold)
    same = sum((Counter(found) & Counter(gold)).values())
    return 2 * same / (len(found) + len(gold))


class AnswerMetrics(NamedTuple):
    """The measures of some of the questions.

    Attributes:
        num_questions: Their number.
        exact_match: Share that is answered word by word.
        f1: Mean F1 of the words.
    """

    num_questions: int
    exact_match: float
    f1: float


class AnswerReport:
    """The measures of answers; printed, it is a table.

    Attributes:
        num_questions: Number of questions N.
        level: Of the intervals.
        exact_match: Share of the questions answered with one of the right answers, or rightly with none.
        f1: Mean F1 of the words.
        answerable: `AnswerMetrics` of the questions that have an answer.
        unanswerable: The same of those that have none: both measures are the share rightly left without.
        num_answered: How many questions got an answer.

    Args:
        matches: Exact match of each question, [N].
        scores: Its F1, [N].
        answered: Whether it got an answer, bool [N].
        has_answer: Whether it has one, bool [N].
        level: As above.
        seed: Of the resamples.
    """

    def __init__(
        self,
        matches: np.ndarray,
        scores: np.ndarray,
        answered: np.ndarray,
        has_answer: np.ndarray,
        *,
        level: float = 0.95,
        seed: int = 0,
    ):
        self.num_questions, self.level, self._seed = len(matches), level, seed
        self._matches, self._scores = matches, scores
        self.exact_match, self.f1 = float(matches.mean()), float(scores.mean())
        self.answerable, self.unanswerable = (
            _metrics(matches[some], scores[some]) for some in (has_answer, ~has_answer)
        )
        self.num_answered = int(answered.sum())

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """The bootstrap intervals (BCa, 2,000 resamples of the questions) of "exact_match" and "f1"."""
        parts = {"exact_match": self._matches, "f1": self._scores}
        return {name: bootstrap_interval(part, level=self.level, seed=self._seed) for name, part in parts.items()}

    def as_dict(self) -> dict[str, Any]:
        """Returns all measures and intervals as numbers, lists and dicts, which JSON can hold."""
        return {
            "questions": self.num_questions,
            "answered": self.num_answered,
            "exact_match": self.exact_match,
            "f1": self.f1,
            "level": self.level,
            "intervals": {name: list(ends) for name, ends in self.intervals.items()},
            "answerable": self.answerable._asdict(),
            "unanswerable": self.unanswerable._asdict(),
        }

    # === For people ===
    def __str__(self) -> str:
        lines = [f"{self.num_questions:,} questions, {self.num_answered:,} of them answered"]
        kinds = (("with an answer", self.answerable), ("without one", self.unanswerable))
        if self.unanswerable.num_questions:
            lines += [
                f"{name}: {each.num_questions:,}, exact match {_percent(each.exact_match)} %, "
                f"F1 {_percent(each.f1)} %"
                for name, each in kinds
                if each.num_questions
            ]
        for name, shown in (("exact_match", "exact match"), ("f1", "F1")):
            low, high = map(_percent, self.intervals[name])
            lines.append(f"{shown} {_percent(getattr(self, name))} % ({self.level:.0%} interval {low} to {high})")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return (
            f"<AnswerReport of {self.num_questions} questions: exact match {self.exact_match:.4f}, F1 {self.f1:.4f}>"
        )


def answer_report(
    predictions: Iterable[str], golds: Iterable[Sequence[str]], *, level: float = 0.95, seed: int = 0
) -> AnswerReport:
    """Measures answers in words, as SQuAD's script does (of 1.1, and of 2.0 where a question has no answer).

    Args:
        predictions: The answer to each question; "" says that there is none.
        golds: The right answers to each; [] where there is none.
        level: The share of such intervals that hold the true value.
        seed: Of the resamples of the intervals.

    Returns:
        An `AnswerReport`.

    Raises:
        InputError: For no question, another number of answers, and what are no strings.

    Example:

    ```python
    report = lk.tasks.answer_report(["in the Alps"], [["Alps", "the Swiss Alps"]])
    print(report.exact_match, round(report.f1, 2))  # 0.0 0.67
    ```
    """
    check_number("level", level, above=0, below=1)
    found, golds = list(predictions), [[row] if isinstance(row, str) else list(row) for row in golds]
    if len(found) != len(golds):
        raise InputError(f"there are {len(found)} answers to {len(golds)} questions; give one for each")
    if not found:
        raise InputError("there is no question; give at least one")
    for i, (prediction, row) in enumerate(zip(found, golds, strict=True)):
        if wrong := [part for part in (prediction, *row) if not isinstance(part, str)]:
            raise InputError(f"question {i} has the answer {wrong[0]!r:.60}; give strings")
    golds = [[gold for gold in row if normalized_answer(gold)] for row in golds]  # the script leaves others out
    return AnswerReport(
        np.array([exact_match(*pair) for pair in zip(found, golds, strict=True)]),
        np.array([token_f1(*pair) for pair in zip(found, golds, strict=True)]),
        np.array([bool(normalized_answer(prediction)) for prediction in found]),
        np.array([bool(row) for row in golds]),
        level=level,
        seed=check_seed(seed),
    )


def _metrics(matches, scores):
    return AnswerMetrics(len(matches), *(float(part.mean()) if len(part) else 0.0 for part in (matches, scores)))


def _percent(share):
    return f"{100 * share:.1f}"
