"""How good a relation extractor is: the official measure of SemEval-2010 task 8, with intervals.

Relations with a direction, such as Cause-Effect(e1,e2) and Cause-Effect(e2,e1), are one in the table, and an answer
in the wrong direction is wrong twice: as an answer, and as a relation that was not found (Hendrickx et al. 2010,
"(9+1)-way evaluation with directionality taken into account").
"""

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lm_keras.errors import InputError
from lm_keras.tasks.class_counts import Bootstrap, ClassCounts, bootstrap_of
from lm_keras.tasks.confusion_plots import short_name
from lm_keras.tasks.intervals import RESAMPLES, Interval, wilson
from lm_keras.tasks.metrics import ClassMetrics, class_table
from lm_keras.utils.checks import check_number, check_seed

_DIRECTION = re.compile(r"\((?:e1,e2|e2,e1)\)$")


class RelationReport:
    """The measures of a relation extractor; printed, it is a table.

    Attributes:
        classes: The names of the C classes.
        none: The class of pairs without a relation, which is left out of all F1; None: there is no such class.
        num_texts: Number of records N.
        level: Of the intervals.
        macro_f1: The mean of F1 over the relations that occur: the official measure.
        macro_precision: That of precision.
        macro_recall: That of recall.
        micro_precision: Share of the relations that were found which are right.
        micro_recall: Share of the relations which were found.
        micro_f1: Their harmonic mean.
        accuracy: Share of the records whose class was found, direction and pairs without a relation included.
        per_relation: A `ClassMetrics` for each relation, both directions together.
        confusion: int [C, C], a row a label and a column an answer.

    Args:
        labels: The place of the class of each record [N].
        answers: The same as the extractor has it.
        classes: As above.
        none: As above.
        level: As above.
        seed: Of the resamples.
    """

    def __init__(
        self,
        labels: np.ndarray,
        answers: np.ndarray,
        classes: Sequence[str],
        *,
        none: str | None = None,
        level: float = 0.95,
        seed: int = 0,
    ):
        self.classes, self.none, self.num_texts = tuple(classes), none, len(labels)
        self.level, self._seed = level, seed
        self.confusion = np.zeros([len(classes)] * 2, int)
        np.add.at(self.confusion, (labels, answers), 1)
        merged = [_DIRECTION.sub("", name) for name in classes]
        self.relations = tuple(dict.fromkeys(
            name for name, given in zip(merged, classes, strict=True) if given != none
        ))  # fmt: skip
        place = {name: i for i, name in enumerate(self.relations)}
        self._place = np.array(
            [-1 if given == none else place[name] for name, given in zip(merged, classes, strict=True)]
        )
        counts = self._bootstrap.all
        self.accuracy = float(counts.accuracy)
        precision, recall = (_ratio(counts.hits, part) for part in (counts.answers, counts.labels))
        rows = zip(self.relations, precision, recall, counts.f1, counts.labels, strict=True)
        self.per_relation = [ClassMetrics(name, *map(float, parts), int(support)) for name, *parts, support in rows]
        self.macro_f1 = float(_official(counts))
        self.macro_precision, self.macro_recall = (_mean_of_occurring(part, counts) for part in (precision, recall))
        self.micro_f1 = float(counts.micro_f1)
        hits, labels, answers = (part.sum() for part in counts[:3])
        self.micro_precision, self.micro_recall = float(_ratio(hits, answers)), float(_ratio(hits, labels))

    @cached_property
    def _bootstrap(self) -> Bootstrap:
        """What measures are made of: how often each pair of a label and an answer is there, and what it counts."""
        label, answer = np.nonzero(self.confusion)
        size = len(self.relations)
        one = np.eye(size + 1)[:, :size]  # -1: of no relation
        right = label == answer
        of_label, of_answer = one[self._place[label]], one[self._place[answer]]
        numbers = np.concatenate([of_label * right[:, None], of_label, of_answer, right[:, None]], 1)
        return bootstrap_of(self.confusion[label, answer], numbers, RESAMPLES, self._seed)

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """The bootstrap intervals (BCa, 2,000 resamples of the records) of "macro_f1", "micro_f1" and "accuracy"."""
        measures = {
            "macro_f1": _official,
            "micro_f1": lambda counts: counts.micro_f1,
            "accuracy": lambda counts: counts.accuracy,
        }
        found = {name: self._bootstrap.interval(measure, self.level) for name, measure in measures.items()}
        if self.accuracy in (0, 1):
            found["accuracy"] = wilson(round(self.accuracy) * self.num_texts, self.num_texts, self.level)
        return found

    @cached_property
    def relation_intervals(self) -> dict[str, Interval]:
        """The bootstrap interval of F1 of each relation, by its name."""
        return {
            name: self._bootstrap.interval(lambda counts, place=place: counts.f1[..., place], self.level)
            for place, name in enumerate(self.relations)
        }

    def as_dict(self) -> dict[str, Any]:
        """Returns all measures and intervals as numbers, lists and dicts, which JSON can hold."""
        names = ("macro_f1", "macro_precision", "macro_recall", "micro_f1", "micro_precision", "micro_recall")
        return {
            "texts": self.num_texts,
            **{name: getattr(self, name) for name in (*names, "accuracy")},
            "level": self.level,
            "intervals": {name: list(ends) for name, ends in self.intervals.items()},
            "none": self.none,
            "relations": {
                each.name: {**each._asdict(), "f1_interval": list(self.relation_intervals[each.name])}
                for each in self.per_relation
            },
            "classes": list(self.classes),
            "confusion": self.confusion.tolist(),
        }

    # === For people ===
    def __str__(self) -> str:
        rows = [("", "precision", "recall", "F1", "texts")]
        rows += [
            (short_name(each.name), *map(_percent, each[1:4]), f"{each.support:,}") for each in self.per_relation
        ]
        macro = (self.macro_precision, self.macro_recall, self.macro_f1)
        rows += [("mean of the relations", *map(_percent, macro), "")]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        left_out = f", {self.none} left out" if self.none else ""
        lines = [f"{self.num_texts:,} texts, {len(self.relations)} relations{left_out}"]
        for name, *cells in rows:
            right = "  ".join(f"{cell:>{size}}" for cell, size in zip(cells, widths[1:], strict=True))
            lines.append(f"{name:<{widths[0]}}  {right}".rstrip())
        for name, shown in (("macro_f1", "macro F1"), ("micro_f1", "micro F1"), ("accuracy", "accuracy")):
            low, high = map(_percent, self.intervals[name])
            value = _percent(getattr(self, name))
            lines.append(f"{shown} {value} % ({self.level:.0%} interval {low} to {high})")
        return "\n".join(lines)

    def __repr__(self) -> str:
        figures = f"macro_f1 {self.macro_f1:.4f}, {len(self.relations)} relations"
        return f"<RelationReport of {self.num_texts} texts: {figures}>"


