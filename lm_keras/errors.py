"""The one exception for input that a user can put right."""

import contextlib

_LONGEST = 480  # characters of a message


class InputError(ValueError):
    """Bad input: one line that says what was received and what to do; exit code 2 on the command line.

    The line stays one, and short, whatever stands in a file that it quotes: line ends and control characters are
    written as escapes, and of a very long message the middle is left out.
    """

    def __init__(self, message=""):
        super().__init__(_one_line(str(message)))


def _one_line(message):
    if len(message) > _LONGEST:
        message = f"{message[:300]} ... {message[-150:]}"
    if message.isprintable():
        return message
    return "".join(c if c.isprintable() or c == "\xa0" else " " if c == "\n" else repr(c)[1:-1] for c in message)[
        :_LONGEST
    ]


@contextlib.contextmanager
def damaged(what, advice="use another copy"):
    """Whatever the content of a file runs into is an InputError: who reads a file has not made its mistakes.

    `what`: the path. Errors of memory stay what they are: sizes are compared before anything is made of them.
    """
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:
        told = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{what} is damaged or of another version ({told}); {advice}") from error


class WriteError(InputError, OSError):
    """A file that cannot be written, for want of space or rights: what was there before is unchanged."""


@contextlib.contextmanager
def naming(path):
    """Puts the path of the file before what is wrong with its content."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


class WorkerLostError(RuntimeError):
    """One of several workers is gone, and the run with it: one line that says how to go on; exit code 1."""
