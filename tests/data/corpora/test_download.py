"""Downloads from a server that cuts: what is there is gone on with, and the whole is right."""

import hashlib
import os
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import CONTENT, OTHER, SHA256, files, head, redirect, refused, serve, status

import lm_keras.data.corpora.download as engine
from lm_keras.data.corpora import download as addresses
from lm_keras.data.corpora.download import download


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("etag", ['"v1"', 'W/"v1"', None])
def test_a_cut_download_goes_on_with_the_bytes_that_are_missing(web, path, pauses, etag, reset):
    web.answers = [serve(CONTENT, cut=70_000, etag=etag, reset=reset), serve(CONTENT, etag=etag)]
    download(web.url, path, SHA256)
    assert path.read_bytes() == CONTENT
    assert files(path) == ["tale.txt"]
    assert web.ranges[0] is None and len(web.ranges) == 2
    start = int(web.ranges[1].removeprefix("bytes=").removesuffix("-"))
    assert start == 70_000 or (reset and 0 < start < 70_000), "a reset may take back what was not read yet"
    assert web.asked[1][1]["If-Range"] == (etag if etag == '"v1"' else None), "a weak ETag does not vouch for bytes"
    assert pauses == [1.0]


def test_a_connection_that_is_cut_for_ever(web, path, pauses):
    web.answers = [serve(CONTENT, cut=10_000)]
    message = refused(web, path)
    assert "cut after 50,000 of 200,000 bytes" in message and str(path.parent / ".tale.txt.part") in message
    assert pauses == [1, 2, 4, 8] and len(web.asked) == 5
    assert files(path) == [".tale.txt.part"]
    assert (path.parent / ".tale.txt.part").read_bytes() == CONTENT[:50_000]

    web.asked.clear()
    web.answers = [serve(CONTENT)]
    download(web.url, path, SHA256)  # the next call asks for the rest
    assert web.ranges == ["bytes=50000-"]
    assert path.read_bytes() == CONTENT and files(path) == ["tale.txt"]


def test_a_bad_line_that_moves_on_is_given_more_tries(web, path, pauses, monkeypatch):
    monkeypatch.setattr(engine, "ENOUGH", 20_000)
    web.answers = [serve(CONTENT, cut=20_000)]
    download(web.url, path, SHA256)
    assert len(web.asked) == 10 and set(pauses) == {1.0}
    assert path.read_bytes() == CONTENT


def test_cuts_and_answers_of_every_kind(web):
    """With at most four bad answers in a row the file is whole; a server that knows ranges sends no byte twice."""
    bad = st.tuples(st.booleans(), st.sampled_from([None, '"a"', '"b"']), st.integers(0, 3000) | st.just(503))

    @given(st.binary(min_size=1, max_size=3000), st.lists(bad, max_size=4), st.binary(max_size=40))
    @settings(max_examples=50)
    def check(content, kinds, left):
        web.asked.clear()
        web.answers = [
            status(503) if cut == 503 else serve(content, ranges=ranges, etag=etag, cut=cut)
            for ranges, etag, cut in kinds
        ]
        web.answers.append(serve(content, etag='"a"'))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "tale.txt"
            if left:
                (path.parent / ".tale.txt.part").write_bytes(left)
            download(web.url, path, hashlib.sha256(content).hexdigest())
            assert path.read_bytes() == content and files(path) == ["tale.txt"]
        if not left and all(ranges and etag == '"a"' for ranges, etag, _ in kinds):
            starts = [int(asked[6:-1]) if asked else 0 for asked in web.ranges]
            assert all(a <= b for a, b in pairwise(starts))

    check()


