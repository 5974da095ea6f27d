"""Runs an export as TF Serving does: a TF1 Session, XLA off, without keras and lm_keras.

This file is also the program that the fresh process runs; it must import nothing of the project.
"""

import base64
import ctypes
import importlib.machinery
import json
import os
import subprocess
import sys
from pathlib import Path

FORBIDDEN = ("PyFunc", "EagerPyFunc", "_XlaMustCompile", "XlaLaunch", "Mutable", "Cudnn")


def query(version: str | os.PathLike, calls: list[dict], timeout: float = 600) -> dict:
    """Answers `calls`, dicts of "signature" and "inputs" (name -> list), from a SavedModel in a fresh process.

    Returns `{"results": [{output: list}], "signatures": ..., "ops": [...]}`; a call that fails gives
    {"error": message}. Strings may be str or bytes; text comes back as str, or bytes if it is not UTF-8.
    """
    version = os.path.expanduser(str(version))  # noqa: PTH111  Path raises where there is no such user
    request = json.dumps({"version": version, "calls": calls}, default=_pack)
    try:
        done = subprocess.run(
            [sys.executable, "-I", __file__],
            input=request, capture_output=True, text=True, timeout=timeout,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"the fresh process did not answer in {timeout} s") from None
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise RuntimeError(f"the fresh process failed: {last}")
    return json.loads(lines[-1], object_hook=_unpack)


def _pack(value):
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    return value.tolist()


def _unpack(value):
    return base64.b64decode(value["b64"]) if value.keys() == {"b64"} else value


class Blocker:
    """Finds keras and lm_keras, because TensorFlow asks where they are, and refuses to import them."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("keras", "lm_keras", "tf_keras"):
            return importlib.machinery.ModuleSpec(name, self)
        return None

    def create_module(self, spec):
        raise ImportError(f"{spec.name} is blocked: a server has no Python")

    def exec_module(self, module):
        raise AssertionError("create_module has refused")


def main():
    sys.meta_path.insert(0, Blocker())
    request = json.load(sys.stdin, object_hook=_unpack)
    import tensorflow as tf

    library = ctypes.CDLL(str(Path(tf.__file__).with_name("libtensorflow_cc.so.2")))
    library["_ZN10tensorflow21DisableXlaCompilationEv"]()  # as the server does at start-up: C++, not Python
    v1 = tf.compat.v1
    with v1.Session(graph=tf.Graph()) as session:
        meta = v1.saved_model.loader.load(session, ["serve"], request["version"])
        signatures = {k: v for k, v in meta.signature_def.items() if not k.startswith("__")}
        results = [answer(session, signatures, call) for call in request["calls"]]
    report = {
        "results": results,
        "signatures": _describe(tf, signatures),
        "ops": _ops(meta.graph_def, _core_ops(library)),
    }
    print(json.dumps(report, default=_pack), flush=True)
    os._exit(0)  # all is said; to take TensorFlow down in order takes another second


def answer(session, signatures, call):
    try:
        signature = signatures[call["signature"]]
        if call["inputs"].keys() != signature.inputs.keys():  # reading a missing one would add it
            raise ValueError(f"the inputs are {', '.join(signature.inputs)}, not {', '.join(call['inputs'])}")
        feed = {signature.inputs[name].name: values for name, values in call["inputs"].items()}
        names = list(signature.outputs)
        values = session.run([signature.outputs[name].name for name in names], feed)
        return {name: _text(value.tolist()) for name, value in zip(names, values, strict=True)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}


def _text(value):
    if isinstance(value, list):
        return [_text(part) for part in value]
    try:
        return value.decode("utf-8") if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return value


def _describe(tf, signatures):
    def tensors(group):
        return {
            name: {
                "dtype": tf.dtypes.as_dtype(info.dtype).name,
                "shape": None if info.tensor_shape.unknown_rank else [d.size for d in info.tensor_shape.dim],
                "dense": info.WhichOneof("encoding") == "name",
            }
            for name, info in group.items()
        }

    return {k: {"inputs": tensors(s.inputs), "outputs": tensors(s.outputs)} for k, s in signatures.items()}


def _core_ops(library):
    """The names of TensorFlow's own operations, by its C API."""
    from tensorflow.core.framework.op_def_pb2 import OpList

    class Buffer(ctypes.Structure):  # TF_Buffer
        _fields_ = [("data", ctypes.c_void_p), ("length", ctypes.c_size_t), ("deallocator", ctypes.c_void_p)]

    library.TF_GetAllOpList.restype = ctypes.POINTER(Buffer)
    buffer = library.TF_GetAllOpList().contents
    return {op.name for op in OpList.FromString(ctypes.string_at(buffer.data, buffer.length)).op}


def _ops(graph_def, core):
    """Every op of the graph and its function library -> what is wrong with it, or None."""
    nodes = [*graph_def.node, *(node for f in graph_def.library.function for node in f.node_def)]
    own = {f.signature.name for f in graph_def.library.function}
    ops = {}
    for node in nodes:
        wrong = None
        if node.op not in own and node.op not in core:
            wrong = "is no core op"
        elif any(part in node.op for part in FORBIDDEN) or node.attr["_XlaMustCompile"].b:
            wrong = "cannot run in the server"
        ops[node.op] = ops.get(node.op) or wrong
    return ops


if __name__ == "__main__":
    main()
