"""Ctrl-C that is not lost: an exception that comes up within a callback of another library may end there."""

import signal
import threading

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
