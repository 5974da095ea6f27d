"""The export check finds what is wrong."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import lm_keras as lk
from lm_keras.serving.export.warmup import FILE, read_warmup, write_warmup

pytestmark = pytest.mark.usefixtures("warm_check")

WEIGHTS = np.arange(1000, dtype=np.float32)


class Broken(tf.Module):
    """One signature a fault, and every weight twice."""

    def __init__(self):
        super().__init__()
        self.weights = tf.Variable(WEIGHTS)
        self.copies = tf.Variable(WEIGHTS)

    def signatures(self):
        rows, fixed = tf.TensorSpec([None], tf.float32, "x"), tf.TensorSpec([3], tf.float32, "x")
        half, scalar = tf.TensorSpec([None], tf.float16, "x"), tf.TensorSpec([], tf.float32, "x")
        compiled = tf.function(lambda x: 2 * x, jit_compile=True)
        bodies = {
            "serving_default": (lambda x: x * self.weights[0] + self.copies[0], rows),
            "python": (lambda x: tf.ensure_shape(tf.py_function(lambda v: v, [x], tf.float32), [None]), rows),
            "xla": (lambda x: compiled(x), rows),
            "scalar_out": (lambda x: tf.reduce_sum(x), rows),
            "scalar_in": (lambda x: tf.fill([2], x), scalar),
            "fixed": (lambda x: x + 1, fixed),
            "half": (lambda x: x + 1, half),
            "sparse": (lambda x: x + 1, rows),
        }
        return {
            name: tf.function(lambda x, body=body: {"y": body(x)}, input_signature=[spec])
            for name, (body, spec) in bodies.items()
        }


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    version = tmp_path_factory.mktemp("broken") / "1"
    module = Broken()
    tf.saved_model.save(module, str(version), module.signatures())
    saved = saved_model_pb2.SavedModel.FromString((version / "saved_model.pb").read_bytes())
    given = saved.meta_graphs[0].signature_def["sparse"].inputs["x"]
    name = given.name
    given.coo_sparse.values_tensor_name = given.coo_sparse.indices_tensor_name = name
    given.coo_sparse.dense_shape_tensor_name = name
    (version / "saved_model.pb").write_bytes(saved.SerializeToString())
    (version / "assets.extra").mkdir()
    expected = [
        {"signature": "serving_default", "inputs": {"x": [1.0]}, "outputs": {"y": [5.0]}},
        {"signature": "fixed", "inputs": {"x": [1.0, 2.0, 3.0]}, "outputs": {"z": [1.0, 2.0, 3.0]}},
        {"signature": "xla", "inputs": {"x": [1.0]}, "outputs": {"y": [2.0]}},
        {"signature": "python", "inputs": {"x": [1.0]}, "outputs": {"y": [1.0]}},
        {"signature": "absent", "inputs": {"x": [1.0]}, "outputs": {"y": [1.0]}},
    ]
    (version / "assets.extra" / "expected.json").write_text(json.dumps(expected))
    (version / "assets.extra" / "model_card.json").write_text(json.dumps({"parameter_bytes": WEIGHTS.nbytes}))
    write_warmup(version / FILE, "broken", [{"signature": "fixed", "inputs": {"x": np.zeros(2, np.float32)}}])
    return version


def test_every_fault_of_a_graph_is_reported(broken):
    problems = lk.check(broken)

    def told(*words):
        return [line for line in problems if all(word in line for word in words)]

    assert told("op EagerPyFunc", "cannot run in the server")
    assert told("PartitionedCall", "cannot run in the server")  # of what must be compiled
    assert told("scalar_out: output y has shape []")
    assert told("scalar_in: input x has shape []")
    assert told("fixed: input x has shape [3]")
    assert told("half: output y is float16")
    assert told("sparse: input x is not a dense tensor")
    assert told("python fails")
    assert told("xla fails")
    assert told("serving_default: y is 0.0", "5.0")
    assert told("fixed: output z has 0 rows, not 3")
    assert told("signature absent is missing")
    assert told("warm-up request of fixed fails")
    assert told("variables take 8,000 bytes for 4,000")
    assert not told("half fails") and all("\n" not in line for line in problems)


@pytest.fixture
def copy(word_version, tmp_path):
    return Path(shutil.copytree(word_version, tmp_path / "copied" / "1"))


def test_altered_answers_are_reported(copy):
    path = copy / "assets.extra" / "expected.json"
    score, *_ = json.loads(path.read_text())
    score["outputs"]["log_prob"][0] -= 0.1
    score["outputs"]["num_tokens"] = [n + 1 for n in score["outputs"]["num_tokens"]]
    path.write_text(json.dumps([score]))
    write_warmup(copy / FILE, "word", [{"signature": "score", "inputs": {"text": ["a"]}}])  # few calls: a fast test
    problems = lk.check(copy)
    assert len([line for line in problems if "log_prob" in line]) == 2  # in its batch and alone
    assert len([line for line in problems if "num_tokens" in line]) == 8
    assert len(problems) == 10


def test_a_warmup_file_that_does_not_replay_is_reported(copy):
    path, whole = copy / FILE, (copy / FILE).read_bytes()
    path.write_bytes(whole[:-7])
    assert "warm-up" in lk.check(copy)[0]
    path.write_bytes(whole[:40] + bytes([whole[40] ^ 1]) + whole[41:])
    assert "warm-up" in lk.check(copy)[0]
    path.write_bytes(b"")
    assert lk.check(copy) == ["the warm-up file holds no request"]
    path.unlink()
    assert "warm-up" in lk.check(copy)[0]


@pytest.mark.parametrize("name", ["expected.json", "model_card.json"])
def test_a_missing_or_damaged_part_is_reported(copy, name):
    path = copy / "assets.extra" / name
    path.write_text("{")
    (problem,) = lk.check(copy)
    assert str(path) in problem and "damaged" in problem
    path.unlink()
    assert lk.check(copy) == [f"{path} does not exist; use another copy"]


def test_a_damaged_graph_is_reported(copy):
    graph = (copy / "saved_model.pb").read_bytes()
    (copy / "saved_model.pb").write_bytes(graph[: len(graph) // 2])
    (problem,) = lk.check(copy)
    assert "fresh process" in problem


def test_a_folder_that_is_no_export_is_bad_input(tmp_path, word_version):
    for folder in (tmp_path, tmp_path / "none", Path(word_version).parent):
        with pytest.raises(lk.InputError, match="version folder"):
            lk.check(folder)


def test_no_python_of_ours_in_the_fresh_process(word_version):
    """The child runs session.py with its blocker in place: what it blocks cannot be imported."""
    from lm_keras.serving.export.session import Blocker

    for name in ("keras", "keras.layers", "lm_keras", "lm_keras.text", "tf_keras"):
        spec = Blocker().find_spec(name)
        with pytest.raises(ImportError, match="blocked"):
            spec.loader.create_module(spec)
    assert Blocker().find_spec("tensorflow") is None and Blocker().find_spec("keras_tuner") is None


def test_warmup_of_an_export_is_what_is_expected_of_it(word_version):
    expected = json.loads(Path(word_version, "assets.extra", "expected.json").read_text())
    warmup = list(read_warmup(Path(word_version, FILE)))
    assert [call["signature"] for call in warmup] == [call["signature"] for call in expected]
