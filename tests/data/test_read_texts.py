"""read_texts: what it yields, and one clear line for every file that is no text."""

import bz2
import codecs
import contextlib
import gzip
import lzma
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lm_keras.data import text_files
from lm_keras.data.text_files import read_texts
from lm_keras.errors import InputError


def write(path, data):
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def test_lines_and_chunks_of_a_file(tmp_path):
    path = write(tmp_path / "a.txt", "\n  To be,\r\nor not\n \t\n是\x0c\u2028to be")
    lines = read_texts(path)
    assert list(lines) == ["  To be,", "or not", "是\x0c\u2028to be"], "only a newline ends a line"
    assert list(lines) == list(lines), "it can be read again"
    assert "".join(read_texts(str(path), unit="chunk")) == "\n  To be,\nor not\n \t\n是\x0c\u2028to be"


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("name", ["a.txt.gz", "a.txt", "A.TXT.BZ2", "a.xz"])
def test_compression_is_recognized_by_its_content(tmp_path, name, compress):
    assert list(read_texts(write(tmp_path / name, compress(b"To be\nor not\n")))) == ["To be", "or not"]


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "gb18030", "shift_jis"]
)
def test_other_encodings(tmp_path, encoding):
    text = "to be\r\n日本 or not\n" * 20_000
    path = write(tmp_path / "a.txt", text.encode(encoding))
    read = read_texts(path, "chunk", encoding=encoding)
    assert "".join(read) == text.replace("\r\n", "\n") == "".join(read)
    if "-le" in encoding or "-be" in encoding:
        path.write_bytes("\ufeffto be".encode(encoding))
        assert list(read_texts(path, encoding=encoding)) == ["to be"], "without its byte order mark"
    with pytest.raises(InputError, match="encoding=") if encoding != "utf-8-sig" else contextlib.nullcontext():
        read_texts(path)


def test_every_byte_of_latin_1_is_a_character(tmp_path):
    path = write(tmp_path / "a.txt", b"caf\xe9 \x85 au\xff\n")
    assert list(read_texts(path, encoding="latin-1")) == ["café \x85 auÿ"]


@pytest.mark.parametrize(
    ("encoding", "data", "says"),
    [
        ("ascii", b"abc\xe9", "not ASCII at byte 3; give its encoding="),
        ("utf-16", codecs.BOM_UTF16_LE + b"a\x00" * 40_000 + b"\x00\xdc", "not UTF-16 at byte 80002"),
        ("utf-16", codecs.BOM_UTF16_LE + b"a\x00b", "not UTF-16 at byte 4"),
        ("gb18030", "是".encode() + b"\xff", "not GB18030 at byte"),
        ("cp1252", b"a\x81", "not CP1252 at byte 1"),
        ("utf-16", b"\x00\x00a\x00", 'no UTF-16 byte order mark; give encoding="utf-16-le"'),
        ("utf-16-le", b"\x00\x00a\x00", "not a text file .NUL"),
        ("utf-99", b"a", "encoding 'utf-99' is not known; give one such as"),
        ("base64", b"a", "encoding 'base64' is not known"),
        (None, b"a", "encoding None is not known"),
        ("a\0b", b"a", "is not known"),
    ],
)
def test_a_wrong_encoding_is_one_line_with_the_byte(tmp_path, encoding, data, says):
    with pytest.raises(InputError, match=says) as error:
        list(read_texts(write(tmp_path / "a.txt", data), encoding=encoding))
    assert "\n" not in str(error.value)


def test_text_that_begins_like_bzip2_is_text(tmp_path):
    assert list(read_texts(write(tmp_path / "a.txt", "BZh9 is a name"))) == ["BZh9 is a name"]


def test_byte_order_mark_is_dropped(tmp_path):
    assert list(read_texts(write(tmp_path / "a.txt", b"\xef\xbb\xbfTo be"))) == ["To be"]


def test_folder_is_sorted_recursive_and_text_only(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / ".git").mkdir()
    write(tmp_path / "b.txt", "two\n")
    write(tmp_path / "a.md", "one")
    write(tmp_path / "sub" / "c.text.gz", gzip.compress(b"three\n"))
    write(tmp_path / "sub" / "d.md.bz2", bz2.compress(b"four\n"))
    write(tmp_path / "sub" / "e.txt.xz", lzma.compress(b"five\n"))
    write(tmp_path / "sub" / "f.csv.xz", lzma.compress(b"a,b\n"))
    write(tmp_path / "empty.txt", "")
    write(tmp_path / "empty.txt.bz2", bz2.compress(b""))
    write(tmp_path / "d.png", b"\x89PNG\x00")
    write(tmp_path / ".git" / "e.txt", "hidden")
    assert list(read_texts(tmp_path)) == ["one", "two", "three", "four", "five"]
    assert "".join(read_texts(tmp_path, "chunk")) == "onetwo\nthree\nfour\nfive\n"


PIECES = st.lists(st.sampled_from(["\n", "\r\n", "\r", " ", "a", "é", "是", "😀", "word"]), min_size=1, max_size=40)


@given(PIECES.map("".join).filter(str.strip), st.integers(1, 9))
def test_block_borders_change_nothing(tmp_path_factory, text, block):
    path = tmp_path_factory.getbasetemp() / "blocks.txt"
    path.write_bytes(text.encode())
    expected = text.replace("\r\n", "\n")
    text_files.BLOCK, before = block, text_files.BLOCK
    try:
        # No piece begins like a binary or a byte order mark: to see those takes a first block of some bytes.
        assert "".join(read_texts(path, "chunk")) == expected
        assert list(read_texts(path)) == [line for line in expected.split("\n") if line.strip()]
    finally:
        text_files.BLOCK = before


