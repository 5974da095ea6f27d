"""What people prefer: the judgements of `comparison_sheet`, win rate, sign test, and how far judges agree."""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from lm_keras.errors import InputError
from lm_keras.tasks.human_evaluation_page import CHOICES, LONGEST_NAME, check_names, is_name
from lm_keras.tasks.intervals import Interval, wilson
from lm_keras.utils.atomic_files import path_of, read_json
from lm_keras.utils.checks import check_number


class Judgement(NamedTuple):
    """What one judge said of one item.

    Attributes:
        judge: Name of the judge.
        item: Place of the item in `sources`.
        better: Name of the system whose output is better; None: no difference.
        side: "left", "right" or "tie", as it was chosen on the page.
    """

    judge: str
    item: int
    better: str | None
    side: str


class Judgements(NamedTuple):
    """All judgements of a sheet.

    Attributes:
        names: Of the two systems.
        question: What was asked.
        rows: A `Judgement` each.
    """

    names: tuple[str, str]
    question: str
    rows: list[Judgement]


class Agreement(NamedTuple):
    """How far two judges agree.

    Attributes:
        judges: Their names.
        items: How many items both judged.
        same: Share of these on which they said the same.
        kappa: Cohen's kappa; None where both said one and the same of all items.
    """

    judges: tuple[str, str]
    items: int
    same: float
    kappa: float | None


def read_judgements(files: str | os.PathLike | Iterable[str | os.PathLike], key: str | os.PathLike) -> Judgements:
    """Reads what the judges of a sheet have saved.

    Args:
        files: One for each judge; or a single one.
        key: The file `<path>.key.json` that `comparison_sheet` wrote.

    Returns:
        `Judgements`.

    Raises:
        InputError: For a file that is none of this sheet, is damaged, or has the judge of another one.
    """
    sheet, names, question, items = _key(path_of(key))
    rows, seen = [], {}
    for file in [files] if isinstance(files, (str, os.PathLike)) else list(files):
        file = path_of(file)
        judge, choices = _judge(file, sheet, len(items))
        if judge in seen:
            raise InputError(
                f"{seen[judge]} and {file} are of the same judge, {judge!r}; give the last of them alone"
            )
        seen[judge] = file
        for number, side in choices:
            item, left = items[number - 1]
            right = names[1] if left == names[0] else names[0]
            rows.append(Judgement(judge, item, {"left": left, "right": right}.get(side), side))
    return Judgements(names, question, rows)


def _key(path):
    content = read_json(path)
    try:
        sheet, names, question, items = (content[name] for name in ("sheet", "names", "question", "items"))
        check_names(names)
        places = sorted(place for place, left in items if left in names and type(place) is int)
        if places != list(range(len(items))) or not isinstance(question, str):
            raise ValueError
    except (InputError, KeyError, TypeError, ValueError):
        raise InputError(
            f"{path} is no key of a comparison sheet, or damaged; give the .key.json beside it"
        ) from None
    return sheet, tuple(names), question, items


def _judge(path, sheet, count):
    """The name of the judge and [(number of the item, choice)]."""
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("choices"), dict) or "sheet" not in content:
        raise InputError(f"{path} holds no judgements; give the file that the page's button saves")
    if content["sheet"] != sheet:
        raise InputError(f"{path} has judgements of another sheet than the key; give the key of that sheet")
    if not is_name(judge := content.get("judge")):
        raise InputError(f"{path} has the judge {judge!r:.40}; give a name of up to {LONGEST_NAME} characters")
    choices = []
    for number, side in content["choices"].items():
        if not re.fullmatch("[1-9][0-9]{0,8}", number) or int(number) > count or side not in list(CHOICES):
            raise InputError(f"{path} has {side!r:.40} for item {number!r:.40}; the file is damaged")
        choices.append((int(number), side))
    return judge.strip(), sorted(choices)


