"""The WEAT bias probe against its formulas, word by word, over all partitions."""

import itertools
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from word_tests import made

import lm_keras as lk
from lm_keras import InputError
from lm_keras.embeddings import WEAT_TESTS, weat
from lm_keras.embeddings.evaluation import bias


def random_vectors(seed, count=24, dim=6):
    return made([f"w{i}" for i in range(count)], np.random.default_rng(seed).normal(size=(count, dim)))


def sets(*sizes):
    words = iter(f"w{i}" for i in range(sum(sizes)))
    return [list(itertools.islice(words, size)) for size in sizes]


def by_the_paper(vectors, x, y, a, b):
    """Effect size and p-value as the paper writes them, with the partitions one by one."""

    def cosine(v, w):
        v, w = vectors[v].astype(float), vectors[w].astype(float)
        return v @ w / np.sqrt((v @ v) * (w @ w))

    s = {w: statistics.fmean(cosine(w, v) for v in a) - statistics.fmean(cosine(w, v) for v in b) for w in x + y}
    difference = statistics.fmean(s[w] for w in x) - statistics.fmean(s[w] for w in y)
    larger = count = 0
    for first in itertools.combinations(x + y, len(x)):
        rest = [w for w in x + y if w not in first]
        other = statistics.fmean(s[w] for w in first) - statistics.fmean(s[w] for w in rest)
        larger, count = larger + (other > difference + 1e-12), count + 1
    return difference / statistics.pstdev(s.values()), larger / count, count


@pytest.mark.parametrize("sizes", [(4, 4, 3, 5), (5, 3, 2, 2), (1, 2, 1, 1)])
@pytest.mark.parametrize("seed", range(3))
def test_by_brute_force(sizes, seed):
    vectors = random_vectors(seed)
    found = weat(vectors, *sets(*sizes))
    effect, p_value, count = by_the_paper(vectors, *sets(*sizes))
    assert found.effect_size == pytest.approx(effect, abs=1e-9)
    assert (found.p_value, found.partitions, found.exact, found.missed) == (p_value, count, True, [])


def test_a_sample_comes_near_all_partitions(monkeypatch):
    vectors, (x, y, a, b) = random_vectors(4), sets(6, 6, 4, 4)
    exact = weat(vectors, x, y, a, b)
    assert exact.exact and exact.partitions == 924 and 0.05 < exact.p_value < 0.95
    monkeypatch.setattr(bias, "_EXACT", 0)
    monkeypatch.setattr(bias, "_NUMBERS", 12 * 999)  # more than one block
    sampled = weat(vectors, x, y, a, b, permutations=20_000, seed=1)
    assert not sampled.exact and sampled.partitions == 20_000 and sampled.effect_size == exact.effect_size
    sigma = np.sqrt(exact.p_value * (1 - exact.p_value) / 20_000)
    assert 0 < abs(sampled.p_value - exact.p_value) < 4 * sigma
    assert weat(vectors, x, y, a, b, permutations=20_000, seed=1) == sampled
    assert weat(vectors, x, y, a, b, permutations=20_000, seed=2).p_value != sampled.p_value


def test_a_sample_is_never_certain():
    x, y = ([f"{name}{i}" for i in range(12)] for name in "xy")
    rows = np.concatenate([np.tile([1.0, 0.1], (12, 1)), np.tile([0.1, 1.0], (12, 1)), np.eye(2)])
    found = weat(made([*x, *y, "a", "b"], rows), x, y, ["a"], ["b"], permutations=500)
    assert found.p_value == 1 / 501 and not found.exact
    assert found.effect_size == pytest.approx(2)


@given(st.integers(0, 10**6), st.integers(2, 5))
def test_the_effect_is_from_minus_2_to_2_and_turns_with_the_sets(seed, size):
    vectors, (x, y, a, b) = random_vectors(seed, 20), sets(size, size, 3, 4)
    effect = weat(vectors, x, y, a, b).effect_size
    assert -2 - 1e-9 <= effect <= 2 + 1e-9
    assert weat(vectors, y, x, a, b).effect_size == pytest.approx(-effect)
    assert weat(vectors, x, y, b, a).effect_size == pytest.approx(-effect)


def test_words_without_a_vector():
    vectors = made(["john", "Amy", "office", "home"], np.random.default_rng(0).normal(size=(4, 3)))
    found = weat(vectors, ["John", "Paul"], ["Amy"], ["office", "work"], ["home"])
    assert found.missed == ["Paul", "work"]
    assert found == weat(vectors, ["john", "Paul"], ["Amy"], ["office", "work"], ["home"])
    with pytest.raises(InputError, match="none of the 2 words of attributes_b has a vector"):
        weat(vectors, ["john"], ["Amy"], ["office"], ["family", "parents"])


def test_bad_input():
    vectors = random_vectors(0)
    with pytest.raises(InputError, match="targets_y takes a list of words, got one string"):
        weat(vectors, ["w1"], "w2", ["w3"], ["w4"])
    with pytest.raises(InputError, match="a word of attributes_a is 3; words are strings"):
        weat(vectors, ["w1"], ["w2"], [3], ["w4"])
    for wrong in (0, 2.5, "9"):
        with pytest.raises(InputError, match=f"permutations is {wrong!r}"):
            weat(vectors, ["w1"], ["w2"], ["w3"], ["w4"], permutations=wrong)
    with pytest.raises(InputError, match="seed is -1"):
        weat(vectors, ["w1"], ["w2"], ["w3"], ["w4"], seed=-1)


def test_no_spread_is_no_association():
    """All targets lean the same way, or a vector is nan: there is no effect, so no p-value of 0 either."""
    broken = made(["w1", "w2", "w3", "w4"], np.eye(4))
    broken.vectors[0] = np.nan
    for vectors, targets, attributes in ((random_vectors(0), "w1", "w4"), (broken, "w2", "w4"), (broken, "w2", "w3")):
        found = weat(vectors, ["w1"], [targets], ["w3"], [attributes])
        assert np.isnan(found.effect_size) and np.isnan(found.p_value)


def test_published_sets():
    assert {name: [len(words) for words in test] for name, test in WEAT_TESTS.items()} == {
        "flowers-insects": [25, 25, 25, 25],
        "career-family": [8, 8, 8, 8],
        "maths-arts": [8, 8, 8, 8],
    }
    for test in WEAT_TESTS.values():
        words = [word for words in test for word in words]
        assert len(set(words)) == len(words)
    words = [word for test in WEAT_TESTS.values() for words in test for word in words]
    vectors = made(sorted(set(words)), np.random.default_rng(0).normal(size=(len(set(words)), 10)))
    found = lk.embeddings.weat(vectors, *WEAT_TESTS["maths-arts"])
    assert found.exact and found.partitions == 12_870 and found.missed == []
