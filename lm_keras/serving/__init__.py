"""A model and its tokenizer as one SavedModel for TF Serving, and the proof that it serves."""

from lm_keras._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    names={
        "export": "lm_keras.serving.export",
        "check": "lm_keras.serving.check",
        "query": "lm_keras.serving.session",
    },
)