@dataclasses.dataclass(frozen=True)
class PreferenceReport:
    """What judges prefer; printed, it is a table.

    Attributes:
        names: Of the two systems.
        question: What was asked.
        items: Number of items that were judged.
        judges: Number of judges.
        judgements: How many there are.
        wins: Judgements for the first system.
        losses: Judgements for the second.
        ties: Judgements that see no difference.
        win_rate: Of the first system: mean over items of the share of their judgements, where a tie is half a win.
        win_rate_interval: Wilson's interval of it, with each item as one draw, however many have judged it. It is
            somewhat too wide where there are ties.
        p_value: Of the sign test over items, without those for both of which as many judgements are; two-sided.
        left: Share of the judgements for one side that are for the left one; far from a half judges prefer a side.
        agreements: An `Agreement` for each two judges who judged some of the same items.
        level: Of the interval.
    """

    names: tuple[str, str]
    question: str
    items: int
    judges: int
    judgements: int
    wins: int
    losses: int
    ties: int
    win_rate: float
    win_rate_interval: Interval
    p_value: float
    left: float | None
    agreements: list[Agreement]
    level: float

    def as_dict(self) -> dict[str, Any]:
        """Returns all measures as numbers, strings, lists and dicts, which JSON can hold."""
        values = dict(vars(self))
        values["agreements"] = [agreement._asdict() for agreement in self.agreements]
        return values | {"names": list(self.names), "win_rate_interval": list(self.win_rate_interval)}

    def __str__(self) -> str:
        first, second = self.names
        low, high = (f"{100 * end:.1f}" for end in self.win_rate_interval)
        lines = [
            f"{self.question}",
            f"{self.judgements:,} judgements of {self.items:,} items by {self.judges:,} judges: {self.wins:,} for "
            f"{first}, {self.losses:,} for {second}, {self.ties:,} ties",
            f"win rate of {first} {100 * self.win_rate:.1f} % ({self.level:.0%} interval {low} to {high}; a tie is "
            f"half a win), p = {self.p_value:.3g} by the sign test",
        ]
        if self.left is not None:
            lines.append(f"the left side was chosen in {100 * self.left:.0f} % of the judgements for a side")
        for (one, other), items, same, kappa in self.agreements:
            shown = "is not defined, as they say one thing of all" if kappa is None else f"{kappa:.2f}"
            lines.append(f"{one} and {other}: {items} items judged by both, {same:.0%} alike, Cohen's kappa {shown}")
        return "\n".join(lines)


def preference_report(judgements: Judgements, *, level: float = 0.95) -> PreferenceReport:
    """Counts what judges prefer.

    Args:
        judgements: From `read_judgements`.
        level: The share of such intervals that hold the true value.

    Returns:
        A `PreferenceReport`: the win rate of the first system with Wilson's interval, the sign test (Dixon and Mood
        1946), and Cohen's kappa (1960) of each two judges.

    Raises:
        InputError: Where there are no judgements.
    """
    from scipy.stats import binomtest

    check_number("level", level, above=0, below=1)
    names, question, rows = judgements
    if not rows:
        raise InputError("there are no judgements; give files in which some items are judged")
    scores = {}
    for row in rows:
        scores.setdefault(row.item, []).append({names[0]: 1.0, names[1]: 0.0}.get(row.better, 0.5))
    each = np.array([np.mean(scores[item]) for item in sorted(scores)])
    above, below = int((each > 0.5).sum()), int((each < 0.5).sum())
    counts = [sum(row.better == better for row in rows) for better in (*names, None)]
    sides = [row.side for row in rows if row.better is not None]
    return PreferenceReport(
        names=names,
        question=question,
        items=len(each),
        judges=len({row.judge for row in rows}),
        judgements=len(rows),
        wins=counts[0],
        losses=counts[1],
        ties=counts[2],
        win_rate=float(each.mean()),
        win_rate_interval=wilson(float(each.sum()), len(each), level),
        p_value=float(binomtest(above, above + below).pvalue) if above + below else 1.0,
        left=sides.count("left") / len(sides) if sides else None,
        agreements=_agreements(rows),
        level=level,
    )


def _agreements(rows):
    from sklearn.metrics import cohen_kappa_score

    said = {}
    for row in rows:
        said.setdefault(row.judge, {})[row.item] = row.better or ""
    found = []
    for one, other in itertools.combinations(sorted(said), 2):
        both = [(said[one][item], said[other][item]) for item in sorted(said[one].keys() & said[other].keys())]
        if not both:
            continue
        first, second = zip(*both, strict=True)
        kappa = float(cohen_kappa_score(first, second)) if len(set(first + second)) > 1 else None
        same = float(np.mean([mine == theirs for mine, theirs in both]))
        found.append(Agreement((one, other), len(both), same, kappa))
    return found
