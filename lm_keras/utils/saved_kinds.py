"""What a path holds, and who reads it: for advice that fits whatever folder or file was given."""

import os
import zipfile
from collections.abc import Container
from pathlib import Path

from lm_keras.errors import InputError
from lm_keras.utils.atomic_files import opened_tensors, parsed, path_of, read_json, read_tensors

CONFIG, WEIGHTS = "config.json", "model.safetensors"  # of a saved language model
CHECKPOINT, METRICS = "checkpoint.safetensors", "metrics.csv"  # of a training
RUN, RESULT = "run.json", "result.json"  # of `lm-keras train`: its options, and the measures of its weights
LEARNED = "prompt.safetensors"  # a learned prompt, beside a language model or what a training of it alone leaves
TASK = "task.json"  # of `lm_keras.tasks.save`
SAVED_MODEL = "saved_model.pb"  # of an export
FOLDERS = (
    "a run of `lm-keras train`, a folder that LanguageModel.save wrote, a Hugging Face checkpoint or a .gguf file"
)
TELLS = {
    "missing": "is not a folder or a file: there is nothing of that name; check the path",
    "nothing": f"has no {CONFIG}, so it holds no model; give {FOLDERS}",
    "file": f"is no file of a model that is read here; give {FOLDERS}",
    "language model": "is a saved language model; lk.LanguageModel.load reads it",
    "unfinished train": f"holds an unfinished run without {WEIGHTS}; go on with `lm-keras train --resume`",
    "unfinished fit": f"holds an unfinished run without {WEIGHTS}; go on with lk.fit and TrainingConfig(resume=True)",
    "unknown": f"has a {CONFIG} that is of no model of this library and names no model_type; give {FOLDERS}",
    "no config": f"has no {CONFIG} beside its weights; use another copy",
    "no weights": f"holds a language model without its {WEIGHTS}; save it again, or use another copy",
    "checkpoint": (
        "is the output_dir of an lk.fit without a tokenizer, so it takes no text; save the model there with "
        "lk.LanguageModel(model, tokenizer).save, or give lk.fit the tokenizer"
    ),
    "prompt run": (
        "is the output_dir of an lk.fit of a prompt; prompting.PromptTuning.load or PrefixTuning.load reads it"
    ),
    "pretrained": "is a Hugging Face checkpoint; lk.models.load_pretrained reads it",
    "adapter": "is an adapter without its model; merge both with PEFT, and give what that saves",
    "gguf": "is a GGUF file; lk.models.load_pretrained reads it",
    "task": "is a saved text model of lm_keras.tasks; lk.tasks.load reads it, `lm-keras export` exports it, and "
    "`lm-keras predict` and `evaluate` use a classifier",
    "export": (
        "is an export for TF Serving; `lm-keras check` proves it and `lm-keras query` asks the server; for all else "
        "give the folder that it was exported from"
    ),
    "exports": "is a folder of exports for TF Serving; give the folder that they were exported from",
    "keras": (
        "is a Keras model without a tokenizer; lk.models.load_model reads it, and "
        "lk.LanguageModel(model, tokenizer).save(folder) writes both as a folder"
    ),
    "topic model": "is a saved topic model; TopicModel.load reads it",
    "document vectors": "is a file of document vectors; DocumentVectors.load reads it",
    "content filter": "is a saved content filter; ContentFilter.load reads it",
    "learned prompt": "is a learned prompt; prompting.LearnedPrompt.load reads it, and lm.with_prompt takes that",
    "weights": "is a file of weights alone; give the folder that it belongs to",
    "tokenizer": f"holds a tokenizer, but no {CONFIG} and so no model; give {FOLDERS}",
}

# What the facts in a safetensors file name: (key, value) -> kind.
CONTENT_FILTER = "lm_keras content filter 1"
LEARNED_PROMPT = "lm_keras learned prompt 1"
MARKS = {
    ("kind", "topic model"): "topic model",
    ("kind", "doc2vec"): "document vectors",
    ("format", CONTENT_FILTER): "content filter",
    ("format", LEARNED_PROMPT): "learned prompt",
}


def kind_of(path: str | os.PathLike) -> str:
    """One of the keys of TELLS: what a folder or file is, from its names and first bytes."""
    path = path_of(path)
    try:
        if not path.exists():
            return "missing"
    except OSError as error:
        raise InputError(f"{path} cannot be looked at ({error.strerror}); check the path") from None
    return _kind_of_folder(path) if path.is_dir() else _kind_of_file(path)


