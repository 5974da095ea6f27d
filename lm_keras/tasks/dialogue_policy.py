"""What a dialogue does next, as a state machine that a person can read, print, draw and change."""

from __future__ import annotations

import dataclasses
import os
import string
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lm_keras.errors import InputError, damaged, naming
from lm_keras.text.unicode import valid
from lm_keras.utils.atomic_files import path_of, read_json, write_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMAT = "lm_keras dialogue policy 1"
FALLBACK = "I am not sure that I understood."
HAND_OVER = "One moment, I will pass you on to a colleague."
MOST = 256  # states, transitions of a state, and slots


@dataclasses.dataclass(frozen=True)
class State:
    """A state of a dialogue.

    Args:
        name: Its name.
        reply: What is said on entering it: a text with `{slot}` for the values of slots; `{{` is a brace.
    """

    name: str
    reply: str


@dataclasses.dataclass(frozen=True)
class Transition:
    """A step from a state to another one, or to itself.

    Args:
        state: The name of the state that it is taken in.
        act: The act of the user's turn by which it is taken; None: any act, also one that is not sure.
        to: The name of the next state.
        needs: The slots that must have a value for it to be taken, those of this turn included.
        clears: The slots whose earlier values are forgotten; those that this turn gave stay.
    """

    state: str
    act: str | None
    to: str
    needs: Sequence[str] = ()
    clears: Sequence[str] = ()

    def __str__(self) -> str:
        parts = [self.act or "any act", *(f"{{{slot}}}" for slot in self.needs)]
        cleared = f", forgets {', '.join(self.clears)}" if self.clears else ""
        return f"{self.state} -> {self.to}: {' and '.join(parts)}{cleared}"


