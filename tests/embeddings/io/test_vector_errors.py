"""Damaged files of vectors: one clear error each, never rows that have moved."""

import gzip
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from gensim.models import KeyedVectors
from gensim.test.utils import datapath
from hypothesis import given
from hypothesis import strategies as st

from lm_keras import InputError
from lm_keras.embeddings import load_fasttext, load_glove, load_word2vec, save_vectors

LINES = [b"the 0.1 0.2 0.3", b"of -1.5 2.5 3.5", b"and 0.4 0.5 6e-05"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("damaged")


def refused(load, path, content, message, **options):
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        load(path, **options)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "number, line, message",
    [
        (1, b"the 0.1 0.2", "line 1: 2 numbers where 3 are expected: 'the 0.1 0.2'"),
        (2, b"of -1.5 2.5", "line 2: 2 numbers where 3 are expected"),
        (2, b"of -1.5 2.5 3.5 4.5", "line 2: more than the 3 numbers that are expected: 'of -1.5 2.5 3.5 4.5'"),
        (2, b"of 1 2 3 4", "line 2: more than the 3 numbers"),
        (2, b"of -1.5 2.5 x", "line 2: 'x' where a number is expected"),
        (2, b"of -1.5 nan 3.5", "line 2: 'nan' where a number is expected"),
        (2, b"of -1.5 1_0 3.5", "line 2: '1_0' where"),
        (2, b"of -1.5 0x1 3.5", "line 2: '0x1' where"),
        (2, b"of -1.5 1.2.3 3.5", "line 2: '1.2.3' where"),
        (2, b"of -1.5 1-2 3.5", "line 2: '1-2' where"),
        (2, "of -1.5 ٣ 3.5".encode(), "line 2: '٣' where"),
        (2, b"of,-1.5,2.5,3.5", "line 2: 0 numbers where 3 are expected"),
        (2, b"of\t5 -1.5 2.5 3.5", "line 2: more than the 3 numbers"),
        (2, b"of inf -1.5 2.5 3.5", "line 2: more than the 3 numbers"),
        (2, b"of\r-1.5 2.5 3.5", "line 2: 0 numbers where 3 are expected"),
        (2, b"of -1.5 1e39 3.5", "line 2: a number that float32 cannot hold"),
        (2, b"of -1.5 1e999 3.5", "line 2: a number that float32 cannot hold"),
        (2, b"of -1.5  3.5", "line 2: 2 numbers where 3 are expected"),
        (2, b" -1.5 2.5 3.5", "line 2: 2 numbers where 3 are expected"),
        (2, b"   ", "line 2: 0 numbers where 3 are expected"),
        (2, b"-1.5 2.5 3.5", "line 2: 2 numbers where 3"),
        (2, b"", "line 2: an empty line among the vectors"),
        (3, b"and 0.4", "line 3: 1 numbers where 3 are expected"),
    ],
)
def test_a_line_that_is_wrong(folder, number, line, message):
    lines = [*LINES[: number - 1], line, *LINES[number:]]
    refused(load_glove, folder / "v", b"\n".join(lines) + b"\n", message)
    more = message.replace(f"line {number}", f"line {number + 1}")
    refused(load_word2vec, folder / "v", b"\n".join([b"3 3", *lines, b""]), more, binary=False)


def test_a_wrong_first_line_of_a_short_file(folder):
    refused(load_glove, folder / "v", b"the 0.1 x 0.3\nof 1 2 3\n", "line 1: 'x' where a number is expected")
    refused(load_glove, folder / "v", b"of 1 2 3\nthe 0.1 x 0.3\n", "line 2: 'x' where a number is expected")


def test_a_wrong_line_far_into_the_file(folder):
    many = b"".join(b"w%d 0.5 0.25 0.125\n" % i for i in range(40_000))
    for line, message in [
        (b"x 1 2", "2 numbers"),
        (b"x 1 2 y", "'y' where"),
        (b"x 1 2 3 4", "more than"),
        (b"", "an empty"),
    ]:
        refused(load_glove, folder / "v", many + line + b"\nlast 1 2 3\n", f"line 40001: {message}")


ROWS, WORDS = np.arange(300, dtype="float32").reshape(100, 3) / 8, [f"w{i}" for i in range(100)]
TEXT = "".join(
    f"{word} {row[0]} {row[1]} {row[2]}\n" for word, row in zip(WORDS, ROWS.tolist(), strict=True)
).encode()


