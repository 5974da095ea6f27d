"""Archives from elsewhere: named members only; what climbs, expands without end or is damaged leaves nothing."""

import bz2
import hashlib
import io
import re
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packed import make_tar, make_zip

from lm_keras.data.corpora import corpus
from lm_keras.data.corpora.corpus import unpack
from lm_keras.errors import InputError

TRAIN, TEST = b"one\ntwo\n" * 400, "三\n".encode()
GOOD = {"readme": b"read me", "set/": None, "set/train.txt": TRAIN, "set/test.txt": TEST}
MEMBERS = {"train.txt": "set/train.txt", "test.txt": "set/test.txt"}
SHA256 = {"train.txt": hashlib.sha256(TRAIN).hexdigest(), "test.txt": hashlib.sha256(TEST).hexdigest()}


BOTH = pytest.mark.parametrize("make", [make_zip, make_tar])


@pytest.fixture
def folder(tmp_path):
    """A folder that holds an older train.txt, in a folder that nothing may be written to."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "train.txt").write_bytes(b"old")
    return tmp_path / "cache"


def taken(folder, archive, members=MEMBERS, sha256=SHA256):
    """What an archive leaves in and beside the folder: name → content."""
    path = folder.parent / "set.archive"
    path.write_bytes(archive)
    try:
        unpack(path, members, folder, sha256)
    finally:
        path.unlink()
        found = {str(p.relative_to(folder.parent)): p.read_bytes() for p in folder.parent.rglob("*") if p.is_file()}
    return found


def refused(folder, archive, says, **options):
    with pytest.raises(InputError) as error:
        taken(folder, archive, **options)
    assert re.fullmatch(f"set.archive cannot be unpacked \\(.*{says}.*\\)", str(error.value)), error.value
    found = [path for path in folder.parent.rglob("*") if path.is_file()]
    assert found == [folder / "train.txt"] and found[0].read_bytes() == b"old", "as it was"


@BOTH
def test_only_named_members_are_taken(folder, make):
    assert taken(folder, make(GOOD)) == {"cache/train.txt": TRAIN, "cache/test.txt": TEST}


@BOTH
@pytest.mark.parametrize(
    "name",
    ["../evil", "set/../../evil", "/etc/evil", "C:\\evil", "c:evil", "..\\evil", "a\\..\\..\\evil", "..", "\\evil"],
)
def test_an_archive_that_climbs_out_of_its_folder(folder, make, name):
    refused(folder, make({**GOOD, name: b"evil"}), "climbs out of its folder")
    refused(folder, make({name: b"evil", **GOOD}), "climbs out", members={"evil": name, **MEMBERS})


@BOTH
def test_dots_in_a_name_are_not_a_way_up(folder, make):
    assert taken(folder, make({**GOOD, "a..b/...": b"", "./x": b""})).keys() == {"cache/train.txt", "cache/test.txt"}


@BOTH
@pytest.mark.parametrize(
    "entry, says",
    [
        ({}, "holds no 'set/test.txt'"),
        ({"set/test.txt": "/etc/passwd"}, "'set/test.txt' is a link or a folder"),
        ({"set/test.txt": "train.txt"}, "is a link or a folder"),
        ({"set/test.txt": TEST + b"!"}, "'set/test.txt' has sha256 .*, not"),
        ({"set/Test.txt": TEST}, "holds no"),
    ],
)
def test_a_member_that_is_not_the_file(folder, make, entry, says):
    refused(folder, make({"set/train.txt": TRAIN, **entry}), says)


def test_members_of_other_kinds(folder):
    refused(folder, make_zip({"set/test.txt/": None}), "link or a folder", members={"test.txt": "set/test.txt/"})
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for kind in (tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo("set/test.txt")
            info.type, info.linkname = kind, "../../etc/passwd"
            archive.addfile(info)
    refused(folder, file.getvalue(), "link or a folder")


@BOTH
def test_an_archive_that_expands_without_end(folder, make, monkeypatch):
    monkeypatch.setattr(corpus, "MAX_SIZE", 10**6)
    bomb = make({**GOOD, "set/train.txt": bytes(2 * 10**6)})
    assert len(bomb) < 10_000
    refused(folder, bomb, "expands to more than 1,000,000 bytes")
    halves = make({**GOOD, "set/train.txt": bytes(6 * 10**5), "set/test.txt": bytes(6 * 10**5)})
    zeros = hashlib.sha256(bytes(6 * 10**5)).hexdigest()
    refused(folder, halves, "more than 1,000,000", sha256=dict.fromkeys(MEMBERS, zeros))
    other = make({"other": bytes(2 * 10**6), **GOOD})
    if make is make_zip:
        assert taken(folder, other)["cache/test.txt"] == TEST, "what is not taken does not expand"
    else:
        refused(folder, other, "more than 1,000,000")


def test_a_zip_that_lies_about_a_size(folder):
    content = make_zip({"set/test.txt": TEST}, zipfile.ZIP_STORED)
    for wrong in (len(TEST) - 1, len(TEST) + 1, 2**31):
        lie = content.replace(len(TEST).to_bytes(4, "little"), wrong.to_bytes(4, "little"))
        assert lie != content
        refused(folder, lie, "", members={"test.txt": "set/test.txt"})


def test_files_that_are_no_such_archive(folder):
    encrypted = bytearray(make_zip(GOOD))
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        for found in re.finditer(mark, bytes(encrypted)):
            encrypted[found.start() + place] |= 1
    refused(folder, bytes(encrypted), "encrypted")
    refused(folder, make_zip(GOOD, zipfile.ZIP_BZIP2), "by another method than deflate")
    for content in (
        b"",
        b"P",
        b"<html>not found</html>",
        b"PK but no more",
        b"\x1f\x8b but no more",
        bz2.compress(TRAIN),
    ):
        refused(folder, content, "")


def test_a_missing_folder_is_made_and_a_missing_archive_said(folder):
    assert taken(folder / "new", make_zip(GOOD)).keys() == {"train.txt", "new/train.txt", "new/test.txt"}
    with pytest.raises(InputError, match="nothing.zip cannot be unpacked .*No such file"):
        unpack(folder / "nothing.zip", MEMBERS, folder, SHA256)


@BOTH
def test_damage_anywhere_is_refused_or_does_not_matter(make):
    """Bytes that are changed, lost or added: the files are right, or there is one error and no file."""
    whole = make(GOOD)
    places = st.integers(0, len(whole))
    damage = st.lists(st.tuples(places, st.binary(max_size=4), st.integers(0, 4)), min_size=1, max_size=3)

    @given(damage | places)
    @settings(max_examples=120)
    def check(damage):
        archive = whole[:damage] if isinstance(damage, int) else whole
        for place, new, old in damage if isinstance(damage, list) else []:
            archive = archive[:place] + new + archive[place + old :]
        with tempfile.TemporaryDirectory() as folder:
            path, cache = Path(folder) / "set.archive", Path(folder) / "cache"
            path.write_bytes(archive)
            try:
                unpack(path, MEMBERS, cache, SHA256)
            except InputError as error:
                assert "\n" not in str(error)
                assert not cache.exists() or list(cache.iterdir()) == []
            else:
                assert {p.name: p.read_bytes() for p in cache.iterdir()} == {"train.txt": TRAIN, "test.txt": TEST}

    check()
