"""How dialogues end: scripts with the ends that are wanted, and the report of a manager that followed them."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lm_keras.errors import InputError
from lm_keras.serving.client.results import DialogueTurn
from lm_keras.tasks.intervals import Interval, wilson
from lm_keras.utils.checks import check_number, check_texts

PERSON = "(a person)"  # where a dialogue goes that is handed over


class ScriptedDialogue(NamedTuple):
    """What a user says in a dialogue, and the end that is wanted.

    Attributes:
        texts: The user's turns.
        state: The name of the state after the last one; None: any.
        slots: The values that the slots have then, {slot: value}; None: any.
        handed_over: Whether a person is to take over.
    """

    texts: Sequence[str]
    state: str | None = None
    slots: Mapping[str, str] | None = None
    handed_over: bool = False


@dataclasses.dataclass(frozen=True)
class DialogueReport:
    """How a manager did on scripted dialogues; printed, it is a table.

    Attributes:
        dialogues: The number of dialogues.
        success: The share of them that end as is wanted: state, slots, and whether a person takes over.
        success_interval: Wilson's interval of it.
        turns: The mean number of the user's turns up to the end or the hand-over.
        handed_over: The share that is handed over.
        handed_over_interval: Wilson's interval of it.
        handed_over_wrongly: The number of those that a person was not to take over.
        failed: The places of the dialogues that do not end as is wanted.
        reasons: {reason: number of turns} of turns that took no transition.
        transitions: {(state, next state): number of turns}; a hand-over leads to "(a person)".
        level: Of the intervals.
    """

    dialogues: int
    success: float
    success_interval: Interval
    turns: float
    handed_over: float
    handed_over_interval: Interval
    handed_over_wrongly: int
    failed: list[int]
    reasons: dict[str, int]
    transitions: dict[tuple[str, str], int]
    level: float

    def as_dict(self) -> dict[str, Any]:
        """Returns all measures as numbers, strings, lists and dicts, which JSON can hold."""
        rows = [[*pair, count] for pair, count in self.transitions.items()]
        return dataclasses.asdict(self) | {
            "success_interval": list(self.success_interval),
            "handed_over_interval": list(self.handed_over_interval),
            "transitions": rows,
        }

    def __str__(self) -> str:
        def share(value, ends):
            return f"{100 * value:5.1f} % ({100 * ends.low:.1f} to {100 * ends.high:.1f})"

        lines = [
            f"{self.dialogues:,} dialogues of {self.turns:.1f} turns, {self.level:.0%} intervals",
            f"end as is wanted  {share(self.success, self.success_interval)}",
            f"handed over       {share(self.handed_over, self.handed_over_interval)}, "
            f"{self.handed_over_wrongly} of them wrongly",
        ]
        return "\n".join(lines + [f"  {reason}: {count} turns" for reason, count in self.reasons.items()])


def dialogue_report(
    scripts: Iterable[ScriptedDialogue],
    followed: Iterable[Sequence[DialogueTurn]],
    start: str,
    *,
    level: float = 0.95,
) -> DialogueReport:
    """Measures how dialogues ended.

    Args:
        scripts: With the ends that are wanted.
        followed: The turns of each dialogue, as `DialogueManager.follow` gives them.
        start: The state before the first turn.
        level: The share of such intervals that hold the true value.

    Returns:
        A `DialogueReport`.

    Raises:
        InputError: There is no dialogue, or another number of turns.
    """
    check_number("level", level, above=0, below=1)
    scripts, followed = checked_scripts(scripts), [list(turns) for turns in followed]
    if [len(one.texts) for one in scripts] != list(map(len, followed)):
        raise InputError("scripts and followed are of other dialogues; give the turns of each script, in their order")
    failed, handed, wrongly, lengths, reasons = [], 0, 0, [], Counter()
    for i, (script, turns) in enumerate(zip(scripts, followed, strict=True)):
        last = turns[-1]
        wanted = script.slots is None or dict(script.slots) == last.slots
        wanted &= script.state in (None, last.state) and bool(script.handed_over) == last.handed_over
        failed += [] if wanted else [i]
        handed += last.handed_over
        wrongly += last.handed_over and not script.handed_over
        own = until_handed_over(turns)
        lengths.append(len(own))
        reasons.update(reason for turn in own for reason in turn.reasons)
    count = len(scripts)
    return DialogueReport(
        dialogues=count,
        success=1 - len(failed) / count,
        success_interval=wilson(count - len(failed), count, level),
        turns=float(np.mean(lengths)),
        handed_over=handed / count,
        handed_over_interval=wilson(handed, count, level),
        handed_over_wrongly=int(wrongly),
        failed=failed,
        reasons=dict(reasons.most_common()),
        transitions=transition_counts(followed, start),
        level=level,
    )


def transition_counts(followed: Iterable[Sequence[DialogueTurn]], start: str) -> dict[tuple[str, str], int]:
    """Counts the transitions of dialogues, for `Policy.diagram`.

    Args:
        followed: The turns of each dialogue.
        start: The state before the first turn.

    Returns:
        {(state, next state): number of turns}; a hand-over leads to "(a person)", and what is said after it does not
        count.
    """
    counts = Counter()
    for turns in followed:
        states = [start, *(turn.state for turn in turns)]
        for before, turn in zip(states, until_handed_over(turns), strict=False):
            counts[before, PERSON if turn.handed_over else turn.state] += 1
    return dict(counts)


def until_handed_over(turns: Sequence[DialogueTurn]) -> list[DialogueTurn]:
    """The turns up to the one that is handed over, which is the last of them."""
    first = next((i + 1 for i, turn in enumerate(turns) if turn.handed_over), len(turns))
    return list(turns[:first])


def act_threshold(probabilities: ArrayLike, right: ArrayLike, accuracy: float = 0.9) -> float:
    """Chooses the probability from which on an act is believed.

    To be chosen on development data, not on what is measured by.

    Args:
        probabilities: The probability of the likeliest act of each of N turns.
        right: bool [N], whether it is the right one.
        accuracy: The share of right acts that is wanted among those that are believed.

    Returns:
        The least threshold with that share; 1 where there is none, so that nothing below is believed.

    Raises:
        InputError: For no turn, and another number of probabilities.

    Example:

    ```python
    print(lk.tasks.act_threshold([0.9, 0.8, 0.6, 0.5], [True, True, True, False], 0.9))  # 0.6
    ```
    """
    check_number("accuracy", accuracy, above=0, most=1)
    p, right = np.asarray(probabilities, "float64"), np.asarray(right, bool)
    if p.ndim != 1 or p.shape != right.shape or not len(p):
        raise InputError(f"probabilities {p.shape} and right {right.shape} must be of the same turns, one at least")
    order = np.argsort(-p, kind="stable")
    p, right = p[order], right[order]
    last = np.append(p[1:] < p[:-1], True)  # of equal probabilities all are believed, or none
    good = np.flatnonzero(last & (np.cumsum(right) >= accuracy * np.arange(1, len(p) + 1)))
    return float(p[good[-1]]) if len(good) else 1.0


def checked_scripts(scripts: Iterable[ScriptedDialogue]) -> list[ScriptedDialogue]:
    """Returns scripts as a list; InputError where one is none, or has no turn."""
    made = []
    for i, one in enumerate(scripts):
        if not isinstance(one, ScriptedDialogue):
            raise InputError(f"dialogue {i} is a {type(one).__name__}; give lk.tasks.ScriptedDialogue(texts, state)")
        texts = check_texts(one.texts, f"texts of dialogue {i}")
        if not texts:
            raise InputError(f"dialogue {i} has no turn; give at least one")
        made.append(one._replace(texts=texts))
    if not made:
        raise InputError("there is no dialogue; give at least one")
    return made
