"""Downloads from a server that corrupts, lies and never ends: refused in one line, and nothing is kept."""

import os
import re
import signal
import socket
import time

import pytest
from loopback import CONTENT, OTHER, SHA256, endless, files, head, origin, redirect, refused, serve, status

import lm_keras.data.corpora.download as engine
from lm_keras.data.corpora import download as addresses
from lm_keras.data.corpora.download import download
from lm_keras.errors import InputError


def said(line):
    return lambda handler: handler.wfile.write(f"{line}\r\n\r\n".encode())


REFUSED = {
    "corrupt": ([serve(OTHER)], "its sha256 is .*, not"),
    "cut where nobody can see it": ([serve(CONTENT, cut=9, length=False)], "its sha256 is"),
    "empty": ([serve(b"")], "its sha256 is e3b0c44298fc"),
    "not found": ([status(404)], "404 Not Found"),
    "not found after a cut": ([serve(CONTENT, cut=9), status(404)], "404 Not Found"),
    "a part that nobody asked for": ([status(206)], "206"),
    "no content": ([status(204)], "204 No Content"),
    "cut before the first byte": ([serve(CONTENT, cut=0)], "cut after 0 of 200,000 bytes.; nothing came"),
    "down": ([status(500)], "500 Internal.*; nothing came; try again later"),
    "a loop of redirects": ([redirect("/again")], "more than 5 redirects"),
    "a redirect to nowhere": ([status(302)], "more than 5 redirects"),
    "a redirect to a file": ([redirect("file:///etc/passwd")], "'file:///etc/passwd' is not an http or https"),
    "a redirect outside": ([redirect("http://example.org/")], "'http://example.org/'; only https is followed"),
    "a long redirect": ([redirect("http://example.org/" + "a" * 50_000)], r"'http://example.org/a+; only https"),
    "a long redirect to no address": ([redirect("x:" + "a" * 50_000)], "'x:a+ is not an http"),
    "a redirect after a cut": ([serve(CONTENT, cut=9), redirect("http://127.0.0.1:1/")], "only https"),
    "endless": ([endless], "more than 1,000,000 bytes"),
    "too large": ([status(200, Content_Length=2_000_000)], "2,000,000 bytes, not at most 1,000,000"),
    "a message for the terminal": ([said("HTTP/1.0 404 \x1b[31mgone\x07")], r"\(404 \[31mgone\)"),
    "no status but a message": ([said("\x1b[2Jhello")], r"\(\[2Jhello\); nothing came"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_failure_leaves_nothing(web, path, name, monkeypatch):
    answers, says = REFUSED[name]
    monkeypatch.setattr(engine, "MAX_SIZE", 1_000_000)
    web.answers = list(answers)
    message = refused(web, path)
    assert re.search(says, message) and len(message) < 800, message[:2000]
    assert files(path) == []
    assert len(web.asked) == {"down": 5, "cut before the first byte": 5}.get(
        name, 6 if "more than 5" in says else len(answers)
    ), "no try in vain"


def test_a_server_that_is_not_asked(web, path):
    with origin() as outside:
        web.answers = [redirect(outside.url)]
        refused(web, path)
        assert outside.asked == []


def test_a_full_disk(web, path):
    resource = pytest.importorskip("resource")
    web.answers = [serve(CONTENT)]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))  # every further write fails
        assert "cannot be written ([Errno 27] File too large)" in refused(web, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert files(path) == []


@pytest.mark.parametrize("kind", ["a link", "a link to nothing", "a second name"])
def test_what_lies_in_the_place_of_the_part_is_not_written_through(web, path, kind):
    path.parent.mkdir()
    victim, part = path.parent.parent / "victim", path.parent / ".tale.txt.part"
    if kind != "a link to nothing":
        victim.write_bytes(CONTENT[:1000])
    part.hardlink_to(victim) if kind == "a second name" else part.symlink_to(victim)
    web.answers = [serve(CONTENT, cut=9000), serve(CONTENT)]
    download(web.url, path, SHA256)
    assert path.read_bytes() == CONTENT and not path.is_symlink() and files(path) == ["tale.txt"]
    assert web.ranges == [None, "bytes=9000-"], "its bytes are not taken for ours"
    assert victim.read_bytes() == CONTENT[:1000] if kind != "a link to nothing" else not victim.exists()


@pytest.mark.skipif(getattr(os, "geteuid", int)() != 0, reason="only root gives files away")
def test_a_part_that_belongs_to_another_user(web, path):
    path.parent.mkdir()
    part = path.parent / ".tale.txt.part"
    part.write_bytes(CONTENT[:1000])
    os.chown(part, 12345, -1)
    web.answers = [serve(CONTENT)]
    download(web.url, path, SHA256)
    assert web.ranges == [None] and path.read_bytes() == CONTENT and path.stat().st_uid == 0


def test_a_link_that_is_put_there_while_the_connection_is_cut(web, path, monkeypatch):
    victim, part = path.parent.parent / "victim", path.parent / ".tale.txt.part"
    victim.write_bytes(b"mine")
    monkeypatch.setattr(engine, "sleep", lambda seconds: (part.unlink(), part.symlink_to(victim)))
    web.answers = [serve(CONTENT, cut=9000), serve(CONTENT)]
    download(web.url, path, SHA256)
    assert victim.read_bytes() == b"mine" and path.read_bytes() == CONTENT


def test_a_folder_that_every_user_may_write_to(web, path):
    path.parent.mkdir()
    path.parent.chmod(0o777)
    web.answers = [serve(CONTENT)]
    assert "every user may write to that folder; run chmod o-w" in refused(web, path)
    assert web.asked == [] and files(path) == []


def trickle(start, piece, pause=0.02):
    """An answer that begins with `start` and goes on with `piece` after `piece`, as long as anybody listens."""

    def answer(handler):
        handler.wfile.write(start)
        for _ in range(500):
            handler.wfile.write(piece)
            time.sleep(pause)

    return answer


HEAD = b"HTTP/1.1 200 OK\r\n"
SLOW = {
    "a body": HEAD + b"Content-Length: 200000\r\n\r\n",
    "a body without a length": HEAD + b"\r\n",
    "the length of a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
}


@pytest.mark.parametrize("name", SLOW)
def test_a_body_that_trickles(web, path, name, monkeypatch, pauses):
    monkeypatch.setattr(addresses, "WINDOW", 0.1)
    web.answers = [trickle(SLOW[name], b"0")]
    message = refused(web, path)
    assert "(fewer than 1,024 bytes a second)" in message
    assert len(web.asked) == 5 and pauses == [1, 2, 4, 8]
    assert files(path) == ([".tale.txt.part"] if "body" in name else [])


def test_a_slow_body_that_moves_on(web, path, monkeypatch):
    monkeypatch.setattr(addresses, "WINDOW", 0.1)

    def slow(handler):
        head(handler, 200, {"Content-Length": len(CONTENT)})
        for start in range(0, len(CONTENT), 10_000):
            handler.wfile.write(CONTENT[start : start + 10_000])
            time.sleep(0.02)

    web.answers = [slow]
    download(web.url, path, SHA256)
    assert web.ranges == [None] and path.read_bytes() == CONTENT


@pytest.mark.parametrize("start", [b"", HEAD, HEAD + b"X-Long: "])
def test_headers_that_trickle(web, path, start, monkeypatch):
    monkeypatch.setattr(addresses, "ANSWER", 0.2)
    web.answers = [trickle(start, b"a")]
    assert "(no whole answer within 0.2 seconds); nothing came" in refused(web, path)
    assert files(path) == []


def test_a_folder_in_the_place_of_the_file(web, path):
    path.mkdir(parents=True)
    web.answers = [serve(CONTENT)]
    assert "Is a directory" in refused(web, path)
    assert files(path) == ["tale.txt"]


def test_a_folder_that_cannot_be_made(web, path):
    path.parent.write_text("a file where a folder should be")
    web.answers = [serve(CONTENT)]
    assert "cannot be written" in refused(web, path)
    assert web.asked == []


def test_no_network_is_said_at_once(path, pauses):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/tale.txt"
        with pytest.raises(InputError, match=r"refused\); nothing came; try again later"):
            download(url, path, SHA256)
    assert pauses == [] and files(path) == []


def test_a_server_that_speaks_no_http(web, path, pauses):
    web.answers = [lambda handler: handler.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")]
    assert "SSH-2.0" in refused(web, path)
    assert pauses == [] and files(path) == []
