"""GloVe against the paper: counts by a loop, equation 8 by a double loop, its gradient by differences, AdaGrad."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_array, csr_array

import lm_keras as lk
from lm_keras.embeddings.training import encoded_sentences, glove
from lm_keras.embeddings.training import glove as cooccurrence

SENTENCES = st.lists(st.lists(st.sampled_from("abcdef"), max_size=9), min_size=1, max_size=6).filter(any)


@given(SENTENCES, st.integers(1, 4), st.integers(1, 2))
def test_counts_are_those_of_a_loop(sentences, window, min_count):
    found = [word for sentence in sentences for word in sentence]
    kept = {word for word in found if found.count(word) >= min_count}
    if not kept:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoded_sentences, "CHUNK", 10)
        patch.setattr(cooccurrence, "_PART", 4)
        words, counts = lk.embeddings.cooccurrences(sentences, window, min_count)
    assert set(words) == kept
    assert [found.count(word) for word in words] == sorted((found.count(word) for word in words), reverse=True)
    expected = np.zeros((len(words), len(words)))
    for sentence in sentences:
        row = [words.index(word) for word in sentence if word in kept]
        for i, centre in enumerate(row):
            for j, context in enumerate(row):
                if 0 < abs(i - j) <= window:
                    expected[centre, context] += 1 / abs(i - j)
    np.testing.assert_allclose(counts.toarray(), expected, rtol=1e-12)
    assert counts.nnz == (expected > 0).sum()  # each pair once


def test_weighting():
    np.testing.assert_allclose(glove.weighting([0, 1, 50, 100, 1e6]), [0, 0.01**0.75, 0.5**0.75, 1, 1])
    assert glove.weighting(3, x_max=4, alpha=1) == 0.75


@pytest.fixture
def problem():
    """Counts [5, 5], some of them 0, and parameters."""
    rng = np.random.default_rng(0)
    counts = rng.uniform(0, 8, (5, 5)) * (rng.random((5, 5)) < 0.6)
    return counts, [rng.normal(size=shape) for shape in ((5, 3), (5, 3), (5,), (5,))]


def test_objective_is_equation_8(problem):
    counts, (w, c, b, d) = problem
    expected = 0
    for i in range(5):
        for j in range(5):
            if counts[i, j] > 0:
                f = (counts[i, j] / 4) ** 0.6 if counts[i, j] < 4 else 1
                expected += f * (w[i] @ c[j] + b[i] + d[j] - np.log(counts[i, j])) ** 2
    assert (counts == 0).any() and (counts > 4).any()
    places = np.tile(np.indices((5, 5)).reshape(2, 25), 2)
    twice = coo_array((np.tile(counts.ravel() / 2, 2), tuple(places)), (5, 5))  # halves, with the zeros
    for matrix in (csr_array(counts), counts, twice):
        found, _ = lk.embeddings.glove_objective(matrix, w, c, b, d, x_max=4, alpha=0.6)
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert twice.nnz == 50  # untouched


def test_gradients_are_the_differences(problem):
    counts, parameters = problem
    counts, small = csr_array(counts), 1e-6
    _, gradients = lk.embeddings.glove_objective(counts, *parameters, x_max=4)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        assert gradient.shape == parameter.shape
        for place in np.ndindex(parameter.shape):
            kept, ends = parameter[place], []
            for value in (kept + small, kept - small):
                parameter[place] = value
                ends.append(lk.embeddings.glove_objective(counts, *parameters, x_max=4)[0])
            parameter[place] = kept
            np.testing.assert_allclose(gradient[place], (ends[0] - ends[1]) / (2 * small), rtol=1e-5, atol=1e-6)


class Bar:
    """Keeps what the progress bar is told."""

    def __init__(self):
        self.done, self.told = 0, []

    def update(self, count):
        self.done += count

    def set_postfix(self, objective, refresh):
        self.told.append(float(objective.replace(",", "")))


def test_a_batch_of_one_is_the_papers_adagrad(problem, monkeypatch):
    """Entry by entry: theta -= rate * g / sqrt(1 + the sum of g^2 so far), for both vectors and both biases."""
    counts, _ = problem
    entries = csr_array(counts).tocoo()
    monkeypatch.setattr(glove, "LARGEST_BATCH", 1)
    found = glove._descend(entries, 3, 4, 0.75, 2, 0.1, 7, Bar())
    rng = np.random.default_rng(7)
    theta = [(rng.random((5, 5)) - 0.5) / 3 for _ in range(2)]
    theta = [np.delete(theta[0], -1, 1), np.delete(theta[1], -2, 1)]  # (w, b), (c, d)
    sums = [np.ones((5, 4)) for _ in range(2)]
    for _ in range(2):
        for k in rng.permutation(entries.nnz):
            i, j, x = entries.row[k], entries.col[k], entries.data[k]
            (w, b), (c, d) = ((row[:-1], row[-1]) for row in (theta[0][i], theta[1][j]))
            slope = 2 * min(1, x / 4) ** 0.75 * (w @ c + b + d - np.log(x))
            gradients = np.append(slope * c, slope), np.append(slope * w, slope)
            for table, total, row, gradient in zip(theta, sums, (i, j), gradients, strict=True):
                total[row] += gradient**2
                table[row] -= 0.1 * gradient / np.sqrt(total[row])
    np.testing.assert_allclose(np.delete(found[0], -1, 1), theta[0], atol=1e-5)
    np.testing.assert_allclose(np.delete(found[1], -2, 1), theta[1], atol=1e-5)
    assert (found[0][:, -1] == 1).all() and (found[1][:, -2] == 1).all()


def test_batches_descend_as_far_as_single_entries(news, monkeypatch):
    words = encoded_sentences.EncodedSentences(news[:1])
    entries = glove.count_pairs(words, words.frequent(2), 3).tocoo()
    reached = []
    for largest in (1, glove.LARGEST_BATCH):
        monkeypatch.setattr(glove, "LARGEST_BATCH", largest)
        bar = Bar()
        glove._descend(entries, 10, 100, 0.75, 3, 0.05, 0, bar)
        assert bar.done == 3 * entries.nnz and bar.told == sorted(bar.told, reverse=True)
        reached.append(bar.told[-1])
    assert abs(reached[1] / reached[0] - 1) < 0.05


def test_related_words_come_together():
    news = [text.lower().split() for text in lk.data.load("lee-news")]
    told = {"embedding_dim": 20, "window": 6, "min_count": 10, "epochs": 8}
    vectors = lk.embeddings.train_glove(news, learning_rate=0.2, progress=False, **told)
    related = [("israeli", "palestinian"), ("bin", "laden"), ("per", "cent"), ("prime", "minister")]
    rest = vectors.vectors[:400] / np.linalg.norm(vectors.vectors[:400], axis=1, keepdims=True)
    assert min(vectors.similarity(*pair) for pair in related) > np.quantile(rest @ rest.T, 0.95)
    assert vectors.index_to_key[0] == "the" and vectors.get_vecattr("the", "count") > 1000


def test_the_same_seed_gives_the_same_vectors(news, capfd):
    told = {"embedding_dim": 4, "epochs": 2}
    one = lk.embeddings.train_glove(iter(news), **told)
    assert "GloVe: 100%" in (shown := capfd.readouterr().err) and "objective=" in shown
    same, other = (lk.embeddings.train_glove(news, seed=seed, progress=False, **told) for seed in (0, 1))
    assert np.array_equal(one.vectors, same.vectors) and not np.array_equal(one.vectors, other.vectors)
    assert capfd.readouterr() == ("", "")


def test_a_count_that_is_impossible_is_told_before_the_text_is_read():
    sentences = iter(["a b"])
    for train in (lk.embeddings.train_glove, lk.embeddings.cooccurrences, lk.embeddings.train_word2vec):
        with pytest.raises(lk.InputError, match="min_count is 0"):
            train(sentences, min_count=0)
    assert list(sentences) == ["a b"]


@pytest.mark.parametrize(
    ("sentences", "wrong", "message"),
    [
        ("a b", {}, "sentences is .a b.; give lk.data.read_texts"),
        ([], {}, "there are no words"),
        (["a b"], {"min_count": 2}, "no word of the sentences occurs 2 times"),
        ([["a"], ["b"]], {}, "no two words of the sentences stand in one window"),
        (["a b"], {"embedding_dim": 0}, "embedding_dim is 0"),
        (["a b"], {"window": 0}, "window is 0"),
        (["a b"], {"epochs": 0}, "epochs is 0"),
        (["a b"], {"x_max": 0}, "x_max is 0"),
        (["a b"], {"alpha": -1}, "alpha is -1"),
        (["a b"], {"learning_rate": "x"}, "learning_rate is 'x'"),
        (["a b"], {"seed": None}, "seed is None"),
    ],
)
def test_what_cannot_be_trained(sentences, wrong, message):
    with pytest.raises(lk.InputError, match=message):
        lk.embeddings.train_glove(sentences, progress=False, **{"min_count": 1, **wrong})
