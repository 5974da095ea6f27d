"""An HTTP/1.1 connection on which an exchange ends at a deadline, and an answer has a largest size.

The standard library's `http.client` speaks HTTP: it follows no redirect, asks no proxy of the environment, reads no
netrc and expands nothing. A time limit of a socket is one for each read, and a server that sends a byte now and then
never meets it; so the time that is left is set anew before each.
"""

import http.client
import io
import socket
import ssl
import time


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
