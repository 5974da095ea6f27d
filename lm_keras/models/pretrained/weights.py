"""Weights of a model and tensors of a checkpoint: which is which, in both directions."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lm_keras.errors import InputError
from lm_keras.models.keras_file import check_finite


@dataclasses.dataclass(frozen=True)
class Family:
    """How checkpoints of one kind are read and written.

    `model_types` of config.json, the `builder` of the model, and `prefix`, which tensor names have or have not.
    `arguments(config, names)` of the builder and back, `config(arguments)`. `table(arguments)` {weight path:
    tensor name, or three of them for queries, keys and values}; `heads(arguments)`: how many each of these has.
    `sizes(arguments)` {tensor name: shape} of those that show all sizes; `ignored(arguments)`: a pattern of the names
    of tensors that the model does not need.
    """

    model_types: tuple
    builder: str
    prefix: str
    arguments: Callable
    config: Callable
    table: Callable
    sizes: Callable
    heads: Callable
    ignored: Callable
    linear: bool = True  # kernels are PyTorch's Linear weights, [out, in]
    bare: bool = False  # written without the prefix
    embedding: str | None = None  # the tensor that is the output layer too, where the two are tied
    renamed: tuple = ()  # pairs: what old checkpoints call a part of a name, and what it is called now


def tensor_names(family, checkpoint):
    """{name without prefix: name in the file}."""
    names = {}
    for name in checkpoint.shapes:
        plain = name.removeprefix(family.prefix)
        for old, new in family.renamed:
            plain = plain.replace(old, new)
        if plain in names:
            raise InputError(f"{plain} is there twice, as {names[plain]} and {name}")
        names[plain] = name
    return names


def fitting_names(family, checkpoint, arguments):
    """{name: name in the file} of a model's tensors; InputError, before it is built, when they are not its own."""
    if arguments["num_layers"] > len(checkpoint.shapes):
        raise InputError(f"the tensors of {arguments['num_layers']} layers are not there; use another copy")
    ignored = family.ignored(arguments)
    names = {name: full for name, full in tensor_names(family, checkpoint).items() if not re.fullmatch(ignored, name)}
    expected = {name for parts in family.table(arguments).values() for name in _tuple(parts)}
    _check_names("lacks", [name for name in expected if name not in names])
    _check_names("should not have", [names[name] for name in names if name not in expected])
    _check_shapes(checkpoint, names, family.sizes(arguments))
    return names


def load_weights(model, family, checkpoint, names):
    """Puts the tensors into the model, one at a time; InputError, before any is read, when a shape does not fit."""
    table = family.table(model.recipe.arguments)
    for weight in model.weights:
        _check_shapes(checkpoint, names, _shapes(family, model, weight, table[weight.path]))
    for weight in model.weights:
        parts = [_finite(checkpoint, names[name]) for name in _tuple(table[weight.path])]
        parts = [part.T for part in parts] if _turned(family, weight) else parts
        weight.assign(parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1))


def _finite(checkpoint, name):
    """A tensor; InputError when it holds NaN or infinity, of which every answer would be made."""
    with np.errstate(over="ignore"):  # a float64 that float32 cannot hold
        values = checkpoint.read(name)
    check_finite(name, values, "the model cannot be used, take another copy")
    return values


def saved_tensors(model, family):
    """`(shapes, make)`: the shapes of a checkpoint's tensors by name, and the function that makes one of them."""
    table, places, shapes = family.table(model.recipe.arguments), {}, {}
    for weight in model.weights:
        for i, (name, shape) in enumerate(_shapes(family, model, weight, table[weight.path]).items()):
            name = name if family.bare or name == "lm_head.weight" else family.prefix + name
            places[name], shapes[name] = (weight, i), shape

    def make(name):
        weight, i = places[name]
        array = np.asarray(weight.value)
        names = _tuple(table[weight.path])
        if len(names) > 1:
            ends = np.cumsum(_widths(family, model, weight))
            array = np.split(array, ends[:-1], axis=-1)[i]
        return array.T if _turned(family, weight) else array

    return shapes, make