def test_what_an_earlier_call_left_is_used_only_where_it_fits(web, path):
    part = path.parent / ".tale.txt.part"
    path.parent.mkdir()
    for left, answers, ranges in [
        (CONTENT[:7], [serve(CONTENT, ranges=False)], ["bytes=7-"]),  # 200 where 206 was asked for: anew
        (CONTENT, [serve(CONTENT)], ["bytes=200000-"]),  # 416: all is there, only the name was missing
        (CONTENT + b"more", [serve(CONTENT)], ["bytes=200004-", None]),
        (CONTENT, [status(416), serve(CONTENT)], ["bytes=200000-", None]),  # 416 without a size
        (OTHER[:50_000], [serve(CONTENT)], ["bytes=50000-", None]),  # mixed, which the sha256 shows
        (OTHER, [serve(CONTENT)], ["bytes=200000-", None]),
        (
            CONTENT[:9],
            [status(206, Content_Range="bytes 0-199999/200000", Content_Length=200_000), serve(CONTENT)],
            ["bytes=9-", None],
        ),
    ]:
        web.asked.clear()
        part.write_bytes(left)
        web.answers = answers
        download(web.url, path, SHA256)
        assert path.read_bytes() == CONTENT and files(path) == ["tale.txt"]
        assert web.ranges == ranges
        path.unlink()


def test_a_file_that_changes_between_two_connections(web, path):
    web.answers = [serve(OTHER, cut=60_000, etag='"old"'), serve(CONTENT, etag='"new"')]
    download(web.url, path, SHA256)  # If-Range: the whole new file comes
    assert path.read_bytes() == CONTENT and web.ranges == [None, "bytes=60000-"]
    path.unlink()
    web.asked.clear()
    web.answers = [serve(OTHER, cut=60_000), serve(CONTENT)]
    download(web.url, path, SHA256)  # a server without ETags gives halves of two files: once more, in one piece
    assert path.read_bytes() == CONTENT and web.ranges == [None, "bytes=60000-", None]


def test_a_redirect_is_followed_with_the_range(web, path):
    web.answers = [redirect("/there"), serve(CONTENT, cut=80_000), redirect("there?x=1 2#here"), serve(CONTENT)]
    download(web.url, path, SHA256)
    assert path.read_bytes() == CONTENT
    assert [asked for asked, _ in web.asked] == ["/tale.txt", "/there", "/tale.txt", "/there?x=1%202"]
    assert web.ranges == [None, None, "bytes=80000-", "bytes=80000-"]


@pytest.mark.parametrize("where", ["in the body", "in a pause"])
def test_ctrl_c_keeps_what_came(web, path, where, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    web.answers = [serve(CONTENT, cut=90_000), serve(CONTENT)]
    with monkeypatch.context() as patch:
        patch.setattr(*(("tqdm.tqdm.update", stop) if where == "in the body" else (engine, "sleep", stop)))
        with pytest.raises(KeyboardInterrupt):
            download(web.url, path, SHA256)
    assert files(path) == [".tale.txt.part"]
    came = (path.parent / ".tale.txt.part").read_bytes()
    assert came == CONTENT[: len(came)]
    download(web.url, path, SHA256)
    assert web.ranges == [None, f"bytes={len(came)}-"] and path.read_bytes() == CONTENT


def test_a_file_that_is_there(web, path):
    path.parent.mkdir()
    path.write_bytes(OTHER)
    web.answers = [status(404)]
    refused(web, path)
    assert path.read_bytes() == OTHER and files(path) == ["tale.txt"], "as it was"
    web.answers = [serve(CONTENT)]
    download(web.url, path, SHA256)
    assert path.read_bytes() == CONTENT
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask(), "no stricter than other files"
    web.asked.clear()
    download(web.url, path, SHA256)
    assert web.asked == [], "nothing is asked for"


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_server_that_falls_silent(web, path, monkeypatch):
    monkeypatch.setattr(addresses, "TIMEOUT", 0.05)

    def silent(handler):
        head(handler, 200, {"Content-Length": len(CONTENT)})
        handler.wfile.write(CONTENT[:5000])
        time.sleep(0.3)

    web.answers = [silent, serve(CONTENT)]
    download(web.url, path, SHA256)
    assert web.ranges == [None, "bytes=5000-"] and path.read_bytes() == CONTENT


def test_the_progress_bar(web, path, capsys):
    web.answers = [serve(CONTENT, cut=100_000), serve(CONTENT)]
    download(web.url, path, SHA256)
    shown = capsys.readouterr().err
    assert "tale.txt" in shown and "200k/200k" in shown and "100%" in shown
    assert "cut after 100,000 of 200,000 bytes; try 2 of 5" in shown
