"""lm_keras: language models from theory to practice, in Keras and TensorFlow.

The public names are imported at first use, so that `import lm_keras` stays fast.
"""

import os

from lm_keras.utils.lazy import attach
from lm_keras.utils.serializable import when_keras_is_imported

# Keras reads its backend once, when it is imported; this project is written for TensorFlow.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

when_keras_is_imported()

__version__ = "0.1.0"

attach(__name__, __file__)
