"""What a terminal sees: TensorFlow without its start-up messages, lines of progress, and Ctrl-C that is not lost."""

import contextlib
import os
import signal
import sys
import threading
from pathlib import Path


def load_tensorflow(compute=True):
    """Imports TensorFlow without the lines its libraries print before any log level is known.

    The first tensor prints some too; `compute=False` leaves it to the caller.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")  # or XLA tells of itself when it first compiles something
    sys.stderr.flush()
    with contextlib.ExitStack() as stack, Path(os.devnull).open("w") as nowhere:
        kept = os.dup(2)
        stack.callback(lambda: (os.dup2(kept, 2), os.close(kept)))
        os.dup2(nowhere.fileno(), 2)
        import tensorflow as tf

        if compute:
            tf.constant(0)


def tell(line):
    """Prints a line of progress; what reads it may be gone, or its disk full, and the training goes on."""
    try:
        try:
            print(line, flush=True)
        except UnicodeEncodeError:  # "·", or a name that is no text
            print(line.encode(sys.stdout.encoding or "ascii", "replace").decode(errors="replace"), flush=True)
    except (OSError, ValueError):  # ValueError: it is closed
        silence(sys.stdout)


def complain(line):
    """Prints a line on standard error; what reads it may be gone, and the exit code stays what it is."""
    try:
        print(line, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        silence(sys.stderr)


def silence(stream):
    """From here on it goes nowhere: what it still holds could not be written when Python ends either."""
    with contextlib.suppress(OSError, ValueError, AttributeError), Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


def on_terminal():
    """Whether standard output is a terminal; it may be closed, or none."""
    with contextlib.suppress(AttributeError, ValueError):
        return sys.stdout.isatty()
    return False


def open_streams():
    """Standard streams that can be written to: to nowhere where they are closed, with a mark for what is no text."""
    for number in range(3):  # a file that is opened later must not get the number of a stream
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115
    for stream, errors in ((sys.stdout, "replace"), (sys.stderr, "backslashreplace")):
        if hasattr(stream, "reconfigure"):
            with contextlib.suppress(OSError, ValueError):  # what reads it is gone
                stream.reconfigure(errors=errors)  # a prompt or a path may hold bytes that are no text


# === Ctrl-C that is not lost: an exception that comes up within a callback of another library may end there ===

_pressed = threading.Event()


def watch():
    """From now on Ctrl-C raises KeyboardInterrupt, and `check` does it again if nobody has heard of it."""

    def pressed(number, frame):
        _pressed.set()
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        _pressed.clear()
        signal.signal(signal.SIGINT, pressed)


def check():
    if _pressed.is_set():
        raise KeyboardInterrupt
