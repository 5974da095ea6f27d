"""The one exception for input that a user can put right."""

import contextlib


class InputError(ValueError):
    """Bad input: one line that says what was received and what to do; exit code 2 on the command line."""


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
