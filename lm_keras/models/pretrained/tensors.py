"""Tensors in safetensors files, one at a time: no file is ever held in memory as a whole."""

import json
import math
import re
from pathlib import Path

import numpy as np

from lm_keras.errors import InputError
from lm_keras.files import read_json, replacing

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_ITEM = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "U64": 8, "I32": 4, "U32": 4, "I16": 2, "U16": 2}
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")
_PICKLE = re.compile(rb"PK\x03\x04|\x80[\x02-\x05]")  # PyTorch's zip archive of pickles, or a plain one


def no_pickle(path):
    return InputError(f"{path} is a pickle, which is never read, as it may run any code; convert it to safetensors")


def open_tensors(folder):
    """`(shapes, read)` of folder/model.safetensors, or of the files that its index names.

    Raises InputError when there are none, or one is missing, damaged, cut short, or a pickle.
    """
    folder = Path(folder)
    if (folder / SINGLE).exists():
        return _opened({name: (folder / SINGLE, *entry) for name, entry in _header(folder / SINGLE).items()})
    if (folder / INDEX).exists():
        return _opened(_sharded(folder))
    for pattern in _PICKLES:
        for path in sorted(folder.glob(pattern)):
            raise no_pickle(path)
    raise InputError(f"{folder} has no {SINGLE} and no {INDEX}; give the folder of a whole checkpoint")


def _opened(entries):
    def read(name):
        path, kind, shape, begin = entries[name]
        if kind not in _TYPES:
            raise InputError(f"{name} in {path} has type {kind}; F64, F32, F16 and BF16 are read")
        count = math.prod(shape)
        values = np.fromfile(path, _TYPES[kind], count, offset=begin)
        if len(values) < count:
            raise InputError(f"{path} was cut short while it was read; use another copy")
        if kind == "BF16":  # the upper half of a float32
            values = (values.astype("<u4") << 16).view("<f4")
        return values.astype("float32", copy=False).reshape(shape)

    return {name: entry[2] for name, entry in entries.items()}, read


def _sharded(folder):
    index = read_json(folder / INDEX)
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict) or not places:
        raise InputError(f"{folder / INDEX} has no weight_map; use another copy")
    headers, entries = {}, {}
    for name, file in places.items():
        if not isinstance(file, str) or Path(file).name != file or not file.endswith(".safetensors"):
            raise InputError(f"{folder / INDEX} names {file!r}, which is no .safetensors file of that folder")
        if file not in headers:
            headers[file] = _header(folder / file)
        if name not in headers[file]:
            raise InputError(f"{folder / INDEX} looks for {name} in {file}, which does not hold it; use another copy")
        entries[name] = (folder / file, *headers[file][name])
    return entries


def _header(path):
    """{name: (type, shape, first byte)} of one file, checked against the file's size."""
    if not path.is_file():
        raise InputError(f"{path} does not exist; the checkpoint is not whole")
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(64)
        length = int.from_bytes(start[:8], "little")
        if start[8:9] != b"{" and _PICKLE.match(start):
            raise no_pickle(path)
        if len(start) < 10 or start[8:9] != b"{" or length > size - 8:
            raise InputError(f"{path} is no safetensors file or cut short; use another copy")
        file.seek(8)
        text = file.read(length)
    try:
        header = json.loads(text)
        header.pop("__metadata__", None)
        return {name: _entry(size - 8 - length, 8 + length, **entry) for name, entry in header.items()}
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise InputError(f"{path} is damaged or cut short ({error}); use another copy") from None


def _entry(room, start, dtype, shape, data_offsets):
    begin, end = data_offsets
    if not all(isinstance(n, int) and n >= 0 for n in (*shape, begin, end)) or end > room:
        raise ValueError(f"a tensor ends at byte {end} of {room}")
    if dtype in _ITEM and end - begin != math.prod(shape) * _ITEM[dtype]:
        raise ValueError(f"a tensor of shape {shape} has {end - begin} bytes")
    return dtype, tuple(shape), start + begin


def write_tensors(path, shapes, make):
    """Writes `make(name)`, float32, for each name of `shapes`, one at a time, as transformers expects it."""
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in shapes.items():
            array = np.ascontiguousarray(make(name), "<f4")
            assert array.shape == tuple(shape), name
            array.tofile(file)
