"""word2vec's binary files whose words hold spaces, as gensim writes them: read right, or refused."""

import numpy as np
import pytest
from gensim.models import KeyedVectors
from hypothesis import given
from hypothesis import strategies as st

import lm_keras as lk
from lm_keras.embeddings import load_word2vec
from lm_keras.embeddings.io.table import keyed_vectors

SPACED = ["new york", "paris", "san francisco bay area", "東京 タワー", "a b", "at name@domain.com", "los angeles"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("spaced")


def content(words, rows, end=b""):
    return b"%d %d\n" % rows.shape + b"".join(
        word.encode() + b" " + row.tobytes() + end for word, row in zip(words, rows, strict=True)
    )


def check(path, words, rows):
    vectors = load_word2vec(path, binary=True)
    assert list(vectors.index_to_key) == list(words)
    assert vectors.vectors.tobytes() == rows.astype("<f4").tobytes()


@pytest.mark.parametrize("dim", [3, 10, 100])
@pytest.mark.parametrize("end", [b"", b"\n"])
def test_words_with_spaces_are_read_right(folder, dim, end):
    rows = np.random.default_rng(dim).normal(size=(len(SPACED), dim)).astype("<f4")
    for i in range(len(SPACED)):  # each of them first, and last
        words = SPACED[i:] + SPACED[:i]
        (folder / "v").write_bytes(content(words, rows, end))
        check(folder / "v", words, rows)
        (folder / "v").write_bytes(content(words[:1], rows[:1], end))
        check(folder / "v", words[:1], rows[:1])
    few = load_word2vec(folder / "v", vocabulary=["los angeles"], binary=True)
    assert list(few.index_to_key) == [word for word in words[:1] if word == "los angeles"]


def test_as_gensim_writes_them(folder):
    rows = np.random.default_rng(0).normal(size=(len(SPACED), 20)).astype("f4")
    keyed_vectors(SPACED, rows).save_word2vec_format(str(folder / "g"), binary=True)
    check(folder / "g", SPACED, rows)
    vectors = load_word2vec(folder / "g")
    assert list(vectors.index_to_key) == SPACED
    with pytest.raises(lk.InputError, match="'new york' cannot be written"):
        lk.embeddings.save_vectors(vectors, folder / "no", "word2vec-binary")
    lk.embeddings.save_vectors(keyed_vectors(["a\xa0b", "c\td"], rows[:2]), folder / "h", "word2vec-binary")
    again = KeyedVectors.load_word2vec_format(str(folder / "h"), binary=True)
    assert again.index_to_key == ["a\xa0b", "c\td"] and np.array_equal(again.vectors, rows[:2])


NAME = st.text("abcdeéñ東", min_size=1, max_size=6)
PHRASE = st.lists(NAME, min_size=1, max_size=3).map(" ".join)


@given(
    st.lists(PHRASE, unique=True, min_size=1, max_size=20), st.integers(1, 12), st.sampled_from([b"", b"\n"]),
    st.integers(0, 10**6), st.booleans(),
)  # fmt: skip
def test_right_or_refused(folder, words, dim, end, seed, rounded):
    rows = np.random.default_rng(seed).normal(size=(len(words), dim)).astype("<f4")
    rows = np.round(rows * 4) / 4 if rounded else rows
    (folder / "v").write_bytes(content(words, rows, end))
    try:
        check(folder / "v", words, rows)
    except lk.InputError as error:
        assert "\n" not in str(error)


def test_most_are_read(folder):
    """With four numbers a word or more, which row a byte belongs to is hardly ever in doubt."""
    rng = np.random.default_rng(5)
    for _ in range(100):
        words = [f"w{i}" + f" x{i}" * (i % 3 == 0) for i in range(40)]
        rows = rng.normal(size=(40, 4)).astype("<f4")
        (folder / "v").write_bytes(content(words, rows))
        check(folder / "v", words, rows)


def test_a_row_without_its_line_feed(folder):
    rows = np.ones((3, 2), "<f4")
    good = content(["a", "b", "c"], rows, b"\n")
    place = good.index(b"b ") + 10
    (folder / "v").write_bytes(good[:place] + good[place + 1 :])
    with pytest.raises(lk.InputError, match="word 2 is not followed by a row"):
        load_word2vec(folder / "v", binary=True)
