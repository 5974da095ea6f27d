"""`paired_test`: McNemar's test by its sum, approximate randomization by all swaps, and how often it errs."""

import itertools
import math

import numpy as np
import pytest
from sklearn.metrics import f1_score

import lm_keras as lk
from lm_keras.tasks import paired_test


def test_mcnemar_by_its_sum():
    # 100 texts: 9 that only the first has right, 2 that only the second has.
    first, second = np.ones(100, bool), np.ones(100, bool)
    second[:9], first[9:11] = False, False
    found = paired_test(first, second)
    tail = sum(math.comb(11, k) for k in range(3)) / 2**11
    assert found.p_value == pytest.approx(2 * tail)
    assert (found.only_first, found.only_second, found.method) == (9, 2, "McNemar")
    assert found.difference == pytest.approx(0.07) and found.low < 0.07 < found.high
    assert "difference +0.0700 (interval" in str(found) and "by McNemar" in str(found)


def test_answers_are_compared_with_the_labels():
    y, a, b = ["x", "y", "x", "y", "x"], ["x", "y", "x", "x", "x"], ["y", "y", "y", "y", "x"]
    found = paired_test(a, b, y)
    assert found == paired_test([1, 1, 1, 0, 1], [0, 1, 0, 1, 1]) == paired_test(a, b, y, "accuracy")
    assert (found.only_first, found.only_second) == (2, 1)
    several = paired_test([[0, 1], [1, 1]], [[0, 1], [0, 1]], [[0, 1], [1, 1]])  # right where all classes are
    assert (several.only_first, several.only_second) == (1, 0)


def every_swap(a, b, measure):
    """The share of all 2^N swaps that differ as much, for a few texts."""
    value, found = abs(measure(a, b)), []
    for kept in itertools.product([True, False], repeat=len(a)):
        found.append(abs(measure(np.where(kept, a, b), np.where(kept, b, a))))
    return np.mean(np.array(found) >= value - 1e-12)


def test_randomization_of_numbers_by_all_swaps():
    rng = np.random.default_rng(0)
    a = rng.normal(0.5, 1, 10)
    b = a - rng.normal(0.7, 0.8, 10)
    expected = every_swap(a, b, lambda a, b: a.mean() - b.mean())
    found = paired_test(a, b, resamples=40_000)
    assert found.p_value == pytest.approx(expected, abs=0.012) and 0.005 < expected < 0.5
    assert found.difference == pytest.approx((a - b).mean()) and found.method == "approximate randomization"
    assert found.only_first is None


def macro(y, answers):
    """Macro F1 of classes that are all there; scikit-learn's takes a millisecond."""
    table = np.zeros((3, 3))
    np.add.at(table, (y, answers), 1)
    return np.mean(2 * np.diag(table) / np.maximum(table.sum(0) + table.sum(1), 1))


def test_randomization_of_macro_f1_by_all_swaps():
    rng = np.random.default_rng(2)
    y, a, b = rng.integers(0, 3, (3, 10))
    a = np.where(rng.random(10) < 0.7, y, a)
    expected = every_swap(a, b, lambda a, b: macro(y, a) - macro(y, b))
    found = paired_test(a, b, y, "macro_f1", resamples=40_000)
    f1 = [f1_score(y, answers, average="macro") for answers in (a, b)]
    assert found.difference == pytest.approx(f1[0] - f1[1]) == pytest.approx(macro(y, a) - macro(y, b))
    assert found.p_value == pytest.approx(expected, abs=0.015) and 0.005 < expected < 0.9


def test_a_function_gives_what_its_name_gives():
    rng = np.random.default_rng(3)
    y = rng.integers(0, 3, 60)
    a, b = (np.where(rng.random(60) < share, y, rng.integers(0, 3, 60)) for share in (0.8, 0.6))
    options = {"resamples": 3000}
    named, given = paired_test(a, b, y, "macro_f1", **options), paired_test(a, b, y, macro, **options)
    assert given.difference == pytest.approx(named.difference)
    assert given.p_value == pytest.approx(named.p_value, abs=0.03)
    np.testing.assert_allclose(given[1:3], named[1:3], atol=0.06)
    assert paired_test(a, b, y, "macro_f1") == paired_test(a, b, y, "macro_f1")
    assert paired_test(a, b, y, "macro_f1", seed=1) != paired_test(a, b, y, "macro_f1")


def test_a_function_may_measure_probabilities():
    def brier(y, p):
        return -np.mean((y - p) ** 2)

    found = paired_test([0.2, 0.9, 0.8], [0.4, 0.6, 0.5], [0, 1, 1], brier, resamples=50)
    assert found.difference == pytest.approx(brier(np.array([0, 1, 1]), np.array([0.2, 0.9, 0.8])) + 0.19)


@pytest.mark.parametrize("metric", [None, "macro_f1"])
def test_of_two_that_are_alike_few_differ(metric):
    """p below 0.05 in at most 5 % of the cases, and the interval holds 0 in about 95."""
    rng, significant, held = np.random.default_rng(4), [], []
    for seed in range(200):
        y = rng.integers(0, 2, 120)
        a, b = (np.where(rng.random(120) < 0.8, y, 1 - y) for _ in range(2))
        found = paired_test(a, b, y, metric, resamples=400, seed=seed)
        significant.append(found.p_value < 0.05)
        held.append(found.low <= 0 <= found.high)
    assert np.mean(significant) < 0.08
    assert np.mean(held) == pytest.approx(0.95, abs=0.04)


def test_equal_answers():
    assert paired_test([1, 0, 1], [1, 0, 1])[:4] == (0, 0, 0, 1)
    assert paired_test([0.5, 2.0], [0.5, 2.0])[:4] == (0, 0, 0, 1)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (([], []), "no texts"),
        (([1, 0], [1]), "2, 1 values"),
        (([1, 0], [1, 1], [1]), "2, 2, 1 values"),
        (([[1, 0]], [[1, 0]]), "finite numbers"),
        ((["a"], ["b"]), "for answers give y"),
        (([np.nan], [0.0]), "finite numbers"),
        (([1], [0], None, "macro_f1"), "give y"),
        (([1], [0], [1], "f1"), "metric is 'f1'"),
        # No answer would be right, and the two alike.
        (([0, 1], [1, 1], ["x", "y"]), "names and numbers"),
        ((["x", "y"], [1, 1], ["x", "y"], "macro_f1"), "names and numbers"),
        (([0.3, 0.8], [0.1, 0.9], [0, 1]), "probabilities"),
        (([[0.3, 0.8]], [[0.1, 0.9]], [[0, 1]]), "probabilities"),
        (([[0.3, 0.8]], [[0.1, 0.9]], [[0, 1]], "macro_f1"), "probabilities"),
    ],
)
def test_what_is_refused(arguments, says):
    with pytest.raises(lk.InputError, match=says):
        paired_test(*arguments)
