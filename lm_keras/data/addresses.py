"""Asking a web address for a file, and the rule by which a server may send us on to another one."""

import contextlib
import functools
import ipaddress
import queue
import socket
import ssl
import string
import threading
import urllib.request
from urllib.parse import quote, urljoin, urlsplit

from lm_keras import __version__
from lm_keras.errors import InputError

MAX_REDIRECTS = 5
TIMEOUT = 30.0  # seconds without a byte
ANSWER = 60.0  # seconds until the headers of an answer are there, redirects and all, however they trickle
LEAST_RATE, WINDOW = 1024, 60.0  # bytes a second of a body, in each span of so many seconds
_REDIRECTS = (301, 302, 303, 307, 308)
_PORTS = {"http": 80, "https": 443}


def open_address(url, headers=()):
    """The response to a GET of `url`, whatever its status, after the redirects that `redirected` lets pass.

    Proxies are those of the environment (http_proxy, https_proxy, no_proxy). No cookies or passwords are sent.
    Raises InputError for a redirect that is refused; OSError or http.client.HTTPException for a lost connection, and
    TimeoutError, an OSError, for one that has not answered after ANSWER seconds.
    """
    check_address(url)
    return _within(ANSWER, _open, url, headers)


def _within(seconds, call, *arguments):
    """What `call` gives, or TimeoutError: then it goes on in its thread, and what comes of it is dropped."""
    outcome = queue.SimpleQueue()

    def work():
        try:
            outcome.put((call(*arguments), None))
        except BaseException as error:  # noqa: BLE001 it is raised where it is waited for
            outcome.put((None, error))

    threading.Thread(target=work, daemon=True).start()
    try:
        value, error = outcome.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no whole answer within {seconds:g} seconds") from None
    if error is not None:
        raise error
    return value


class Watch:
    """Cuts the connection of a response that brings fewer than LEAST_RATE bytes a second: the block ends in `error`.

    The block counts the bytes in `received`. It is done from outside, by a thread: one call of `read1` may take any
    time, where a server sends the length of a chunk, or what belongs to the encryption, byte for byte.
    """

    def __init__(self, response, error):
        self.received, self._response, self._error = 0, response, error
        self._done, self._slow = threading.Event(), False
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, kind, value, trace):
        self._done.set()
        self._thread.join()
        if self._slow and (kind is None or issubclass(kind, self._error)):
            raise self._error(f"fewer than {LEAST_RATE:,} bytes a second")

    def _look(self):
        before = 0
        while not self._done.wait(WINDOW):
            now = self.received
            if now - before < LEAST_RATE * WINDOW:
                self._slow = True
                with (
                    contextlib.suppress(OSError, ValueError),  # closed just now
                    socket.fromfd(self._response.fileno(), socket.AF_INET, socket.SOCK_STREAM) as connection,
                ):
                    connection.shutdown(socket.SHUT_RDWR)
                return
            before = now


def _open(url, headers):
    opener = urllib.request.OpenerDirector()  # build_opener would add file:, ftp: and data:
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=_certificates()),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    agent = {"User-Agent": f"lm_keras/{__version__}"}
    for _ in range(MAX_REDIRECTS + 1):
        request = urllib.request.Request(url, headers={**agent, **dict(headers)})
        response = opener.open(request, timeout=TIMEOUT)
        if response.status not in _REDIRECTS:
            return response
        response.close()
        url = redirected(url, response.headers.get("Location", ""))
    raise InputError(f"more than {MAX_REDIRECTS} redirects")


def check_address(url):
    """`(scheme, host, port)` of an http(s) address; InputError for any other one, or one with a user name."""
    try:
        parts = urlsplit(url)
        if parts.scheme in _PORTS and parts.hostname and "@" not in parts.netloc:
            parts.hostname.encode("idna")  # what a connection would fail on
            return parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme]
    except ValueError:  # a port that is no number, half an IPv6 address, a label of 64 letters
        pass
    raise InputError(f"{url!r:.300} is not an http or https address")


def redirected(url, location):
    """The address to which the server at `url` may send us with `location`; InputError for all but these:

    - the same scheme, host and port, any path;
    - https, at its own port 443, on any host; but from a public host never to one that is private, loopback or
      link-local: a server out there must not make us ask a machine in here.
    So never from https to http, never to file:, ftp: or data:. The sha256 decides what is kept in any case.
    """
    try:
        target = quote(urljoin(url, location), safe=string.punctuation, encoding="iso-8859-1", errors="replace")
    except ValueError:  # half an IPv6 address
        target = location
    old, new = check_address(url), check_address(target)
    if new == old:
        return target
    scheme, host, port = new
    if (scheme, port) != ("https", _PORTS["https"]):
        raise InputError(f"the server sends us on to {target!r:.300}; only https is followed to another place")
    if _private(host) and not _private(old[1]):
        raise InputError(f"the server sends us on to {target!r:.300}, a private address")
    return target


def _private(host):
    """Whether any of a host's addresses is not of the public internet. A host that nobody knows is not private."""
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, None)}
    except OSError:  # the connection will fail; or there is a proxy, and only it knows
        return False
    return any(not ipaddress.ip_address(address).is_global for address in found)


@functools.cache  # they are read from many files
def _certificates():
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if paths.cafile is None and paths.capath is None:  # a Python that does not know the system's certificates
        try:
            import certifi
        except ImportError:
            return context
        context.load_verify_locations(certifi.where())
    return context
