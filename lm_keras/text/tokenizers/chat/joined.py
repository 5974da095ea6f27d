"""A chat as one string, as a request to an export has it: turns between U+001E, role and text between U+001F."""

from collections.abc import Mapping, Sequence

from lm_keras.errors import InputError
from lm_keras.text.unicode import valid

TURN, ROLE = "\x1e", "\x1f"  # the separators of records and of units, which ASCII has for this
ORDER = "a system's message (or none), then the user's and the assistant's in turn, the last one the user's"


def joined(messages: Sequence[Mapping[str, str]]) -> str:
    """Returns messages as one string; the two separators are taken out of their texts.

    Args:
        messages: `[{"role": "user", "content": "..."}, ...]`: a system's message or none, then the user's and the
            assistant's in turn, the last one the user's.

    Raises:
        InputError: They are none, or in another order.
    """
    if isinstance(messages, (str, bytes, Mapping)) or not isinstance(messages, Sequence):
        raise InputError(f"messages is {messages!r:.80}; give a list such as [{{'role': 'user', 'content': 'Hi'}}]")
    turns = []
    for i, message in enumerate(messages):
        parts = [message.get(key) for key in ("role", "content")] if isinstance(message, Mapping) else [None]
        if not all(isinstance(part, str) for part in parts):
            raise InputError(f"message {i} is {message!r:.80}; give {{'role': 'user', 'content': 'Hello'}}")
        text = valid(parts[1]).replace(TURN, "").replace(ROLE, "")
        turns.append((parts[0], text))
    if not in_order([role for role, _ in turns]):
        roles = ", ".join(role for role, _ in turns) or "nothing"
        raise InputError(f"the messages are of {roles:.120}; give {ORDER}")
    return TURN.join(f"{role}{ROLE}{text}" for role, text in turns)


def in_order(roles: Sequence[str]) -> bool:
    """Whether messages of these roles are what an export answers to."""
    rest = list(roles[1:] if roles and roles[0] == "system" else roles)
    return len(rest) % 2 == 1 and all(role == ("assistant" if i % 2 else "user") for i, role in enumerate(rest))


def parted(text: str) -> list[dict[str, str]] | None:
    """Returns the messages of a string that `joined` makes; None for one that it does not make."""
    turns = [turn.split(ROLE) for turn in valid(text).split(TURN)]
    if any(len(turn) != 2 for turn in turns) or not in_order([role for role, _ in turns]):
        return None
    return [{"role": role, "content": content} for role, content in turns]