def relation_report(
    y: ArrayLike,
    answers: ArrayLike,
    classes: Sequence[str],
    *,
    none: str | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> RelationReport:
    """Measures the answers of a relation extractor.

    Args:
        y: The class of each record [N], by its name or its place in `classes`.
        answers: The answers, in the same form.
        classes: The names of the classes. Those that end in (e1,e2) and (e2,e1) are the directions of one relation.
        none: The class of pairs without a relation: it is left out of F1.
        level: The share of such intervals that hold the true value.
        seed: Of the resamples of the intervals.

    Returns:
        A `RelationReport`.

    Raises:
        InputError: For no record, what is no class, and another number of answers.

    Example:

    ```python
    names = ["Cause-Effect(e1,e2)", "Cause-Effect(e2,e1)", "Other"]
    report = lk.tasks.relation_report(["Cause-Effect(e1,e2)"], ["Cause-Effect(e2,e1)"], names, none="Other")
    print(report.macro_f1)  # 0.0: the wrong direction
    ```
    """
    check_number("level", level, above=0, below=1)
    names = None if isinstance(classes, str) else list(classes)
    if not names or len(set(names)) < len(names) or not all(isinstance(name, str) for name in names):
        raise InputError(f"classes is {classes!r:.60}; give a list with a different string for each class")
    if none is not None and (none not in names or len(names) < 2):
        raise InputError(f"none is {none!r:.40}, which is none of several classes: {', '.join(names):.200}")
    (labels, one), (found, other) = (class_table(name, x, names) for name, x in (("y", y), ("answers", answers)))
    if one or other or len(labels) != len(found):
        raise InputError(f"there are {len(labels)} labels and {len(found)} answers; give one class for each record")
    options = {"none": none, "level": level, "seed": check_seed(seed)}
    return RelationReport(labels.argmax(1), found.argmax(1), names, **options)


def _official(counts: ClassCounts) -> np.ndarray:
    """The mean of F1 over the relations that occur as a label, as the official scorer has it."""
    occurring = counts.labels > 0
    return _ratio(np.where(occurring, counts.f1, 0).sum(-1), occurring.sum(-1))


def _mean_of_occurring(values, counts):
    occurring = counts.labels > 0
    return float(_ratio(values[occurring].sum(), occurring.sum()))


def _ratio(above, below):
    """above / below, 0 where both are 0."""
    return above / np.where(below > 0, below, 1)


def _percent(share):
    return f"{100 * share:.1f}"
