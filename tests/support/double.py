"""A double of TF Serving: exports in TF1 Sessions, XLA off, behind the real gRPC stubs and the REST rules of JSON.

It runs in a process of its own, into which neither keras nor lm_keras can be imported:
`python -I double.py SESSION.PY JSON`, where SESSION.PY is the file with the Blocker and JSON has "models"
(name -> folder of versions) and "labels" (name -> {label: version}). It prints its ports as JSON and ends with its
standard input. It loads all versions at once, never another one, and does not join requests into batches.
"""

import ctypes
import importlib.util
import json
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # python -I leaves it out
from double_errors import RefusedError  # noqa: E402


class Faults:
    """What tests switch on: the next `unavailable` requests fail, each takes `delay` seconds; and their number."""

    def __init__(self):
        self._lock = threading.Lock()
        self.set()

    def set(self, unavailable=0, delay=0.0):
        with self._lock:
            self.unavailable, self.delay, self.requests = unavailable, delay, 0

    def meet(self):
        with self._lock:
            self.requests += 1
            fails = self.unavailable > 0
            self.unavailable -= fails
        time.sleep(self.delay)
        if fails:
            raise RefusedError("UNAVAILABLE", "the double was told to be unavailable")


class Version:
    """A SavedModel in its Session."""

    def __init__(self, tf, folder):
        self._tf, v1 = tf, tf.compat.v1
        self._session = v1.Session(graph=tf.Graph())
        with self._session.graph.as_default():
            meta = v1.saved_model.loader.load(self._session, ["serve"], str(folder))
        self._session.graph.finalize()
        self.signatures = meta.signature_def

    def predict(self, name, inputs):
        """`{output: array}`; the checks and their order are the server's."""
        tf, signature = self._tf, self.signatures[name]
        if inputs.keys() != signature.inputs.keys():
            extra, missing = (sorted(a - b) for a, b in ((inputs.keys(), signature.inputs.keys()),
                                                         (signature.inputs.keys(), inputs.keys())))  # fmt: skip
            raise RefusedError(
                "INVALID_ARGUMENT",
                f"input size does not match signature. Sent extra: {extra}. Missing but required: {missing}.",
            )
        for key, value in inputs.items():
            wanted = tf.dtypes.as_dtype(signature.inputs[key].dtype)
            if tf.dtypes.as_dtype(value.dtype) != wanted:
                given = tf.dtypes.as_dtype(value.dtype).name
                raise RefusedError("INVALID_ARGUMENT", f"{key}: Expects {wanted.name} but {given} is provided")
        try:
            values = self._session.run(
                {key: info.name for key, info in signature.outputs.items()},
                {signature.inputs[key].name: value for key, value in inputs.items()},
            )
        except tf.errors.OpError as error:
            raise RefusedError(_code(tf, error), error.message) from None
        except (ValueError, TypeError) as error:  # a shape that the graph cannot take
            raise RefusedError("INVALID_ARGUMENT", str(error)) from None
        return values


class Models:
    def __init__(self, tf, folders, labels):
        self.versions = {
            name: {int(f.name): Version(tf, f) for f in sorted(Path(folder).iterdir()) if f.name.isdecimal()}
            for name, folder in folders.items()
        }
        self.labels = labels

    def find(self, name, version=None, label=None):
        """(number, Version) of what a request asks for."""
        if label:
            version = self.labels.get(name, {}).get(label)
            if version is None:
                raise RefusedError("INVALID_ARGUMENT", f"Unrecognized servable version label: {label}")
        found = self.versions.get(name, {})
        number = max(found, default=None) if version is None else version
        if number not in found:
            asked = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise RefusedError("NOT_FOUND", f"Servable not found for request: {asked}")
        return number, found[number]

    def available(self, name, version=None):
        """The numbers of the versions, or the one asked for. A label is not looked at, as in the server."""
        found = self.versions.get(name, {})
        if version is not None:
            if version not in found:
                raise RefusedError("NOT_FOUND", f"Could not find version {version} of model {name}")
            return [version]
        if not found:
            raise RefusedError("NOT_FOUND", f"Could not find any versions of model {name}")
        return sorted(found, reverse=True)


def _code(tf, error):
    return next(name for name in dir(tf.errors) if getattr(tf.errors, name) == error.error_code and name.isupper())


def main(session_file, settings):
    spec = importlib.util.spec_from_file_location("session", session_file)
    session = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(session)
    sys.meta_path.insert(0, session.Blocker())
    import tensorflow as tf

    library = Path(tf.__file__).with_name("libtensorflow_cc.so.2")
    ctypes.CDLL(str(library))._ZN10tensorflow21DisableXlaCompilationEv()
    import double_grpc
    import double_rest

    settings, faults = json.loads(settings), Faults()
    models = Models(tf, settings["models"], settings["labels"])
    ports = {"grpc": double_grpc.start(models, faults), "rest": double_rest.start(models, faults)}
    print(json.dumps(ports), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
