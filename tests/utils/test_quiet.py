"""Ctrl-C stops a command even where the exception that it raises is lost."""

import os
import signal

import pytest

from lm_keras.utils import quiet


def test_a_lost_interruption_is_raised_again():
    before = signal.getsignal(signal.SIGINT)
    try:
        quiet.watch()
        quiet.check()  # nothing was pressed
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            quiet.check()
        quiet.watch()
        quiet.check()  # another command starts anew
    finally:
        signal.signal(signal.SIGINT, before)
