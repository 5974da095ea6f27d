"""Files of vectors: what is written is read back, and read as gensim reads it."""

import math
import warnings
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from gensim.models import KeyedVectors
from gensim.models.fasttext import load_facebook_vectors
from gensim.test.utils import datapath
from hypothesis import assume, given
from hypothesis import strategies as st

import lm_keras as lk
from lm_keras.embeddings import load_fasttext, load_glove, load_word2vec, save_vectors
from lm_keras.embeddings.io import streams
from lm_keras.embeddings.io.text_format import strange

WORD = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r\t\v\f "), min_size=1, max_size=8)
PHRASE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), min_size=1, max_size=8)
READERS = {
    "glove": load_glove,
    "word2vec": partial(load_word2vec, binary=False),
    "word2vec-binary": partial(load_word2vec, binary=True),  # four bytes of a number may be digits, as in a text
}


def keyed(words, table):
    vectors = KeyedVectors(table.shape[1])
    vectors.add_vectors(list(words), table)
    return vectors


def same(one, other):
    assert list(one.index_to_key) == list(other.index_to_key)
    assert dict(one.key_to_index) == dict(other.key_to_index)
    assert one.vectors.dtype == np.float32 and one.vectors.tobytes() == other.vectors.tobytes()


@st.composite
def any_vectors(draw, word):
    words = draw(st.lists(word, unique=True, min_size=1, max_size=12))
    number = st.floats(width=32, allow_nan=False, allow_infinity=False)
    dim = draw(st.integers(1, 4))
    table = draw(st.lists(number, min_size=dim * len(words), max_size=dim * len(words)))
    return keyed(words, np.array(table, np.float32).reshape(-1, dim))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("vectors")


@pytest.mark.parametrize("kind, ending", [("glove", ".gz"), ("word2vec", ""), ("word2vec-binary", "")])
@given(any_vectors(WORD))
def test_any_unicode_word_survives(folder, kind, ending, vectors):
    words = vectors.index_to_key
    assume(kind != "glove" or words[0][0] != "\ufeff" and not strange(words))
    save_vectors(vectors, folder / f"a{ending}", kind)
    same(READERS[kind](folder / f"a{ending}"), vectors)
    some = words[::2]
    kept = READERS[kind](folder / f"a{ending}", vocabulary=[*some, "another"])
    same(kept, keyed(some, vectors.vectors[::2]))


@pytest.mark.parametrize("kind", READERS)
@given(any_vectors(WORD))
def test_gensim_reads_what_is_saved(folder, kind, vectors):
    try:
        save_vectors(vectors, folder / "g", kind)
    except lk.InputError:  # most words look like another layout
        return
    options = {"binary": kind == "word2vec-binary", "no_header": kind == "glove"}
    same(KeyedVectors.load_word2vec_format(str(folder / "g"), **options), vectors)


@given(any_vectors(WORD | PHRASE.map(lambda word: f"a{word}b")))
def test_words_with_spaces_survive_in_text(folder, vectors):
    try:
        save_vectors(vectors, folder / "b", "glove")
    except lk.InputError:  # a word that begins or ends with a space, or ends in a number; most words with spaces
        return
    same(load_glove(folder / "b"), vectors)
    some = vectors.index_to_key[:1]
    same(load_glove(folder / "b", vocabulary=some), keyed(some, vectors.vectors[:1]))


def test_words_of_the_large_glove_files(tmp_path):
    words = [
        ".",
        ". . .",
        "at name@domain.com",
        "\x85",
        "\xa0",
        "a\u2028b",
        "<unk>",
        "é",
        "e\u0301",
        "\ufeff",
        "3.14",
        "-",
    ]
    vectors = keyed(words, np.arange(len(words) * 3, dtype="float32").reshape(-1, 3) / 7)
    save_vectors(vectors, tmp_path / "v", "glove")
    same(load_glove(tmp_path / "v"), vectors)
    same(load_glove(tmp_path / "v", vocabulary=[". . .", "\x85"]), keyed([". . .", "\x85"], vectors.vectors[[1, 3]]))
    same(load_glove(tmp_path / "v", vocabulary=["."]), keyed(["."], vectors.vectors[:1]))


