"""A client of TF Serving: requests of many rows, typed answers."""

import contextlib
import json
import numbers
import threading
from urllib.parse import urlsplit

import numpy as np

from lm_keras.errors import InputError
from lm_keras.serving.columns import as_columns, as_list, row_seeds
from lm_keras.serving.failures import ServingError, retried
from lm_keras.serving.results import Answer, Beams, Classification, Completion, Span, TextScore

SCHEMES = ("http", "https", "grpc", "grpcs")
EXAMPLE = "give e.g. http://localhost:8501 (REST) or grpc://localhost:8500"


class Client:
    """Asks a model of a server by REST (http, https) or gRPC (grpc, grpcs): `Client("grpc://localhost:8500", "lm")`.

    The newest version answers, or that of `version` (a number) or `label` ("stable"). `timeout`: seconds a gRPC
    request may take, or a REST server may be silent; `retries`: how often a request is sent again while the server is
    unavailable or too busy; `batch_size`: rows a request. A text or option may be one value or a list, a value a row;
    answers come in the order of the rows. Raises InputError for input the model does not take and ServingError for
    what the server says. Threads may share a client.
    """

    def __init__(self, url, model, *, version=None, label=None, timeout=60.0, retries=3, batch_size=64):
        scheme = _checked_scheme(url)
        if not isinstance(model, str) or not model:
            raise InputError(f"model is {model!r}; give the name under which the server has it")
        if version is not None and label is not None:
            raise InputError("version and label are both given; leave one of them out")
        _check("version", version, version is None or _whole(version, 0), "a whole number")
        _check("label", label, label is None or (isinstance(label, str) and label), "a name such as 'stable'")
        _check("timeout", timeout, isinstance(timeout, numbers.Real) and 0 < timeout < 1e6, "seconds above 0")
        _check("retries", retries, _whole(retries, 0), "a whole number of at least 0")
        _check("batch_size", batch_size, _whole(batch_size, 1), "a whole number of at least 1")
        if scheme.startswith("grpc"):
            from lm_keras.serving.grpc_transport import Grpc as Transport
        else:
            from lm_keras.serving.rest import Rest as Transport
        self._transport = Transport(url.rstrip("/"), model, version, label, timeout)
        self._model, self._retries, self._batch_size = model, retries, batch_size
        self._known, self._lock = None, threading.Lock()

    def status(self):
        """A VersionStatus for each version that the server knows, or the one asked for by number."""
        return retried(self._transport.status, self._retries)

    def metadata(self):
        """`{signature: {"inputs": {name: Tensor}, "outputs": {name: Tensor}}}` of the version that answers."""
        return retried(self._transport.signatures, self._retries)

    def predict(self, signature, /, **inputs):
        """Any signature: `{output: list of a value a row}` for all its inputs, each one value or a list."""
        described = self._signature(signature, inputs)
        columns, rows = as_columns(inputs, described["inputs"])
        answer = {name: [] for name in described["outputs"]}
        for start in range(0, rows, self._batch_size):
            part = {name: values[start : start + self._batch_size] for name, values in columns.items()}
            size = min(self._batch_size, rows - start)
            for name, values in self._request(signature, part, described).items():
                if not isinstance(values, list) or len(values) != size:
                    raise ServingError(
                        "UNKNOWN", f"{signature} of {self._model} gave no value of {name} for each row"
                    )
                answer[name] += _rounded(values, described["outputs"][name].dtype)
        return answer

    def score(self, texts):
        """A TextScore a text."""
        return self._rows(TextScore, "score", ("log_prob", "num_tokens", "perplexity"), text=texts)

    def generate(self, prompts, max_new_tokens=50):
        """A Completion a prompt (of a sequence-to-sequence model: a source text), each word the likeliest one."""
        return self._completions("generate", prompts, max_new_tokens=max_new_tokens)

    def sample(self, prompts, max_new_tokens=50, temperature=1.0, top_k=0, top_p=1.0, seed=0):
        """A Completion a prompt, sampled; the k-th repeat of a prompt takes seed + k, as in `LanguageModel.generate`.

        A list of seeds is taken as it is, a seed a prompt.
        """
        listed = as_list(prompts)
        prompts = [prompts] if listed is None else listed
        seed = row_seeds(prompts, seed) if _whole(seed, -np.inf) else seed
        options = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
        return self._completions("sample", prompts, max_new_tokens=max_new_tokens, **options)

    def beam(self, prompts, max_new_tokens=50, length_penalty=0.0):
        """Beams a prompt (or source text)."""
        options = {"max_new_tokens": max_new_tokens, "length_penalty": length_penalty}
        more = ("completions", "scores")
        return self._completions("beam", prompts, Beams, more, **options)

    def classify(self, texts):
        """A Classification a text."""
        made = self.predict("classify", text=texts)
        pairs = (dict(zip(*each, strict=True)) for each in zip(made["classes"], made["scores"], strict=True))
        return list(map(Classification, made["label"], made["score"], pairs))

    def tag(self, texts):
        """A list of Spans a text."""
        found = self.predict("tag", text=texts)["spans"]
        return [[Span(*(span[name] for name in Span._fields)) for span in json.loads(spans)] for spans in found]

    def answer(self, questions, contexts):
        """An Answer a question; one context may serve all questions, and one question all contexts."""
        names = ("answer", "score", "start", "end")
        return self._rows(Answer, "answer", names, question=questions, context=contexts)

    def embed(self, texts):
        """The vectors of the texts: float32 [B, D]."""
        shape = self._signature("embed")["outputs"]["vector"].shape
        vectors = self.predict("embed", text=texts)["vector"]
        return np.array(vectors, np.float32).reshape(len(vectors), -1 if vectors else shape[-1] or 0)

    def close(self):
        self._transport.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _completions(self, signature, prompts, kind=Completion, more=(), **options):
        known = self._signature(signature)["inputs"]
        inputs = {"source" if "source" in known else "prompt": prompts, **options}
        return self._rows(kind, signature, ("completion", "num_new_tokens", "log_prob", *more), **inputs)

    def _rows(self, kind, signature, outputs, **inputs):
        answer = self.predict(signature, **inputs)
        return list(map(kind, *(answer[name] for name in outputs)))

    def _signature(self, name, inputs=None):
        """What the model says of a signature, asked for once, and once more if it does not fit `inputs`."""
        with self._lock:
            known = self._known
            for again in (False, True):
                if again or known is None:
                    known = self._known = self.metadata()
                found = known.get(name)
                if found and (inputs is None or inputs.keys() == found["inputs"].keys()):
                    return found
        if not found:
            raise InputError(f"{self._model} has no signature {name!r}; it has {', '.join(sorted(known))}")
        wanted = ", ".join(f"{key} ({tensor.dtype})" for key, tensor in sorted(found["inputs"].items()))
        raise InputError(f"{name} of {self._model} takes {wanted}; got {', '.join(sorted(inputs)) or 'nothing'}")

    def _request(self, signature, columns, described):
        try:
            return retried(lambda: self._transport.predict(signature, columns, described), self._retries)
        except ServingError as error:
            if error.code in ("INVALID_ARGUMENT", "FAILED_PRECONDITION"):
                self._known = None  # perhaps the server has another version by now
            raise


def _checked_scheme(url):
    with contextlib.suppress(ValueError):  # a port that is no number
        parts = urlsplit(url if isinstance(url, str) else "")
        more = parts.query or parts.fragment or (parts.scheme.startswith("grpc") and parts.path.strip("/"))
        host = parts.hostname and (parts.port or True)
        if parts.scheme in SCHEMES and host and not more and "/v1/" not in parts.path + "/":
            return parts.scheme
    raise InputError(f"{url!r} is not the address of a server alone; {EXAMPLE}, and the model's name beside it")


def _rounded(values, dtype):
    """REST writes the shortest decimal of a float32; gRPC gives all of its digits: the same number from both."""
    return np.array(values, dtype).tolist() if dtype == "float32" else values


def _whole(value, least):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and value >= least


def _check(name, value, good, what):
    if not good:
        raise InputError(f"{name} is {value!r}; it must be {what}")
