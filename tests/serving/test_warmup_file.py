"""The warm-up file: PredictionLog records that a server replays before it takes requests."""

from pathlib import Path

import numpy as np
import pytest

from lm_keras.serving.export.warmup import FILE, read_warmup, write_warmup

CALLS = [
    {"signature": "score", "inputs": {"text": [b"", "ä".encode() * 300, "今天".encode(), b"\xff\x00"]}},
    {
        "signature": "sample",
        "inputs": {
            "prompt": ["a", "b"],
            "max_new_tokens": np.array([0, -(2**31)], np.int32),
            "temperature": np.array([0.5, np.inf], np.float32),
            "seed": np.array([2**31 - 1, -1], np.int32),
        },
    },
    {"signature": "none", "inputs": {}},
]


def same(read, call):
    assert read["signature"] == call["signature"]
    assert read["inputs"].keys() == call["inputs"].keys()
    for name, values in call["inputs"].items():
        if isinstance(values, list):
            values = [v if isinstance(v, bytes) else v.encode() for v in values]
            assert read["inputs"][name].tolist() == values
        else:
            np.testing.assert_array_equal(read["inputs"][name], values)
            assert read["inputs"][name].dtype == values.dtype


def test_round_trip(tmp_path):
    write_warmup(tmp_path / "warmup", "name", CALLS)
    for read, call in zip(read_warmup(tmp_path / "warmup"), CALLS, strict=True):
        same(read, call)


def test_an_export_warms_up_each_signature(exported):
    _, version = exported
    calls = list(read_warmup(Path(version, FILE)))
    assert {call["signature"] for call in calls} == {"serving_default", "score", "generate", "sample", "beam"}
    assert {len(next(iter(call["inputs"].values()))) for call in calls} >= {1, 4}  # sizes of batches


def test_the_servers_own_classes_read_the_records(tmp_path):
    reason = "needs tensorflow-serving-api, which no extra installs"
    prediction_log_pb2 = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2", reason=reason)
    import tensorflow as tf

    write_warmup(tmp_path / "warmup", "name", CALLS)
    records = list(tf.data.TFRecordDataset(str(tmp_path / "warmup")).as_numpy_iterator())
    for record, call in zip(records, CALLS, strict=True):
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        assert (request.model_spec.name, request.model_spec.signature_name) == ("name", call["signature"])
        inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
        same({"signature": request.model_spec.signature_name, "inputs": inputs}, call)
