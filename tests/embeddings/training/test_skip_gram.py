"""The from-scratch skip-gram: what it is shown, by brute force and by statistics; what it learns."""

from collections import Counter

import keras
import numpy as np
import pytest

import lm_keras as lk
from lm_keras.embeddings.training import skip_gram
from lm_keras.embeddings.training.skip_gram import keep_probabilities, noise_distribution


def shown(dataset):
    """centre [N], candidates [N, 1 + K] of one iteration."""
    batches = [x for x, _ in dataset.as_numpy_iterator()]
    return np.concatenate([x["centre"] for x in batches]), np.concatenate([x["candidates"] for x in batches])


@pytest.fixture(scope="module")
def zipf():
    """A text of 20,000 words drawn from 50, the k-th with a probability of 1 / k, and its tokenizer."""
    weights = 1 / np.arange(1, 51)
    drawn = np.random.default_rng(0).choice(50, 20_000, p=weights / weights.sum())
    text = " ".join(f"w{i}" for i in drawn)
    return text, lk.text.WordTokenizer.train([text])


def test_pairs_are_the_neighbours_within_a_text():
    texts = ["the cat sat on the mat", "a dog", "alone", "zebra the zebra"]
    tokenizer = lk.text.WordTokenizer.train(texts[:3])  # zebra: <unk>, left out
    dataset = lk.embeddings.skip_gram_pairs(texts, tokenizer, window=1, negatives=1, batch_size=1, subsample=None)
    centre, candidates = shown(dataset)
    found = Counter(
        zip(*(np.array(tokenizer.tokens)[ids].tolist() for ids in (centre, candidates[:, 0])), strict=True)
    )
    expected = Counter()
    for text in texts[:3]:
        words = text.split()
        for one, other in zip(words, words[1:], strict=False):
            expected.update([(one, other), (other, one)])
    assert found == expected
    assert int(dataset.cardinality()) == len(centre) == expected.total()


def test_no_pair_is_lost_between_parts(monkeypatch):
    texts = [" ".join(f"w{i}" for i in range(n, n + 7)) for n in range(0, 700, 7)]
    tokenizer = lk.text.WordTokenizer.train(texts)
    monkeypatch.setattr(skip_gram, "_CHUNK", 20)
    dataset = lk.embeddings.skip_gram_pairs(texts, tokenizer, window=1, batch_size=10, subsample=None)
    centre, candidates = shown(dataset)
    assert len(centre) == len(set(zip(centre.tolist(), candidates[:, 0].tolist(), strict=True))) == 100 * 2 * 6


def test_near_words_count_more():
    n, window = 5000, 4
    text = " ".join(f"w{i:04}" for i in range(n))  # each word once: ids are places
    tokenizer = lk.text.WordTokenizer.train([text])
    dataset = lk.embeddings.skip_gram_pairs([text], tokenizer, window, negatives=1, batch_size=100, subsample=None)
    centre, candidates = shown(dataset)
    counts = np.bincount(np.abs(centre - candidates[:, 0]))
    assert counts[0] == 0 and len(counts) == window + 1
    expected = 2 * n * (window - np.arange(window)) / window  # a reach of d or more: (window - d + 1) / window
    assert (np.abs(counts[1:] - expected) < 5 * np.sqrt(n) + 100).all()  # the last batch is left out
    assert np.all(np.diff(counts[1:]) < 0)


def test_frequent_words_are_dropped(zipf):
    text, tokenizer = zipf
    counts = np.bincount(tokenizer.encode(text), minlength=tokenizer.vocab_size)
    keep = keep_probabilities(counts, 0.01)
    share = counts / counts.sum()
    for i in np.flatnonzero(counts):
        assert keep[i] == pytest.approx(min(1, (0.01 / share[i]) ** 0.5))
    assert keep_probabilities(counts, None)[counts > 0].min() == 1 and not keep[counts == 0].any()
    centre, _ = shown(lk.embeddings.skip_gram_pairs([text], tokenizer, window=1, batch_size=1000, subsample=0.01))
    found, expected = np.bincount(centre, minlength=len(keep)) / len(centre), share * keep / (share @ keep)
    assert np.abs(found - expected).sum() / 2 < 0.02 < np.abs(found - share).sum() / 2


def test_negatives_are_drawn_from_the_noise_distribution(zipf):
    text, tokenizer = zipf
    centre, candidates = shown(lk.embeddings.skip_gram_pairs([text + " zebra"], tokenizer, window=1, subsample=None))
    counts = np.bincount(tokenizer.encode(text), minlength=tokenizer.vocab_size)
    noise, drawn = noise_distribution(counts), candidates[:, 1:].ravel()
    for i in range(3, 53):
        assert noise[i] == pytest.approx(counts[i] ** 0.75 / (counts[3:] ** 0.75).sum())
    found = np.bincount(drawn, minlength=len(noise)) / len(drawn)
    assert len(drawn) > 150_000 and np.abs(found - noise).sum() / 2 < 0.01
    assert np.abs(found - counts / counts.sum()).sum() / 2 > 0.05
    assert not found[:3].any()  # no special tokens
    for word in (3, 20):  # and whatever the centre is
        some = np.bincount(candidates[centre == word, 1:].ravel(), minlength=len(noise))
        assert np.abs(some / some.sum() - noise).sum() / 2 < 0.05


