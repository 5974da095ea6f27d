"""Token ids to tf.data: text files, named corpora, windows, splits."""

from lm_keras._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    names={
        "available": "lm_keras.data.corpora",
        "load": "lm_keras.data.corpora",
        "fetch": "lm_keras.data.corpora",
        "splits": "lm_keras.data.corpora",
        "describe": "lm_keras.data.corpora",
        "read_texts": "lm_keras.data.files",
        "split_texts": "lm_keras.data.split",
        "lm_windows": "lm_keras.data.windows",
    },
)
