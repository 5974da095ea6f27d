"""Word similarity against gensim's own evaluation, and against numbers found by hand."""

import math

import numpy as np
import pytest
from gensim.test.utils import datapath
from word_tests import made, path_of, read_pairs

import lm_keras as lk
from lm_keras import InputError


@pytest.fixture(scope="module")
def random_vectors():
    """Words of the tests in mixed cases, two thirds of them, some in two cases."""
    rng = np.random.default_rng(1)
    pairs = read_pairs("wordsim353") + read_pairs("simlex999")
    words = sorted({word.lower() for *both, _ in pairs for word in both})
    words = [word for word in words if rng.random() < 0.67]
    words += [word.capitalize() for word in words[::3]] + [word.upper() for word in words[::4]]
    words = [words[i] for i in rng.permutation(len(words))]
    return made(words, rng.normal(size=(len(words), 20)))


@pytest.mark.parametrize("name", ["wordsim353", "simlex999"])
@pytest.mark.parametrize("restrict_vocab", [300_000, 500])
def test_equal_to_gensim(random_vectors, name, restrict_vocab):
    ours = lk.embeddings.word_similarity(random_vectors, read_pairs(name), restrict_vocab=restrict_vocab)
    assert as_gensim(random_vectors, name, ours, restrict_vocab=restrict_vocab)
    assert ours.pairs > 20 and ours.missed > 20


def test_equal_to_gensim_on_a_model_of_fasttext():
    vectors = lk.embeddings.load_fasttext(datapath("lee_fasttext_new.bin"))
    ours = lk.embeddings.word_similarity(vectors, read_pairs("wordsim353"))
    assert as_gensim(vectors, "wordsim353", ours) and ours.missed > 100  # n-grams are not asked


def as_gensim(vectors, name, ours, **options):
    pearson, spearman, missed = vectors.evaluate_word_pairs(str(path_of(name)), **options)
    share = 100 * ours.missed / (ours.pairs + ours.missed)
    return (ours.spearman, ours.pearson, share) == (spearman[0], pearson[0], pytest.approx(missed, abs=1e-9))


def test_correlations_found_by_hand():
    angles = {"a": 0, "b": 10, "c": 30, "d": 60}
    vectors = made(list(angles), [(math.cos(math.radians(x)), math.sin(math.radians(x))) for x in angles.values()])
    pairs = [("A", "b", 9), ("a", "C", 5), ("a", "d", 7), ("a", "nowhere", 1)]
    found = lk.embeddings.word_similarity(vectors, pairs)
    # ranks of the scores 3 1 2, of the cosines 3 2 1: 1 - 6 (0 + 1 + 1) / (3 (9 - 1))
    assert found.spearman == pytest.approx(0.5, abs=1e-12)
    cosines = np.cos(np.radians([10, 30, 60]))
    assert found.pearson == pytest.approx(np.corrcoef(cosines, [9, 5, 7])[0, 1], abs=1e-6)
    assert (found.pairs, found.missed) == (3, 1)
    assert str(found) == f"Spearman 0.5000, Pearson {found.pearson:.4f}, 3 of 4 pairs"


def test_no_correlation_is_nan():
    vectors = made(["a", "b", "c"], np.eye(3))
    for pairs, count in [([], 0), ([("a", "b", 1)], 1), ([("a", "b", 1), ("a", "c", 1)], 2)]:
        found = lk.embeddings.word_similarity(vectors, pairs)
        assert math.isnan(found.spearman) and math.isnan(found.pearson) and found.pairs == count


@pytest.mark.parametrize("pair", [("a", "b"), ("a", "b", "much"), ("a", 1, 2.0), ("a", "b", math.nan), "abc", 7])
def test_records_of_another_shape(pair):
    with pytest.raises(InputError, match="a pair is .first, second, score."):
        lk.embeddings.word_similarity(made(["a", "b"], np.eye(2)), [pair])
