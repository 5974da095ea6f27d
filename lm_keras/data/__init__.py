"""Token ids to tf.data: text files, named corpora, windows, splits."""

from lm_keras._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    names={
        "Labelled": "lm_keras.data.records",
        "Relation": "lm_keras.data.records",
        "TaggedSentence": "lm_keras.data.records",
        "Answer": "lm_keras.data.records",
        "QuestionAnswer": "lm_keras.data.records",
        "Translation": "lm_keras.data.records",
        "Dialogue": "lm_keras.data.records",
        "Summary": "lm_keras.data.records",
        "Hypotheses": "lm_keras.data.records",
        "WordPair": "lm_keras.data.records",
        "Analogy": "lm_keras.data.records",
        "available": "lm_keras.data.corpora",
        "classes": "lm_keras.data.corpora",
        "load": "lm_keras.data.corpora",
        "fetch": "lm_keras.data.corpora",
        "locate": "lm_keras.data.corpora",
        "splits": "lm_keras.data.corpora",
        "describe": "lm_keras.data.corpora",
        "read_texts": "lm_keras.data.files",
        "split_texts": "lm_keras.data.split",
        "labelled": "lm_keras.data.labelled",
        "lm_windows": "lm_keras.data.windows",
        "masked_lm": "lm_keras.data.masking",
        "sentence_pairs": "lm_keras.data.passages",
    },
)
