"""Requests to TF Serving's REST interface; no TensorFlow is needed.

Source: TF Serving's "RESTful API" page, and its rules of JSON and tensors.
"""

import base64
import contextlib
import json
import threading
from urllib.parse import quote, urlsplit

from lm_keras.errors import InputError
from lm_keras.serving.failures import ServingError
from lm_keras.serving.results import Tensor, VersionStatus

# HTTP status -> the reason that the server turns into it
CODES = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 409: "ABORTED",
    429: "RESOURCE_EXHAUSTED", 499: "CANCELLED", 500: "INTERNAL", 501: "UNIMPLEMENTED", 503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}  # fmt: skip
NAMES = {"DT_FLOAT": "float32", "DT_DOUBLE": "float64", "DT_HALF": "float16"}


class Rest:
    """One server, one model of it; `where` is "", "/versions/N" or "/labels/L". Threads may share it."""

    def __init__(self, url, model, version, label, timeout):
        try:
            import requests
        except ImportError:
            raise InputError("a REST client needs requests: pip install 'lm_keras[serving]'") from None
        self._requests, self._timeout = requests, timeout
        self._local = threading.local()  # a Session is not promised to be safe among threads
        self._sessions = []
        self._url, self._loopback = url, urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")
        where = f"/versions/{version}" if version is not None else f"/labels/{quote(label, safe='')}" if label else ""
        self._path = f"{url}/v1/models/{quote(model, safe='')}{where}"

    def status(self):
        with self._understood():
            return [
                VersionStatus(int(one["version"]), one["state"], one.get("status", {}).get("error_message", ""))
                for one in self._json("GET", "")["model_version_status"]
            ]

    def signatures(self):
        sides = ("inputs", "outputs")
        with self._understood():
            found = self._json("GET", "/metadata")["metadata"]["signature_def"]["signature_def"]
            return {
                name: {side: {key: _tensor(info) for key, info in each[side].items()} for side in sides}
                for name, each in found.items()
                if not name.startswith("__")
            }

    def predict(self, name, columns, signature):
        """`{output: nested list}` of a request in column form; `signature` is that of `signatures()`."""
        with self._understood():
            answer = self._json("POST", ":predict", {"signature_name": name, "inputs": columns})["outputs"]
            if len(signature["outputs"]) == 1:  # then the server leaves out its name
                (only,) = signature["outputs"]
                answer = {only: answer}
            return {key: _unpacked(values) if key.endswith("_bytes") else values for key, values in answer.items()}

    @contextlib.contextmanager
    def _understood(self):
        """JSON of another kind than TF Serving's is a ServingError."""
        try:
            yield
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            told = f"{self._url}: not an answer of TF Serving's ({type(error).__name__}: {error})"
            raise ServingError("UNKNOWN", told) from None

    def close(self):
        for session in self._sessions:
            session.close()

    def _json(self, method, path, body=None):
        errors, data = self._requests.exceptions, None
        if body is not None:
            data = json.dumps(body, default=lambda value: {"b64": base64.b64encode(value).decode()})
        try:
            reply = self._session().request(method, self._path + path, data=data, timeout=self._timeout)
        except errors.Timeout:
            raise ServingError("DEADLINE_EXCEEDED", f"{self._url} did not answer in {self._timeout} s") from None
        except (errors.ConnectionError, errors.ChunkedEncodingError) as error:
            raise ServingError("UNAVAILABLE", f"{self._url} cannot be reached: {_reason(error)}") from None
        except (errors.RequestException, ValueError) as error:
            raise InputError(f"{self._url} cannot be asked: {error}") from None
        text = reply.content.decode("utf-8", "replace")
        try:
            answer = json.loads(text)  # with NaN, Infinity and -Infinity, as the server writes them
        except ValueError:
            answer = None
        if reply.status_code == 200 and isinstance(answer, dict):
            return answer
        told = answer.get("error") if isinstance(answer, dict) else None
        told = told or f"not an answer of TF Serving's: {reply.status_code} {' '.join(text.split())[:80]!r}"
        raise ServingError(CODES.get(reply.status_code, "UNKNOWN"), f"{self._url}: {told}")

    def _session(self):
        session = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = self._requests.Session()
            self._sessions.append(session)
            session.headers["Content-Type"] = "application/json"
            session.trust_env = not self._loopback  # no proxy of the environment leads to this machine
        return session


def _tensor(info):
    shape, dtype = info["tensor_shape"], info["dtype"]
    sizes = [int(dim["size"]) for dim in shape.get("dim", ())]
    dtype = NAMES.get(dtype, dtype.removeprefix("DT_").lower())
    return Tensor(dtype, None if shape.get("unknown_rank") else [None if size < 0 else size for size in sizes])


def _unpacked(value):
    return [_unpacked(each) for each in value] if isinstance(value, list) else base64.b64decode(value["b64"])


def _reason(error):
    """The innermost cause, without the names of the layers above it."""
    told = str(error)
    return "connection refused" if "refused" in told else told.rsplit(": ", 1)[-1].strip("'\") ")
