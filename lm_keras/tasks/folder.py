"""A text model as a folder: task.json, model.keras and its tokenizers."""

import importlib
from pathlib import Path

from lm_keras.errors import InputError, naming
from lm_keras.files import read_json, replacing, write_json
from lm_keras.models import load_model
from lm_keras.text import load_tokenizer

TASK, MODEL = "task.json", "model.keras"
KINDS = {
    "TextClassifier": "classification",
    "TextTagger": "tagging",
    "QuestionAnswerer": "qa",
    "TextEmbedder": "embedding",
    "TextToText": "text_to_text",
}


def save(text_model, folder):
    """Writes a text model of this package to `folder`; `load` and `lm-keras export` read it."""
    folder = Path(folder)
    for name, tokenizer in text_model.tokenizers.items():
        tokenizer.save(folder / name)
    with replacing(folder / MODEL) as temporary:
        named = temporary.with_name(temporary.name + ".keras")  # Keras tells the format by the name
        text_model.model.save(named)
        named.replace(temporary)
    content = {"task": type(text_model).__name__, "options": text_model.options}
    write_json(folder / TASK, content | {"tokenizers": list(text_model.tokenizers)})


def load(folder):
    """The text model that `save` wrote; InputError when the folder is none, or not whole."""
    folder = Path(folder)
    if not (folder / TASK).is_file():
        raise InputError(f"{folder} has no {TASK}; give a folder that `lm_keras.tasks.save` wrote")
    content = read_json(folder / TASK)
    try:
        kind, options, names = content["task"], dict(content["options"]), list(content["tokenizers"])
        module = importlib.import_module(f"lm_keras.tasks.{KINDS[kind]}")
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{folder / TASK} describes no text model of this version; save it again") from None
    tokenizers = [load_tokenizer(folder / name) for name in names]
    with naming(folder):
        return getattr(module, kind)(load_model(folder / MODEL), *tokenizers, **options)
