"""The double's JSON: tensors from a body and back, by TF Serving's rules (its RESTful API page and json_tensor)."""

import base64
import json

import numpy as np
import tensorflow as tf
from double_errors import wrong

DEFAULT = "serving_default"


# === In ===
def read(body, signatures):
    """(signature's name, {input: array}, whether by row) of a request's body."""
    try:
        document = json.loads(body)
    except ValueError as error:
        raise wrong(f"JSON Parse error: {error}") from None
    if not isinstance(document, dict):
        raise wrong(f"JSON Value: {document!r} Is not object")
    name = document.get("signature_name", DEFAULT)
    if not isinstance(name, str):
        raise wrong("'signature_name' key must be a string value.")
    if name not in signatures:
        raise wrong(f'Serving signature name: "{name}" not found in signature def')
    infos = dict(signatures[name].inputs)
    if "instances" in document and "inputs" in document:
        raise wrong("Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist")
    if "instances" in document:
        return name, _by_row(document["instances"], infos), True
    if "inputs" in document:
        return name, _by_column(document["inputs"], infos), False
    raise wrong("Missing 'inputs' or 'instances' key")


def _by_row(instances, infos):
    if not isinstance(instances, list):
        raise wrong("Excepting 'instances' to be an list/array")
    if not instances:
        raise wrong("No values in 'instances' array")
    named = _named(instances[0])
    if not named and len(infos) > 1:
        raise wrong("instances is a plain list, but expecting list of objects as multiple input tensors required")
    columns = {}
    for i, element in enumerate(instances):
        if _named(element) != named:
            raise wrong(f"Expecting {'object' if named else 'value/list'} at item {i} of input list")
        row = element if named else {next(iter(infos)): element}
        if row.keys() != infos.keys():
            raise wrong(f"Failed to process element: {i} of 'instances' list. keys must be equal to: {sorted(infos)}")
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    return {name: _array(values, infos[name]) for name, values in columns.items()}


def _by_column(inputs, infos):
    if not _named(inputs):
        if len(infos) > 1:
            raise wrong("inputs is a plain value/list, but expecting an object as multiple input tensors required")
        inputs = {next(iter(infos)): inputs}
    for name in infos:  # what is given beside them is not looked at
        if name not in inputs:
            raise wrong(f"Missing named input: {name} in 'inputs' object.")
    return {name: _array(inputs[name], info) for name, info in infos.items()}


def _named(value):
    return isinstance(value, dict) and not (value.keys() == {"b64"} and isinstance(value["b64"], str))


def _array(value, info):
    shape, first = [], value
    while isinstance(first, list):
        shape.append(len(first))
        if not first:
            break
        first = first[0]
    dtype, flat = tf.dtypes.as_dtype(info.dtype), []
    _fill(value, 0, shape, dtype, flat)
    return np.array(flat, dtype.as_numpy_dtype).reshape(shape)


def _fill(value, level, shape, dtype, flat):
    if not isinstance(value, list):
        if level != len(shape):
            raise wrong(
                f"JSON Value: {value!r} found at incorrect level: {level + 1}. Expected at level: {len(shape)}"
            )
        flat.append(_value(value, dtype))
        return
    if level >= len(shape):
        raise wrong(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise wrong(f"Encountered list at unexpected size: {len(value)} expected size: {shape[level]}")
    for each in value:
        _fill(each, level + 1, shape, dtype, flat)


def _value(value, dtype):
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if dtype == tf.string:
        if isinstance(value, str):
            return value.encode("utf-8", "surrogatepass")
        if isinstance(value, dict):
            return _decoded(value)
    elif dtype == tf.bool:
        if isinstance(value, bool):
            return value
    elif dtype.is_floating and number:
        if isinstance(value, int) and abs(value) >= 2 ** (24 if dtype == tf.float32 else 53):
            raise wrong(f"Cannot convert JSON value: {value} to float without loss of precision.")
        if np.isfinite(value) and abs(value) > float(dtype.max):
            raise wrong(f"Cannot convert JSON value: {value} to float without loss of precision.")
        return value
    elif dtype.is_integer and number and isinstance(value, int) and dtype.min <= value <= dtype.max:
        return value
    raise wrong(f"JSON Value: {value!r} is not of expected type: {dtype.name}")


def _decoded(value):
    if _named(value):
        raise wrong(f"JSON Value: {value!r} not formatted correctly for base64 data")
    try:
        return base64.b64decode(value["b64"], validate=True)
    except ValueError:
        raise wrong("Unable to base64 decode") from None


# === Out ===
def write(outputs, by_row):
    """The body of an answer, bytes: what is not UTF-8 in a string goes out as it is."""
    columns = {name: [_json(value, name.endswith("_bytes")) for value in array] for name, array in outputs.items()}
    if len(columns) == 1:
        (column,) = columns.values()
        text = f"[{', '.join(column)}]"
    elif by_row:
        if len({len(column) for column in columns.values()}) > 1:
            raise wrong("Tensor has inconsistent batch size")
        rows = zip(*columns.values(), strict=True)
        names = [json.dumps(name) for name in columns]
        objects = (", ".join(map(": ".join, zip(names, row, strict=True))) for row in rows)
        text = "[" + ", ".join("{" + inner + "}" for inner in objects) + "]"
    else:
        text = "{" + ", ".join(f"{json.dumps(name)}: [{', '.join(column)}]" for name, column in columns.items()) + "}"
    return f'{{"{"predictions" if by_row else "outputs"}": {text}}}'.encode("utf-8", "surrogateescape")


def _json(value, as_bytes):
    if isinstance(value, np.ndarray):
        return "[" + ", ".join(_json(each, as_bytes) for each in value) + "]"
    if isinstance(value, bytes):
        if as_bytes:
            return json.dumps({"b64": base64.b64encode(value).decode()})
        return json.dumps(value.decode("utf-8", "surrogateescape"), ensure_ascii=False)
    if isinstance(value, np.floating):
        return _decimal(value)
    return json.dumps(value.item())


def _decimal(value):
    """Six digits, or as many as the type has where these are not the number; always with a point or an exponent."""
    if not np.isfinite(value):
        return "NaN" if np.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    text = f"{value:.6g}"
    if value.dtype.type(text) != value:
        text = f"{value:.{9 if value.dtype == np.float32 else 17}g}"
    return text if "." in text or "e" in text else text + ".0"
