"""Models of fastText, words and n-grams, read as gensim reads them."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from gensim.models import FastText
from gensim.models.fasttext import load_facebook_vectors, save_facebook_model
from gensim.test.utils import datapath

from lm_keras.embeddings import load_fasttext


@pytest.mark.parametrize("name", ["crime-and-punishment.bin", "toy-model.bin", "lee_fasttext_new.bin"])
def test_fasttext_models_as_gensim_reads_them(name, tmp_path):
    expected = load_facebook_vectors(datapath(name))
    (tmp_path / "m.bin.gz").write_bytes(gzip.compress(Path(datapath(name)).read_bytes()))
    for path in (datapath(name), tmp_path / "m.bin.gz"):
        ours = load_fasttext(path)
        assert ours.index_to_key == expected.index_to_key
        np.testing.assert_array_equal(ours.vectors, expected.vectors)
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
