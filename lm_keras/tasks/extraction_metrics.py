"""How good extracted entities and relations are: precision, recall and F1, each right only as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from lm_keras.data.corpora.records import RelatedText
from lm_keras.errors import InputError
from lm_keras.serving.client.results import Extraction
from lm_keras.tasks.confusion_plots import short_name
from lm_keras.tasks.intervals import Interval, ratio_interval
from lm_keras.tasks.metrics import ClassMetrics
from lm_keras.utils.checks import check_number, check_seed

ENTITIES, RELATIONS, BOUNDARIES = "entities", "relations", "relations_by_ends"


class ExtractionReport:
    """The measures of an information extractor; printed, it is a table.

    Attributes:
        num_texts: Number of texts N.
        level: Of the intervals.
        totals: A `ClassMetrics` of all "entities" (both ends and the label are right), of all "relations" (its label
            and both entities, with their labels, are right: "strict", Bekoulis et al. 2018) and of
            "relations_by_ends" (the labels of the entities are not looked at).
        per_entity: A `ClassMetrics` for each label of entities.
        per_relation: The same for each relation, strict.

    Args:
        gold: Texts with entities and relations.
        found: What was found in them.
        level: As above.
        seed: Of the resamples.
    """

    def __init__(
        self, gold: Sequence[RelatedText], found: Sequence[Extraction], *, level: float = 0.95, seed: int = 0
    ):
        self.num_texts, self.level, self._seed = len(gold), level, seed
        self._counts, by_label = {}, {}
        for name, sets in (
            (ENTITIES, _entities),
            (RELATIONS, lambda text, spans, relations: _relations(spans, relations, 3)),
            (BOUNDARIES, lambda text, spans, relations: _relations(spans, relations, 2)),
        ):
            rows = [
                (sets(*text), sets(text.text, one.entities, one.relations))
                for text, one in zip(gold, found, strict=True)
            ]
            self._counts[name] = np.array([(len(a & b), len(b), len(a)) for a, b in rows], int)
            labels = sorted({item[-1] for both in rows for side in both for item in side})
            by_label[name] = [_measures(label, _of_label(rows, label)) for label in labels]
        self.totals = {name: _measures(name, counts.sum(0)) for name, counts in self._counts.items()}
        self.per_entity, self.per_relation = by_label[ENTITIES], by_label[RELATIONS]

    @property
    def entity_f1(self) -> float:
        """F1 of the entities."""
        return self.totals[ENTITIES].f1

    @property
    def relation_f1(self) -> float:
        """F1 of the relations, strict."""
        return self.totals[RELATIONS].f1

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """The bootstrap interval (BCa, 2,000 resamples of the texts) of each F1 of `totals`."""
        return {
            name: ratio_interval(2 * hits, answers + labels, self.level, self._seed)
            for name, (hits, answers, labels) in ((name, counts.T) for name, counts in self._counts.items())
        }

    def as_dict(self) -> dict[str, Any]:
        """Returns all measures and intervals as numbers, lists and dicts, which JSON can hold."""
        return {
            "texts": self.num_texts,
            "level": self.level,
            "entity_f1": self.entity_f1,
            "relation_f1": self.relation_f1,
            "totals": {name: each._asdict() for name, each in self.totals.items()},
            "intervals": {name: list(ends) for name, ends in self.intervals.items()},
            "entities": {each.name: each._asdict() for each in self.per_entity},
            "relations": {each.name: each._asdict() for each in self.per_relation},
        }

    # === For people ===
    def __str__(self) -> str:
        rows = [("", "precision", "recall", "F1", "gold")]
        named = {ENTITIES: "all entities", RELATIONS: "all relations", BOUNDARIES: "relations by ends"}
        rows += map(_row, self.per_entity)
        rows.append(_row(self.totals[ENTITIES]._replace(name=named[ENTITIES])))
        rows += map(_row, self.per_relation)
        rows += [_row(self.totals[name]._replace(name=named[name])) for name in (RELATIONS, BOUNDARIES)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [f"{self.num_texts:,} texts"]
        for name, *cells in rows:
            right = "  ".join(f"{cell:>{size}}" for cell, size in zip(cells, widths[1:], strict=True))
            lines.append(f"{name:<{widths[0]}}  {right}".rstrip())
        for name, shown in ((ENTITIES, "entity F1"), (RELATIONS, "relation F1")):
            low, high = map(_percent, self.intervals[name])
            lines.append(f"{shown} {_percent(self.totals[name].f1)} % ({self.level:.0%} interval {low} to {high})")
        return "\n".join(lines)

    def __repr__(self) -> str:
        figures = f"entity_f1 {self.entity_f1:.4f}, relation_f1 {self.relation_f1:.4f}"
        return f"<ExtractionReport of {self.num_texts} texts: {figures}>"


def extraction_report(
    gold: Sequence[RelatedText], found: Sequence[Extraction], *, level: float = 0.95, seed: int = 0
) -> ExtractionReport:
    """Measures entities and relations.

    Args:
        gold: Texts with entities and relations.
        found: What was found in each.
        level: The share of such intervals that hold the true value.
        seed: Of the resamples of the intervals.

    Raises:
        InputError: For no text, and for another number of answers.
    """
    check_number("level", level, above=0, below=1)
    if not gold or len(gold) != len(found):
        raise InputError(f"there are {len(gold)} texts and answers to {len(found)}; give one for each")
    return ExtractionReport(gold, found, level=level, seed=check_seed(seed))


def _entities(text, spans, relations):
    return {tuple(span[:3]) for span in spans}


def _relations(spans, relations, fields):
    """(first entity, second entity, label) of each, an entity by so many of its fields."""
    return {(*(tuple(spans[at][:fields]) for at in row[:2]), row[2]) for row in relations}


def _of_label(rows, label):
    """How many are right, were found, and are there."""
    sides = [[{item for item in side if item[-1] == label} for side in both] for both in rows]
    return np.array([(len(a & b), len(b), len(a)) for a, b in sides], int).sum(0)


def _measures(name, counts):
    hits, answers, labels = map(int, counts)
    precision, recall = hits / max(answers, 1), hits / max(labels, 1)
    return ClassMetrics(name, precision, recall, 2 * hits / max(answers + labels, 1), labels)


def _row(each):
    return (short_name(each.name), *map(_percent, each[1:4]), f"{each.support:,}")


def _percent(share):
    return f"{100 * share:.1f}"
