"""A model and its tokenizer as a folder: config.json, model.safetensors, tokenizer.json."""

import contextlib
import filecmp
import json
import math
import os
import re
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np

import lm_keras
from lm_keras.errors import InputError, naming
from lm_keras.models.causal_lm import CausalLM
from lm_keras.models.keras_file import check_finite, check_savable, weights_within
from lm_keras.models.learned import LearnedPrompt
from lm_keras.models.quantization import without_lora
from lm_keras.models.renamed import current_path
from lm_keras.text.tokenizers.base import Tokenizer, load_tokenizer
from lm_keras.utils.atomic_files import (
    claimed,
    opened_tensors,
    path_of,
    read_json,
    tensor_shapes,
    write_json,
    write_tensors,
    writing,
)
from lm_keras.utils.saved_kinds import CHECKPOINT, CONFIG, LEARNED, RESULT, WEIGHTS, check_place, kind_of, refusal

DIVERGED = "the training has diverged: train again with a lower learning rate"
_NUMBERED = re.compile(r"(.*?)(?:_(\d{1,9}))?", re.DOTALL)
PROMPT = "prompt.json"  # of text
STAGED = ".save-"  # begins the name of a folder of files that are not yet in their place


def check_pair(model: keras.Model, tokenizer: Tokenizer | None) -> None:
    """Raises InputError unless `model` is a language model of this package, of `tokenizer`'s vocabulary."""
    if not isinstance(model, CausalLM):
        raise InputError(f"{type(model).__name__} has no step view; give a model made by lm_keras.models.build_*")
    if tokenizer is not None and not isinstance(tokenizer, Tokenizer):
        raise InputError(
            f"tokenizer is {tokenizer!r:.80}; give one of lm_keras.text, such as BPETokenizer.train(texts)"
        )
    if tokenizer is not None and tokenizer.vocab_size != model.vocab_size:
        raise InputError(
            f"the model scores {model.vocab_size} words and the tokenizer has {tokenizer.vocab_size}; "
            "build the model with vocab_size=tokenizer.vocab_size"
        )


def save_config(model: CausalLM, tokenizer: Tokenizer, folder: str | os.PathLike) -> None:
    """Writes all but the weights: enough to go on with a run that was cut off.

    Raises InputError, and changes nothing, where the folder holds the files of another model or tokenizer.
    """
    folder = path_of(folder)
    with claimed(folder), staged(folder) as made:
        _write_config(model, tokenizer, made)
        names = sorted(file.name for file in made.iterdir())
        for name in names:
            if (folder / name).exists() and not _same(folder / name, made / name):
                raise InputError(f"{folder / name} is there already and of another model; give another folder")
        for name in names:
            (made / name).replace(folder / name)


def save(
    model: CausalLM,
    tokenizer: Tokenizer,
    folder: str | os.PathLike,
    prompt: str = "",
    learned: LearnedPrompt | None = None,
) -> None:
    """Writes the model, LoRA adapters merged, its tokenizer and weights, and prompts if there are such.

    What is there stays until all that is new has been written. Files of another model are replaced without the
    weights in between: a kill leaves a folder that `load` refuses, never parts of two.
    Raises InputError, and changes nothing, for weights that are not finite and for a folder of another kind.
    """
    model, folder = without_lora(model), path_of(folder)
    check_savable(model)
    tensors = {weight.path: np.asarray(weight) for weight in model.weights}
    if len(tensors) != len(model.weights):
        twice = next(name for name, n in Counter(weight.path for weight in model.weights).items() if n > 1)
        raise InputError(f"{model.name} has two weights called {twice}; its builder gives layers names of their own")
    with claimed(folder), staged(folder) as made:
        check_place(folder, ("task", "export"))
        _write_config(model, tokenizer, made)
        if prompt:
            write_json(made / PROMPT, {"prompt": prompt})
        if learned is not None:
            learned.save(made / LEARNED)
        names = sorted(file.name for file in made.iterdir())
        write_tensors(made / WEIGHTS, tensors)
        if not all(_same(folder / name, made / name) for name in names):
            (folder / WEIGHTS).unlink(missing_ok=True)
        if not _same(folder / WEIGHTS, made / WEIGHTS):
            (folder / RESULT).unlink(missing_ok=True)  # it is not of the weights that come now
        for name in {PROMPT, LEARNED} - set(names):
            (folder / name).unlink(missing_ok=True)
        for name in (*names, WEIGHTS):
            (made / name).replace(folder / name)


def _write_config(model, tokenizer, folder):
    tokenizer.save(folder)
    write_json(folder / CONFIG, {"lm_keras": lm_keras.__version__, **model.get_config()})


def remove_staged(folder: Path) -> None:
    """Removes what kills within a save have left in `folder`, which is claimed: nobody else writes there now."""
    for left in folder.glob(f"{STAGED}*.tmp"):
        shutil.rmtree(left, ignore_errors=True)


@contextlib.contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """A new folder within `folder`, to write to before anything there is replaced."""
    remove_staged(folder)
    with writing(folder), tempfile.TemporaryDirectory(prefix=STAGED, suffix=".tmp", dir=folder) as made:
        yield Path(made)


