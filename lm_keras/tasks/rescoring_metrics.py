"""How many words are wrong in the first hypotheses, in the rescored ones, and in the best ones of each list."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from lm_keras.data.corpora.records import Hypotheses
from lm_keras.data.hypotheses import checked_lists
from lm_keras.errors import InputError
from lm_keras.tasks.paired_tests import PairedTest
from lm_keras.tasks.text_metrics import RecognitionReport, compare_texts, recognition_report
from lm_keras.tasks.text_sums import errors

SHOWN = {"first": "first", "rescored": "rescored", "oracle": "oracle"}


@dataclasses.dataclass(frozen=True)
class RescoringReport:
    """The word error rates of a rescorer; printed, it is a table.

    Attributes:
        first: The `RecognitionReport` of the recognizer's first hypotheses.
        rescored: That of the hypotheses that the rescorer takes.
        oracle: That of the hypothesis of each list with the fewest word errors: no rescorer has fewer.
        difference: The word error rate of the rescored hypotheses less that of the first ones, a `PairedTest` over
            the utterances; below 0 where rescoring helps.
        changed: The number of utterances of which another text than the first is taken.
    """

    first: RecognitionReport
    rescored: RecognitionReport
    oracle: RecognitionReport
    difference: PairedTest
    changed: int

    @property
    def wer(self) -> float:
        """The word error rate of the rescored hypotheses."""
        return self.rescored.wer

    @property
    def recovered(self) -> float:
        """The share of the way from the first hypotheses to the oracle; NaN where there is no way."""
        room = self.first.wer - self.oracle.wer
        return (self.first.wer - self.rescored.wer) / room if room > 0 else float("nan")

    def as_dict(self) -> dict[str, Any]:
        """Returns all measures and intervals as numbers, strings, lists and dicts, which JSON can hold."""
        return {
            "utterances": self.first.texts,
            "wer": self.wer,
            "changed": self.changed,
            "recovered": self.recovered,
            **{name: getattr(self, name).as_dict() for name in SHOWN},
            "difference": self.difference._asdict(),
        }

    def __str__(self) -> str:
        lines = [
            f"{self.first.texts:,} utterances of {self.first.words:,} words; {self.changed:,} have another text",
            f"{'hypotheses':10} {'WER %':>6} {f'{self.first.level:.0%} interval':>15}   sub.   del.   ins.",
        ]
        for name, shown in SHOWN.items():
            found = getattr(self, name)
            ends = " to ".join(f"{100 * end:.2f}" for end in found.wer_interval)
            edits = (found.substitutions, found.deletions, found.insertions)
            lines.append(f"{shown:10} {100 * found.wer:6.2f} {ends:>15} " + " ".join(f"{n:6,}" for n in edits))
        test = self.difference
        ends = f"{100 * test.low:+.2f} to {100 * test.high:+.2f}"
        lines.append(f"rescored less first {100 * test.difference:+.2f} ({ends}), p = {test.p_value:.3g}")
        return "\n".join(lines)


def rescoring_report(
    lists: Sequence[Hypotheses], places: Sequence[int], *, level: float = 0.95, seed: int = 0
) -> RescoringReport:
    """Measures the hypotheses that were taken from n-best lists.

    Args:
        lists: With references.
        places: The place of the hypothesis that is taken of each list.
        level: Of the intervals.
        seed: Of the bootstrap and of the test.

    Returns:
        A `RescoringReport`.

    Raises:
        InputError: For no list, one without a reference, references without any word, and places that are not there.

    Example:

    ```python
    lists = lk.data.read_hypotheses("test.jsonl")
    print(lk.tasks.rescoring_report(lists, [one.place for one in rescorer.rescore(lists)]))
    ```
    """
    lists, places = checked_lists(lists), list(places)
    if len(places) != len(lists):
        raise InputError(f"there are {len(lists)} lists and {len(places)} places; give one for each")
    for i, (one, place) in enumerate(zip(lists, places, strict=True)):
        if not 0 <= place < len(one.hypotheses):
            raise InputError(f"place {place} of list {i} is not among its {len(one.hypotheses)} hypotheses")
    said = [one.reference for one in lists]
    best = [int(np.argmin(row)) for row in edits_of(lists)]
    texts = {
        name: [one.hypotheses[at] for one, at in zip(lists, chosen, strict=True)]
        for name, chosen in (("first", [0] * len(lists)), ("rescored", places), ("oracle", best))
    }
    reports = {name: recognition_report(some, said, level=level, seed=seed) for name, some in texts.items()}
    test = compare_texts(texts["rescored"], texts["first"], said, "wer", level=level, seed=seed)
    changed = sum(a != b for a, b in zip(texts["rescored"], texts["first"], strict=True))
    return RescoringReport(**reports, difference=test, changed=changed)


def edits_of(lists: Sequence[Hypotheses]) -> list[np.ndarray]:
    """Returns the number of word errors of each hypothesis of each list, int64 [its number of hypotheses].

    Args:
        lists: With references.
    """
    pairs = dict.fromkeys((text, one.reference) for one in lists for text in one.hypotheses)
    counts = errors(*map(list, zip(*pairs, strict=True))).rows[:, :3].sum(1).astype("int64")
    found = dict(zip(pairs, counts.tolist(), strict=True))
    return [np.array([found[text, one.reference] for text in one.hypotheses]) for one in lists]