def test_chunks_are_whole_lines_of_about_64_kb(tmp_path):
    text = "".join(f"line {i} {'是' * (i % 50)}\n" for i in range(8000))
    chunks = list(read_texts(write(tmp_path / "a.txt", text), "chunk"))
    assert "".join(chunks) == text
    assert all(chunk.endswith("\n") for chunk in chunks)
    assert all(60_000 < len(chunk.encode()) < 70_000 for chunk in chunks[:-1])


def test_one_endless_line_is_cut_into_chunks(tmp_path):
    chunks = list(read_texts(write(tmp_path / "a.txt", "a" * 3_000_000), "chunk"))
    assert sum(map(len, chunks)) == 3_000_000
    assert max(map(len, chunks)) < 1_200_000


BAD = [
    ("empty.txt", b"", "no text"),
    ("blank.txt", b" \n\t\n", "no text"),
    ("blank-for-long.txt", b" \n" * 1_500_000, "no text"),
    ("latin1.txt", b"caf\xe9 au lait\n", "not UTF-8 at byte 3"),
    ("latin1-later.txt", b"\xc3\xa9\n" * 50_000 + b"\xe9\n", "not UTF-8 at byte 150000"),
    ("bom-latin1.txt", b"\xef\xbb\xbfab\xe9\n", "not UTF-8 at byte 5"),
    ("cut.txt", "是".encode()[:2], "not UTF-8 at byte 0"),
    ("utf16.txt", "To be".encode("utf-16"), 'looks like UTF-16; give encoding="utf-16" .--encoding utf-16'),
    ("utf32.txt", "To be".encode("utf-32"), 'looks like UTF-32; give encoding="utf-32"'),
    ("cut.bz2", bz2.compress(b"To be\n" * 1000)[:-20], "cut off or damaged"),
    ("damaged.bz2", bz2.compress(b"To be\n" * 1000)[:10] + b"\x13" * 50, "cut off or damaged"),
    ("cut.xz", lzma.compress(b"To be\n" * 1000)[:-20], "cut off or damaged"),
    ("damaged.xz", lzma.compress(b"To be\n" * 1000)[:20] + b"\x13" * 50, "cut off or damaged"),
    (
        "greedy.xz",
        lzma.compress(b"To be\n", filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 29}]),
        "Memory usage limit exceeded",
    ),
    ("twice.txt.xz", lzma.compress(gzip.compress(b"To be")), "not a text file"),
    ("false.txt.bz2", b"plain", "named .bz2 but not bzip2 data"),
    ("false.xz", b"plain", "named .xz but not xz data"),
    ("photo.txt", b"\x89PNG\r\n\x1a\n\x00\x00", "not a text file"),
    ("photo2.txt", b"\xff\xd8\xff\xe0", "not a text file"),
    ("nul.txt", b"text\nand\x00", "not a text file .NUL at byte 8"),
    ("false.txt.gz", b"plain", "not gzip"),
    ("cut.txt.gz", gzip.compress(b"To be\n" * 1000)[:-20], "cut off or damaged"),
    ("damaged.txt.gz", gzip.compress(bytes(range(32, 127)) * 9)[:40] + b"\x13\x37" * 40, "cut off or damaged"),
]


@pytest.mark.parametrize("unit", ["line", "chunk"])
@pytest.mark.parametrize("name, data, says", BAD, ids=[name for name, _, _ in BAD])
def test_bad_files_are_refused_at_once(tmp_path, name, data, says, unit):
    path = write(tmp_path / name, data)
    with pytest.raises(InputError, match=says) as error:
        read_texts(path, unit)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_a_fault_after_the_first_megabyte_is_told_while_reading(tmp_path):
    good = b"0123456789abcde\n" * 100_000
    late = read_texts(write(tmp_path / "late.txt", good + b"caf\xe9\n"))
    with pytest.raises(InputError, match="not UTF-8 at byte 1600003"):
        list(late)
    cut = read_texts(write(tmp_path / "cut.txt.gz", gzip.compress(good)[:-4]))
    with pytest.raises(InputError, match="cut off"):
        list(cut)


def test_paths_that_are_no_text_are_refused_at_once(tmp_path):
    (tmp_path / "folder").mkdir()
    write(tmp_path / "folder" / "a.csv", "a,b")
    for path, says in [
        (tmp_path / "missing.txt", "no such file"),
        (tmp_path / "folder" / "a.csv", "a table of records"),
        (tmp_path / "folder", "no text files"),
        ("x" * 5000, "cannot be read"),
        (None, "got NoneType"),
        ("", "the path is empty"),
        ("~nobody-of-this-name/a.txt", "no such user"),
        ("/dev/null", "neither a file nor a folder"),
    ]:
        with pytest.raises(InputError, match=says):
            read_texts(path)
    with pytest.raises(InputError, match="'word'"):
        read_texts(tmp_path, unit="word")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root reads everything")
def test_unreadable_file(tmp_path):
    path = write(tmp_path / "a.txt", "text")
    path.chmod(0)
    with pytest.raises(InputError, match="cannot be read"):
        read_texts(path)


def test_read_error_of_the_system_is_an_input_error(tmp_path, monkeypatch):
    path = write(tmp_path / "a.txt", "text")

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(text_files, "_open", refuse)
    with pytest.raises(InputError, match="cannot be read .Permission denied"):
        read_texts(path)
