"""TensorFlow without its start-up messages."""

import contextlib
import os
import sys
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