@pytest.mark.filterwarnings("ignore:.*nothing ends the last line")
@given(st.integers(TEXT.index(b"\n") + 1, len(TEXT)))
def test_cut_off_anywhere(folder, length):
    """An error, or the rows before the cut as they are; without a header, a whole line less is not to be seen."""
    cut = TEXT[:length]
    whole = cut.count(b"\n")
    (folder / "v").write_bytes(cut)
    try:
        vectors = load_glove(folder / "v")
    except InputError as error:
        assert f"line {whole + 1}: " in str(error) and "cut off here" in str(error) and not cut.endswith(b"\n")
    else:
        assert list(vectors.index_to_key)[:whole] == WORDS[:whole]
        assert np.array_equal(vectors.vectors[:whole], ROWS[:whole])
    if whole < 99:
        refused(load_word2vec, folder / "v", b"100 3\n" + cut, "cut off|promises 100 words, it holds", binary=False)


def binary_file(count=100, dim=3):
    rows = [word.encode() + b" " + row.tobytes() for word, row in zip(WORDS, ROWS, strict=True)]
    return b"%d %d\n" % (count, dim) + b"".join(rows)


@given(st.integers(7, len(binary_file()) - 1))
def test_binary_cut_off_anywhere(folder, length):
    refused(load_word2vec, folder / "v", binary_file()[:length], "it ends after", binary=True)


@pytest.mark.parametrize("count, dim", [(99, 3), (101, 3), (100, 2), (100, 4), (1, 3), (100, 300)])
def test_binary_of_another_size(folder, count, dim):
    refused(
        load_word2vec,
        folder / "v",
        binary_file(count, dim),
        "promises|does not end|is empty|nan|the sizes do not fit",
        binary=True,
    )


def test_other_faults_of_word2vec(folder):
    nan = b"1 1\na " + struct.pack("<f", np.nan)
    refused(load_word2vec, folder / "v", nan, "word 1 holds nan or infinity", binary=True)
    refused(load_word2vec, folder / "v", b"1 1\n" + b"a" * 20_000, "word 1 does not end", binary=True)
    refused(load_word2vec, folder / "v", b"\n".join(LINES), "line 1: 'the 0.1 0.2 0.3' is not the number of words")
    refused(load_word2vec, folder / "v", b"2 3\n" + b"\n".join(LINES) + b"\n", "promises 2 words, it holds 3")
    refused(load_word2vec, folder / "v", b"3 4\n" + b"\n".join(LINES), "line 2: 3 numbers where 4 are")
    refused(load_word2vec, folder / "v", b"3 0\n" + b"\n".join(LINES), "vectors of 0 numbers", binary=False)
    refused(load_word2vec, folder / "v", b"3 99999999\nthe 1", "vectors of 99999999 numbers")
    many = b"9" * 5000  # digits, more than Python reads
    refused(load_word2vec, folder / "v", many + b" 3\n" + b"\n".join(LINES), "line 1: '999")
    refused(load_word2vec, folder / "v", b"3 " + many + b"\n" + b"\n".join(LINES), "line 1: '3 999")
    refused(load_glove, folder / "v", many + b" 3\n" + b"\n".join(LINES), "line 1: 1 numbers where 3")


@pytest.mark.parametrize(
    "line, message",
    [
        (b"of -1.5 nan 3.5", "line 2: 'nan' where a number is expected"),
        ("né -1.5 x 3.5".encode(), "line 2: 'x' where a number is expected"),
        (b"of;-1.5;2.5;3.5", "line 2: 0 numbers where 3 are expected"),
        (b"", "line 2: an empty line among the vectors"),
    ],
)
def test_a_text_whose_first_vector_is_damaged_is_not_taken_for_binary(folder, line, message):
    refused(load_word2vec, folder / "v", b"\n".join([b"4 3", line, *LINES, b""]), message)


def test_files_that_are_something_else(folder):
    refused(load_glove, folder / "v", b"", "it is empty")
    refused(load_word2vec, folder / "v", b"", "it is empty|does not begin")
    refused(load_fasttext, folder / "v", b"", "it is empty")
    refused(load_glove, folder / "v", b"\n\n", "no word vectors: a line is a word and its numbers")
    refused(load_glove, folder / "v", b"hello world\n", "spaces or tabs between them, and here it is 'hello world'$")
    refused(load_glove, folder / "v", b"Once upon a time\nthere was\n", "here it is 'Once upon a time'$")
    refused(load_glove, folder / "v", b"x" * (17 << 20), "no line ends within 16 MiB")
    refused(load_glove, folder / "v", TEXT, "is no .zip: it has no member 'one.txt'", member="one.txt")
    with pytest.raises(InputError, match="is a folder"):
        load_glove(folder)
    with pytest.raises(InputError, match="does not exist"):
        load_glove(folder / "nothing")
    with pytest.raises(InputError, match="/dev/null is no file"):
        load_glove("/dev/null")


