"""Requests to TF Serving's REST interface; no TensorFlow is needed.

Source: TF Serving's "RESTful API" page, and its rules of JSON and tensors.
"""

import base64
import contextlib
import http.client
import io
import json
import socket
import ssl
import threading
import time
from urllib.parse import quote, unquote, urlsplit

from lm_keras.serving.client.results import ServingError, Tensor, VersionStatus, redacted

# HTTP status -> the reason that the server turns into it
CODES = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 409: "ABORTED",
    413: "RESOURCE_EXHAUSTED", 429: "RESOURCE_EXHAUSTED", 499: "CANCELLED", 500: "INTERNAL", 501: "UNIMPLEMENTED",
    502: "UNAVAILABLE", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}  # fmt: skip
AGAIN = (429, 502, 503, 504)  # a 413 stays too large
NAMES = {"DT_FLOAT": "float32", "DT_DOUBLE": "float64", "DT_HALF": "float16"}
HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "lm_keras"}


class Rest:
    """One server, one model of it, a version ("/versions/N") or label ("/labels/L") of that. Threads may share it."""

    def __init__(self, url, model, version, label, timeout, limit):
        parts = urlsplit(url)
        self._url, self._timeout, self._limit = redacted(url), timeout, limit
        context = ssl.create_default_context() if parts.scheme == "https" else None
        self._server = parts.hostname, parts.port or (443 if context else 80), context
        self._local = _OfThread()
        self._connections = []
        where = f"/versions/{version}" if version is not None else f"/labels/{quote(label, safe='')}" if label else ""
        self._path = f"{parts.path}/v1/models/{quote(model, safe='')}{where}"
        self._headers = dict(HEADERS)
        if parts.username is not None:
            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"

    def status(self, until):
        with self._understood():
            return [
                VersionStatus(int(one["version"]), one["state"], one.get("status", {}).get("error_message", ""))
                for one in self._json("GET", "", None, until)["model_version_status"]
            ]

    def signatures(self, until):
        sides = ("inputs", "outputs")
        with self._understood():
            found = self._json("GET", "/metadata", None, until)["metadata"]["signature_def"]["signature_def"]
            return {
                name: {side: {key: _tensor(info) for key, info in each[side].items()} for side in sides}
                for name, each in found.items()
                if not name.startswith("__")
            }

    def predict(self, name, columns, signature, until):
        """`{output: nested list}` of a request in column form; `signature` is that of `signatures()`."""
        with self._understood():
            answer = self._json("POST", ":predict", {"signature_name": name, "inputs": columns}, until)["outputs"]
            if len(signature["outputs"]) == 1:  # then the server leaves out its name
                (only,) = signature["outputs"]
                answer = {only: answer}
            return {key: _unpacked(values) if key.endswith("_bytes") else values for key, values in answer.items()}

    @contextlib.contextmanager
    def _understood(self):
        """JSON of another kind than TF Serving's is a ServingError."""
        try:
            yield
        except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
            raise self._strange(f"{type(error).__name__}: {error}") from None

    def _strange(self, why):
        return ServingError("UNKNOWN", f"{self._url}: not an answer of TF Serving's ({why})")

    def close(self):
        for connection in self._connections:
            connection.close()

    def _json(self, method, path, body, until):
        """The object in the body of the answer to one request."""
        status, headers, content = self._answer(method, path, body, until)
        if 300 <= status < 400:
            to = redacted(headers.get("Location", "nowhere"))
            raise self._strange(f"{status}, a redirect to {to}, which is not followed: give the address itself")
        if (coding := headers.get("Content-Encoding", "identity")) != "identity":
            raise self._strange(f"compressed, by {coding}, which was not asked for")
        text = content.decode("utf-8", "replace")
        try:
            answer = json.loads(text)  # with NaN, Infinity and -Infinity, as the server writes them
        except (ValueError, RecursionError):
            answer = None
        if status == 200 and isinstance(answer, dict):
            return answer
        told = answer.get("error") if isinstance(answer, dict) else None
        if not isinstance(told, str):
            told = f"not an answer of TF Serving's: {status} {' '.join(text[:800].split())[:80]!r}"
        raise ServingError(CODES.get(status, "UNKNOWN"), f"{self._url}: {told}", again=status in AGAIN)

    def _answer(self, method, path, body, until):
        headers, data = self._headers, None
        if body is not None:
            data = json.dumps(body, default=lambda value: {"b64": base64.b64encode(value).decode()}).encode()
            headers = {**headers, "Content-Type": "application/json"}
        try:
            return self._connection().ask(method, self._path + path, data, headers, until)
        except TimeoutError:
            raise ServingError("DEADLINE_EXCEEDED", f"{self._url} did not answer in {self._timeout} s") from None
        except TooLargeError:
            told = f"{self._url}: the answer is larger than max_response_bytes, {self._limit:,}"
            raise ServingError("RESOURCE_EXHAUSTED", told, again=False) from None
        except (http.client.IncompleteRead, ConnectionError) as error:
            raise ServingError("UNAVAILABLE", f"{self._url} cannot be reached: {_reason(error)}") from None
        except http.client.HTTPException as error:
            raise self._strange(f"{type(error).__name__}: {error}") from None
        except OSError as error:  # no such host, no way there, a certificate that is not trusted
            again = not isinstance(error, (ssl.SSLError, socket.gaierror)) or error.errno == socket.EAI_AGAIN
            raise ServingError(
                "UNAVAILABLE", f"{self._url} cannot be reached: {_reason(error)}", again=again
            ) from None

    def _connection(self):
        if self._local.connection is None:
            self._local.connection = Connection(*self._server, self._limit)
            self._connections.append(self._local.connection)
        return self._local.connection


