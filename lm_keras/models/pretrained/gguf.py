"""What a GGUF file says before its numbers: metadata, and where each tensor is (its specification, version 3)."""

import math
import mmap

import numpy as np

from lm_keras.errors import InputError
from lm_keras.layers.positions import rotary_angles
from lm_keras.models.pretrained.weights import Checkpoint

_NUMBERS = {
    0: "<u1",
    1: "<i1",
    2: "<u2",
    3: "<i2",
    4: "<u4",
    5: "<i4",
    6: "<f4",
    7: "?",
    10: "<u8",
    11: "<i8",
    12: "<f8",
}
_STRING, _ARRAY = 8, 9
_WIDEST, _MOST_DIMS, _DEEPEST = 1 << 20, 4, 4  # bytes of an alignment, axes of a tensor, arrays within each other


def read_header(path):
    """`(fields, tensors)`: metadata by name; {tensor name: (shape, number of its type, place of its first byte)}.

    Shapes are NumPy's, the slowest axis first. Raises InputError for another version, or a damaged file.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        cursor = _Cursor(data, len(b"GGUF"))
        try:
            version = cursor.number("<u4")
            if version not in (2, 3):
                raise InputError(
                    f"{path} is GGUF of version {version}; little-endian files of version 2 and 3 are read"
                )
            num_tensors, num_fields = cursor.number("<u8"), cursor.number("<u8")
            cursor.check(num_tensors + num_fields, 12)
            fields = {cursor.string(): cursor.value(cursor.number("<u4")) for _ in range(num_fields)}
            tensors = {cursor.string(): cursor.tensor() for _ in range(num_tensors)}
            step = fields.get("general.alignment", 32)
            if type(step) is not int or not 0 < step <= _WIDEST or step % 8:
                raise ValueError(f"an alignment of {step!r} bytes")
            start = -(-cursor.place // step) * step
        except InputError:
            raise
        except (ValueError, TypeError, KeyError, ArithmeticError, RecursionError) as error:
            raise InputError(f"{path} is damaged or cut short ({error}); use another copy") from None
    return fields, {name: (shape, kind, start + place) for name, (shape, kind, place) in tensors.items()}


class _Cursor:
    """Reads one thing after the other, and nothing behind the end."""

    def __init__(self, data, place):
        self.data, self.place = data, place

    def check(self, count, size):
        if count * size > len(self.data) - self.place:
            raise ValueError(f"{count} values at byte {self.place} of {len(self.data)}")

    def numbers(self, kind, count):
        kind = np.dtype(kind)
        self.check(count, kind.itemsize)
        values = np.frombuffer(self.data, kind, count, self.place).tolist()
        self.place += count * kind.itemsize
        return values

    def number(self, kind):
        return self.numbers(kind, 1)[0]

    def string(self):
        length = self.number("<u8")
        self.check(length, 1)
        self.place += length
        return self.data[self.place - length : self.place].decode("utf-8", errors="replace")

    def value(self, kind, depth=0):
        if kind == _STRING:
            return self.string()
        if kind != _ARRAY:
            return self.number(_NUMBERS[kind])
        inner, count = self.number("<u4"), self.number("<u8")
        if inner in _NUMBERS:
            return self.numbers(_NUMBERS[inner], count)
        self.check(count, 8)
        if depth == _DEEPEST:
            raise ValueError("arrays within arrays within arrays")
        return [self.value(inner, depth + 1) for _ in range(count)]

    def tensor(self):
        dims = self.number("<u4")
        if not 0 < dims <= _MOST_DIMS:
            raise ValueError(f"a tensor of {dims} dimensions")
        shape = tuple(self.numbers("<u8", dims)[::-1])
        if math.prod(shape) > 2**40:
            raise ValueError(f"a tensor of shape {shape}")
        return shape, self.number("<u4"), self.number("<u8")


# === The metadata of a GGUF file as the config.json of Hugging Face that it came from ===

ARCHITECTURES = ("llama", "qwen2")
# What other architectures have; with another value the numbers would be others.
_FOREIGN = {
    **dict.fromkeys(("logit_scale", "residual_scale", "embedding_scale", "rope.scaling.attn_factor"), (0, 1)),
    **dict.fromkeys(("attn_logit_softcapping", "final_logit_softcapping", "attention.scale"), (0,)),
    **dict.fromkeys(("attention.clamp_kqv", "attention.max_alibi_bias"), (0,)),
}
_LENGTHS = (8192, 16384, 32768, 4096, 2048)  # at which a Llama may have been trained before it was stretched


def config_of(path, fields, shapes, speeds):
    """`fields`: the metadata; `shapes` of the tensors; `speeds`: the divisors of the rotary speeds, or None."""
    kind = fields.get("general.architecture")
    if kind not in ARCHITECTURES:
        raise InputError(f"{path} has the architecture {kind!r}; known are {', '.join(ARCHITECTURES)}")

    def field(name, default=None):
        value = fields.get(f"{kind}.{name}", default)
        if value is None:
            raise InputError(f"{path} has no {kind}.{name} in its metadata; use another copy")
        return value

    heads = field("attention.head_count")
    width = field("embedding_length")
    config = {
        "model_type": kind,
        "vocab_size": shapes.get("token_embd.weight", [0])[0],
        "max_position_embeddings": field("context_length"),
        "hidden_size": width,
        "num_hidden_layers": field("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": field("attention.head_count_kv", heads),
        "intermediate_size": field("feed_forward_length"),
        "rms_norm_eps": field("attention.layer_norm_rms_epsilon"),
        "rope_theta": field("rope.freq_base", 10000.0),
        "tie_word_embeddings": "output.weight" not in shapes,
    }
    for name, value in config.items():
        if isinstance(value, list):
            raise InputError(f"{path} has another {name} in each layer, which is not built here")
        if name not in ("model_type", "tie_word_embeddings") and (isinstance(value, str) or not value > 0):
            raise InputError(f"{path} has {name} {value!r} in its metadata; use another copy")
    head_dim = config["head_dim"] = field("attention.key_length", width // heads)
    _same(path, "rope.dimension_count", field("rope.dimension_count", head_dim), head_dim)
    _same(path, "attention.value_length", field("attention.value_length", head_dim), head_dim)
    _same(path, "expert_count", field("expert_count", 0), 0)
    for name, neutral in _FOREIGN.items():
        if field(name, 0) not in neutral:
            raise InputError(f"{path} has {name} {field(name)}, which is not built here")
    window = field("attention.sliding_window", 0) or field("context_length")
    if not isinstance(window, int):
        raise InputError(f"{path} has attention.sliding_window {window!r} in its metadata; use another copy")
    config["max_position_embeddings"] = min(field("context_length"), window)  # up to there nothing slides
    config["rope_scaling"] = _scaling(path, field, config, speeds)
    return config


def _same(path, name, value, wanted):
    if value != wanted:
        raise InputError(f"{path} has {name} {value}, which is not built here, only {wanted}")


def _scaling(path, field, config, speeds):
    # Older files name no type, and the factor by its first name.
    factor = field("rope.scaling.factor", field("rope.scale_linear", 0)) or 1.0
    kind = field("rope.scaling.type", "none" if factor == 1 else "linear")
    if kind not in ("none", "linear") or kind == "linear" and speeds is not None:
        raise InputError(f"{path} has rope.scaling.type {kind!r}; linear and Llama 3.1's are built here")
    if speeds is not None:
        return _llama3(path, config, speeds)
    if kind == "none" or factor == 1:
        return None
    return {"rope_type": "linear", "factor": factor}


def _llama3(path, config, divisors):
    """The file holds what Llama 3.1's rule gives, not its four numbers: those that give it again."""

    def speeds(scaling):
        angles = rotary_angles([[1]], config["head_dim"], config["rope_theta"], scaling)  # at position 1
        return np.asarray(angles).ravel()

    for length in _LENGTHS:
        scaling = {
            "rope_type": "llama3",
            "factor": float(divisors.max()),
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": length,
        }
        plain, slow = speeds(None), speeds(scaling)
        if plain.shape == divisors.shape and np.allclose(plain / slow, divisors, rtol=1e-4):
            return scaling
    raise InputError(f"{path} has rope_freqs.weight of a rule that is not known here, only Llama 3.1's")


# === Llama-type models in GGUF files, the format of llama.cpp, read through the `gguf` package ===

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
