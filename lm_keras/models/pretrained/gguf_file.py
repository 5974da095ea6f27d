"""Llama-type models in GGUF files, the format of llama.cpp, read through the `gguf` package."""

import math

import numpy as np

from lm_keras.errors import InputError
from lm_keras.models.pretrained.checkpoint import Checkpoint
from lm_keras.models.pretrained.gguf_config import config_of
from lm_keras.models.pretrained.gguf_header import read_header

_TOP = {"token_embd": "embed_tokens", "output_norm": "norm", "output": "lm_head"}
_BLOCK = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
SPEEDS = "rope_freqs.weight"
ROWS = 2048  # of a matrix that are decoded at a time


def open_gguf(path):
    """`(checkpoint, fields)`: tensors under Hugging Face's names, and the file's metadata by name.

    Tensors of all types that the `gguf` package can decode come as float32. Raises InputError for a file that is
    damaged, cut short, of another architecture, or when the package is missing.
    """
    try:
        import gguf
    except ImportError:
        raise InputError(f"{path} needs the gguf package; pip install gguf") from None
    fields, tensors = read_header(path)
    kinds = {name: _kind(gguf, path, name, *entry) for name, entry in tensors.items()}

    def decoded(name):
        shape, _, place = tensors[name]
        kind, numbers, size = kinds[name]
        values = np.empty((math.prod(shape) // shape[-1], shape[-1]), "float32")
        width = shape[-1] // numbers * size
        try:
            for row in range(0, len(values), ROWS):  # decoding takes several times the room of its result
                count = min(ROWS, len(values) - row)
                raw = np.fromfile(path, "u1", count * width, offset=place + row * width).reshape(count, width)
                values[row : row + count] = gguf.dequantize(raw, kind)
        except NotImplementedError:
            raise InputError(f"{path} holds {name} as {kind.name}, which gguf cannot decode") from None
        return values.reshape(shape)

    speeds = decoded(SPEEDS) if SPEEDS in tensors else None
    config = config_of(path, fields, {name: shape for name, (shape, *_) in tensors.items()}, speeds)
    names = {_name(name): name for name in tensors if name != SPEEDS}

    def read(name):
        values = decoded(names[name])
        heads = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}.get(name.split(".")[-2])
        return values if heads is None or config["model_type"] != "llama" else _halves(values, config[heads])

    return Checkpoint(path, config, {name: tensors[full][0] for name, full in names.items()}, read), fields


def _kind(gguf, path, name, shape, number, place):
    """(type, numbers a block, bytes a block) of a tensor; InputError where its bytes are not in the file."""
    try:
        kind = gguf.GGMLQuantizationType(number)
        numbers, size = gguf.GGML_QUANT_SIZES[kind]
    except (ValueError, KeyError):
        raise InputError(f"{path} holds {name} as type {number}, which gguf does not know") from None
    count = math.prod(shape)
    if not count or shape[-1] % numbers or place + count // numbers * size > path.stat().st_size:
        raise InputError(f"{path} is damaged or cut short: {name} ends behind the end of the file; use another copy")
    return kind, numbers, size


def _halves(values, heads):
    """Rows of queries or keys with the two features of a rotated pair side by side -> in the two halves of a head.

    llama.cpp reorders the rows of the llama architecture, and of no other.
    """
    pairs = values.reshape(heads, -1, 2, *values.shape[1:])
    return pairs.swapaxes(1, 2).reshape(values.shape)


def _name(name):
    """Hugging Face's name of a tensor; one that is not known stays as it is."""
    block, _, rest = name.removeprefix("blk.").partition(".") if name.startswith("blk.") else ("", "", name)
    part, _, kind = rest.rpartition(".")
    known = (_BLOCK if block else _TOP).get(part)
    if known is None:
        return name
    return f"layers.{block}.{known}.{kind}" if block else f"{known}.{kind}"
