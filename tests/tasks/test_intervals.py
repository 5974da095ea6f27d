"""Wilson's interval by its equation, the bootstrap beside SciPy's; how often both hold the truth."""

import math

import numpy as np
import pytest
from scipy import stats

import lm_keras as lk
from lm_keras.tasks import bootstrap_interval, wilson

Z = {0.95: 1.959963984540054, 0.9: 1.6448536269514722}


@pytest.mark.parametrize("level", [0.95, 0.9])
@pytest.mark.parametrize(("hits", "total"), [(1, 3), (85, 200), (199, 200), (500, 1000), (7, 7), (0, 5)])
def test_the_ends_solve_the_equation(hits, total, level):
    low, high = wilson(hits, total, level)
    assert 0 <= low <= hits / total <= high <= 1
    for end in (low, high):
        distance, error = abs(hits / total - end), Z[level] * math.sqrt(end * (1 - end) / total)
        assert distance == pytest.approx(error, abs=1e-12)


def test_known_values():
    # 81 of 263 (Newcombe 1998, table I, method 3, and 0 of 20).
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)


def test_as_many_intervals_hold_the_truth_as_they_say():
    """On the mean over shares: for one share the discrete counts go above and below."""
    rng, held = np.random.default_rng(0), []
    for _ in range(4000):
        truth = rng.random()
        low, high = wilson(int(rng.binomial(60, truth)), 60)
        held.append(low <= truth <= high)
    assert np.mean(held) == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize("arguments", [(3, 2), (0, 0), (-1, 2), (2.5, 2), (1, 2, 1.0), (1, 2, 0)])
def test_what_is_no_share_is_refused(arguments):
    with pytest.raises(lk.InputError):
        wilson(*arguments)


# === The bootstrap ===
@pytest.mark.parametrize("method", ["bca", "percentile"])
@pytest.mark.parametrize("kind", ["right", "nats"])
def test_the_interval_of_a_mean_is_that_of_scipy(method, kind):
    rng = np.random.default_rng(1)
    values = rng.random(300) < 0.85 if kind == "right" else rng.exponential(2.0, 200)
    mine = bootstrap_interval(values, method=method, resamples=10_000)
    options = {
        "method": "BCa" if method == "bca" else method,
        "n_resamples": 10_000,
        "vectorized": True,
        "batch": 500,
    }
    theirs = stats.bootstrap((values,), np.mean, **options, rng=np.random.default_rng(2)).confidence_interval
    step = 1 / 300 if kind == "right" else 0.03 * (theirs.high - theirs.low)  # shares move by whole texts
    np.testing.assert_allclose(mine, (theirs.low, theirs.high), atol=1.001 * step)


@pytest.mark.parametrize("method", ["bca", "percentile"])
def test_any_measure_of_rows(method):
    rng = np.random.default_rng(3)
    x = rng.normal(size=60)
    y = x + rng.normal(size=60)

    def slope(x, y):
        return np.polyfit(x, y, 1)[0]

    mine = bootstrap_interval((x, y), slope, method=method, resamples=1000)
    options = {"method": "BCa" if method == "bca" else method, "n_resamples": 1000, "paired": True}
    theirs = stats.bootstrap((x, y), slope, vectorized=False, **options, rng=np.random.default_rng(2))
    ends = theirs.confidence_interval
    np.testing.assert_allclose(mine, (ends.low, ends.high), atol=0.15 * (ends.high - ends.low))
    given = bootstrap_interval(x, np.mean, method=method, resamples=4000)
    np.testing.assert_allclose(given, bootstrap_interval(x, method=method, resamples=4000), atol=0.04)


def test_as_many_bootstrap_intervals_hold_the_truth_as_they_say():
    rng, held = np.random.default_rng(5), {"bca": [], "percentile": []}
    for seed in range(400):
        values = rng.exponential(1.0, 60)  # skewed
        for method, found in held.items():
            low, high = bootstrap_interval(values, method=method, resamples=500, seed=seed)
            found.append(low <= 1 <= high)
    assert np.mean(held["bca"]) == pytest.approx(0.94, abs=0.035)
    assert np.mean(held["bca"]) >= np.mean(held["percentile"]) - 0.01


def test_a_seed_decides_and_one_value_is_a_point():
    values = np.random.default_rng(0).random(40)
    assert bootstrap_interval(values, seed=3) == bootstrap_interval(values, seed=3) != bootstrap_interval(values)
    assert bootstrap_interval([2.5]) == bootstrap_interval([2.5] * 9) == (2.5, 2.5)
    assert bootstrap_interval([[1.0, 2.0]], np.sum) == (3, 3)


@pytest.mark.parametrize(
    ("arguments", "options", "says"),
    [
        (([],), {}, "has no rows"),
        (([1.0, np.nan],), {}, "NaN"),
        ((["a"],), {}, "numbers"),
        ((([1], [2, 3]), np.mean), {}, "1, 2 rows"),
        ((([1], [2]),), {}, "give metric"),
        (([1, 2], lambda x: "no"), {}, "gives a str"),
        (([1, 2], lambda x: math.inf), {}, "gives inf"),
        (([1],), {"method": "basic"}, "method is 'basic'"),
        (([1],), {"level": 1.0}, "level is 1.0"),
        (([1],), {"resamples": 0}, "resamples is 0"),
    ],
)
def test_what_has_no_bootstrap_is_refused(arguments, options, says):
    with pytest.raises(lk.InputError, match=says):
        bootstrap_interval(*arguments, **options)
