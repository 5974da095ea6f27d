"""Files that are whole or not there."""

import os
import resource
import stat

import numpy as np
import pytest

from lm_keras import InputError
from lm_keras.errors import WriteError
from lm_keras.utils.atomic_files import (
    locked,
    read_json,
    read_tensors,
    replacing,
    write_json,
    write_tensors,
    write_text,
)

TENSORS = {"a/b": np.arange(6, dtype=np.float32).reshape(2, 3), "": np.zeros((), np.int64)}


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_round_trips(tmp_path):
    value = {"text": "语言 \u2028 \n", "list": [1, 2.5, None, True], "": {}}
    write_json(tmp_path / "deep" / "er" / "v.json", value)
    assert read_json(tmp_path / "deep" / "er" / "v.json") == value
    write_tensors(tmp_path / "t", TENSORS, {"step": 3})
    tensors, metadata = read_tensors(tmp_path / "t")
    assert metadata == {"step": 3} and tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(tensors[name], tensor)
    write_tensors(str(tmp_path / "t"), {}, None)
    assert read_tensors(tmp_path / "t") == ({}, None)
    assert names(tmp_path) == ["deep", "t"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_while_writing_keeps_the_old_file(tmp_path, error):
    path = tmp_path / "file"
    for before in (None, b"old"):
        if before:
            path.write_bytes(before)
        with pytest.raises(error), replacing(path) as temporary:
            temporary.write_bytes(b"half of the n")
            assert not path.exists() or path.read_bytes() == before
            raise error
        assert names(tmp_path) == (["file"] if before else [])
    assert path.read_bytes() == b"old"


def test_a_value_that_cannot_be_written_keeps_the_old_file(tmp_path):
    write_json(tmp_path / "v.json", 1)
    with pytest.raises(TypeError):
        write_json(tmp_path / "v.json", {"x": object()})
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "v.json", "\ud800")
    assert read_json(tmp_path / "v.json") == 1
    write_tensors(tmp_path / "t", TENSORS)
    with pytest.raises(AttributeError, match="'str' object has no attribute"):
        write_tensors(tmp_path / "t", {"x": "no array"})
    assert read_tensors(tmp_path / "t")[0].keys() == TENSORS.keys()
    assert names(tmp_path) == ["t", "v.json"]


def test_the_old_file_is_there_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old" and temporary.parent == path.parent
    assert path.read_text() == "new"


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_permissions_follow_the_umask(tmp_path, umask):
    old = os.umask(umask)
    try:
        write_json(tmp_path / "v.json", 1)
        write_tensors(tmp_path / "t", TENSORS)
        assert os.umask(umask) == umask  # it was only looked at
    finally:
        os.umask(old)
    for name in ("v.json", "t"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"a": 1} x', None])
def test_unreadable_json_names_the_file(tmp_path, content):
    path = tmp_path / "some.json"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(InputError, match="some.json"):
        read_json(path)
    with pytest.raises(InputError, match="none.json does not exist"):
        read_json(tmp_path / "none.json")


def test_unreadable_tensors_name_the_file(tmp_path):
    path = tmp_path / "some.safetensors"
    for missing in (path, tmp_path):
        with pytest.raises(InputError, match="does not exist"):
            read_tensors(missing)
    write_tensors(path, TENSORS, {"step": 3})
    whole = path.read_bytes()
    for damaged in (
        b"",
        whole[:4],
        whole[: len(whole) // 2],
        whole[:-1],
        b"\xff" * 99,
        whole.replace(b"F32", b"F99"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="some.safetensors"):
            read_tensors(path)


def limited(size):
    """A disk that is full: no file may become larger than `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("write", [write_tensors, lambda path, value: write_json(path, value["a"].tolist())])
def test_a_full_disk_keeps_the_old_file_and_is_one_line(write, tmp_path):
    path = tmp_path / "file"
    write(path, {"a": np.arange(9.0)})
    old = path.read_bytes()
    restore = limited(1 << 16)
    try:
        with pytest.raises(WriteError) as told:
            write(path, {"a": np.zeros(1 << 17)})
    finally:
        restore()
    assert str(told.value).startswith(f"{path} cannot be written (File too large); make room")
    assert isinstance(told.value, OSError) and isinstance(told.value, InputError)
    assert path.read_bytes() == old and names(tmp_path) == ["file"]


def test_where_nothing_can_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for name in ("file/v.json", "folder", "/proc/none/v.json", "x" * 255):
        path = tmp_path / name
        with pytest.raises(WriteError, match="cannot be written"):
            write_json(path, 1)
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "v.json"):  # what is not of this file stays as it is
        (tmp_path / "none" / "other").read_text()
    assert names(tmp_path) == ["file", "folder"]


def test_names_that_are_no_utf8_are_kept_in_json(tmp_path):
    value = {"data": os.fsdecode(b"caf\xe9"), "text": "é"}
    write_json(tmp_path / "v.json", value)
    assert read_json(tmp_path / "v.json") == value
    assert (tmp_path / "v.json").read_bytes().isascii()


def test_a_folder_is_locked_for_one_holder_at_a_time(tmp_path):
    with locked(tmp_path, "taken"):
        with pytest.raises(InputError, match="taken"), locked(tmp_path, "taken"):
            pass
        assert list(tmp_path.iterdir()) == []
    with locked(tmp_path, "taken"):
        pass
