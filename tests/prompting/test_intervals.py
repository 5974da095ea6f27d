"""Wilson's interval: the ends solve its equation, known values, and as many hold the truth as they say."""

import math

import numpy as np
import pytest

import lm_keras as lk
from lm_keras.prompting import wilson

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


@pytest.mark.parametrize("arguments", [(3, 2), (0, 0), (-1, 2), (1, 2, 1.0), (1, 2, 0)])
def test_what_is_no_share_is_refused(arguments):
    with pytest.raises(lk.InputError):
        wilson(*arguments)