def test_each_iteration_is_another_draw_of_the_same_size(zipf):
    text, tokenizer = zipf
    one, same, other = (
        lk.embeddings.skip_gram_pairs([text], tokenizer, batch_size=5000, seed=seed) for seed in (0, 0, 1)
    )
    first, second = shown(one), shown(one)
    assert [part.shape for part in first] == [part.shape for part in second]
    assert not np.array_equal(first[0], second[0])
    for expected in (first, second):
        for a, b in zip(expected, shown(same), strict=True):
            assert np.array_equal(a, b)
    assert not np.array_equal(first[0][:100], shown(other)[0][:100])
    labels = next(one.as_numpy_iterator())[1]
    assert labels.dtype == np.float32 and (labels == np.eye(6)[0]).all()


@pytest.fixture(scope="module")
def trained():
    """A model that has read the news, its tokenizer, and its loss epoch by epoch."""
    news = lk.data.load("lee-news")
    tokenizer = lk.text.WordTokenizer.train(news, min_count=5, lowercase=True)
    model = lk.embeddings.build_skip_gram(tokenizer.vocab_size, embedding_dim=32, seed=0)
    model.compile(keras.optimizers.Adam(0.01), keras.losses.BinaryCrossentropy(from_logits=True))
    pairs = lk.embeddings.skip_gram_pairs(news, tokenizer, batch_size=2048)
    history = model.fit(pairs, epochs=4, shuffle=False, verbose=0)
    return model, tokenizer, history.history["loss"]


def test_the_loss_is_equation_4(trained):
    model = trained[0]
    rng = np.random.default_rng(0)
    x = {"centre": rng.integers(3, 200, 7), "candidates": rng.integers(3, 200, (7, 4))}
    labels = np.tile([1.0, 0, 0, 0], (7, 1))
    v, c = (model.get_layer(name).get_weights()[0].astype(float) for name in ("vectors", "contexts"))
    total = 0
    for centre, (context, *noise) in zip(x["centre"], x["candidates"], strict=True):
        total += np.log(1 / (1 + np.exp(-c[context] @ v[centre])))
        total += sum(np.log(1 / (1 + np.exp(c[word] @ v[centre]))) for word in noise)
    assert model.evaluate(x, labels, verbose=0) == pytest.approx(-total / 7 / 4, rel=1e-4)
    assert model(x).shape == (7, 4)


def test_related_words_come_together(trained):
    model, tokenizer, losses = trained
    assert losses == sorted(losses, reverse=True) and losses[0] < np.log(2)
    vectors = lk.embeddings.vectors_of(model, tokenizer)
    assert vectors.index_to_key == tokenizer.tokens[3:]
    assert np.array_equal(vectors["the"], model.get_layer("vectors").get_weights()[0][tokenizer.encode("the")[0]])
    related = [("israeli", "palestinian"), ("bin", "laden"), ("per", "cent"), ("wicket", "test"), ("fire", "fires")]
    near = [vectors.similarity(*pair) for pair in related]
    rest = vectors.vectors[:500] / np.linalg.norm(vectors.vectors[:500], axis=1, keepdims=True)
    assert min(near) > np.quantile(rest @ rest.T, 0.95)


def test_a_model_starts_as_word2vec_and_is_saved(tmp_path):
    model = lk.embeddings.build_skip_gram(11, embedding_dim=4, seed=1)
    start, contexts = model.get_weights()
    assert 0.1 < np.abs(start).max() <= 0.125 and not contexts.any()
    model.save(tmp_path / "model.keras")
    assert np.array_equal(keras.saving.load_model(tmp_path / "model.keras").get_weights()[0], start)
    with pytest.raises(lk.InputError, match="has 11 vectors and the tokenizer 5 tokens"):
        lk.embeddings.vectors_of(model, lk.text.WordTokenizer.train(["a b"]))


def test_bad_arguments():
    tokenizer = lk.text.WordTokenizer.train(["a b"])
    for texts, wrong, message in (
        (["a b"], {}, "do not fill a batch of 1024 pairs"),
        (["a", "b"], {"batch_size": 1}, "do not fill a batch of 1 pairs"),
        (["zebra"], {}, "no token that the tokenizer knows"),
        ([], {}, "no text"),
        (["a b"], {"window": 0}, "window is 0"),
        (["a b"], {"negatives": 0}, "negatives is 0"),
        (["a b"], {"batch_size": 0}, "batch_size is 0"),
        (["a b"], {"subsample": 2}, "subsample is 2"),
        (["a b"], {"seed": -1}, "seed is -1"),
    ):
        with pytest.raises(lk.InputError, match=message):
            lk.embeddings.skip_gram_pairs(texts, tokenizer, **wrong)
    for sizes, message in (((1, 4), "vocab_size is 1"), ((5, 0), "embedding_dim is 0")):
        with pytest.raises(lk.InputError, match=message):
            lk.embeddings.build_skip_gram(sizes[0], embedding_dim=sizes[1])
