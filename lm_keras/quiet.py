"""TensorFlow without its start-up messages."""

import contextlib
import os
import sys
from pathlib import Path


def load_tensorflow():
    """Imports TensorFlow without the lines its libraries print before any log level is known."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")  # or XLA tells of itself when it first compiles something
    sys.stderr.flush()
    with contextlib.ExitStack() as stack, Path(os.devnull).open("w") as nowhere:
        kept = os.dup(2)
        stack.callback(lambda: (os.dup2(kept, 2), os.close(kept)))
        os.dup2(nowhere.fileno(), 2)
        import tensorflow as tf

        tf.constant(0)
