"""Trained models with their tokenizers, one application a file: text in, answers out, and an export of each."""

from lm_keras._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    names={
        "Answer": "lm_keras.tasks.qa",
        "Classification": "lm_keras.tasks.classification",
        "QuestionAnswerer": "lm_keras.tasks.qa",
        "Span": "lm_keras.tasks.spans",
        "TextClassifier": "lm_keras.tasks.classification",
        "TextEmbedder": "lm_keras.tasks.embedding",
        "TextTagger": "lm_keras.tasks.tagging",
        "TextToText": "lm_keras.tasks.text_to_text",
    },
)
