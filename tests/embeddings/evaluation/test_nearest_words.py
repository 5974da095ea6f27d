"""Neighbours of words, and what is said about words that are not there."""

import numpy as np
import pytest
from gensim.test.utils import datapath
from word_tests import made

import lm_keras as lk
from lm_keras import InputError

WORDS = ["king", "queen", "kings", "King", "Paris", "paris", "NATO", "knight", "the", "naïve", "e-mail", "kin"]


@pytest.fixture(scope="module")
def vectors():
    return made(WORDS, np.random.default_rng(0).normal(size=(len(WORDS), 5)))


def test_by_brute_force(vectors):
    found = lk.embeddings.nearest_words(vectors, ["king", "naïve"], n=4)
    assert list(found) == ["king", "naïve"]
    for word, neighbours in found.items():
        one = vectors[word].astype(float)
        cosines = {w: one @ vectors[w] / np.linalg.norm(one) / np.linalg.norm(vectors[w]) for w in WORDS if w != word}
        assert [name for name, _ in neighbours] == sorted(cosines, key=cosines.get, reverse=True)[:4]
        assert [cosine for _, cosine in neighbours] == pytest.approx(
            [cosines[name] for name, _ in neighbours], abs=1e-6
        )
    assert lk.embeddings.nearest_words(vectors, "king", n=4) == {"king": found["king"]}
    assert len(lk.embeddings.nearest_words(vectors, "king", n=100)["king"]) == len(WORDS) - 1


@pytest.mark.parametrize(
    "word, near",
    [
        ("KING", "'king' or 'King'"),
        ("quen", "'queen'"),
        ("PARIS", "'paris' or 'Paris'"),
        ("nato", "'NATO'"),
        ("knigth", "'knight'"),
        (" the", "'the'"),
        ("naive", "'naïve'"),
    ],
)
def test_unknown_words_name_known_ones(vectors, word, near):
    with pytest.raises(InputError) as error:
        lk.embeddings.nearest_words(vectors, ["king", word])
    start = f"{word!r} has no vector among the {len(WORDS)}; did you mean {near}"
    assert str(error.value).startswith(start) and "\n" not in str(error.value)


def test_unknown_words_that_are_like_no_other(vectors):
    with pytest.raises(InputError, match="'xyz' has no vector among the 12, nor have '', 3; give words of"):
        lk.embeddings.nearest_words(vectors, ["xyz", "the", "", 3])
    for wrong in (0, 2.5, "3"):
        with pytest.raises(InputError, match=f"n is {wrong!r}"):
            lk.embeddings.nearest_words(vectors, ["the"], n=wrong)


def test_an_empty_vector_is_near_nothing():
    vectors = made(["a", "empty", "b"], [[1, 0], [0, 0], [1, 1]])
    found = lk.embeddings.nearest_words(vectors, ["a", "empty"])
    assert found == {"a": [("b", pytest.approx(0.5**0.5))], "empty": []}


def test_vectors_of_ngrams_have_one_for_every_word():
    vectors = lk.embeddings.load_fasttext(datapath("lee_fasttext_new.bin"))
    assert "governmentally" not in vectors.key_to_index
    found = lk.embeddings.nearest_words(vectors, "governmentally", n=3)["governmentally"]
    assert found == vectors.most_similar("governmentally", topn=3) and len(found) == 3
