"""A file from a web address: checked, gone on with after a cut, and whole or not there."""

import contextlib
import functools
import hashlib
import http.client
import ipaddress
import os
import queue
import re
import socket
import ssl
import stat
import string
import threading
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from typing import Any
from urllib.error import URLError
from urllib.parse import quote, urljoin, urlsplit

from lm_keras import __version__
from lm_keras.errors import InputError

TRIES = 5  # in a row without ENOUGH new bytes
PAUSE = 1.0  # seconds after the first cut; each further one doubles it
ENOUGH = 2**20  # bytes after which a connection that is cut counts as a good one
MAX_SIZE = 2**30  # bytes of a file whose size is not known: an endless body ends here
_CHUNK = 2**16
_PASSING = (408, 425, 429, 500, 502, 503, 504)  # statuses that another try may change


class _CutError(Exception):
    """The connection was lost, or could not be made."""


def download(url: str, path: str | Path, sha256: str) -> None:
    """Downloads a file, with a progress bar; asks for nothing if it is there already.

    A connection that is cut, or too slow (`Watch`), is made again after growing pauses, and goes on from the bytes
    that are there. When the last try is cut, or after Ctrl-C, they stay in `.NAME.part` beside `path`, and the next
    call goes on from them. Every other failure leaves nothing. `path` is replaced in one step. Nothing is written
    through a link, or into a folder that every user may write to. One process at a time: the caller holds the folder
    (`locked`).

    Args:
        url: The address.
        path: Where the file goes.
        sha256: Of the file.

    Raises:
        InputError: One line that says what happened: another sha256, more than MAX_SIZE bytes, a status like 404, a
            redirect that `redirected` refuses, a full disk, a connection that was cut too often.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if path.parent.stat().st_mode & stat.S_IWOTH:
            said = "every user may write to that folder; run chmod o-w on it, or choose another one"
            raise InputError(f"{path.parent} is not safe: {said}")
        if not (path.is_file() and _sha256(path) == sha256):
            _fetch(url, part, path, sha256)
    except _CutError as error:
        kept = f"the {part.stat().st_size:,} bytes that came are in {part}" if part.is_file() else "nothing came"
        raise InputError(f"the download of {url} failed ({error}); {kept}; try again later") from error
    except InputError as error:
        raise InputError(f"the download of {url} failed ({error})") from error
    except OSError as error:
        raise InputError(f"the download of {url} failed: {part} cannot be written ({_line(error)})") from error


def _fetch(url, part, path, sha256):
    """Fills `part`, checks it and moves it to `path`."""
    from tqdm import tqdm

    keep = False
    try:
        if not _is_ours(part):
            part.unlink(missing_ok=True)
        with tqdm(desc=path.name, unit="B", unit_scale=True) as bar:
            transfer = _Transfer(url, part, bar)
            transfer.run()
            found = _sha256(part)
            if found != sha256 and transfer.resumed:  # the two halves are of different files: once more, in one piece
                part.unlink()
                transfer.run()
                found = _sha256(part)
        if found != sha256:
            raise InputError(f"its sha256 is {found[:12]}..., not {sha256[:12]}...: changed, or damaged on the way")
        part.replace(path)
    except (_CutError, KeyboardInterrupt):
        keep = _size(part) > 0
        raise
    finally:
        if not keep:
            part.unlink(missing_ok=True)


@dataclass
class _Transfer:
    """The state of one download over all its connections. `validator`: the server's mark of this version of it."""

    url: str
    part: Path
    bar: Any
    validator: str | None = None
    connected: bool = False
    resumed: bool = False

    def run(self):
        """Fills `part`, in as many tries as are allowed; _CutError when the last one is cut."""
        failures, best = 0, _size(self.part)
        while True:
            try:
                return self.connect()
            except _CutError as cut:
                if not self.connected:  # no network, or no such host: waiting is of no use
                    raise
                if _size(self.part) >= best + ENOUGH:
                    failures, best = 0, _size(self.part)
                failures += 1
                if failures == TRIES:
                    raise
                self.bar.set_postfix_str(f"{cut}; try {failures + 1} of {TRIES}")
                sleep(PAUSE * 2 ** (failures - 1))

    def connect(self):
        """One request, for the bytes that are missing; anew where the server cannot give just those."""
        have = _size(self.part)
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if self.validator:
                headers["If-Range"] = self.validator
        with _network():
            response = open_address(self.url, headers)
        self.connected = True
        with response:
            status, (start, total) = response.status, _content_range(response)
            if status in _PASSING:
                raise _CutError(_line(f"{status} {response.reason}"))
            if status == 200:
                self.validator, self.resumed = _validator(response), False
                return self.receive(response, 0, response.length)
            if status == 416 and have and total == have:  # the cut came after the last byte
                self.resumed = True
                return None
            if status == 206 and have and start == have:
                self.resumed = True
                if total is None and response.length is not None:
                    total = have + response.length
                return self.receive(response, have, total)
            if not (have and status in (206, 416)):
                raise InputError(_line(f"{status} {response.reason}"))
        self.part.unlink()
        return self.connect()

    def receive(self, response, have, total):
        """Writes the body behind the first `have` bytes of `part`; `total`: bytes of the whole file, or None."""
        if total is not None and total > MAX_SIZE:
            raise InputError(f"it has {total:,} bytes, not at most {MAX_SIZE:,}")
        self.bar.set_postfix_str("", refresh=False)
        self.bar.reset(total)
        self.bar.initial = self.bar.n = self.bar.last_print_n = have  # so the speed is that of the new bytes
        if not have:
            self.part.unlink(missing_ok=True)
        with _open_part(self.part, "ab" if have else "xb") as file, Watch(response, _CutError) as watch:
            while total is None or have < total:
                with _network():
                    data = response.read1(_CHUNK if total is None else min(_CHUNK, total - have))
                if not data:
                    break
                have += len(data)
                if have > MAX_SIZE:
                    raise InputError(f"it has more than {MAX_SIZE:,} bytes")
                file.write(data)
                watch.received += len(data)
                self.bar.update(len(data))
            file.flush()
            os.fsync(file.fileno())
        if total is not None and have < total:
            raise _CutError(f"the connection was cut after {have:,} of {total:,} bytes")


