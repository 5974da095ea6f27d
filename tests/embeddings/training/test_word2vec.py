"""word2vec and fastText on your own texts."""

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from gensim.models import FastText, KeyedVectors, Word2Vec
from gensim.models.fasttext import FastTextKeyedVectors

import lm_keras as lk
from lm_keras.embeddings.training.encoded_sentences import EncodedSentences

SMALL = {"embedding_dim": 8, "window": 3, "negatives": 4, "epochs": 2, "seed": 3, "progress": False}


@pytest.fixture(scope="module")
def sentences():
    return [text.lower().split() for text in lk.data.load("lee-news")]


def by_gensim(model, sentences):
    model.build_vocab(sentences)
    model.train(sentences, total_words=model.corpus_total_words, epochs=2)
    return model.wv


@pytest.mark.parametrize("algorithm", ["skip-gram", "cbow"])
def test_word2vec_is_gensims(sentences, algorithm):
    ours = lk.embeddings.train_word2vec(iter(sentences), algorithm=algorithm, **SMALL)
    model = Word2Vec(vector_size=8, window=3, negative=4, seed=3, workers=1, sg=int(algorithm == "skip-gram"))
    theirs = by_gensim(model, sentences)
    assert type(ours) is KeyedVectors and ours.index_to_key == theirs.index_to_key
    assert np.array_equal(ours.vectors, theirs.vectors)
    assert ours.get_vecattr("the", "count") == sum(sentence.count("the") for sentence in sentences)


def test_fasttext_is_gensims(sentences):
    ours = lk.embeddings.train_fasttext(iter(sentences), min_n=2, max_n=4, buckets=1000, **SMALL)
    model = FastText(vector_size=8, window=3, negative=4, seed=3, workers=1, sg=1, min_n=2, max_n=4, bucket=1000)
    theirs = by_gensim(model, sentences)
    assert type(ours) is FastTextKeyedVectors
    for word in ("the", "australians", "unaustralianisms"):  # the last one is in no text
        assert np.array_equal(ours[word], theirs[word])
    tokenizer = lk.text.WordTokenizer.train(["the unaustralianisms"])
    matrix, _ = lk.embeddings.embedding_matrix(tokenizer, ours, "subword")
    assert np.array_equal(matrix[tokenizer.tokens.index("unaustralianisms")], ours["unaustralianisms"])


def test_strings_are_split_into_words(news):
    texts = lk.embeddings.train_word2vec(news, **SMALL)
    lists = lk.embeddings.train_word2vec([lk.text.words(text) for text in news], **SMALL)
    assert texts.index_to_key == lists.index_to_key and np.array_equal(texts.vectors, lists.vectors)


def test_the_same_seed_gives_the_same_vectors_in_every_process(news):
    code = (
        "import hashlib, json, sys, lm_keras as lk\n"
        "texts, told = json.load(sys.stdin)\n"
        "words = lk.embeddings.train_word2vec(texts, language=None, **told)\n"
        "parts = lk.embeddings.train_fasttext(texts, language=None, buckets=500, **told)\n"
        "print(*[hashlib.sha256(v.vectors.tobytes()).hexdigest() for v in (words, parts)])"
    )
    given = json.dumps([news[:10], SMALL])
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    done = subprocess.run(
        [sys.executable, "-c", code], input=given, env=environment, capture_output=True, text=True, check=True
    )
    words = lk.embeddings.train_word2vec(news[:10], language=None, **SMALL)
    parts = lk.embeddings.train_fasttext(news[:10], language=None, buckets=500, **SMALL)
    assert done.stdout.split() == [hashlib.sha256(v.vectors.tobytes()).hexdigest() for v in (words, parts)]
    other = lk.embeddings.train_word2vec(news[:10], language=None, **{**SMALL, "seed": 4})
    assert not np.array_equal(words.vectors, other.vectors)


def test_progress(capfd):
    told = {"embedding_dim": 2, "min_count": 1}
    lk.embeddings.train_word2vec(["a b a b"] * 5, epochs=3, **told)
    shown = capfd.readouterr().err
    assert "Word2Vec: 100%" in shown and "60.0/60.0" in shown  # 20 words, three times
    lk.embeddings.train_fasttext(["a b a b"] * 5, buckets=10, progress=False, **told)
    assert capfd.readouterr() == ("", "")


def test_an_error_in_gensims_thread_is_told(monkeypatch):
    def broken(self):
        yield ["a", "b"]
        raise OSError("the disk is gone")

    monkeypatch.setattr(EncodedSentences, "__iter__", broken)
    with pytest.raises(OSError, match="the disk is gone"):
        lk.embeddings.train_word2vec(["a b"], min_count=1, **SMALL)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"embedding_dim": 0}, "embedding_dim is 0"),
        ({"window": 1.5}, "window is 1.5"),
        ({"window": 2**31}, "window is 2147483648; .* at most 2,147,483,647"),  # gensim would wait for ever
        ({"min_count": 0}, "min_count is 0"),
        ({"min_count": 9}, "no word of the sentences occurs 9 times"),
        ({"negatives": 0}, "negatives is 0"),
        ({"epochs": True}, "epochs is True"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**32}, r"seed is 4294967296; .* and at most 4,294,967,295"),
        ({"workers": 0}, "workers is 0"),
        ({"algorithm": "sg"}, "algorithm is 'sg'; it must be one of skip-gram, cbow"),
        ({"learning_rate": 0}, "learning_rate is 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"subsample": 1}, "subsample is 1"),
        ({"language": "xx"}, "language 'xx'"),
    ],
)
def test_impossible_arguments(wrong, message):
    with pytest.raises(lk.InputError, match=message):
        lk.embeddings.train_word2vec(["a b a b"] * 2, progress=False, **{"min_count": 1, **wrong})


def test_impossible_n_grams():
    for wrong, message in (({"min_n": 0}, "min_n is 0"), ({"min_n": 4, "max_n": 3}, "min_n is 4 and max_n 3")):
        with pytest.raises(lk.InputError, match=message):
            lk.embeddings.train_fasttext(["a b"], min_count=1, progress=False, **wrong)
