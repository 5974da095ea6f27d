"""How good moderation is: what is refused rightly and what is allowed rightly, by function, by group, in pairs.

Both shares always stand together: a moderator that refuses everything finds all hate, and one that refuses nothing
harms no harmless text. Most texts are harmless, so accuracy hides either.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from lm_keras.data.corpora.records import FunctionalCase
from lm_keras.errors import InputError
from lm_keras.serving.client.results import Moderation
from lm_keras.tasks.intervals import Interval, bootstrap_interval, wilson
from lm_keras.tasks.metrics import classification_report
from lm_keras.utils.checks import check_number, check_seed

REFUSED = ("hate", "offensive")  # the classes that are not allowed, unless others are named
HATEFUL, HARMLESS = 0, 1  # the labels of `FunctionalCase`
KINDS = ("harmless", "refused")  # of a text and of an answer


class Share(NamedTuple):
    """A share of some texts.

    Attributes:
        name: Of the texts: a class, a function, a group.
        share: NaN where there are none.
        interval: Wilson's.
        count: How many texts there are.
    """

    name: str
    share: float
    interval: Interval
    count: int


class ModerationReport:
    """The measures of a moderator on labelled texts; printed, it is a table.

    Attributes:
        num_texts: N.
        level: Of the intervals.
        accuracy: Share of the texts that are treated rightly.
        macro_f1: The mean of F1 of the texts to refuse and of the harmless ones.
        refused_right: Share of the texts to refuse that are refused; NaN where there is none.
        harmless_right: Share of the harmless texts that are allowed; NaN where there is none.
        by_class: A `Share` for each class: the texts of it that are refused.
        intervals: Of the four measures, by name; of a share Wilson's, of macro F1 the bootstrap's (BCa).

    Args:
        wanted: bool [N], whether a text is to be refused.
        refused: bool [N], whether it is.
        classes: The names of the classes of each text.
        level: As above.
        seed: Of the bootstrap.
    """

    def __init__(
        self,
        wanted: np.ndarray,
        refused: np.ndarray,
        classes: Sequence[Sequence[str]],
        *,
        level: float = 0.95,
        seed: int = 0,
    ):
        self.num_texts, self.level = len(wanted), level
        self._report = classification_report(
            wanted.astype("int32"), refused.astype("int32"), KINDS, level=level, seed=seed
        )
        self.accuracy, self.macro_f1 = self._report.accuracy, self._report.macro_f1
        right = wanted == refused
        self.parts = [
            _share("to refuse", right[wanted], level),
            _share("harmless", right[~wanted], level),
        ]
        self.refused_right, self.harmless_right = (part.share for part in self.parts)
        names = sorted({name for row in classes for name in row})
        self.by_class = [
            _share(name, refused[[name in row for row in classes]], level) for name in names
        ]  # fmt: skip

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """The intervals of "accuracy", "macro_f1", "refused_right" and "harmless_right"."""
        hits = round(self.accuracy * self.num_texts)
        return {
            "accuracy": wilson(hits, self.num_texts, self.level),
            "macro_f1": self._report.intervals["macro_f1"],
            "refused_right": self.parts[0].interval,
            "harmless_right": self.parts[1].interval,
        }

    def as_dict(self) -> dict[str, Any]:
        """Returns all measures and intervals as numbers, lists and dicts, which JSON can hold but for NaN."""
        names = ("accuracy", "macro_f1", "refused_right", "harmless_right")
        return {
            "texts": self.num_texts,
            **{name: getattr(self, name) for name in names},
            "level": self.level,
            "intervals": {name: list(ends) for name, ends in self.intervals.items()},
            "refused_of_class": _as_dict(self.by_class),
        }

    def __str__(self) -> str:
        rows = [("of class", "refused", f"{self.level:.0%} interval", "texts"), *map(_row, self.by_class)]
        lines = [f"{self.num_texts:,} texts", *_table(rows)]
        said = {"refused_right": "to refuse, and refused", "harmless_right": "harmless, and allowed"}
        said |= {"accuracy": "accuracy", "macro_f1": "macro F1"}
        for name, shown in said.items():
            ends = _ends(self.intervals[name])
            lines.append(f"{shown} {_percent(getattr(self, name))} % ({self.level:.0%} interval {ends})")
        return "\n".join(lines)

    def __repr__(self) -> str:
        figures = f"refused_right {self.refused_right:.4f}, harmless_right {self.harmless_right:.4f}"
        return f"<ModerationReport of {self.num_texts} texts: {figures}>"


def moderation_report(
    y: Iterable[str | Sequence[str]],
    answers: Iterable[Moderation | bool],
    refused: Sequence[str] = REFUSED,
    *,
    level: float = 0.95,
    seed: int = 0,
) -> ModerationReport:
    """Measures the answers of a moderator.

    Args:
        y: The class of each text, by its name, or the names of its classes.
        answers: A Moderation of each text, or whether it is allowed.
        refused: The classes whose texts are to be refused; texts of no such class are harmless.
        level: The share of such intervals that hold the true value.
        seed: Of the resamples of the intervals.

    Returns:
        A `ModerationReport`.

    Raises:
        InputError: For no text, another number of answers, and what is no class or no answer.

    Example:

    ```python
    report = lk.tasks.moderation_report(["hate", "neither"], [False, True])
    print(report.refused_right, report.harmless_right)  # 1.0 1.0
    ```
    """
    check_number("level", level, above=0, below=1)
    classes = [[row] if isinstance(row, str) else list(row) for row in y]
    if other := next((name for row in classes for name in row if not isinstance(name, str)), None):
        raise InputError(f"y has {other!r:.40}; give the names of the classes of each text")
    found = _refused(answers, len(classes))
    wanted = np.array([bool(set(row) & set(refused)) for row in classes])
    return ModerationReport(wanted, found, classes, level=level, seed=check_seed(seed))


# === HateCheck: what a moderator can and cannot do ===


class FunctionReport:
    """The share of cases that are treated rightly, by function; printed, it is a table.

    Attributes:
        num_texts: N.
        level: Of the intervals.
        functions: A `Share` of right answers for each function, in the order of the cases.
        kinds: {function: "hateful" or "harmless"}, and "both" where it has cases of both.
        refused_right: Share of the hateful cases that are refused; NaN where there is none.
        harmless_right: Share of the harmless cases that are allowed; NaN where there is none.
        parts: Both as `Share`s.
        false_positives: A `Share` for each group: harmless cases that name it and are refused.

    Args:
        cases: The cases.
        refused: bool [N], whether each is refused.
        level: As above.
    """

    def __init__(self, cases: Sequence[FunctionalCase], refused: np.ndarray, *, level: float = 0.95):
        self.num_texts, self.level = len(cases), level
        hateful = np.array([case.label == HATEFUL for case in cases])
        right = hateful == refused
        functions = np.array([case.function for case in cases], object)
        targets = np.array([case.target for case in cases], object)
        names = list(dict.fromkeys(functions))
        self.functions = [_share(name, right[functions == name], level) for name in names]
        seen = {name: set(hateful[functions == name].tolist()) for name in names}
        self.kinds = {
            name: "both" if len(some) > 1 else ("hateful" if True in some else "harmless")
            for name, some in seen.items()
        }  # fmt: skip
        self.parts = [_share("hateful", right[hateful], level), _share("harmless", right[~hateful], level)]
        self.refused_right, self.harmless_right = (part.share for part in self.parts)
        groups = sorted({target for target in targets[~hateful] if target})
        self.false_positives = [_share(name, refused[~hateful & (targets == name)], level) for name in groups]

    def as_dict(self) -> dict[str, Any]:
        """Returns all shares and intervals as numbers, lists and dicts, which JSON can hold but for NaN."""
        functions = _as_dict(self.functions)
        return {
            "texts": self.num_texts,
            "refused_right": self.refused_right,
            "harmless_right": self.harmless_right,
            "level": self.level,
            "intervals": {
                name: list(part.interval)
                for name, part in zip(("refused_right", "harmless_right"), self.parts, strict=True)
            },
            "functions": {name: {"kind": self.kinds[name]} | row for name, row in functions.items()},
            "false_positives": _as_dict(self.false_positives),
        }

    def __str__(self) -> str:
        head = ("right", f"{self.level:.0%} interval", "cases")
        rows = [("function", *head)]
        rows += [_row(one._replace(name=f"{one.name} ({self.kinds[one.name]})")) for one in self.functions]
        lines = [f"{self.num_texts:,} cases of {len(self.functions)} functions", *_table(rows)]
        if self.false_positives:
            rows = [("harmless, of group", "refused", *head[1:]), *map(_row, self.false_positives)]
            lines += ["", *_table(rows)]
        lines.append("")
        for part, said in zip(self.parts, ("hateful, and refused", "harmless, and allowed"), strict=True):
            lines.append(f"{said} {_percent(part.share)} % ({self.level:.0%} interval {_ends(part.interval)})")
        return "\n".join(lines)

    def __repr__(self) -> str:
        figures = f"refused_right {self.refused_right:.4f}, harmless_right {self.harmless_right:.4f}"
        return f"<FunctionReport of {self.num_texts} cases: {figures}>"


def hatecheck_report(
    cases: Iterable[FunctionalCase], answers: Iterable[Moderation | bool], *, level: float = 0.95
) -> FunctionReport:
    """Measures the answers of a moderator to functional cases, such as those of HateCheck (Röttger et al. 2021).

    Args:
        cases: `lk.data.FunctionalCase`, as `lk.data.load("hatecheck", "test")` gives them: label 0 is to be refused.
        answers: A Moderation of each case, or whether it is allowed.
        level: The share of such intervals that hold the true value.

    Returns:
        A `FunctionReport`.

    Raises:
        InputError: For no case, another number of answers, and what is no case or no answer.

    Example:

    ```python
    cases = lk.data.load("hatecheck", "test")
    print(lk.tasks.hatecheck_report(cases, moderator.moderate([case.text for case in cases])))
    ```
    """
    check_number("level", level, above=0, below=1)
    rows = _checked_cases(cases)
    return FunctionReport(rows, _refused(answers, len(rows)), level=level)


# === Bias: the same text of two groups ===


class PairedTemplates(NamedTuple):
    """How differently texts are treated that differ in the group alone.

    Attributes:
        groups: Both groups.
        pairs: The number of templates that have a text of both, N.
        score: The mean of score(first) - score(second).
        score_interval: Its bootstrap interval (BCa) over the templates.
        refused: Share of the pairs of which the first is refused less that of which the second one is.
        refused_interval: Its bootstrap interval.
        first_only: Pairs of which the first alone is refused.
        second_only: Pairs of which the second alone is.
    """

    groups: tuple[str, str]
    pairs: int
    score: float
    score_interval: Interval
    refused: float
    refused_interval: Interval
    first_only: int
    second_only: int

    def __str__(self) -> str:
        first, second = self.groups
        return (
            f"{first} against {second}, {self.pairs:,} pairs: score {self.score:+.3f} "
            f"({self.score_interval.low:+.3f} to {self.score_interval.high:+.3f}), refused {100 * self.refused:+.1f} "
            f"points ({100 * self.refused_interval.low:+.1f} to {100 * self.refused_interval.high:+.1f}); "
            f"{first} alone {self.first_only}, {second} alone {self.second_only}"
        )


def paired_templates(
    cases: Iterable[FunctionalCase],
    answers: Iterable[Moderation],
    first: str,
    second: str,
    *,
    level: float = 0.95,
    seed: int = 0,
) -> PairedTemplates:
    """Compares how a moderator treats two groups, by texts that are the same but for the group.

    Any difference is the group's doing: Dixon et al. 2018 measure unintended bias in this way. A template that has
    several texts of a group, or none of one of them, is left out.

    Args:
        cases: `lk.data.FunctionalCase` with a `target` and a `template`; those of HateCheck, or your own.
        answers: The Moderation of each case.
        first: A group, a `target`.
        second: Another one.
        level: Of the intervals.
        seed: Of the bootstrap.

    Returns:
        A `PairedTemplates`.

    Raises:
        InputError: No template has a text of both groups; another number of answers.

    Example:

    ```python
    template = "I met some [..]."
    cases = [
        lk.data.FunctionalCase(template.replace("[..]", group), 1, "ident_neutral", group, template)
        for group in ("women", "men")
    ]
    print(lk.tasks.paired_templates(cases, moderator.moderate([case.text for case in cases]), "women", "men"))
    ```
    """
    rows, found = _checked_cases(cases), list(answers)
    if len(found) != len(rows) or not all(isinstance(one, Moderation) for one in found):
        raise InputError(f"there are {len(rows)} cases and {len(found)} answers; give the Moderation of each case")
    texts: dict[tuple, dict[str, list[Moderation]]] = {}
    for case, one in zip(rows, found, strict=True):
        key = case.function, case.label, case.template
        if case.template:
            texts.setdefault(key, {}).setdefault(case.target, []).append(one)
    both = [(some.get(first, []), some.get(second, [])) for some in texts.values()]
    pairs = [(one[0], two[0]) for one, two in both if len(one) == len(two) == 1]
    if not pairs or first == second:
        known = ", ".join(sorted({case.target for case in rows if case.target})) or "none"
        raise InputError(
            f"no template has one text of {first!r:.40} and one of {second!r:.40}; groups are {known:.200}"
        )
    scores = np.array([one.score - two.score for one, two in pairs])
    steps = np.array([float(two.allowed) - float(one.allowed) for one, two in pairs])
    options = {"level": level, "seed": seed}
    return PairedTemplates(
        (first, second),
        len(pairs),
        float(scores.mean()),
        bootstrap_interval(scores, **options),
        float(steps.mean()),
        bootstrap_interval(steps, **options),
        int((steps > 0).sum()),
        int((steps < 0).sum()),
    )


# === What is given, and what is shown ===
def _checked_cases(cases):
    rows = list(cases)
    for row in rows:
        if not isinstance(row, FunctionalCase) or row.label not in (HATEFUL, HARMLESS):
            raise InputError(f"cases have {row!r:.60}; give lk.data.FunctionalCase of the label 0, to refuse, or 1")
    if not rows:
        raise InputError("there is no case; give at least one")
    return rows


def _refused(answers, count):
    """bool [N]: which texts are refused."""
    rows = list(answers)
    if not rows or len(rows) != count:
        raise InputError(f"there are {count} texts and {len(rows)} answers; give one for each, and at least one")
    if other := next((one for one in rows if not isinstance(one, (Moderation, bool, np.bool_))), None):
        raise InputError(f"answers have {other!r:.40}; give Moderations, or whether each text is allowed")
    return np.array([not (one.allowed if isinstance(one, Moderation) else one) for one in rows])


def _share(name, flags, level):
    """How many of the flags are set."""
    count = len(flags)
    if not count:
        return Share(name, float("nan"), Interval(float("nan"), float("nan")), 0)
    return Share(name, float(np.mean(flags)), wilson(int(np.sum(flags)), count, level), count)


def _as_dict(shares):
    return {one.name: {"share": one.share, "interval": list(one.interval), "texts": one.count} for one in shares}


def _row(one):
    return one.name, _percent(one.share), _ends(one.interval), f"{one.count:,}"


def _table(rows):
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        right = "  ".join(f"{cell:>{size}}" for cell, size in zip(cells, widths[1:], strict=True))
        yield f"{name:<{widths[0]}}  {right}".rstrip()


def _percent(share):
    return "-" if share != share else f"{100 * share:.1f}"


def _ends(interval):
    return f"{_percent(interval.low)} to {_percent(interval.high)}"