@contextlib.contextmanager
def _network():
    """What goes wrong with a connection becomes _CutError; so an OSError outside is one of the disk."""
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        raise _CutError(_line(error.reason if isinstance(error, URLError) else error)) from error


def _content_range(response):
    """`(start, total)` of a Content-Range header, each None where it is not said: "bytes 5-9/10", "bytes */10"."""
    found = re.fullmatch(r"bytes (?:(\d{1,18})-\d+|\*)/(?:(\d{1,18})|\*)", response.headers.get("Content-Range", ""))
    return tuple(None if number is None else int(number) for number in found.groups()) if found else (None, None)


def _validator(response):
    """What If-Range may hold (RFC 9110, 13.1.5): a strong ETag, or the date."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified")


def _sha256(path):
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(2**20):
            digest.update(data)
    return digest.hexdigest()


def _size(part):
    return part.lstat().st_size if _is_ours(part) else 0


def _is_ours(part):
    """Whether it is a plain file of ours, not a link, and under no other name."""
    try:
        found = part.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_uid == getattr(os, "geteuid", int)()


def _open_part(part, mode):
    """Opens it, but not through a link that was put there a moment ago."""
    no_link = getattr(os, "O_NOFOLLOW", 0)
    return open(part, mode, opener=lambda path, flags: os.open(path, flags | no_link, 0o666))  # noqa: PTH123


def _line(error):
    """One line without control characters: what a server says is not to steer a terminal."""
    text = "".join(character if character.isprintable() else " " for character in str(error))
    return " ".join(text.split())[:300] or type(error).__name__


# === Asking a web address for a file, and where a server may send us on to ===

MAX_REDIRECTS = 5
TIMEOUT = 30.0  # seconds without a byte
ANSWER = 60.0  # seconds until the headers of an answer are there, redirects and all, however they trickle
LEAST_RATE, WINDOW = 1024, 60.0  # bytes a second of a body, in each span of so many seconds
_REDIRECTS = (301, 302, 303, 307, 308)
_PORTS = {"http": 80, "https": 443}


def open_address(url: str, headers: Mapping[str, str] | Iterable = ()) -> http.client.HTTPResponse:
    """Asks a web address for a file.

    Proxies are those of the environment (http_proxy, https_proxy, no_proxy). No cookies or passwords are sent.

    Args:
        url: An http or https address.
        headers: Of the request, beside User-Agent.

    Returns:
        The response, whatever its status, after the redirects that `redirected` lets pass.

    Raises:
        InputError: For a redirect that is refused.
        OSError: For a lost connection (or `http.client.HTTPException`); TimeoutError for one that has not answered
            after ANSWER seconds.
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

    def __init__(self, response: http.client.HTTPResponse, error: type[Exception]) -> None:
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


def check_address(url: str) -> tuple[str, str, int]:
    """`(scheme, host, port)` of an http(s) address; InputError for any other one, or one with a user name."""
    try:
        parts = urlsplit(url)
        if parts.scheme in _PORTS and parts.hostname and "@" not in parts.netloc:
            parts.hostname.encode("idna")  # what a connection would fail on
            return parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme]
    except ValueError:  # a port that is no number, half an IPv6 address, a label of 64 letters
        pass
    raise InputError(f"{url!r:.300} is not an http or https address")


def redirected(url: str, location: str) -> str:
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
