"""How much a template from elsewhere may do: steps, characters and seconds, counted while it runs."""

import contextlib
import re
import time
from collections.abc import Iterator
from contextvars import ContextVar
from string import Formatter
from typing import Any

from jinja2 import Undefined
from jinja2.exceptions import SecurityError

STEPS = 200_000  # rounds of loops and calls of one rendering
SIZE = 2**25  # characters of all that it makes, what is thrown away again included
SECONDS = 5.0  # an honest template takes milliseconds
LARGEST = 4096  # bits of a whole number
_NODE = 8  # characters for which a value inside of a list counts, beside its own
_WIDTH = re.compile(r"\d{4}|\*")  # in a format: a field of a thousand characters, or of a size from the arguments


class Budget:
    """What is left of a rendering's steps, characters and seconds.

    Args:
        given: The number of characters that the template and its variables have themselves.
    """

    def __init__(self, given: int) -> None:
        self.steps, self.size, self.end = STEPS, SIZE + 64 * given, time.monotonic() + SECONDS

    def tick(self, characters: int = 0) -> None:
        """Counts one step that writes so many characters; SecurityError where it was the last."""
        self.steps -= 1
        if self.steps < 0 or time.monotonic() > self.end:
            raise SecurityError("it takes too many steps")
        self.charge(characters)

    def charge(self, characters: int) -> None:
        """Counts characters; SecurityError where they are too many."""
        self.size -= characters
        if self.size < 0:
            raise SecurityError("it makes too much text")


_CURRENT: ContextVar[Budget] = ContextVar("budget")


@contextlib.contextmanager
def limited(given: int) -> Iterator[Budget]:
    """Makes a budget the current one of this thread."""
    token = _CURRENT.set(Budget(given))
    try:
        yield _CURRENT.get()
    finally:
        _CURRENT.reset(token)


def tick(characters: int = 0) -> None:
    """Counts one step of the current rendering."""
    _CURRENT.get().tick(characters)


def charge(value: Any, times: int = 1, *, plain: bool = False) -> Any:
    """Counts the characters of a value, once or several times; returns the value.

    A list that holds another twice counts it twice, as its text would.

    Args:
        value: What a template has made.
        times: How often it is about to be written.
        plain: Whether it is about to become text: then it may hold only what JSON has.

    Raises:
        SecurityError: It is too much, or not plain.
    """
    budget, stack = _CURRENT.get(), [value]
    while stack:
        part, size = stack.pop(), _NODE
        if isinstance(part, str):
            size += len(part)
        elif isinstance(part, dict):
            stack += [*part.keys(), *part.values()]
        elif isinstance(part, (list, tuple, set)):
            stack += part
        elif isinstance(part, int):
            size += abs(part).bit_length() // 3
        elif plain and not isinstance(part, (float, type(None), Undefined)):
            raise SecurityError(f"it writes a {type(part).__name__}, which is no text")
        budget.charge(size * max(times, 0))
    return value


def check_operation(operator: str, left: Any, right: Any) -> None:
    """Raises SecurityError for an operation whose result would be too large."""
    if operator == "*":
        for value, times in ((left, right), (right, left)):
            if isinstance(times, int) and isinstance(value, (str, list, tuple)):
                charge(value, times)
    if isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() * (abs(right) if operator == "**" else 1) + right.bit_length()
        if operator in ("**", "*") and bits > LARGEST:
            raise SecurityError("it computes a number that is too large")
    if operator == "%" and isinstance(left, str):
        check_format(left, "%", right)


def check_format(text: str, mark: str, values: Any) -> None:
    """Raises SecurityError for a format of wide fields, or of more text than there may be."""
    fields = [text] if mark == "%" else [field[2] or "" for field in Formatter().parse(text)]
    if any(_WIDTH.search(field) or (mark == "{" and "{" in field) for field in fields):
        raise SecurityError("it formats a field that is too wide")
    charge(values, text.count(mark), plain=True)
    charge(text, 1 + 1000 * text.count(mark) // max(len(text), 1))
