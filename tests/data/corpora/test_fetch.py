"""Fetching a named corpus: the file or the archive, into the cache, once, by one process at a time."""

import hashlib
from dataclasses import replace

import pytest
from loopback import CONTENT, head, redirect, serve, status
from packed import make_tar, make_zip

import lm_keras.data.corpora.download as engine
from lm_keras.data.corpora import corpus as archives
from lm_keras.data.corpora import registry
from lm_keras.data.corpora.corpus import Archive
from lm_keras.data.corpora.registry import CORPORA, cache_folder, fetch, load, locate
from lm_keras.errors import InputError

TEXTS = {"train.txt": "one\r\ntwo\r\n" * 3000, "test.txt": "三\n"}
MEMBERS = {"train.txt": "set/train.txt", "test.txt": "set/test.txt"}
IN_ARCHIVE = {MEMBERS[file]: text.encode() for file, text in TEXTS.items()}


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(autouse=True)
def an_empty_cache(tmp_path, monkeypatch):
    monkeypatch.delenv("LM_KERAS_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def tale(web, monkeypatch):
    """Makes a corpus of the two TEXTS: of two files, or of one archive with this content."""

    def make(archive=None):
        corpus = replace(
            CORPORA["shuihu"],
            name="tale",
            splits=("train", "test"),
            read=lambda content, split: [content],
            folder="tales",
            files={"train": "train.txt", "test": "test.txt"},
            sha256={file: sha256(text.encode()) for file, text in TEXTS.items()},
            url=web.url if archive else web.url.replace("tale.txt", "folder/"),
            archive=Archive(sha256(archive), MEMBERS) if archive else None,
        )
        monkeypatch.setitem(CORPORA, "tale", corpus)
        return corpus

    return make


def in_cache():
    return sorted(str(path.relative_to(cache_folder())) for path in cache_folder().rglob("*") if path.is_file())


def refused(says):
    with pytest.raises(InputError, match=says) as error:
        fetch("tale")
    assert str(error.value).startswith("tale: ") and "\n" not in str(error.value)


def test_two_files_are_fetched_checked_and_kept(web, tale, capsys):
    tale()
    web.answers = [status(404)]
    refused("failed .*404")
    web.answers = [serve(b"one\n")]
    refused("failed .*its sha256 is")
    assert locate("tale") is None and in_cache() == []

    web.asked.clear()
    capsys.readouterr()
    web.answers = [lambda handler: serve(TEXTS[handler.path.rsplit("/", 1)[1]].encode())(handler)]
    assert fetch("tale") == locate("tale") == cache_folder() / "tales"
    shown = capsys.readouterr().err
    assert "train.txt: 100%" in shown and "test.txt: 100%" in shown, "a progress bar each"
    assert sorted(path for path, _ in web.asked) == ["/folder/test.txt", "/folder/train.txt"]
    assert load("tale", "train") == ["one\ntwo\n" * 3000] and load("tale", "test") == ["三\n"]
    assert in_cache() == ["tales/test.txt", "tales/train.txt"]
    fetch("tale")
    assert len(web.asked) == 2, "the second time nothing is asked for"


def test_a_cut_fetch_goes_on_in_the_next_call(web, tale):
    tale()
    web.answers = [lambda handler: serve(TEXTS[handler.path.rsplit("/", 1)[1]].encode(), cut=5000)(handler)]
    refused("cut after 25,000 of 30,000 bytes.*tales/.train.txt.part; try again later")
    assert in_cache() == ["tales/.train.txt.part"] and locate("tale") is None
    web.asked.clear()
    fetch("tale")
    assert web.ranges == ["bytes=25000-", None]
    assert in_cache() == ["tales/test.txt", "tales/train.txt"]


def test_a_set_that_is_half_in_another_folder(web, tale, monkeypatch, tmp_path):
    tale()
    half = tmp_path / "data" / "tales" / "train.txt"
    half.parent.mkdir(parents=True)
    half.write_bytes(TEXTS["train.txt"].encode())
    monkeypatch.setenv("LM_KERAS_DATA", str(tmp_path / "data"))
    assert load("tale", "train") == ["one\ntwo\n" * 3000] and locate("tale") is None
    with pytest.raises(InputError, match=r"missing: tales/test.txt\)"):
        load("tale", "test")
    web.answers = [lambda handler: serve(TEXTS[handler.path.rsplit("/", 1)[1]].encode())(handler)]
    folder = fetch("tale")
    assert folder == locate("tale") == cache_folder() / "tales"
    assert sorted(path.name for path in folder.iterdir()) == ["test.txt", "train.txt"], "all of it is there"


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_the_files_of_an_archive(web, tale, make):
    archive = make({"set/readme": CONTENT, **IN_ARCHIVE})
    tale(archive)
    web.answers = [serve(archive, cut=100_000), serve(archive)]
    assert fetch("tale") == cache_folder() / "tales"
    assert web.ranges == [None, "bytes=100000-"]
    assert in_cache() == ["tales/test.txt", "tales/train.txt"], "the archive itself is not kept"
    assert load("tale", "test") == ["三\n"]


@pytest.mark.parametrize(
    "archive, says",
    [
        (make_zip({**IN_ARCHIVE, "../../evil": b"evil"}), "climbs out of its folder"),
        (make_tar({"/tmp/evil": b"evil", **IN_ARCHIVE}), "climbs out of its folder"),
        (make_zip({**IN_ARCHIVE, "set/train.txt": bytes(10**7)}), "expands to more than 1,000,000 bytes"),
        (make_tar({"bomb": bytes(10**7), **IN_ARCHIVE}), "expands to more than 1,000,000 bytes"),
        (make_zip({**IN_ARCHIVE, "set/test.txt": "train.txt"}), "is a link or a folder"),
        (make_zip({"set/train.txt": IN_ARCHIVE["set/train.txt"]}), "holds no 'set/test.txt'"),
        (make_zip(IN_ARCHIVE)[:-9], "not a zip file"),
    ],
)
def test_an_archive_that_is_refused_leaves_nothing(web, tale, monkeypatch, tmp_path, archive, says):
    monkeypatch.setattr(archives, "MAX_SIZE", 10**6)
    tale(archive)
    web.answers = [serve(archive)]
    refused(f"tale.archive cannot be unpacked .*{says}")
    assert [path for path in tmp_path.rglob("*") if not path.is_dir()] == []


def test_ctrl_c_while_an_archive_is_unpacked(web, tale, monkeypatch):
    archive = make_zip(IN_ARCHIVE)
    tale(archive)
    web.answers = [serve(archive)]

    def stop(source, target, limit):
        target.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(archives, "_copy", stop)
    with pytest.raises(KeyboardInterrupt):
        fetch("tale")
    assert in_cache() == []


@pytest.mark.parametrize("answer", [redirect("http://127.0.0.1:9/"), redirect("/round"), serve(CONTENT)])
def test_an_archive_that_does_not_come(web, tale, monkeypatch, answer):
    monkeypatch.setattr(engine, "MAX_SIZE", 10**5)
    tale(make_zip(IN_ARCHIVE))
    web.answers = [answer]
    refused("only https is followed|more than 5 redirects|200,000 bytes, not at most 100,000")
    assert in_cache() == []


def test_two_at_once_do_not_disturb_each_other(web, tale):
    """While the first waits for its bytes, a second one begins."""
    tale()
    errors = []

    def meanwhile(handler):
        content = TEXTS[handler.path.rsplit("/", 1)[1]].encode()
        head(handler, 200, {"Content-Length": len(content)})
        handler.wfile.write(content[:1])
        with pytest.raises(InputError) as error:
            fetch("tale")
        errors.append(str(error.value))
        handler.wfile.write(content[1:])

    web.answers = [meanwhile]
    fetch("tale")
    assert errors == [f"tale: another process fetches to {cache_folder() / 'tales'}; wait for it, then try again"] * 2
    assert load("tale", "train") == ["one\ntwo\n" * 3000] and in_cache() == ["tales/test.txt", "tales/train.txt"]


def test_a_set_that_came_while_we_waited_for_the_lock(web, tale, monkeypatch):
    """Another process ended between our first look and the lock."""
    tale()
    looks = [None, cache_folder(), cache_folder()]
    monkeypatch.setattr(registry, "locate", lambda name: looks.pop(0))
    assert fetch("tale") == cache_folder()
    assert web.asked == []


def test_a_cache_that_cannot_be_written(web, tale, tmp_path):
    (tmp_path / "cache").write_text("a file where a folder should be")
    tale()
    refused("cannot be written")
    assert web.asked == []


def test_no_network(tale, pauses, monkeypatch):
    monkeypatch.setitem(CORPORA, "tale", replace(tale(), url="http://127.0.0.1:9/"))
    refused("the download of http://127.0.0.1:9/train.txt failed .*; nothing came; try again later")
    assert pauses == [] and in_cache() == []
