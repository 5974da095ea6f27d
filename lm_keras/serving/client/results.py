"""What a server answers is what the model declares: values of that type and shape, one a row; else a ServingError."""

import json
import reprlib

import numpy as np

from lm_keras.serving.failures import ServingError
from lm_keras.serving.results import Span
from lm_keras.text.codepoints import valid

DEEPEST = 32  # dimensions of a tensor whose number of them is not declared
# What the methods of the client need of each signature: (kind, number of dimensions).
NUMBER, WHOLE, TEXT, NUMBERS, TEXTS = ("float", 1), ("int", 1), ("string", 1), ("float", 2), ("string", 2)
_WRITTEN = {"completion": TEXT, "num_new_tokens": WHOLE, "log_prob": NUMBER}
OUTPUTS = {
    "score": {"log_prob": NUMBER, "num_tokens": WHOLE, "perplexity": NUMBER},
    "generate": _WRITTEN,
    "sample": _WRITTEN,
    "beam": _WRITTEN | {"completions": TEXTS, "scores": NUMBERS},
    "classify": {"label": TEXT, "score": NUMBER, "scores": NUMBERS, "classes": TEXTS},
    "tag": {"spans": TEXT},
    "answer": {"answer": TEXT, "score": NUMBER, "start": WHOLE, "end": WHOLE},
    "embed": {"vector": NUMBERS},
}


def check_declared(signature, tensors, model):
    """ServingError unless a signature of the model has the outputs that the client's method of its name gives."""
    for name, (kind, rank) in OUTPUTS[signature].items():
        found = tensors.get(name)
        if found is None or found.shape is None or (kind_of(found.dtype), len(found.shape)) != (kind, rank):
            told = f"{signature} of {model} has no output {name} of {kind}s in {rank} dimensions"
            raise ServingError("UNKNOWN", f"{told}; ask it with predict")


def kind_of(dtype):
    """ "float", "int", "bool", "string", or None for a type that the client does not know."""
    if dtype in ("string", "bool"):
        return dtype
    kind = dtype.lstrip("u").rstrip("0123456789")
    return kind if kind in ("float", "int") and dtype.lstrip("u")[len(kind) :] in ("8", "16", "32", "64") else None


def checked_rows(values, tensor, rows, name, where):
    """The values of an output, one a row, as the Tensor declares them; numbers are rounded to its type.

    REST writes the shortest decimal of a float32 and gRPC gives all of its digits: the same number from both.
    """
    if not isinstance(values, list) or len(values) != rows:
        raise ServingError("UNKNOWN", f"{where} gave no value of {name} for each row")
    kind, raw = kind_of(tensor.dtype), name.endswith("_bytes")
    shape = None if tensor.shape is None else tensor.shape[1:]
    try:
        return [_checked(value, kind, tensor.dtype, raw, shape, DEEPEST) for value in values]
    except (TypeError, ValueError, OverflowError) as error:
        told = f"{where}: {name} is {error}, and the model declares {tensor.dtype} of shape {tensor.shape}"
        raise ServingError("UNKNOWN", told) from None


def _checked(value, kind, dtype, raw, shape, left):
    if shape if shape is not None else isinstance(value, list):
        size = shape[0] if shape else None
        if not isinstance(value, list) or not left or size not in (None, len(value)):
            raise ValueError(reprlib.repr(value))
        return [_checked(each, kind, dtype, raw, shape and shape[1:], left - 1) for each in value]
    fits = {
        "string": isinstance(value, bytes if raw else str),
        "bool": isinstance(value, bool),
        "int": isinstance(value, int) and not isinstance(value, bool),
        "float": isinstance(value, (int, float)) and not isinstance(value, bool),
    }
    if kind is not None and not fits[kind]:
        raise ValueError(reprlib.repr(value))
    if kind == "int" and not np.iinfo(dtype).min <= value <= np.iinfo(dtype).max:
        raise ValueError(reprlib.repr(value))
    if kind == "float":
        with np.errstate(over="ignore"):
            rounded = float(np.dtype(dtype).type(value))
        if np.isinf(rounded) and not np.isinf(float(value)):
            raise ValueError(reprlib.repr(value))
        return rounded
    return valid(value) if isinstance(value, str) else value  # a half character, which JSON can hold, is U+FFFD


def spans_in(text, where):
    """The Spans that an answer of `tag` holds as JSON."""
    kinds = {"start": int, "end": int, "label": str, "score": (int, float), "text": str}
    try:
        found = json.loads(text)
        for span in found:
            if not all(isinstance(span[name], kind) for name, kind in kinds.items()):
                raise TypeError
        return [Span(*(span[name] for name in Span._fields)) for span in found]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ServingError("UNKNOWN", f"{where} gave {reprlib.repr(text)}, which is no list of spans") from None
