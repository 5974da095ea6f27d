"""A model and its tokenizer as one SavedModel for TF Serving, and the proof that it serves."""

from lm_keras._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    names={
        "export": "lm_keras.serving.exporting",
        "check": "lm_keras.serving.checking",
        "serve_config": "lm_keras.serving.configuration",
        "query": "lm_keras.serving.session",
        "Client": "lm_keras.serving.client",
        "Served": "lm_keras.serving.served",
        "example_texts": "lm_keras.serving.served",
        "signature": "lm_keras.serving.served",
        "ServingError": "lm_keras.serving.failures",
    },
)