class _OfThread(threading.local):
    """What a thread has for itself."""

    connection = None


def _tensor(info):
    shape, dtype = info["tensor_shape"], info["dtype"]
    sizes = [int(dim["size"]) for dim in shape.get("dim", ())]
    dtype = NAMES.get(dtype, dtype.removeprefix("DT_").lower())
    return Tensor(dtype, None if shape.get("unknown_rank") else [None if size < 0 else size for size in sizes])


def _unpacked(value):
    return [_unpacked(each) for each in value] if isinstance(value, list) else base64.b64decode(value["b64"])


def _reason(error):
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, http.client.IncompleteRead):
        return "the connection ended within the answer"
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


# === An HTTP/1.1 connection on which an exchange ends at a deadline, and an answer has a largest size ===
# The standard library's `http.client` speaks HTTP: it follows no redirect, asks no proxy of the environment, reads
# no netrc and expands nothing. A time limit of a socket is one for each read, and a server that sends a byte now
# and then never meets it; so the time that is left is set anew before each.


class TooLargeError(Exception):
    """The answer is larger than the limit."""


class Connection:
    """A connection to one server, opened at the first request and again when the server has closed it.

    Args:
        host: Name or address.
        port: Port number.
        context: ssl.SSLContext, or None for plain HTTP.
        limit: The most bytes of an answer.
    """

    def __init__(self, host: str, port: int, context: ssl.SSLContext | None, limit: int):
        self._host, self._port, self._context, self._limit = host, port, context, limit
        self._http, self._line = http.client.HTTPConnection(host, port), None

    def ask(
        self, method: str, path: str, body: bytes | None, headers: dict, until: float
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Status, headers and body of the answer.

        Raises:
            TimeoutError: It was not whole at `until`, a time of `time.monotonic`.
            TooLargeError: It is larger than the limit.
            OSError, http.client.HTTPException: There is no connection, or no answer in HTTP.
        """
        request = (method, path, body, headers)
        try:
            if self._http.sock is not None:
                try:
                    return self._exchange(request, until)
                except ConnectionError:  # the server has closed it since the last request
                    self.close()
            self._http.sock = self._line = self._opened(until)
            return self._exchange(request, until)
        except BaseException:
            self.close()  # what comes next on it belongs to this request
            raise

    def close(self):
        self._http.close()
        if self._line is not None:
            self._line.shut()

    def _opened(self, until):
        failed = OSError("there is no address")
        found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        for family, kind, protocol, _, address in found:
            line = socket.socket(family, kind, protocol)
            try:
                line.settimeout(_left(until))
                line.connect(address)
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._context is not None:
                    line.settimeout(_left(until))  # for the whole of a handshake
                    line = self._context.wrap_socket(line, server_hostname=self._host)
                return _Line(line)
            except OSError as error:
                line.close()
                failed = error
        raise failed

    def _exchange(self, request, until):
        self._http.sock.until = until
        self._http.request(*request)
        reply = self._http.getresponse()
        parts, size = [], 0
        while (reply.length or 0) + size <= self._limit and (part := reply.read(2**16)):
            parts.append(part)
            size += len(part)
        if (reply.length or 0) + size > self._limit:
            raise TooLargeError
        if reply.length:  # http.client says nothing of the end of a connection here
            raise http.client.IncompleteRead(b"", reply.length)
        if self._http.sock is None:  # the server closes it after this answer
            self.close()
        return reply.status, reply.headers, b"".join(parts)


class _Line:
    """What http.client needs of a socket: to send, and a file to read from; all of it until a deadline."""

    def __init__(self, line):
        self._line, self.until = line, 0.0

    def sendall(self, data):
        rest = memoryview(data)
        while rest:  # a socket's own sendall has, with TLS, a limit for each part
            self._line.settimeout(_left(self.until))
            rest = rest[self._line.send(rest[: 2**18]) :]

    def makefile(self, _):
        return io.BufferedReader(_Reader(self))

    def readinto(self, buffer):
        self._line.settimeout(_left(self.until))
        return self._line.recv_into(buffer)

    def close(self):
        """http.client says so before it reads the last answer."""

    def shut(self):
        self._line.close()


class _Reader(io.RawIOBase):
    """The reading side, which http.client closes after each answer."""

    def __init__(self, line):
        self._line = line

    def readable(self):
        return True

    def readinto(self, buffer):
        return self._line.readinto(buffer)


def _left(until):
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
