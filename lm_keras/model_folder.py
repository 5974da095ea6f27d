"""A model and its tokenizer as a folder: config.json, model.safetensors, tokenizer.json."""

from pathlib import Path

import numpy as np

import lm_keras
import lm_keras.models
from lm_keras.errors import InputError
from lm_keras.files import read_json, read_tensors, write_json, write_tensors
from lm_keras.models.lora import without_lora
from lm_keras.models.parts import check_finite

CONFIG, WEIGHTS = "config.json", "model.safetensors"


def save_config(model, tokenizer, folder):
    """Writes all but the weights: enough to go on with a run that was cut off."""
    config = {"lm_keras": lm_keras.__version__, **model.get_config()}  # before anything is written: it may refuse
    Path(folder).mkdir(parents=True, exist_ok=True)
    tokenizer.save(folder)
    write_json(Path(folder) / CONFIG, config)


def save(model, tokenizer, folder):
    """Writes the model, LoRA adapters merged, and its tokenizer."""
    model = without_lora(model)
    save_config(model, tokenizer, folder)
    tensors = {weight.path: np.asarray(weight) for weight in model.weights}
    assert len(tensors) == len(model.weights), "two weights have one path"
    write_tensors(Path(folder) / WEIGHTS, tensors)


def build(folder):
    """The model of a folder with fresh weights, and its tokenizer."""
    from lm_keras.text import load_tokenizer

    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give a run folder that `lm-keras train` made")
    if not (folder / CONFIG).exists():
        raise InputError(f"{folder} has no {CONFIG}, so it is no run; give a folder that was trained or saved")
    config = read_json(folder / CONFIG)
    try:
        model = lm_keras.models.CausalLM.from_config(config)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{folder / CONFIG} describes no model of this version ({error}); train it again") from None
    return model, load_tokenizer(folder)


def load(folder):
    """`(model, tokenizer)` with the saved weights; InputError when something is missing or does not fit."""
    model, tokenizer = build(folder)
    path = Path(folder) / WEIGHTS
    if not path.exists():
        raise InputError(f"{folder} holds an unfinished run without {WEIGHTS}; go on with `lm-keras train --resume`")
    tensors, _ = read_tensors(path)
    shapes = {weight.path: tuple(weight.shape) for weight in model.weights}
    if shapes != {name: tensor.shape for name, tensor in tensors.items()}:
        raise InputError(f"{path} does not hold the weights that {CONFIG} describes; use another copy")
    for name, tensor in tensors.items():
        check_finite(f"{name} in {path}", tensor, "the training has diverged: train again with a lower learning rate")
    for weight in model.weights:
        weight.assign(tensors[weight.path])
    return model, tokenizer