def test_every_way_to_write_a_line(tmp_path):
    """Windows' line ends, spaces at the end, a byte order mark, no last line end, empty lines at the end."""
    expected = keyed(["a", "b"], np.array([[1, -2.5], [0.5, 1e-5]], "float32"))
    for content in (
        b"a 1 -2.5\r\nb .5 1e-5\r\n",
        b"a 1. -2.5 \nb 0.5 1E-05 \n",
        b"\xef\xbb\xbfa 1.0 -2.50\nb +0.5 0.00001\n",
        b"a 1.0 -2.5\nb 0.5 0.00001\n\n\n",
        b"2 2\na 1.0 -2.5\nb 0.5 0.00001\n",
    ):
        (tmp_path / "v").write_bytes(content)
        same(load_glove(tmp_path / "v"), expected)
    (tmp_path / "v").write_bytes(b"a 1.0 -2.5\nb 0.5 0.00001")
    with pytest.warns(UserWarning, match="nothing ends the last line"):
        same(load_glove(tmp_path / "v"), expected)


def test_many_blocks(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    vectors = keyed([f"w{i}" + " x" * (i % 7 == 3) for i in range(500)], rng.normal(size=(500, 7)).astype("float32"))
    binary = keyed([f"w{i}" for i in range(500)], vectors.vectors)
    spaced = list(zip(vectors.index_to_key, vectors.vectors, strict=True))
    save_vectors(vectors, tmp_path / "t", "glove")
    save_vectors(binary, tmp_path / "b", "word2vec-binary")
    (tmp_path / "g").write_bytes(b"500 7\n" + b"".join(w.encode() + b" " + row.tobytes() for w, row in spaced))
    for block in (1, 5, 100, 777, 1 << 17):
        for module in ("streams", "binary_format"):
            monkeypatch.setattr(f"lm_keras.embeddings.io.{module}.BLOCK", block)
        if block > 1:  # a block of one byte takes long
            same(load_glove(tmp_path / "t"), vectors)
        same(load_word2vec(tmp_path / "b"), binary)
        same(load_word2vec(tmp_path / "g"), vectors)


def test_a_header_before_a_line_longer_than_a_block(tmp_path):
    vectors = keyed(["a", "b"], np.random.default_rng(0).normal(size=(2, 20_000)).astype("float32"))
    save_vectors(vectors, tmp_path / "v", "word2vec")
    assert (tmp_path / "v").stat().st_size > 2 * streams.BLOCK
    same(load_glove(tmp_path / "v"), vectors)
    (tmp_path / "v").write_bytes(b"2 3\n")  # not two counts: nothing comes after it
    same(load_glove(tmp_path / "v"), keyed(["2"], np.array([[3]], "f4")))


def test_same_as_gensim(tmp_path):
    glove = "".join(Path(datapath("lee_fasttext.vec")).read_text().splitlines(keepends=True)[1:])
    (tmp_path / "glove.txt").write_text(glove)
    same(
        load_glove(tmp_path / "glove.txt"), KeyedVectors.load_word2vec_format(tmp_path / "glove.txt", no_header=True)
    )
    for name in ("lee_fasttext.vec", "crime-and-punishment.vec"):
        same(load_fasttext(datapath(name)), KeyedVectors.load_word2vec_format(datapath(name)))
    expected = KeyedVectors.load_word2vec_format(datapath("euclidean_vectors.bin"), binary=True)
    same(load_word2vec(datapath("euclidean_vectors.bin")), expected)
    for binary in (False, True):
        expected.save_word2vec_format(str(tmp_path / "v"), binary=binary)
        same(load_word2vec(tmp_path / "v"), expected)
    save_vectors(expected, tmp_path / "w", "word2vec-binary")
    same(KeyedVectors.load_word2vec_format(str(tmp_path / "w"), binary=True), expected)
    save_vectors(expected, tmp_path / "w", "word2vec")
    same(KeyedVectors.load_word2vec_format(str(tmp_path / "w")), expected)


def test_line_breaks_of_the_first_word2vec(tmp_path):
    one = np.array([[1, 2], [3, 4]], "<f4")
    (tmp_path / "v").write_bytes(b"2 2\na " + one[0].tobytes() + b"\nb " + one[1].tobytes() + b"\n")
    same(load_word2vec(tmp_path / "v"), keyed(["a", "b"], one))


def test_zip_with_several_files(tmp_path):
    with zipfile.ZipFile(tmp_path / "v.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("one.txt", "a 1.5\n")
        archive.writestr("two.txt", "a 2.5 3.5\n")
    same(load_glove(tmp_path / "v.zip", member="two.txt"), keyed(["a"], np.array([[2.5, 3.5]], "f4")))
    with pytest.raises(lk.InputError, match="'one.txt', 'two.txt': name one as member="):
        load_glove(tmp_path / "v.zip")
    with pytest.raises(lk.InputError, match="holds no 'three.txt'"):
        load_glove(tmp_path / "v.zip", member="three.txt")
    with zipfile.ZipFile(tmp_path / "w.zip", "w") as archive:
        archive.write(datapath("crime-and-punishment.bin"), "model.bin")
    ours = load_fasttext(tmp_path / "w.zip")
    assert np.array_equal(ours["abandon"], load_facebook_vectors(datapath("crime-and-punishment.bin"))["abandon"])


def test_a_word_that_comes_again(tmp_path):
    rows = [f"w{i % 70} {i}.5 1.0\n" for i in range(100)]
    (tmp_path / "v").write_text("".join(rows))
    with pytest.warns(UserWarning, match="30 words come again, the first is 'w0' in row 71"):
        vectors = load_glove(tmp_path / "v")
    assert list(vectors.index_to_key) == [f"w{i}" for i in range(70)]
    assert vectors.vectors[:, 0].tolist() == [i + 0.5 for i in range(70)]
    assert vectors.key_to_index["w69"] == 69


def test_a_word_that_is_not_utf8(tmp_path):
    (tmp_path / "v").write_bytes(b"caf\xe9 1.5\nb 2.5\n")
    with pytest.warns(UserWarning, match="1 words are not UTF-8"):
        vectors = load_glove(tmp_path / "v")
    assert list(vectors.index_to_key) == ["caf\\xe9", "b"]


@pytest.mark.parametrize("binary", [False, True])
def test_two_words_that_are_the_halves_of_a_character(tmp_path, binary):
    one = np.array([[1.5], [2.5]], "<f4")
    rows = [row.tobytes() for row in one] if binary else [b"1.5\n", b"2.5\n"]
    (tmp_path / "v").write_bytes(b"2 1\n\xc3 " + rows[0] + b"\xa9 " + rows[1])
    with pytest.warns(UserWarning, match="2 words are not UTF-8"):
        same(load_word2vec(tmp_path / "v", binary=binary), keyed(["\\xc3", "\\xa9"], one))


def test_the_vocabulary_of_a_tokenizer(tmp_path):
    words = ["paris", "Paris", "the", "of", "unused"]
    save_vectors(keyed(words, np.eye(5, dtype="float32")), tmp_path / "v")
    tokenizer = lk.text.WordTokenizer.train(["Paris The of"])
    assert list(load_word2vec(tmp_path / "v", vocabulary=tokenizer).index_to_key) == ["paris", "Paris", "the", "of"]
    for wrong in ("Paris", 5, tmp_path / "v", ["Paris", 5]):
        with pytest.raises(lk.InputError, match="vocabulary takes an iterable of words"):
            load_word2vec(tmp_path / "v", vocabulary=wrong)


def test_words_that_cannot_be_written(tmp_path):
    for word, kind in [
        ("", "glove"),
        ("a\nb", "word2vec"),
        ("No 5", "glove"),
        ("a b", "word2vec-binary"),
        ("a\nb", "word2vec-binary"),
        ("a b", "word2vec"),
        ("a\tb", "word2vec"),
        ("a\x0b", "word2vec"),
        ("a\r", "word2vec"),
        ("a\rb", "glove"),
        ("a ", "glove"),
        ("\ta", "glove"),
        ("No\t5", "glove"),
        ("No inf", "glove"),
        ("\ud800", "glove"),
        ("\ufeffa", "glove"),
        ("é" * 5000, "word2vec"),
        ("é" * 5000, "word2vec-binary"),
    ]:
        with pytest.raises(lk.InputError, match="cannot be written"):
            save_vectors(keyed([word], np.ones((1, 2), "f4")), tmp_path / "v", kind)
    with pytest.raises(lk.InputError, match="nan or infinity"):
        save_vectors(keyed(["a"], np.array([[math.nan]], "f4")), tmp_path / "v")
    with pytest.raises(lk.InputError, match="format is 'x'"):
        save_vectors(keyed(["a"], np.ones((1, 2), "f4")), tmp_path / "v", "x")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", READERS)
def test_the_longest_word(tmp_path, kind):
    vectors = keyed(["x" * 9999, "a"], np.ones((2, 2), "f4"))
    save_vectors(vectors, tmp_path / "v", kind)
    same(READERS[kind](tmp_path / "v"), vectors)


def test_no_warning_for_a_sound_file(tmp_path):
    save_vectors(keyed(["a", "b"], np.ones((2, 3), "f4")), tmp_path / "v")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_word2vec(tmp_path / "v")
    assert streams.BLOCK >= 1 << 16
