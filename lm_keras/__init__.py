"""lm_keras: language models from theory to practice, in Keras and TensorFlow.

The public names are imported at first use, so that `import lm_keras` stays fast.
"""

import os

from lm_keras._lazy import attach
from lm_keras.utils.serializable import when_keras_is_imported

# Keras reads its backend once, when it is imported; this project is written for TensorFlow.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

when_keras_is_imported()

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = attach(
    __name__,
    submodules=["data", "embeddings", "generation", "losses", "models", "serving", "tasks", "text", "training"],
    names={
        "TrainingConfig": "lm_keras.training.config",
        "fit": "lm_keras.training.fitting",
        "evaluate": "lm_keras.training.evaluation",
        "LanguageModel": "lm_keras.language_model",
        "TextModel": "lm_keras.text_model",
        "register_text_model": "lm_keras.text_model",
        "quantize": "lm_keras.quantization",
        "export": "lm_keras.serving.exporting",
        "check": "lm_keras.serving.checking",
        "InputError": "lm_keras.errors",
    },
)
