"""Choosing a token: the kept set, the frequencies, the random numbers, extreme options."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lm_keras.generation.sampling import penalize, sample, uniform

N = 6000  # draws
LOGITS = np.array([0.3, 2.0, -1.0, 1.2, 0.0, 1.9, -3.0, 0.31], "float32")


def draws(logits=LOGITS, temperature=1.0, top_k=0, top_p=1.0, seeds=None, min_p=None):
    seeds = np.arange(N) if seeds is None else np.asarray(seeds)
    n = len(seeds)
    options = {"temperature": tf.fill([n], float(temperature)), "top_k": tf.fill([n], top_k)}
    options |= {"top_p": tf.fill([n], float(top_p)), "seed": tf.constant(seeds, tf.int64)}
    options |= {} if min_p is None else {"min_p": tf.fill([n], float(min_p))}
    return sample(tf.tile(tf.constant(logits, tf.float32)[None], [n, 1]), options, 0, tf.fill([n], 5)).numpy()


def oracle(logits, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0):
    """What is drawn from: temperature, then top-k, then the smallest set that holds top_p, then min_p."""
    scaled = np.asarray(logits, "float64") / temperature
    order = np.argsort(-scaled, kind="stable")
    p = np.zeros(len(scaled))
    kept = order[: top_k or None]
    p[kept] = np.exp(scaled[kept] - scaled.max())
    p /= p.sum()
    total = 0.0
    for i, token in enumerate(order):
        if total >= top_p:
            p[order[i:]] = 0
            break
        total += p[token]
    p[p < min_p * p.max()] = 0
    return p / p.sum()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("top_k", [0, 1, 3, 8, 100])
@pytest.mark.parametrize("top_p, min_p", [(0.05, None), (0.5, 0.0), (0.9, 0.3), (1.0, None), (1.0, 0.1), (1.0, 1.0)])
def test_frequencies_and_kept_words_follow_the_oracle(temperature, top_k, top_p, min_p):
    p = oracle(LOGITS, temperature, top_k, top_p, min_p or 0.0)
    drawn = draws(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    counts = np.bincount(drawn, minlength=len(LOGITS))
    assert not counts[p == 0].any()
    assert (counts[p > 0.002] > 0).all()
    likely = p * N >= 5
    if likely.sum() > 1:
        observed = np.append(counts[likely], counts[~likely].sum())
        expected = np.append(p[likely], p[~likely].sum()) * N
        observed, expected = observed[expected > 0], expected[expected > 0]
        assert stats.chisquare(observed, expected).pvalue > 1e-3  # seeds are fixed: this is no game of chance


def test_equal_words_are_kept_in_the_order_of_their_ids():
    assert set(draws([0.0, 1.0, 1.0, 1.0, 0.0], top_k=2)) == {1, 2}


@settings(max_examples=40, deadline=None)
@given(
    # Equal or well apart: words that only rounding tells apart may change places.
    logits=st.lists(st.integers(-80, 80).map(lambda tenth: tenth / 10), min_size=2, max_size=12),
    temperature=st.floats(0.1, 5),
    top_k=st.integers(0, 14),
    top_p=st.floats(0.01, 1),
    min_p=st.floats(0, 1),
)
def test_no_word_outside_the_kept_set_is_drawn(logits, temperature, top_k, top_p, min_p):
    drawn = draws(logits, temperature, top_k, top_p, range(200), min_p)
    # A word whose probability before it is within rounding of top_p may be in or out, and so at min_p.
    allowed = oracle(np.float32(logits), temperature, top_k, min(top_p + 1e-5, 1), min_p * (1 - 1e-5))
    assert (allowed[drawn] > 0).all()


@pytest.mark.parametrize("temperature", [0.0, -0.0, -1.0, float("nan"), float("-inf")])
def test_no_temperature_is_greedy(temperature):
    assert set(draws(temperature=temperature, seeds=range(50))) == {1}


@pytest.mark.parametrize("top_p", [0.0, -1.0, float("nan"), 1e-30])
def test_no_probability_keeps_the_best_word(top_p):
    assert set(draws(temperature=5.0, top_p=top_p, seeds=range(50))) == {1}


@pytest.mark.parametrize("temperature", [1e-45, 1e-30, 1e-8, 1.0, 1e8, 3e38, float("inf")])
@pytest.mark.parametrize("top_k", [-5, 0, 1, 2**31 - 1])
@pytest.mark.parametrize("top_p", [1e-30, 1.0, 2.0, float("inf")])
def test_extreme_options_give_words_that_are_not_banned(temperature, top_k, top_p):
    logits = np.array([-np.inf, -1e30, 3e38, 1e30, -np.inf, -3e38], "float32")
    assert set(draws(logits, temperature, top_k, top_p, seeds=range(40))) <= {1, 2, 3, 5}
    if temperature < 1:
        assert set(draws(logits, temperature, top_k, top_p, seeds=range(40))) == {2}


def test_an_infinite_temperature_draws_all_words_that_are_not_banned():
    drawn = draws([-np.inf, 5.0, -5.0, 0.0], temperature=float("inf"), seeds=range(500))
    counts = np.bincount(drawn, minlength=4)
    assert counts[0] == 0
    assert stats.chisquare(counts[1:]).pvalue > 1e-3


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_of_a_broken_model_give_some_word_and_no_crash(bad):
    drawn = draws([bad, 1.0, bad, 0.0], seeds=range(20))
    assert ((drawn >= 0) & (drawn < 4)).all()


def test_rows_have_their_own_options():
    n = 5
    options = {
        "temperature": tf.constant([0.0, 1.0, 1.0, 1.0, 2.0] * 300),
        "top_k": tf.constant([0, 1, 2, 0, 0] * 300),
        "top_p": tf.constant([1.0, 1.0, 1.0, 0.01, 1.0] * 300),
        "seed": tf.range(n * 300, dtype=tf.int64),
    }
    tokens = sample(tf.tile(tf.constant(LOGITS)[None], [n * 300, 1]), options, 3, tf.fill([n * 300], 1))
    tokens = tokens.numpy().reshape(300, n)
    kept = [set(column) for column in tokens.T]
    assert kept[:4] == [{1}, {1}, {1, 5}, {1}]
    assert len(kept[4]) > 5


# === Random numbers ===
def splitmix64(seed, position, token):
    """Steele, Lea & Flood 2014, in Python's whole numbers."""
    mask = 2**64 - 1
    x = seed * 0xD1342543DE82EF95 + (position + 1) * 0x9E3779B97F4A7C15 + token * 0xA0761D6478BD642F
    x &= mask
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & mask
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & mask
    x ^= x >> 31
    return (x >> 40) / 2**24


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**31 - 2), st.integers(-1, 2**31 - 1))
@settings(max_examples=50, deadline=None)
def test_uniform_is_splitmix64(seed, position, token):
    value = uniform(tf.constant([seed], tf.int64), position, tf.constant([token])).numpy()[0]
    assert value == splitmix64(seed, position, token)
    assert 0 <= value < 1


