"""What older releases called things: their files load through this table, and calls with an old name are told."""

import contextlib
import json
import re
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from lm_keras.models import BUILDERS

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


@contextlib.contextmanager
def current_file(path: Path, weights: str) -> Iterator[Path]:
    """Gives the path of a .keras file with the layers of today: `path`, or a copy of it for as long as this lasts.

    Args:
        path: The .keras file.
        weights: The name of the HDF5 file in it.
    """
    import h5py

    with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
        builders = dict(_builders(json.loads(archive.read("config.json"))))
        if not any(builder in PATHS for builder in builders.values()):
            yield path
            return
        with h5py.File(archive.extract(weights, folder), "r+") as file:
            renamed = _rename_model(file, builders)
        if not renamed:
            yield path
            return
        copy = Path(folder) / "model.keras"
        with zipfile.ZipFile(copy, "w") as written:
            for name in archive.namelist():
                if name != weights:
                    written.writestr(name, archive.read(name))
            written.write(Path(folder) / weights, weights)
        yield copy


def _builders(config):
    """(name, builder) of each model in the configuration of a .keras file that a builder made."""
    level = [config]
    while level:
        part = level.pop()
        if isinstance(part, dict):
            if isinstance(part.get("builder"), str) and isinstance(part.get("name"), str):
                yield part["name"], part["builder"]
            level += part.values()
        elif isinstance(part, list):
            level += part


def _rename_model(group, builders, outer=None):
    """Moves the layers of a model, a group of an HDF5 file, and of models in it; True if there were any to move."""
    builder = builders.get(_name(group))
    if builder is None and outer == "build_bert_pretrainer":
        builder = "build_bert"  # which stands in no configuration of its own
    layers = group.get("layers", {})
    renamed = builder in PATHS and _rename_layers(layers, builder)
    for inner in list(layers.values()):
        if "layers" in inner:
            renamed |= _rename_model(inner, builders, builder)
    return renamed


def _rename_layers(layers, builder):
    moved = False
    for key in list(layers):
        block, _, part = current_path(builder, name := _name(layers[key])).partition("/")
        if not part or "/" in name:
            continue
        kind, _, number = block.rpartition("_")
        kind = _CLASSES[builder] if kind == "block" else kind
        layers.move(key, f"{kind}/{part}" if number == "0" else f"{kind}_{number}/{part}")
        moved = True
    left = {}  # the others of a class are counted anew
    for key in sorted(layers, key=_class_and_number) if moved else ():
        kind, number = _class_and_number(key)
        count = left[kind] = left.get(kind, -1) + 1
        if count != number:
            layers.move(key, f"{kind}_{count}" if count else kind)
    return moved


def _class_and_number(key):
    kind, number = re.fullmatch(r"(.+?)(?:_(\d+))?", key).groups()
    return kind, int(number or 0)


def _name(group):
    return str(group["vars"].attrs.get("name", "")) if "vars" in group else ""