def test_compressed_files_that_are_damaged(folder):
    zipped, text = gzip.compress(TEXT * 50), b"\n".join(LINES) + b"\n"
    refused(load_glove, folder / "v.gz", zipped[: len(zipped) // 2], "cut off or damaged")
    broken = bytearray(zipped)
    broken[len(broken) // 2] ^= 255
    refused(load_glove, folder / "v.gz", bytes(broken), "cut off or damaged")
    for kind in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with zipfile.ZipFile(folder / "v.zip", "w", kind) as archive:
            archive.writestr("v.txt", TEXT)
        broken = bytearray((folder / "v.zip").read_bytes())
        broken[45:60] = bytes(15)
        refused(load_glove, folder / "v.zip", bytes(broken), "cut off or damaged|cannot be read")
    with zipfile.ZipFile(folder / "v.zip", "w") as archive:
        archive.writestr("v.txt", text)
    content = (folder / "v.zip").read_bytes()
    refused(load_glove, folder / "v.zip", content[:-30], "cut off or damaged")
    refused(load_glove, folder / "v.zip", content.replace(b"0.1 0.2", b"0.1 0.9"), "cut off or damaged")  # its CRC


def test_fasttext_models_that_are_damaged(folder):
    model = Path(datapath("crime-and-punishment.bin")).read_bytes()
    for length in (4, 7, 60, 70, 100, 3000, len(model) // 2):
        refused(load_fasttext, folder / "m.bin", model[:length], "cut off")
        refused(load_fasttext, folder / "m.bin.gz", gzip.compress(model[:length]), "cut off")
    version = model[:4] + struct.pack("<i", 13) + model[8:]
    refused(load_fasttext, folder / "m.bin", version, "not a fastText model of version 11 or 12")
    size = struct.pack("<q", 5)  # of the vectors, 1 byte and 8 before the matrix
    start = model.index(struct.pack("<2q", 391, 5))
    refused(
        load_fasttext,
        folder / "m.bin",
        model[:start] + struct.pack("<q", 390) + size + model[start + 16 :],
        "390 x 5 numbers where 391 x 5",
    )
    refused(load_fasttext, folder / "m.bin", model[: start - 1] + b"\1" + model[start:], "quantized or pruned")
    for row in (0, 300):  # of a word, of an n-gram
        damaged = bytearray(model)
        struct.pack_into("<f", damaged, start + 16 + 20 * row, np.nan)
        refused(load_fasttext, folder / "m.bin", bytes(damaged), "hold nan or infinity")


def test_no_pickle_is_read(folder):
    vectors = KeyedVectors(2)
    vectors.add_vectors(["a"], np.ones((1, 2), "float32"))
    vectors.save(str(folder / "pickled"))
    for load in (load_glove, load_word2vec, load_fasttext):
        with pytest.raises(InputError):
            load(folder / "pickled")


def test_a_file_that_is_there_stays_when_writing_fails(folder, monkeypatch):
    (folder / "old").write_text("old")
    vectors = KeyedVectors(2)
    vectors.add_vectors(["a"], np.ones((1, 2), "float32"))
    monkeypatch.setattr("lm_keras.utils.atomic_files.os.fsync", lambda handle: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_vectors(vectors, folder / "old")
    assert (folder / "old").read_text() == "old"


def test_where_nothing_can_be_written(folder, monkeypatch):
    vectors = KeyedVectors(2)
    vectors.add_vectors(["a"], np.ones((1, 2), "float32"))
    (folder / "file").write_text("")
    for path in (folder, folder / "file" / "v"):
        with pytest.raises(InputError, match=r"cannot be written \(.+\)") as error:
            save_vectors(vectors, path)
        assert str(path) in str(error.value)
    monkeypatch.setenv("HOME", str(folder))
    save_vectors(vectors, "~/of_mine")  # where load_word2vec finds it
    assert (folder / "of_mine").exists()