@pytest.mark.parametrize("varied", ["seed", "position", "token"])
def test_uniform_is_uniform_and_without_memory_along_each_input(varied):
    n = 20_000
    along = {name: tf.range(n) if name == varied else tf.fill([n], 7) for name in ("seed", "position", "token")}
    values = uniform(tf.cast(along["seed"], tf.int64), along["position"], along["token"]).numpy()
    assert values.min() >= 0
    assert values.max() < 1
    assert stats.kstest(values, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.025  # 3.5 standard errors
    pairs = np.histogram2d(values[:-1:2], values[1::2], bins=10, range=[[0, 1]] * 2)[0].ravel()
    assert stats.chisquare(pairs).pvalue > 1e-3


def test_uniform_of_a_row_knows_nothing_of_the_other_rows():
    seeds, tokens = tf.constant([3, 1, 3], tf.int64), tf.constant([5, 5, 5])
    together = uniform(seeds, 9, tokens).numpy()
    assert together[0] == together[2] != together[1]
    assert together[1] == uniform(seeds[1:2], 9, tokens[1:2]).numpy()[0]


# === Repetition penalty ===
def test_penalty_makes_seen_words_less_likely():
    logits = tf.constant([[2.0, -2.0, 2.0, -2.0, -np.inf]])
    seen = tf.constant([[True, True, False, False, True]])
    np.testing.assert_allclose(penalize(logits, seen, 2.0), [[1.0, -4.0, 2.0, -2.0, -np.inf]])
    np.testing.assert_allclose(penalize(logits, seen, 1.0), logits)
