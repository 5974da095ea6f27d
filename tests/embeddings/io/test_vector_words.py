"""The compact words of a KeyedVectors behave like the list and the dict that gensim has in their place."""

import copy
import pickle

import numpy as np
import pytest
from gensim.models import KeyedVectors
from hypothesis import given
from hypothesis import strategies as st

from lm_keras.embeddings.io.table import EncodedWords, WordIndex, WordSequence

WORD_LISTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), unique=True, max_size=40)


def made(words):
    encoded = [word.encode() for word in words]
    ends = np.cumsum(np.array([len(word) for word in encoded], np.int64))
    encoded = EncodedWords(b"".join(encoded), ends)
    return WordSequence(encoded), WordIndex(encoded)


@given(WORD_LISTS, st.text(max_size=3), st.slices(20))
def test_equal_list_and_dict(words, other, part):
    index = {word: i for i, word in enumerate(words)}
    ours, our_index = made(words)
    assert ours == words and list(ours) == words and len(ours) == len(words)
    assert [ours[i] for i in range(-len(words), len(words))] == words * 2
    assert ours[part] == words[part]
    assert ours + ["x"] == [*words, "x"] and ["x"] + ours == ["x", *words] and ours + ours == words + words
    assert our_index == index and list(our_index) == words and len(our_index) == len(words)
    assert our_index.get(other, -1) == index.get(other, -1) and (other in our_index) == (other in index)
    assert our_index.get(3, -1) == -1
    for copied in (copy.deepcopy((ours, our_index)), pickle.loads(pickle.dumps((ours, our_index)))):
        assert copied == (words, index)


@given(WORD_LISTS)
def test_changes_make_true_ones(words):
    ours, our_index = made(words)
    ours.append("new word")
    our_index["new word"] = len(words)
    assert ours == [*words, "new word"]
    assert our_index == {word: i for i, word in enumerate([*words, "new word"])}
    del ours[-1], our_index["new word"]
    assert ours == words and our_index == {word: i for i, word in enumerate(words)}


def test_errors_are_those_of_a_list_and_a_dict():
    words, index = made(["a"])
    with pytest.raises(IndexError):
        words[1]
    with pytest.raises(KeyError):
        index["b"]
    with pytest.raises(TypeError):
        index[["a"]]
    with pytest.raises(TypeError):
        words + ("a",)
    with pytest.raises(TypeError):
        ("a",) + words
    assert "\ud800" not in index


@pytest.fixture
def both():
    """KeyedVectors of gensim's own containers and of ours."""
    words, table = [f"w{i}" for i in range(50)], np.random.default_rng(0).normal(size=(50, 6)).astype("float32")
    plain, compact = KeyedVectors(6), KeyedVectors(6)
    plain.add_vectors(words, table)
    compact.vectors, compact.next_index = table.copy(), 50
    compact.index_to_key, compact.key_to_index = made(words)
    return plain, compact


def test_gensim_works_with_them(both, tmp_path):
    answers = []
    for vectors in both:
        answers.append(
            [
                vectors.most_similar("w3", topn=5),
                vectors.most_similar(positive=["w1", "w2"], negative=["w4"], restrict_vocab=20),
                vectors.similarity("w1", "w2"),
                vectors.doesnt_match(["w1", "w2", "w3"]),
                vectors.closer_than("w1", "w2"),
                vectors.rank("w1", "w2"),
                vectors.distances("w1", ["w7"]).tolist(),
                vectors.get_mean_vector(["w1", "zzz"]).tolist(),
                list(vectors.vectors_for_all(["w1", "w9", "zzz"]).index_to_key),
                [word in vectors for word in ("w1", "zzz")],
                vectors[["w1", "w2"]].tolist(),
                len(vectors),
            ]
        )
        vectors.add_vectors(["new", "w1"], np.ones((2, 6)), replace=True)
        vectors.fill_norms(force=True)
        answers[-1] += [len(vectors), vectors["new"].tolist(), vectors["w1"].tolist(), vectors.most_similar("new")]
        vectors.save_word2vec_format(str(tmp_path / "saved"))
        answers[-1].append((tmp_path / "saved").read_text())
    assert answers[0] == answers[1]
