"""A text model as a folder: task.json, model.keras and its tokenizers."""

import importlib
from pathlib import Path

from lm_keras.errors import InputError, damaged, naming
from lm_keras.files import claimed, path_of, read_json, write_json
from lm_keras.model_folder import staged
from lm_keras.models import load_model
from lm_keras.models.limits import check_savable
from lm_keras.saved_kinds import TASK, check_place, kind_of, refusal
from lm_keras.text import load_tokenizer

MODEL = "model.keras"
OTHERS = ("language model", "pretrained", "unfinished train", "unfinished fit", "export")  # not to be saved into
KINDS = {
    "TextClassifier": "classification",
    "TextTagger": "tagging",
    "QuestionAnswerer": "qa",
    "TextEmbedder": "embedding",
    "TextToText": "text_to_text",
}


def save(text_model, folder):
    """Writes a text model of this package to `folder`; `load` and `lm-keras export` read it.

    One that is there stays whole until the new one has been written; a kill in between leaves a folder that `load`
    refuses, never parts of two.
    Raises InputError, and changes nothing, for weights that are not finite and for a folder of another kind.
    """
    if type(text_model).__name__ not in KINDS:
        raise InputError(f"tasks.save takes {', '.join(KINDS)}, not a {type(text_model).__name__}")
    folder = path_of(folder)
    check_savable(text_model.model)
    with claimed(folder), staged(folder) as made:
        check_place(folder, OTHERS)
        for name, tokenizer in text_model.tokenizers.items():
            tokenizer.save(made / name)
        text_model.model.save(made / MODEL)
        content = {"task": type(text_model).__name__, "options": text_model.options}
        write_json(made / TASK, content | {"tokenizers": list(text_model.tokenizers)})
        for name in text_model.tokenizers:
            (folder / name).mkdir(exist_ok=True)
        (folder / TASK).unlink(missing_ok=True)
        for name in text_model.tokenizers:
            (made / name / "tokenizer.json").replace(folder / name / "tokenizer.json")
        for name in (MODEL, TASK):
            (made / name).replace(folder / name)


def load(folder):
    """The text model that `save` wrote; InputError when the folder is none, or not whole."""
    folder = path_of(folder)
    kind = kind_of(folder)
    if not (folder / TASK).is_file():
        if kind in ("missing", "nothing"):
            raise InputError(f"{folder} has no {TASK}; give a folder that `lm_keras.tasks.save` wrote")
        raise refusal(folder, kind, "lk.tasks.load takes a folder of lk.tasks.save")
    content = read_json(folder / TASK)
    with damaged(folder / TASK, "it holds no text model of this version; save it again"):
        kind, options, names = content["task"], dict(content["options"]), list(content["tokenizers"])
        if kind not in KINDS:
            raise InputError(f"{folder / TASK} holds a {kind!r}, no text model of this version; save it again")
        bundle = getattr(importlib.import_module(f"lm_keras.tasks.{KINDS[kind]}"), kind)
        for name in names:
            if not isinstance(name, str) or Path(name).name != name:
                raise InputError(f"{folder / TASK} names the tokenizer {name!r}, no folder beside it; save it again")
        tokenizers = [load_tokenizer(folder / name) for name in names]
    model = load_model(folder / MODEL)
    with naming(folder), damaged(TASK, "it holds no text model of this version; save it again"):
        return bundle(model, *tokenizers, **options)