def _shapes(family, model, weight, names):
    """{tensor name: shape in the checkpoint} of one weight."""
    names = _tuple(names)
    widths = [weight.shape[-1]] if len(names) == 1 else _widths(family, model, weight)
    shapes = [(*weight.shape[:-1], width) for width in widths]
    shapes = [shape[::-1] for shape in shapes] if _turned(family, weight) else shapes
    return dict(zip(names, shapes, strict=True))


def _widths(family, model, weight):
    """How the last axis of a weight is shared by queries, keys and values."""
    heads = family.heads(model.recipe.arguments)
    return [weight.shape[-1] * count // sum(heads) for count in heads]


def _turned(family, weight):
    return family.linear and weight.path.endswith(("/kernel", "/reverse_embeddings"))


def _tuple(names):
    return (names,) if isinstance(names, str) else names


def _check_shapes(checkpoint, names, shapes):
    for name, shape in shapes.items():
        found = checkpoint.shapes[names[name]]
        if found != shape:
            raise InputError(f"{names[name]} has shape {found}, but by the configuration it must be {shape}")


def _check_names(what, names):
    if names:
        some = ", ".join(sorted(names)[:3]) + (", ..." if len(names) > 3 else "")
        raise InputError(f"by the configuration it {what} {len(names)} tensors: {some}")


# === What every kind of checkpoint file looks like to the loader ===

_NOT_GIVEN = object()


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Tensors by Hugging Face's names, read one at a time.

    `shapes` {name: shape} of all tensors of the file; `read(name)` gives one as float32; `config` is the content of
    config.json, or what would stand there.
    """

    path: Path
    config: dict
    shapes: dict
    read: Callable


def setting(config, key, default=_NOT_GIVEN):
    """The value of a key; InputError where it is missing or null and there is no default."""
    value = config.get(key)
    if value is not None:
        return value
    if default is _NOT_GIVEN:
        raise InputError(f"the configuration has no {key}; use a config.json as transformers writes it")
    return default


# What other models of these families' kind have; with another value the numbers would be others.
_FOREIGN = {
    **dict.fromkeys(("logit_scale", "logits_scaling", "residual_multiplier", "embedding_multiplier"), (None, 1)),
    **dict.fromkeys(("scale_emb", "rotary_pct", "rope_ratio"), (None, 1)),
    **dict.fromkeys(("attention_multiplier", "query_pre_attn_scalar", "scale_depth", "clip_qkv"), (None,)),
    **dict.fromkeys(("attn_logit_softcapping", "final_logit_softcapping", "attention_chunk_size"), (None,)),
    **dict.fromkeys(("quantization_config", "mup_scale_factor", "logits_soft_cap"), (None,)),
    **dict.fromkeys(("use_qk_norm", "qk_norm", "qk_layernorm", "alibi", "use_alibi"), (None, False)),
    **dict.fromkeys(("parallel_attn", "use_parallel_residual", "rope_interleaved", "lm_head_bias"), (None, False)),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), (None, 0, 1)),
    **dict.fromkeys(("no_rope_layers", "no_rope_layer_interval"), (None, 0, [])),
}


def no_foreign(config):
    """Raises InputError, with its name, for a setting that changes the numbers of a model in a way not built here."""
    for key, neutral in _FOREIGN.items():
        value = config.get(key)
        if value not in neutral:
            raise InputError(f"{key} {value!r} is not built here; this checkpoint cannot be loaded")


def only(config, key, *known):
    """Raises InputError unless the key is missing or has one of the `known` values, which are what is built here."""
    value = config.get(key, known[0])
    if value not in known:
        choices = " or ".join(map(repr, known))
        raise InputError(f"{key} {value!r} is not built here, only {choices}; this checkpoint cannot be loaded")
