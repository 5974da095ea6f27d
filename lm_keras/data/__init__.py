"""Token ids to tf.data: text files, named corpora, windows, splits."""

from lm_keras._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    names={
        "Labelled": "lm_keras.data.corpus_table",
        "available": "lm_keras.data.corpora",
        "classes": "lm_keras.data.corpora",
        "load": "lm_keras.data.corpora",
        "fetch": "lm_keras.data.corpora",
        "splits": "lm_keras.data.corpora",
        "describe": "lm_keras.data.corpora",
        "read_texts": "lm_keras.data.files",
        "split_texts": "lm_keras.data.split",
        "labelled": "lm_keras.data.labelled",
        "lm_windows": "lm_keras.data.windows",
        "masked_lm": "lm_keras.data.masking",
        "sentence_pairs": "lm_keras.data.passages",
        "duplicates": "lm_keras.data.near_duplicates",
        "without_duplicates": "lm_keras.data.near_duplicates",
        "overlap": "lm_keras.data.ngram_overlap",
        "statistics": "lm_keras.data.text_statistics",
        "language": "lm_keras.data.languages",
        "scrub": "lm_keras.data.scrubbing",
        "ContentFilter": "lm_keras.data.content_filter",
        "train_content_filter": "lm_keras.data.content_training",
        "write_report": "lm_keras.data.report",
    },
)
