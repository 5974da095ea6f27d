"""Models of fastText, words and n-grams, read as gensim reads them."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from gensim.models import FastText
from gensim.models.fasttext import load_facebook_model, load_facebook_vectors, save_facebook_model
from gensim.test.utils import datapath
from hypothesis import given
from hypothesis import strategies as st

import lm_keras as lk
from lm_keras.embeddings import load_fasttext, save_vectors, train_fasttext
from lm_keras.embeddings.io import fasttext_format
from lm_keras.embeddings.io.table import keyed_vectors

WORD = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fasttext")


@pytest.fixture(scope="module")
def trained():
    sentences = [["the", "cat", "sat"], ["a", "cat"]] * 2
    return train_fasttext(sentences, embedding_dim=4, min_count=1, buckets=50, epochs=1, progress=False)


@pytest.mark.parametrize("name", ["crime-and-punishment.bin", "toy-model.bin", "lee_fasttext_new.bin"])
def test_fasttext_models_as_gensim_reads_them(name, tmp_path):
    expected = load_facebook_vectors(datapath(name))
    (tmp_path / "m.bin.gz").write_bytes(gzip.compress(Path(datapath(name)).read_bytes()))
    for path in (datapath(name), tmp_path / "m.bin.gz"):
        ours = load_fasttext(path)
        assert ours.index_to_key == expected.index_to_key
        others = [i for i, word in enumerate(ours.index_to_key) if word != "</s>"]  # test_fasttext_official has that
        np.testing.assert_array_equal(ours.vectors[others], expected.vectors[others])
        for word in (*expected.index_to_key[:5], "neverseen", "непонятный"):
            assert np.array_equal(ours[word], expected[word])
    some = expected.index_to_key[3:9:2]
    few = load_fasttext(datapath(name), vocabulary=some)
    assert few.index_to_key == some
    for word in (*some, "neverseen", expected.index_to_key[0]):  # the last is known by its n-grams alone now
        assert np.array_equal(few[word], expected[word]) == (word != expected.index_to_key[0])


def test_fasttext_survives_with_any_words(tmp_path):
    words = ["naïve", "北京", "\x85", "e\u0301", "🙂", "a\tb", "I'm"]
    model = FastText([words] * 3, vector_size=4, min_count=1, bucket=50, epochs=1, seed=1, workers=1)
    save_facebook_model(model, str(tmp_path / "m.bin"))
    ours = load_fasttext(tmp_path / "m.bin")
    assert set(ours.index_to_key) == set(words)
    for word in (*words, "another"):
        np.testing.assert_allclose(ours[word], model.wv[word], rtol=1e-6)


@given(st.lists(WORD, unique=True, min_size=1, max_size=6), WORD, st.integers(1, 3), st.integers(1, 9), st.data())
def test_what_is_saved_is_read_back_with_its_subwords(folder, words, unseen, dim, buckets, data):
    size = dim * (len(words) + buckets)
    table = data.draw(st.lists(st.floats(-1e6, 1e6, width=32), min_size=size, max_size=size))
    table = np.array(table, np.float32).reshape(-1, dim)
    vectors = fasttext_format.subword_vectors(words, table[: len(words)], table[len(words) :], 1, 3)
    for name in ("f.bin", "f.bin.gz"):
        save_vectors(vectors, folder / name, format="fasttext")
        for read in (load_fasttext, load_facebook_vectors) if name == "f.bin" else (load_fasttext,):
            again = read(str(folder / name))
            assert list(again.index_to_key) == words
            assert again.vectors.tobytes() == vectors.vectors.tobytes()
            assert np.array_equal(again[unseen], vectors[unseen])


def test_a_trained_model_survives_and_can_be_saved_over_itself(trained, folder):
    path = folder / "trained.bin"
    save_vectors(trained, path, format="fasttext")
    before = load_fasttext(path, vocabulary=["cat"])
    save_vectors(before, path, format="fasttext")
    again = load_fasttext(path)
    assert again.index_to_key == ["cat"]
    for word in ("cat", "cats", "neverseen"):
        assert np.array_equal(again[word], trained[word])
    save_vectors(trained, path, format="fasttext")
    model = load_facebook_model(str(path))  # the whole model, as its training goes on
    assert {word: model.wv.get_vecattr(word, "count") for word in trained.index_to_key} == {
        word: trained.get_vecattr(word, "count") for word in trained.index_to_key
    }
    model.train([["the", "cats"]], total_examples=1, epochs=1)


def test_what_cannot_be_saved_as_fasttext(trained, folder):
    plain = keyed_vectors(["a", "b"], np.ones((2, 3)))
    with pytest.raises(lk.InputError, match="KeyedVectors has no subwords; give those of train_fasttext"):
        save_vectors(plain, folder / "no.bin", format="fasttext")
    with pytest.raises(lk.InputError, match=r"the word 'a\\x00b' cannot be written"):
        save_vectors(
            fasttext_format.subword_vectors(["a\0b"], *np.ones((2, 1, 3), "f4"), 1, 2), folder / "no.bin", "fasttext"
        )
    save_vectors(trained, folder / "t.bin", "fasttext")
    more, changed = load_fasttext(folder / "t.bin"), load_fasttext(folder / "t.bin")
    more.add_vectors(["new"], np.ones((1, 4), "f4"))
    changed.vectors[0] = 1
    for wrong in (more, changed):
        with pytest.raises(lk.InputError, match="not those that their n-grams give"):
            save_vectors(wrong, folder / "no.bin", format="fasttext")
    for vectors, kind in [(trained, "word2vec"), (plain, "glove")]:
        for name in ("no.bin", "no.bin.gz"):
            with pytest.raises(lk.InputError, match=f"{name} is no name for text"):
                save_vectors(vectors, folder / name, kind)
    assert not list(folder.glob("*no.bin*"))
    save_vectors(trained, folder / "w.bin", "word2vec-binary")
    assert list(lk.embeddings.load_word2vec(folder / "w.bin").index_to_key) == trained.index_to_key
