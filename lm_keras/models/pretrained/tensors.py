"""Tensors in safetensors files, one at a time: they are mapped, never held in memory as a whole."""

import json
import math
import re
from pathlib import Path

import numpy as np

from lm_keras.errors import InputError
from lm_keras.utils.atomic_files import read_json, replacing

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_TYPES = ("F64", "F32", "F16", "BF16")
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
        file = _open(folder / SINGLE)
        return _opened(dict.fromkeys(file.keys(), (folder / SINGLE, file)))
    if (folder / INDEX).exists():
        return _opened(_sharded(folder))
    for pattern in _PICKLES:
        for path in sorted(folder.glob(pattern)):
            raise no_pickle(path)
    raise InputError(f"{folder} has no {SINGLE} and no {INDEX}; give the folder of a whole checkpoint")


def _opened(entries):
    def read(name):
        path, file = entries[name]
        kind = file.get_slice(name).get_dtype()
        if kind not in _TYPES:
            raise InputError(f"{name} in {path} has type {kind}; F64, F32, F16 and BF16 are read")
        return file.get_tensor(name).astype("float32", copy=False)

    return {name: tuple(file.get_slice(name).get_shape()) for name, (_, file) in entries.items()}, read


def _sharded(folder):
    index = read_json(folder / INDEX)
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict) or not places:
        raise InputError(f"{folder / INDEX} has no weight_map; use another copy")
    files, names, entries = {}, {}, {}
    for name, file in places.items():
        if not isinstance(file, str) or Path(file).name != file or not file.endswith(".safetensors"):
            raise InputError(f"{folder / INDEX} names {file!r}, which is no .safetensors file of that folder")
        if file not in files:
            files[file] = _open(folder / file)
            names[file] = set(files[file].keys())
        if name not in names[file]:
            raise InputError(f"{folder / INDEX} looks for {name} in {file}, which does not hold it; use another copy")
        entries[name] = (folder / file, files[file])
    return entries


def _open(path):
    """The `safe_open` of a file, which compares all sizes in the header with the file's."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise InputError(f"{path} does not exist; the checkpoint is not whole")
    with path.open("rb") as file:
        start = file.read(12)
    if start[8:9] != b"{":
        raise no_pickle(path) if _PICKLE.match(start) else InputError(f"{path} is no safetensors file or cut short")
    try:
        return safe_open(path, framework="numpy")
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path} is damaged or cut short ({error}); use another copy") from None


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
