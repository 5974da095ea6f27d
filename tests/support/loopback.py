"""A web server on this machine that answers as badly as a test wants."""

import contextlib
import hashlib
import http.server
import random
import re
import socket
import struct
import threading

import pytest

from lm_keras.data.corpora.download import download
from lm_keras.errors import InputError

CONTENT = random.Random(0).randbytes(200_000)
OTHER = random.Random(1).randbytes(200_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Origin:
    """`answers`: one function of the request's handler for each request; the last one answers all that follow.

    `asked`: the path and the headers of each request.
    """

    def __init__(self, server, scheme):
        self.url = f"{scheme}://127.0.0.1:{server.server_address[1]}/tale.txt"
        self.answers, self.asked = [], []

    def answer(self, handler):
        self.asked.append((handler.path, handler.headers))
        (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])(handler)

    @property
    def ranges(self):
        return [headers["Range"] for _, headers in self.asked]


@contextlib.contextmanager
def origin(tls=None):
    """Yields an Origin; `tls` is the SSLContext of an https one."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            # A client that has seen enough goes away.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                found.answer(self)

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.handle_error = lambda *arguments: None
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        found = Origin(server, "https" if tls else "http")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()


def serve(content, *, ranges=True, etag=None, cut=None, reset=False, length=True):
    """An answer with `content`, of which a Range is given if `ranges`; lost after `cut` bytes, also with a reset.

    If-Range is obeyed, as by RFC 9110. Without `length`, only the end of the connection is the end.
    """

    def answer(handler):
        start, same = 0, handler.headers["If-Range"] in (None, etag)
        if ranges and same and (wanted := re.fullmatch(r"bytes=(\d+)-", handler.headers["Range"] or "")):
            start = int(wanted[1])
        if start >= len(content) > 0:
            return head(handler, 416, {"Content-Range": f"bytes */{len(content)}"})
        fields = {"Content-Length": len(content) - start} if length else {}
        if etag:
            fields["ETag"] = etag
        if start:
            fields["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        head(handler, 206 if start else 200, fields)
        handler.wfile.write(content[start:] if cut is None else content[start : start + cut])
        if reset:
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.connection.close()
        return None

    return answer


def head(handler, status, fields=()):
    handler.send_response(status)
    for name, value in dict(fields).items():
        handler.send_header(name, str(value))
    handler.end_headers()


def status(code, **fields):
    return lambda handler: head(handler, code, {name.replace("_", "-"): value for name, value in fields.items()})


def redirect(location):
    return status(302, Location=location)


def endless(handler):
    """A body that goes on until the client has had enough, or 100 MB."""
    head(handler, 200)
    for _ in range(1600):
        handler.wfile.write(bytes(2**16))


def files(path):
    return sorted(one.name for one in path.parent.iterdir())


def refused(web, path):
    """The error of a download of CONTENT, which is one line."""
    with pytest.raises(InputError) as error:
        download(web.url, path, SHA256)
    assert str(error.value).isprintable()
    assert str(error.value).startswith(f"the download of {web.url} failed")
    return str(error.value)
