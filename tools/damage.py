"""Random damage to files: bytes, JSON, safetensors, .keras archives. The same for the same random generator."""

import io
import json
import re
import sys
import zipfile
from pathlib import Path

NUMBERS = (-1, 0, 1, 2, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 10**6, 10**8)
DEEP = "\0deep"  # stands for lists in lists, which no writer of JSON would make
SHELL = {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"}
CODE = {"class_name": "__lambda__", "config": {"value": {"class_name": "__bytes__", "config": {"value": "4wAAAA=="}}}}
LAMBDA = {"module": "keras.layers", "class_name": "Lambda", "config": {"name": "x", "function": CODE}}
FETCH = {"module": "keras.utils", "class_name": "function", "config": "get_file", "registered_name": "get_file"}
ODD = (
    *(None, True, False, 0, -1, 1, 2, 3, 7, 10**5, 10**6, 10**8, 2**31, 2**63, 10**30, 10**5000, 0.5, 1e-320, 1e308),
    *(float("nan"), float("inf"), float("-inf"), "", "a", "nan", "\0", "\ud800", "x" * 5000, "a\nb", "../../etc/x"),
    *(
        "float16",
        "mixed_bfloat16",
        "mixed_float16",
        "int4",
        "int8",
        "float8",
        "complex64",
        "string",
        "F8_E5M2",
        "BOOL",
    ),
    *([], {}, [[]], [1], [0, -1], [10**9, 10**9], [None], {"a": 1}, DEEP, DEEP, [""] * 1000, SHELL, LAMBDA, FETCH),
)


def change(rng, data, name):
    """`data`, the bytes of a file, with one to three changes."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        kinds = {".json": change_json, ".safetensors": change_safetensors, ".keras": change_zip}
        special = kinds.get(Path(name).suffix)
        try:
            data = special(rng, data) if special and rng.random() < 0.8 else change_bytes(rng, data)
        except Exception:  # it is damaged already
            data = change_bytes(rng, data)
    return data


def change_bytes(rng, data):
    place, size = rng.randrange(len(data) + 1), rng.choice((1, 2, 4, 8, 64, 1000))
    if rng.random() < 0.4:
        place = min(place, rng.randrange(512))  # numbers that say how much follows stand in front
    block = data[place : place + size]
    kind = rng.choice(("flip", "cut", "insert", "repeat", "drop", "number", "number", "number", "digits", "text"))
    if kind == "flip":
        flipped = bytearray(data)
        for _ in range(min(size, 16)):
            if data:
                flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        return bytes(flipped)
    if kind == "cut":
        return data[:place]
    if kind == "insert":
        return data[:place] + rng.randbytes(size) + data[place:]
    if kind == "repeat":
        return data[:place] + block * rng.choice((2, 3, 100, 1000)) + data[place:]
    if kind == "drop":
        return data[:place] + data[place + size :]
    if kind == "number":
        width = rng.choice((4, 8))
        value = rng.choice((*NUMBERS, rng.getrandbits(64))) % 256**width
        place -= place % 4 if rng.random() < 0.5 else 0
        return data[:place] + value.to_bytes(width, "little") + data[place + width :]
    found = list(re.finditer(rb"[-+]?\d+" if kind == "digits" else rb"[\w ,\n\t]", data[:100_000]))
    if not found:
        return data[:place]
    match = rng.choice(found)
    new = rng.choice(
        ("-1", "0", "1e999", "nan", "inf", "9" * 25, "9" * 5000, "", "\0", '"', ",", "\n", "é", "1_0", "٣")
    )
    return data[: match.start()] + new.encode() + data[match.end() :]


def change_json(rng, data):
    return as_json(rng, changed_value(rng, json.loads(data)))


def as_json(rng, value):
    depth = rng.choice((50, 500, 5000, 200_000))
    deep = rng.choice(("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth, "[" * depth))
    text = dumps(value).replace(json.dumps(DEEP), deep)
    return text.encode("utf-8", "surrogatepass")


def dumps(value):
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        return json.dumps(value, ensure_ascii=True)
    finally:
        sys.set_int_max_str_digits(limit)


def changed_value(rng, value):
    """A JSON value with another value in one place, or a key less, more or renamed."""
    places = []

    def look(parent):
        for key in parent if isinstance(parent, dict) else range(len(parent)):
            places.append((parent, key))
            if isinstance(parent[key], (dict, list)) and (len(parent[key]) < 1000 or rng.random() < 0.1):
                look(parent[key])

    if isinstance(value, (dict, list)):
        look(value)
    if not places or rng.random() < 0.02:
        return rng.choice(ODD)
    parent, key = rng.choice(places)
    kind = rng.choice(("odd", "odd", "odd", "odd", "like", "move", "drop", "rename", "more", "text"))
    if kind == "odd":
        parent[key] = rng.choice(ODD)
    elif kind == "like" and isinstance(parent[key], (int, float)):
        factor = rng.choice((-1, 0, 0.5, 2, 3, 10, 1000, 10**6))
        parent[key] = type(parent[key])(parent[key] * factor) if not isinstance(parent[key], bool) else factor
    elif kind == "move":
        other, place = rng.choice(places)
        parent[key] = json.loads(json.dumps(other[place]))
    elif kind == "text" and isinstance(parent[key], str):
        parent[key] = change_bytes(rng, parent[key].encode("utf-8", "replace")).decode("utf-8", "replace")
    elif isinstance(parent, dict) and kind == "rename":
        parent[rng.choice(("name", "config", "a", "", key + "x"))] = parent.pop(key)
    elif isinstance(parent, dict) and kind == "more":
        parent[rng.choice(("name", "dtype", "seed", "trainable", "new", "path"))] = rng.choice(ODD)
    elif kind == "drop":
        del parent[key]
    elif isinstance(parent, list):
        parent.extend([parent[key]] * rng.choice((1, 2, 1000)))
    else:
        parent[key] = rng.choice(ODD)
    return value


def change_safetensors(rng, data):
    length = int.from_bytes(data[:8], "little")
    header, rest = json.loads(data[8 : 8 + length]), data[8 + length :]
    if rng.random() < 0.1:
        return rng.choice((0, length + 1, 5 << 30, 2**63, 2**64 - 1)).to_bytes(8, "little") + data[8:]
    inner = (header.get("__metadata__") or {}).get("json")
    if inner and rng.random() < 0.5:
        header["__metadata__"]["json"] = as_json(rng, changed_value(rng, json.loads(inner))).decode()
    else:
        header = changed_value(rng, header)
    text = as_json(rng, header)
    return len(text).to_bytes(8, "little") + text + rest


def change_zip(rng, data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(("config.json", "config.json", "metadata.json", "model.weights.h5", *members))
    kind = rng.random()
    if kind < 0.03:
        members.pop(name, None)
    elif kind < 0.06:
        members[rng.choice(("assets/../../x", "/tmp/x", "assets/a", "config.json.bak"))] = b"x"
    elif kind < 0.07:
        members[rng.choice(("config.json", "model.weights.h5", "assets/a"))] = bytes(400 << 20)
    elif name.endswith(".json"):
        members[name] = change_json(rng, members[name])
    else:
        members[name] = (change_h5 if rng.random() < 0.5 else change_bytes)(rng, members[name])
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED if rng.random() < 0.5 else zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(name, content, zipfile.ZIP_DEFLATED if len(content) > 1 << 20 else None, 1)
    return made.getvalue()


def change_h5(rng, data):
    """One dataset becomes another: of a huge shape without content, of another type, a link."""
    import h5py

    file = io.BytesIO(data)
    with h5py.File(file, "r+") as h5:
        names = []
        h5.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        name = rng.choice(names)
        shape = h5[name].shape
        del h5[name]
        kind = rng.choice(("huge", "zip", "text", "link", "outside", "shape", "group"))
        if kind in ("huge", "zip"):
            shape = (rng.choice((10**4, 10**9)), 10**5)
            h5.create_dataset(name, shape, "f4", chunks=(100, 100), compression="gzip" if kind == "zip" else None)
        elif kind == "text":
            h5.create_dataset(name, shape, h5py.string_dtype())
        elif kind == "link":
            h5[name] = h5py.SoftLink("/")
        elif kind == "outside":
            h5[name] = h5py.ExternalLink("/etc/passwd", "/")
        elif kind == "shape":
            h5.create_dataset(name, (*shape, 2), rng.choice(("f8", "i4", "c16")))
        else:
            h5.create_group(name)
    return file.getvalue()
