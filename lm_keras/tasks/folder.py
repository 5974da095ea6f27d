"""The short forms of saving and loading a text model."""

import os

from lm_keras.errors import InputError
from lm_keras.text_model import TextModel, load_registered


def save(text_model: TextModel, folder: str | os.PathLike) -> None:
    """Short for `text_model.save(folder)`."""
    if not isinstance(text_model, TextModel):
        what = type(text_model).__name__
        raise InputError(f"tasks.save takes a text model, such as a TextClassifier, not a {what}")
    text_model.save(folder)


def load(folder: str | os.PathLike) -> TextModel:
    """Short for `TextModel.load(folder)`, but for language models, which `LanguageModel.load` reads."""
    return load_registered(folder)
