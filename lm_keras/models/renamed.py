"""What older releases called things: their files load through this table, and calls with an old name are told."""

import io
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from lm_keras.models import BUILDERS

if TYPE_CHECKING:
    import h5py

_RANGE = {"init_scale": "initializer_range"}
# Builder -> {old name of an argument: the name today}.
ARGUMENTS: dict[str, dict[str, str]] = {
    "build_attention_rnn_lm": {**_RANGE, "score": "attention"},
    "build_bert": {"intermediate_dim": "feed_forward_dim"},
    "build_cnn_lm": _RANGE,
    "build_feedforward_lm": {**_RANGE, "hidden_dims": "hidden_dim"},
    "build_gru_lm": _RANGE,
    "build_llama": {"intermediate_dim": "feed_forward_dim"},
    "build_lstm_lm": _RANGE,
    "build_rnn_lm": _RANGE,
    "build_seq2seq_lstm": _RANGE,
}

# Builder -> pairs: a pattern of the paths of layers and weights in release 0.1, and their paths today. A block was a
# row of layers there, "attention_0", "expand_0"; it is a layer with sublayers now, "block_0/attention".
_BLOCKS = [
    (r"feed_dropout_(\d+)", r"block_\1/feed_forward_dropout"),
    (r"(attention|attention_norm|attention_dropout|feed_forward_norm)_(\d+)", r"block_\2/\1"),
    (r"(expand|gelu|contract|gate|silu|up|down)_(\d+)", r"block_\2/\1"),
]
_ENCODER_DECODER = [
    (r"(encoder|decoder)_(\d+)_source", r"\1_block_\2_source"),
    (r"(encoder|decoder)_(\d+)_(\w+)", r"\1_block_\2/\3"),
]
PATHS: dict[str, list[tuple[str, str]]] = {
    "build_gpt2": _BLOCKS,
    "build_llama": _BLOCKS,
    "build_bert": _BLOCKS,
    "build_bert_pretrainer": _BLOCKS,
    "build_seq2seq_transformer": _ENCODER_DECODER,
}

# What a .keras file calls the blocks of a builder: the class in small letters.
_CLASSES = {"build_gpt2": "gpt2_block", "build_llama": "llama_block", "build_bert": "bert_block"}


def current_arguments(builder: str, arguments: dict) -> dict:
    """The arguments that a file holds for a builder, under the names of today."""
    names = ARGUMENTS.get(builder, {})
    return {names.get(name, name): value for name, value in arguments.items()}


def current_settings(settings: dict) -> dict:
    """The settings of a run of `lm-keras train`, the options of its model under the names of today."""
    return current_arguments(BUILDERS.get(settings.get("model"), ""), settings)


def current_path(builder: str, path: str) -> str:
    """The path of a layer or a weight today, of the path that a file holds for a model of that builder."""
    layer, slash, rest = path.partition("/")
    for pattern, today in PATHS.get(builder, ()):
        if (match := re.fullmatch(pattern, layer)) is not None:
            return match.expand(today) + slash + rest
    return path


def with_current_layers(file: "h5py.File", builders: dict[str, str]) -> "h5py.File":
    """The HDF5 file of a .keras file, or a copy in memory in which the layers stand where they are looked for today.

    Keras names a group after the class of its layer, "dense_4" for the fifth, and keeps the layer's name beside.

    Args:
        file: The file, open for reading.
        builders: The builder of each model in it by the model's name.
    """
    if not any(_moves(layers, builder) for layers, builder in _stacks(file, builders)):
        return file
    copy = type(file)(io.BytesIO(), "w")
    for name in file:
        file.copy(name, copy)
    for layers, builder in _stacks(copy, builders):
        _move_layers(layers, builder)
    return copy


def _stacks(file, builders):
    """(the group of its layers, its builder) of each model in a file."""
    found = [file]
    file.visititems(lambda _, item: found.append(item) if isinstance(item, Mapping) else None)  # no arrays
    names = [(group, builders.get(_name(group))) for group in found if "layers" in group]
    return [(group["layers"], builder) for group, builder in names if builder in PATHS]


def _moves(layers, builder):
    """{group of a layer: where it belongs} of those layers that are sublayers of a block today."""
    moves = {}
    for key in layers:
        block, _, part = current_path(builder, name := _name(layers[key])).partition("/")
        if part and "/" not in name:
            kind, _, number = block.rpartition("_")
            kind = _CLASSES[builder] if kind == "block" else kind
            moves[key] = f"{kind}/{part}" if number == "0" else f"{kind}_{number}/{part}"
    return moves


def _move_layers(layers, builder):
    moves = _moves(layers, builder)
    for key, place in moves.items():
        layers.move(key, place)
    left = {}  # the others of a class are counted anew
    for key in sorted(layers, key=_class_and_number) if moves else ():
        kind, number = _class_and_number(key)
        count = left[kind] = left.get(kind, -1) + 1
        if count != number:
            layers.move(key, f"{kind}_{count}" if count else kind)


def _class_and_number(key):
    kind, number = re.fullmatch(r"(.+?)(?:_(\d+))?", key).groups()
    return kind, int(number or 0)


def _name(group):
    return str(group["vars"].attrs.get("name", "")) if "vars" in group else ""
