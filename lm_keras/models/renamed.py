"""What older releases called things: their files load through this table, and calls with an old name are told."""

import re

# Builder -> {old name of an argument: the name today}.
ARGUMENTS: dict[str, dict[str, str]] = {
    "build_bert": {"intermediate_dim": "feed_forward_dim"},
    "build_llama": {"intermediate_dim": "feed_forward_dim"},
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


def current_arguments(builder: str, arguments: dict) -> dict:
    """The arguments that a file holds for a builder, under the names of today."""
    names = ARGUMENTS.get(builder, {})
    return {names.get(name, name): value for name, value in arguments.items()}


def current_path(builder: str, path: str) -> str:
    """The path of a layer or a weight today, of the path that a file holds for a model of that builder."""
    layer, slash, rest = path.partition("/")
    for pattern, today in PATHS.get(builder, ()):
        if (match := re.fullmatch(pattern, layer)) is not None:
            return match.expand(today) + slash + rest
    return path
