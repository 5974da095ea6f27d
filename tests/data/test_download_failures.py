"""Downloads from a server that corrupts, lies and never ends: refused in one line, and nothing is kept."""

import re
import socket
from pathlib import Path

import pytest
from loopback import CONTENT, OTHER, SHA256, endless, files, origin, redirect, refused, serve, status

import lm_keras.data.download as engine
from lm_keras.data.download import download
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
    assert re.search(says, message), message
    assert files(path) == []
    assert len(web.asked) == {"down": 5, "cut before the first byte": 5}.get(
        name, 6 if "more than 5" in says else len(answers)
    ), "no try in vain"


def test_a_server_that_is_not_asked(web, path):
    with origin() as outside:
        web.answers = [redirect(outside.url)]
        refused(web, path)
        assert outside.asked == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk(web, path):
    path.parent.mkdir()
    (path.parent / ".tale.txt.part").symlink_to("/dev/full")  # every write fails as on a full disk
    web.answers = [serve(CONTENT)]
    assert "cannot be written ([Errno 28] No space left on device)" in refused(web, path)
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
