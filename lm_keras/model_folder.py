"""A model and its tokenizer as a folder: config.json, model.safetensors, tokenizer.json."""

import contextlib
import math
from pathlib import Path

import numpy as np

import lm_keras
import lm_keras.models
from lm_keras.errors import InputError, naming
from lm_keras.files import opened_tensors, read_json, tensor_shapes, write_json, write_tensors
from lm_keras.models.limits import weights_within

CONFIG, WEIGHTS, CHECKPOINT = "config.json", "model.safetensors", "checkpoint.safetensors"


def save_config(model, tokenizer, folder):
    """Writes all but the weights: enough to go on with a run that was cut off."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    tokenizer.save(folder)
    write_json(Path(folder) / CONFIG, {"lm_keras": lm_keras.__version__, **model.get_config()})


def save(model, tokenizer, folder):
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
    with naming(folder / CONFIG), _room(folder):
        model = lm_keras.models.CausalLM.from_config(config)
    return model, load_tokenizer(folder)


def _room(folder):
    """The limit of what the config may ask for: what the file of its weights, or of its training, has numbers for."""
    shapes = next((tensor_shapes(folder / name) for name in (WEIGHTS, CHECKPOINT) if (folder / name).exists()), None)
    if shapes is None:
        return contextlib.nullcontext()
    # Quantized weights are made as floats first, and int4 holds two numbers in a byte.
    return weights_within(4 * sum(map(math.prod, shapes.values())) + 1000, 3 * len(shapes) + 10)


def load(folder):
    """`(model, tokenizer)` with the saved weights; InputError when something is missing or does not fit."""
    path = Path(folder) / WEIGHTS
    if (Path(folder) / CONFIG).exists() and not path.exists():
        raise InputError(f"{folder} holds an unfinished run without {WEIGHTS}; go on with `lm-keras train --resume`")
    model, tokenizer = build(folder)
    with opened_tensors(path) as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        if shapes != {weight.path: tuple(weight.shape) for weight in model.weights}:
            raise InputError(f"{path} does not hold the weights that {CONFIG} describes; use another copy")
        for weight in model.weights:
            weight.assign(file.get_tensor(weight.path))
    return model, tokenizer