def _same(one, other):
    """Whether two files are of one model or tokenizer: the version that wrote them and frozen layers do not count."""
    try:
        if one.suffix != ".json":
            return filecmp.cmp(one, other, shallow=False)
        contents = [json.loads(file.read_bytes()) for file in (one, other)]
    except (OSError, ValueError):
        return False
    if one.name == CONFIG and all(isinstance(content, dict) for content in contents):
        contents = [{key: content.get(key) for key in ("builder", "arguments")} for content in contents]
    return contents[0] == contents[1]


def build(folder: str | os.PathLike) -> tuple[CausalLM, Tokenizer]:
    """The model of a folder with fresh weights, and its tokenizer."""
    return _built(folder, drawn=True)


def _built(folder, *, drawn):
    """`build`, or with `drawn=False` a model whose weights mean nothing: for what puts others in at once."""
    folder = path_of(folder)
    kind = kind_of(folder)
    if kind != "language model" and not kind.startswith("unfinished") and kind != "no weights":
        raise refusal(folder, kind)
    config = read_json(folder / CONFIG)
    with naming(folder / CONFIG), _room(folder, drawn) as limit:
        model = CausalLM.from_config(config)
        if limit is not None:
            limit.draw_others(model.weights)
    return model, load_tokenizer(folder)


def _room(folder, drawn):
    """The limit of what the config may ask for: what the file of its weights, or of its training, has numbers for."""
    shapes = next((tensor_shapes(folder / name) for name in (WEIGHTS, CHECKPOINT) if (folder / name).exists()), None)
    if shapes is None:
        return contextlib.nullcontext()
    # Quantized weights are made as floats first, and int4 holds two numbers in a byte.
    return weights_within(4 * sum(map(math.prod, shapes.values())) + 1000, 3 * len(shapes) + 10, drawn=drawn)


def load(folder: str | os.PathLike) -> tuple[CausalLM, Tokenizer]:
    """`(model, tokenizer)` with the saved weights; InputError when something is missing or does not fit."""
    path = path_of(folder) / WEIGHTS
    if (kind := kind_of(folder)) != "language model":
        raise refusal(folder, kind)
    model, tokenizer = _built(folder, drawn=False)
    if not path.exists():
        raise InputError(f"{path} does not exist; use another copy")
    with opened_tensors(path) as file:
        names = {current_path(model.recipe.builder, name): name for name in file.keys()}  # noqa: SIM118
        wanted = {weight.path: tuple(weight.shape) for weight in model.weights}
        names = _matched(names, wanted)
        shapes = {today: tuple(file.get_slice(name).get_shape()) for today, name in names.items()}
        if len(names) != len(file.keys()) or shapes != wanted:
            what = _difference(shapes, wanted)
            raise InputError(f"{path} does not hold the weights that {CONFIG} describes: {what}; use another copy")
        for weight in model.weights:
            tensor = file.get_tensor(names[weight.path])
            check_finite(f"{weight.path} in {path}", tensor, DIVERGED)
            weight.assign(tensor)
    return model, tokenizer


def load_prompt(folder: str | os.PathLike) -> tuple[str, LearnedPrompt | None]:
    """The prompts that `save` was given, "" and None if there were none; InputError when a file is damaged."""
    path, learned = path_of(folder) / PROMPT, path_of(folder) / LEARNED
    learned = LearnedPrompt.load(learned) if learned.exists() else None
    if not path.exists():
        return "", learned
    content = read_json(path)
    prompt = content.get("prompt") if isinstance(content, dict) else None
    if not isinstance(prompt, str):
        raise InputError(f"{path} holds no prompt; save the language model again")
    return prompt, learned


def _matched(names, wanted):
    """{path: name in the file}, by the paths of today's model.

    Where they differ, layers may have no name of their own, which older releases counted in the whole process: then
    those that are alike but for numbers go by their order.
    """
    if names.keys() == set(wanted):
        return names
    ours, theirs = _without_numbers(wanted), _without_numbers(names)
    if {key: len(group) for key, group in ours.items()} != {key: len(group) for key, group in theirs.items()}:
        return names
    pairs = (pair for key, group in ours.items() for pair in zip(group, theirs[key], strict=True))
    return {mine: names[other] for mine, other in pairs}


def _without_numbers(paths):
    """{path without the numbers at the ends of its layers' names: those paths, in the order of the numbers}."""
    groups = defaultdict(list)
    for path in paths:
        *layers, weight = path.split("/")
        parts = [_NUMBERED.fullmatch(layer).groups() for layer in layers]
        key = "/".join([*(name for name, _ in parts), weight])
        groups[key].append(([int(number or 0) for _, number in parts], path))
    return {key: [path for _, path in sorted(group)] for key, group in groups.items()}


def _difference(found, wanted):
    """The first weight that is missing, of another shape, or too much in a file."""
    for name, shape in wanted.items():
        if name not in found:
            return f"{name} is missing"
        if found[name] != shape:
            return f"{name} has the shape {found[name]}, not {shape}"
    return f"{min(found.keys() - wanted.keys(), default='a weight')} is none of them"
