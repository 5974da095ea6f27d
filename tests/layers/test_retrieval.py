"""The index of a retriever beside scikit-learn's TF-IDF, BM25 by brute force, and cosines by NumPy."""

import math
from collections import Counter

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

import lm_keras as lk
from lm_keras.errors import InputError
from lm_keras.layers.retrieval import Cosines, idf
from lm_keras.tasks.retrieval_index import MARKS, is_mark, word_tokenizer, words_model

WORDS = ["cat", "dog", "fish", "bird", "cow", "天气"]
NEW = ["zebra", "yak", "xerus"]  # in no entry
entries_of_words = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=6), min_size=1, max_size=7)
question_of_words = st.lists(st.sampled_from([*WORDS, *NEW]), max_size=8)


def scores_of(model, tokenizer, questions):
    rows = tokenizer.encode_batch([" ".join(words) for words in questions])
    return np.asarray(model(tf.ragged.constant(rows, tf.int32, ragged_rank=1).to_tensor(-1)))


def by_scikit_learn(entries, questions):
    """Cosines of TfidfVectorizer; each unknown word of a question is a word of its own that no entry has."""
    known = {word for words in entries for word in words}
    questions = [[w if w in known else f"new {i}" for i, w in enumerate(words)] for words in questions]
    vocabulary = sorted(known | {word for words in questions for word in words})
    vectorizer = TfidfVectorizer(analyzer=lambda words: words, vocabulary=vocabulary)
    index = vectorizer.fit_transform(entries)
    return (vectorizer.transform(questions) @ index.T).toarray()


def by_brute_force(entries, questions, k1, b):
    """BM25 summed word after word, divided by that of an entry that is the question."""
    mean = sum(map(len, entries)) / len(entries)

    def bm25(question, entry):
        counts, found = Counter(entry), 0.0
        for word in question:
            n, f = sum(word in each for each in entries), counts[word]
            weight = math.log(1 + (len(entries) - n + 0.5) / (n + 0.5))
            found += weight * f * (k1 + 1) / (f + k1 * (1 - b + b * len(entry) / mean)) if f else 0.0
        return found

    known, rows = {word for words in entries for word in words}, []
    for question in questions:
        words = [word if word in known else f"new {i}" for i, word in enumerate(question)]
        own = bm25(words, words)
        rows.append([bm25(words, entry) / own if own else 0.0 for entry in entries])
    return np.array(rows)


@settings(max_examples=50, deadline=None)
@given(entries_of_words, st.lists(question_of_words, min_size=1, max_size=3), st.sampled_from(["tfidf", "bm25"]),
       st.sampled_from([(1.2, 0.75), (0.0, 0.3), (2.0, 1.0), (0.9, 0.0)]))  # fmt: skip
def test_scores_are_those_of_the_definition(entries, questions, method, numbers):
    texts = [" ".join(words) for words in entries]
    tokenizer = lk.text.WordTokenizer.train([*texts, MARKS], lowercase=True)
    k1, b = numbers
    found = scores_of(words_model(texts, tokenizer, method, k1=k1, b=b), tokenizer, questions)
    expected = by_scikit_learn(entries, questions) if method == "tfidf" else by_brute_force(entries, questions, k1, b)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", ["tfidf", "bm25"])
def test_the_more_is_unknown_the_lower_the_score(method):
    texts = ["the cat sat", "a dog ran", "the fish swam"]
    tokenizer = word_tokenizer(texts)
    asked = ["cat", "cat zebra", "cat zebra yak", "cat zebra yak xerus", "zebra yak"]
    best = scores_of(words_model(texts, tokenizer, method), tokenizer, map(str.split, asked)).max(1)
    assert all(best[:-1] > best[1:]) and best[-1] == 0
    same = scores_of(words_model(texts, tokenizer, method), tokenizer, map(str.split, texts))
    np.testing.assert_allclose(np.diag(same), 1, rtol=1e-6)


def test_marks_count_nowhere():
    texts = ["Where is it?", "What's that...", "北京在哪里？"]
    tokenizer = word_tokenizer(texts[:2])
    model = words_model(texts[:2], tokenizer, "tfidf")
    rows = scores_of(model, tokenizer, [["where", "is", "it"], ["Where", "is", "it?!", '"', "(", ";"]])
    np.testing.assert_allclose(rows[0], rows[1], rtol=1e-6)
    assert [is_mark(token) for token in ("?", "``", "...", "，", " ", "c", "##ing", "€", "5", "<unk>")] == [
        True
    ] * 5 + [False] * 5
    chinese = word_tokenizer([*texts[2:], "天气好吗"])
    model = words_model([*texts[2:], "天气好吗"], chinese, "bm25")
    assert scores_of(model, chinese, [["天气怎么样"]]).argmax() == 1


def test_weights_of_words():
    assert idf("tfidf", 3, 1) == pytest.approx(math.log(4 / 2) + 1)
    assert idf("bm25", 3, 3) == pytest.approx(math.log(1 + 0.5 / 3.5)) and idf("bm25", 3, 3) > 0


@pytest.mark.parametrize(
    "change, message",
    [
        ({"method": "tf"}, "method is 'tf'"),
        ({"method": "bm25", "k1": -1.0}, "k1 is -1.0"),
        ({"method": "bm25", "b": 1.5}, "b is 1.5"),
        ({"method": "tfidf", "questions": ["???", "..."]}, "hold no word at all"),
        ({"method": "tfidf", "questions": ["a"] * 200_001}, "the number of entries is 200001"),
    ],
)
def test_refusals(change, message):
    tokenizer = word_tokenizer(["a b ?", "c"])
    with pytest.raises(InputError, match=message):
        words_model(**{"questions": ["a b", "c"], "tokenizer": tokenizer, **change})


def test_cosines(tmp_path):
    rng = np.random.default_rng(0)
    vectors, states = rng.normal(size=(5, 4)), rng.normal(size=(2, 3, 4)).astype("float32")
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype("float32")
    mask = np.array([[1, 1, 0], [1, 1, 1]], "int32")
    given = keras.Input((None, 4)), keras.Input((None,), dtype="int32")
    model = keras.Model(given, Cosines(5)(*given))
    model.layers[-1].set_weights([vectors])
    model.save(tmp_path / "x.keras")
    means = np.stack([states[0, :2].mean(0), states[1].mean(0)])
    expected = means @ vectors.T / np.linalg.norm(means, axis=1, keepdims=True)
    for each in (model, lk.models.load_model(tmp_path / "x.keras")):
        np.testing.assert_allclose(each([states, mask]), expected, rtol=1e-5, atol=1e-6)