class Policy:
    """States, the transitions between them, and the slots that a dialogue fills.

    In a state the first of its transitions is taken whose act is that of the user's turn and whose slots have
    values. Where there is none, the dialogue stays, and says `fallback` and the state's reply again.

    Args:
        states: The states, each name once.
        transitions: In the order in which those of a state are tried.
        start: The name of the first state; its reply is what a program may say before the first turn.
        slots: {slot: {value: words and phrases}} of the words by which the user gives a value; a list of words stands
            for values that are said as they are written. A slot without words, {}, is one of a tagger's labels.
        fallback: What is said where no transition is taken.
        hand_over: What is said when a person takes over.

    Attributes:
        states: {name: State}.
        transitions: A list of Transition.
        start: As given.
        slots: {slot: {value: list of phrases}}.
        fallback: As given.
        hand_over: As given.
        final: The names of the states from which no other state is reached.

    Raises:
        InputError: A state or slot is unknown or given twice; a state is not reached from the start; a transition is
            never taken, since an earlier one takes all its turns; a reply has a slot that may have no value there.

    Example:

    ```python
    State, Transition = lk.tasks.State, lk.tasks.Transition
    policy = lk.tasks.Policy(
        [State("hello", "For which day?"), State("check", "On {day}, right?"), State("done", "Until {day}!")],
        [
            Transition("hello", None, "check", needs=["day"]),
            Transition("check", "yes", "done"),
            Transition("check", "no", "hello", clears=["day"]),
        ],
        start="hello",
        slots={"day": ["Monday", "Tuesday"]},
    )
    print(policy)
    print(policy.next("hello", "inform", {"day"}))
    ```
    """

    def __init__(
        self,
        states: Iterable[State],
        transitions: Iterable[Transition],
        start: str,
        slots: Mapping[str, Mapping[str, Iterable[str]] | Iterable[str]] | None = None,
        fallback: str = FALLBACK,
        hand_over: str = HAND_OVER,
    ):
        self.slots = _checked_slots(slots or {})
        self.states = _checked_states(states, self.slots)
        self.transitions = [_checked_transition(one, self.states, self.slots) for one in transitions]
        if start not in self.states:
            raise InputError(f"start is {start!r:.60}; give one of the states {', '.join(self.states):.200}")
        for name, text in {"fallback": fallback, "hand_over": hand_over}.items():
            if not isinstance(text, str) or not text.strip():
                raise InputError(f"{name} is {text!r:.60}; give the text that is said")
        self.start, self.fallback, self.hand_over = start, valid(fallback), valid(hand_over)
        _check_taken(self.transitions)
        _check_reached(self.states, self.transitions, start)
        _check_filled(self)
        leaving = {one.state for one in self.transitions if one.to != one.state}
        self.final = [name for name in self.states if name not in leaving]

    @property
    def acts(self) -> list[str]:
        """The acts of all transitions, in their order."""
        return list(dict.fromkeys(one.act for one in self.transitions if one.act is not None))

    @property
    def greeting(self) -> str:
        """What may be said before the first turn: the reply of the start."""
        return self.reply(self.start, {})

    def next(self, state: str, act: str | None, filled: Collection[str] = ()) -> Transition | None:
        """Returns the transition that is taken, or None.

        Args:
            state: The name of a state.
            act: The act of the user's turn; None: it is not sure.
            filled: The slots that have a value.
        """
        own = (one for one in self.transitions if one.state == state)
        return next((one for one in own if one.act in (None, act) and set(one.needs) <= set(filled)), None)

    def reply(self, state: str, values: Mapping[str, str]) -> str:
        """Returns what is said in a state: its reply with the values of the slots; "" for one without a value."""
        return "".join(
            text + (values.get(slot, "") if slot else "") for text, slot in pieces(self.states[state].reply)
        )

    # === Files ===
    def as_dict(self) -> dict[str, Any]:
        """Returns the policy as strings, lists and dicts, which JSON can hold and `from_dict` reads."""
        rows = [dataclasses.asdict(one) for one in self.transitions]
        return {
            "format": FORMAT,
            "start": self.start,
            "states": {one.name: one.reply for one in self.states.values()},
            "transitions": [row | {"needs": list(row["needs"]), "clears": list(row["clears"])} for row in rows],
            "slots": self.slots,
            "fallback": self.fallback,
            "hand_over": self.hand_over,
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Policy:
        """Returns the policy of a dict of the form of `as_dict`; texts that are not there have their defaults."""
        if not isinstance(content, Mapping) or content.get("format") != FORMAT:
            raise InputError(f'no dialogue policy: it has no "format": "{FORMAT}"')
        known = {"format", "start", "states", "transitions", "slots", "fallback", "hand_over"}
        if unknown := [name for name in content if name not in known]:
            raise InputError(f"a policy has {unknown[0]!r:.60}; it holds {', '.join(sorted(known))}")
        with damaged("the policy", "give states as {name: reply} and transitions as objects of state, act and to"):
            states = [State(name, reply) for name, reply in content["states"].items()]
            transitions = [Transition(**row) for row in content["transitions"]]
            texts = {name: content[name] for name in ("slots", "fallback", "hand_over") if name in content}
            start = content["start"]
        return cls(states, transitions, start, **texts)

    def save(self, path: str | os.PathLike) -> None:
        """Writes the policy to a JSON file, which a person can change; one that is there stays whole until then."""
        write_json(path_of(path), self.as_dict())

    @classmethod
    def load(cls, path: str | os.PathLike) -> Policy:
        """Reads a file that `save` wrote, or a person did.

        Raises:
            InputError: The file is missing or no policy, and as of the constructor.
        """
        content = read_json(path_of(path))
        with naming(path):
            return cls.from_dict(content)

    # === Pictures ===
    def diagram(self, counts: Mapping[tuple[str, str], int] | None = None) -> Figure:
        """Draws the states and the transitions between them.

        Args:
            counts: {(state, next state): how often}, such as `DialogueReport.transitions`; an arrow has its number,
                and is the wider the larger it is. None: without numbers.

        Returns:
            A matplotlib Figure.
        """
        from lm_keras.tasks.dialogue_diagram import policy_figure

        return policy_figure(self, counts)

    def __str__(self) -> str:
        lines = []
        for one in self.states.values():
            mark = " (start)" * (one.name == self.start) + " (end)" * (one.name in self.final)
            lines.append(f"{one.name}{mark}: {one.reply}")
            lines += [f"  {str(step).split(' ', 1)[1]}" for step in self.transitions if step.state == one.name]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Policy({len(self.states)} states, {len(self.transitions)} transitions, slots {list(self.slots)})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Policy) and self.as_dict() == other.as_dict()

    __hash__ = None


def pieces(template: str) -> list[tuple[str, str | None]]:
    """Returns a template as pairs of a text and the slot after it, None at the end.

    Raises:
        InputError: Its braces are not those of `{slot}`.
    """
    try:
        found = [(text, slot, spec, kind) for text, slot, spec, kind in string.Formatter().parse(template)]
    except ValueError as error:
        raise InputError(f"the reply {template!r:.80} is no template ({error}); write {{{{ for a brace") from None
    if any(spec or kind or slot == "" for _, slot, spec, kind in found):
        raise InputError(f"the reply {template!r:.80} has more than the name of a slot in braces; give {{slot}}")
    return [(text, slot) for text, slot, _, _ in found]