def read_kind(path: str | os.PathLike, kind: str, reader: str) -> tuple[dict, object]:
    """Reads a file of tensors of one kind.

    Args:
        path: The file.
        kind: A kind that `MARKS` names.
        reader: The function that reads this kind, such as "TopicModel.load", for the advice.

    Returns:
        Its tensors and facts, which the caller checks.

    Raises:
        InputError: It is of another kind, missing, or damaged.
    """
    found = kind_of(path)
    if found not in (kind, "missing", "weights", "file"):  # of these the reader says what is wrong
        raise refusal(path, found, f"{reader} takes a file that {reader.replace('load', 'save')} wrote")
    return read_tensors(path_of(path))


def refusal(path: str | os.PathLike, kind: str | None = None, wanted: str | None = None) -> InputError:
    """The InputError for a path of another kind than is wanted: what is `wanted`, what the path is, who reads it."""
    kind, before = kind or kind_of(path), f"{wanted}; " if wanted else ""
    if kind == "nothing" and (inside := _models_within(path_of(path))):
        return InputError(f"{before}{path} is no model, but a folder of such; give one of them, such as {inside[0]}")
    if kind == "nothing" and any(path_of(path).glob(f"*/*/{SAVED_MODEL}")):
        kind = "exports"
    return InputError(f"{before}{path} {TELLS[kind]}")


def check_place(folder: Path, kinds: Container[str]) -> None:
    """Raises InputError where `folder` holds one of `kinds`, which a save into it would hide, or be hidden by."""
    if (kind := kind_of(folder)) in kinds:
        raise InputError(f"{folder} {TELLS[kind]}; give another folder")


def _kind_of_folder(folder):
    if (folder / TASK).exists():
        return "task"
    if (folder / SAVED_MODEL).exists():
        return "export"
    if (folder / CONFIG).exists():
        return _kind_of_config(folder)
    if (folder / "adapter_config.json").exists():
        return "adapter"
    if (folder / WEIGHTS).exists():
        return "no config"
    if (folder / RUN).exists():
        return "unfinished train"
    if (folder / LEARNED).exists():
        return "prompt run"
    if (folder / CHECKPOINT).exists():
        return "checkpoint"
    if any(version.parent.name.isdecimal() for version in folder.glob(f"*/{SAVED_MODEL}")):
        return "exports"
    if (folder / "tokenizer.json").exists():
        return "tokenizer"
    return "nothing"


def _kind_of_config(folder):
    try:
        config = read_json(folder / CONFIG)
    except InputError:
        config = {}  # whoever reads the folder says that it is damaged
    if not isinstance(config, dict) or (config and not {"model_type", "lm_keras", "builder"} & config.keys()):
        return "unknown"
    if "model_type" in config and "lm_keras" not in config:
        return "pretrained"
    if (folder / WEIGHTS).exists() or "lm_keras" not in config:
        return "language model"
    if (folder / RUN).exists():
        return "unfinished train"
    return "unfinished fit" if any((folder / name).exists() for name in (CHECKPOINT, METRICS)) else "no weights"


def _kind_of_file(path):
    if not path.is_file():  # a pipe or a device: nobody may write to it, ever
        return "file"
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check its permissions") from None
    if start.startswith(b"GGUF"):
        return "gguf"
    if (path.suffix == ".safetensors" or start[8:] == b"{") and (kind := _kind_of_tensors(path)):
        return kind
    if path.suffix in (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".npz"):
        return "weights"
    try:
        with zipfile.ZipFile(path) as archive:
            return "keras" if CONFIG in archive.namelist() else "file"
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, NotImplementedError):
        return "file"


def _kind_of_tensors(path):
    """The kind that the facts in a safetensors file name, or None."""
    try:
        with opened_tensors(path) as file:
            facts = parsed((file.metadata() or {}).get("json", "null"))
    except (InputError, ValueError):  # whoever reads the file says that it is damaged
        facts = None
    if not isinstance(facts, dict):
        return None
    return next((kind for (key, value), kind in MARKS.items() if facts.get(key) == value), None)


def _models_within(folder):
    """What may be given in the place of a folder without a model, snapshots of the Hugging Face hub too."""
    names = (f"*/{CONFIG}", f"*/{TASK}", f"*/{CHECKPOINT}", f"snapshots/*/{CONFIG}")
    folders = {file.parent for name in names for file in folder.glob(name)}
    found = {path for path in folders if kind_of(path) != "unknown"}
    return sorted(found | {file for name in ("*.gguf", "*.keras") for file in folder.glob(name)})
