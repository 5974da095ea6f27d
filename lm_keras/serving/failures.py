"""What a server can fail with, under one set of names for gRPC and REST, and which failures are tried again."""

import random
import re
import time
from collections.abc import Callable
from typing import Any

AGAIN = ("UNAVAILABLE", "RESOURCE_EXHAUSTED")  # not reached or too busy: nothing was computed
FIRST_WAIT, LONGEST_WAIT = 0.1, 5.0  # seconds
LONGEST = 500  # characters of a message
# Characters that move a terminal's cursor, change its state, or the order in which text is shown; half characters.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class ServingError(RuntimeError):
    """The server could not be reached, refused the request, did not answer in time, or gave what is no answer.

    Args:
        code: gRPC's name of the reason, for REST too: "UNAVAILABLE", "NOT_FOUND", "INVALID_ARGUMENT",
            "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", ...; "UNKNOWN" for what is no answer of TF Serving's.
        message: What the server said; it is kept in one line of at most about 500 characters, control characters
            escaped.
        again: Whether the same request may get through a little later; None: it depends on the code.
    """

    def __init__(self, code: str, message: str, again: bool | None = None):
        super().__init__(code, one_line(message))
        self.code, self.again = code, code in AGAIN if again is None else again

    def __str__(self):
        return self.args[1]


def one_line(text: str) -> str:
    """A stranger's text in one line, cut where it is long, that does nothing to a terminal."""
    line = escaped(" ".join(text[: 8 * LONGEST].split()))
    cut = f"... ({len(text):,} characters)" if len(text) > 8 * LONGEST or len(line) > LONGEST else ""
    return line[:LONGEST] + cut


def escaped(text: str) -> str:
    r"""The text with control characters as \u001b and the like, as JSON has it too."""
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def redacted(url: str) -> str:
    """The address without user, password and query."""
    return re.sub(r"\?.*", "?***", re.sub(r"^([A-Za-z+]*://)?.*@", r"\1***@", url, flags=re.DOTALL), flags=re.DOTALL)


def retried(call: Callable[[float], Any], retries: int, timeout: float) -> Any:
    """`call(until)`, again after a growing pause where that may help, at most `retries` times more.

    All tries and pauses together take `timeout` seconds at most, for `call` raises at `until` (`time.monotonic`). A
    request leaves nothing behind in the server and its answer depends on it alone, so sending it twice is safe.
    """
    until, tries = time.monotonic() + timeout, 0
    while True:
        try:
            return call(until)
        except ServingError as error:
            # Clients that failed together must not all come back together.
            pause = min(FIRST_WAIT * 2**tries, LONGEST_WAIT) * random.uniform(0.5, 1.0)
            tries += 1
            if not error.again or tries > retries or time.monotonic() + pause >= until:
                raise
        time.sleep(pause)