# === What is checked when a policy is made ===
def _checked_slots(slots):
    if not isinstance(slots, Mapping) or len(slots) > MOST:
        raise InputError(f"slots is {slots!r:.60}; give {{slot: {{value: [words]}}}}, at most {MOST}")
    made = {}
    for name, values in slots.items():
        if not isinstance(name, str) or not name.isidentifier():
            raise InputError(f"a slot has the name {name!r:.40}; give letters, digits and _, for templates")
        if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
            raise InputError(f"slot {name} is {values!r:.40}; give its values with their words, or a list of words")
        words = values if isinstance(values, Mapping) else {value: [value] for value in values}
        made[name] = {}
        for value, phrases in words.items():
            phrases = [] if isinstance(phrases, (str, bytes)) or not isinstance(phrases, Iterable) else list(phrases)
            good = isinstance(value, str) and value.strip() and phrases and all(isinstance(p, str) for p in phrases)
            if not good:
                raise InputError(f"slot {name} has the value {value!r:.40}; give a text with a list of its words")
            made[name][valid(value)] = [valid(phrase) for phrase in phrases]
    return made


def _checked_states(states, slots):
    made = {}
    for one in states:
        if not isinstance(one, State):
            raise InputError(f"a state is a {type(one).__name__}; give lk.tasks.State(name, reply)")
        if not isinstance(one.name, str) or not one.name.strip() or one.name in made:
            raise InputError(f"a state has the name {one.name!r:.40}; give each a name of its own")
        if not isinstance(one.reply, str) or not one.reply.strip():
            raise InputError(f"state {one.name:.40} replies {one.reply!r:.40}; give the text that is said")
        unknown = [slot for _, slot in pieces(one.reply) if slot is not None and slot not in slots]
        if unknown:
            raise InputError(
                f"state {one.name:.40} says {{{unknown[0]:.40}}}; the slots are {', '.join(slots) or 'none'}"
            )
        made[valid(one.name)] = State(valid(one.name), valid(one.reply))
    if not 1 <= len(made) <= MOST:
        raise InputError(f"there are {len(made)} states; give 1 to {MOST}")
    return made


def _checked_transition(one, states, slots):
    if not isinstance(one, Transition):
        raise InputError(f"a transition is a {type(one).__name__}; give lk.tasks.Transition(state, act, to)")
    for name in (one.state, one.to):
        if name not in states:
            raise InputError(f"transition {one}: {name!r:.40} is none of the states {', '.join(states):.200}")
    if one.act is not None and (not isinstance(one.act, str) or not one.act.strip()):
        raise InputError(f"transition {one.state} -> {one.to}: the act is {one.act!r:.40}; give its name, or None")
    for names in (one.needs, one.clears):
        if isinstance(names, str) or not isinstance(names, Iterable):
            raise InputError(f"transition {one.state} -> {one.to}: {names!r:.40} is no list of slots")
        if unknown := [slot for slot in names if slot not in slots]:
            told = f"{unknown[0]!r:.40} is none of the slots {', '.join(slots) or '(none)'}"
            raise InputError(f"transition {one.state} -> {one.to}: {told}")
    return dataclasses.replace(one, needs=tuple(one.needs), clears=tuple(one.clears))


def _check_taken(transitions):
    for i, later in enumerate(transitions):
        for one in transitions[:i]:
            if one.state == later.state and one.act in (None, later.act) and set(one.needs) <= set(later.needs):
                raise InputError(f"transition {later} is never taken: {one} is tried before and takes all its turns")


def _check_reached(states, transitions, start):
    reached, new = set(), {start}
    while new:
        reached |= new
        new = {one.to for one in transitions if one.state in new} - reached
    if lost := [name for name in states if name not in reached]:
        raise InputError(f"state {lost[0]!r:.40} is not reached from {start!r:.40}; give a transition to it")


def _check_filled(policy):
    """Raises InputError where a reply may have a slot without a value: what is surely filled, to a fixed point."""
    sure = {name: set() if name == policy.start else set(policy.slots) for name in policy.states}
    changed = True
    while changed:
        changed = False
        for one in policy.transitions:
            after = (sure[one.state] | set(one.needs)) - set(one.clears)
            if not sure[one.to] <= after:
                sure[one.to] &= after
                changed = True
    for one in policy.states.values():
        if missing := [slot for _, slot in pieces(one.reply) if slot and slot not in sure[one.name]]:
            raise InputError(
                f"state {one.name:.40} says {{{missing[0]}}}, which may have no value there; let the transitions "
                "that lead to it need it"
            )
