"""TF Serving's warm-up file: PredictionLog messages in a TFRecord, and back.

Only length-delimited protobuf fields occur (tensorflow_serving/apis: prediction_log.proto, predict.proto,
model.proto), so a few lines write and read them without the generated classes.
"""

import os
from collections.abc import Iterable, Iterator

import tensorflow as tf

FILE = "assets.extra/tf_serving_warmup_requests"


def write_warmup(path: str | os.PathLike, model_name: str, calls: Iterable[dict]) -> None:
    """Writes `calls`, dicts of "signature" and "inputs" (name -> NumPy array or list of one dtype)."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for call in calls:
            spec = _field(1, model_name.encode()) + _field(3, call["signature"].encode())
            request = _field(1, spec)
            for name, values in call["inputs"].items():
                tensor = tf.make_tensor_proto(values).SerializeToString()
                request += _field(2, _field(1, name.encode()) + _field(2, tensor))
            writer.write(_field(6, _field(1, request)))  # PredictionLog.predict_log.request


def read_warmup(path: str | os.PathLike) -> Iterator[dict]:
    """The calls of a warm-up file, as `write_warmup` takes them."""
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        request = _fields(_fields(_fields(record)[6][0])[1][0])
        call = {"signature": _fields(request[1][0])[3][0].decode(), "inputs": {}}
        for entry in request.get(2, ()):
            name, tensor = (_fields(entry)[number][0] for number in (1, 2))
            proto = tf.make_tensor_proto(0)
            proto.ParseFromString(tensor)
            call["inputs"][name.decode()] = tf.make_ndarray(proto)
        yield call


def _field(number, payload):
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def _fields(message):
    fields, at = {}, 0

    def varint():
        nonlocal at
        value, shift = 0, 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        key, size = varint(), varint()
        if key & 7 != 2:
            raise ValueError(f"field {key >> 3} is not length-delimited")
        fields.setdefault(key >> 3, []).append(message[at : at + size])
        at += size
    return fields
