"""Attention layers against their equations in NumPy."""

import contextlib

import attention_oracles as oracle
import keras
import numpy as np
import pytest
import tensorflow as tf
from arrays import CLOSE, array, normal
from gradients import check_gradients, float64
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from lm_keras.errors import InputError
from lm_keras.layers.alignment import Alignment
from lm_keras.layers.attention import AttentionMask, CrossAttention, MemoryHeads, SelfAttention, attend, mask_of
from lm_keras.layers.cache import CacheRows, slots, write, written_in_place
from lm_keras.layers.positions import Rotary

# === softmax(Q K^T / sqrt(d_k)) V ===


def mask(visible):
    return mask_of(visible, visible).visible


@pytest.mark.parametrize("num_kv_heads", [4, 2, 1])
def test_attend_is_the_equation_for_each_head(num_kv_heads):
    q, k, v = normal(2, 4, 3, 8), normal(2, num_kv_heads, 5, 8, seed=1), normal(2, num_kv_heads, 5, 8, seed=2)
    visible = np.random.default_rng(3).random((2, 3, 5)) < 0.6
    visible[..., 0] = True
    mixed, weights = attend(q, k, v, mask(visible))
    for b, head in np.ndindex(2, 4):
        group = head * num_kv_heads // 4  # neighbouring query heads share keys and values
        by_hand, weights_by_hand = oracle.attention(q[b, head], k[b, group], v[b, group], visible[b])
        np.testing.assert_allclose(array(mixed)[b, head], by_hand, **CLOSE)
        np.testing.assert_allclose(array(weights)[b, head], weights_by_hand, **CLOSE)


def test_weights_are_shares_whatever_the_scores():
    """What document 003's formula leaves out: without the softmax the result grows with the scores."""
    q, k, v = 100 * normal(1, 2, 4, 8), normal(1, 2, 6, 8, seed=1), normal(1, 2, 6, 8, seed=2)
    mixed, weights = attend(q, k, v, mask(np.ones((1, 4, 6), bool)))
    np.testing.assert_allclose(array(weights).sum(-1), 1, rtol=1e-6)
    assert array(weights).min() >= 0
    assert (array(mixed) <= v.max(2, keepdims=True) + 1e-6).all()  # an average lies between what it averages
    assert (array(mixed) >= v.min(2, keepdims=True) - 1e-6).all()


def test_what_is_not_visible_counts_for_nothing_and_a_blind_row_is_no_nan():
    q, k, v = (normal(1, 2, 4, 8, seed=i) for i in range(3))
    visible = oracle.causal(4)[None]
    before = array(attend(q, k, v, mask(visible))[0])
    k[:, :, 3], v[:, :, 3] = 1e6, -1e6
    np.testing.assert_array_equal(array(attend(q, k, v, mask(visible))[0])[:, :, :3], before[:, :, :3])
    assert np.isfinite(array(attend(q, k, v, mask(np.zeros((1, 4, 4), bool)))[0])).all()


def test_self_attention_is_multi_head_attention():
    layer = SelfAttention(2, 4, qkv_bias=False, output_bias=False)
    x = normal(2, 5, 6)
    y, weights, *_ = layer(x, oracle.causal(5)[None])
    (qkv, out) = (array(w).astype("float64") for w in layer.weights)
    for b in range(2):
        by_hand, weights_by_hand = oracle.multi_head(x[b], x[b], *np.split(qkv, 3, 1), out, 2, oracle.causal(5))
        np.testing.assert_allclose(array(y)[b], by_hand, **CLOSE)
        np.testing.assert_allclose(array(weights)[b], weights_by_hand, **CLOSE)


@pytest.mark.parametrize("num_kv_heads", [4, 2])
def test_rows_with_the_mask_of_a_pass_give_what_the_text_gives(num_kv_heads):
    layer, x, visible = SelfAttention(4, 4, num_kv_heads=num_kv_heads), normal(2, 5, 6), oracle.causal(5)[None]
    text = layer(x, visible)
    rows = layer(x.reshape(10, 6), AttentionMask()(np.zeros((2, 5), "int32"), visible))
    assert text[0].shape == (2, 5, 6) and rows[0].shape == (10, 6)
    np.testing.assert_array_equal(array(rows[0]).reshape(2, 5, 6), array(text[0]))
    for ours, theirs in zip(rows[1:], text[1:], strict=True):
        np.testing.assert_array_equal(array(ours), array(theirs))


@pytest.mark.parametrize("rows", [False, True])
def test_a_functional_model_with_the_mask_of_a_pass_is_saved_and_loaded(rows, tmp_path):
    ids, x = keras.Input((None,), dtype="int32"), keras.Input((None, 6))
    mask = AttentionMask()(ids, (ids >= 0)[:, None])
    tokens = keras.ops.reshape(x, (-1, 6)) if rows else x
    y, weights, keys, _ = SelfAttention(4, 4, num_kv_heads=2)(tokens, mask)
    assert y.shape == tokens.shape and weights.shape[1] == 4 and keys.shape[1::2] == (2, 4)
    model = keras.Model([ids, x], [y, weights])
    model.save(tmp_path / "model.keras")
    given = [tf.constant([[1, 2, -1], [3, -1, -1]]), tf.constant(normal(2, 3, 6))]
    for ours, theirs in zip(keras.models.load_model(tmp_path / "model.keras")(given), model(given), strict=True):
        np.testing.assert_array_equal(array(ours), array(theirs))


def test_what_may_be_looked_at_has_three_axes():
    """With two they would be taken for those of one text, and its mask for that of all texts."""
    read, look, x = MemoryHeads(2, 4), CrossAttention(2, 4), normal(2, 3, 6)
    valid = np.array([[1, 1, 0], [1, 0, 0]], bool)
    keys_values = read(x, valid)
    with pytest.raises(InputError, match=r"visible has the shape \(2, 3\); give bool \[B, t, L\]"):
        look(x, *keys_values, valid)
    with pytest.raises(InputError, match="visible has the shape"):
        SelfAttention(2, 4)(x, valid)


def test_cross_attention_is_multi_head_attention_over_the_tokens_of_the_memory():
    read, look = MemoryHeads(2, 4), CrossAttention(2, 4)
    x, memory = normal(2, 3, 6), normal(2, 5, 7, seed=1)
    valid = np.array([[1, 1, 0, 1, 0], [0, 0, 0, 0, 0]], bool)
    y, weights = look(x, *read(memory, valid), valid[:, None])
    kernel, (query, out) = array(read.weights[0]), map(array, look.weights)
    by_hand, weights_by_hand = oracle.multi_head(x[0], memory[0], query, *np.split(kernel, 2, 1), out, 2, valid[0])
    np.testing.assert_allclose(array(y)[0], by_hand, **CLOSE)
    np.testing.assert_allclose(array(weights)[0], weights_by_hand, **CLOSE)
    np.testing.assert_array_equal(array(y)[1], 0)  # a source without any token


# === The growing memory ===


@pytest.mark.parametrize("in_place", [False, True])
@given(st.lists(st.lists(st.lists(st.integers(-2, 9), min_size=2, max_size=2), max_size=4), min_size=1, max_size=4))
@settings(max_examples=25, deadline=None)
def test_the_cache_holds_each_rows_tokens_from_the_left(in_place, steps):
    """Two rows, steps of any number of columns, negative ids anywhere: slot n holds the n-th token."""
    caches, filled, seen = [tf.zeros([2, 3, 17, 1])] * 2, tf.zeros([2], tf.int32), [[], []]
    caches = [tf.raw_ops.DeepCopy(x=cache) for cache in caches]
    for columns in steps:
        ids = np.array(columns, "int32").reshape(-1, 2).T  # (2, t)
        place, filled = slots(ids, filled)
        new = np.repeat(ids[:, None, :, None], 3, axis=1).astype("float32") + 1
        with written_in_place() if in_place else contextlib.nullcontext():
            rows, tokens = CacheRows()(caches[0], place, ids)
            new = tf.where(tokens, new, 0)
            caches = write(caches, (new, -new), rows)
        for row, line in zip(seen, ids, strict=True):
            row += [i for i in line if i >= 0]
    cache = caches[0]
    np.testing.assert_array_equal(array(caches[1]), -array(cache))
    for i, row in enumerate(seen):
        assert array(filled)[i] == len(row)
        expected = np.zeros(17)
        expected[: len(row)] = np.array(row, float) + 1
        np.testing.assert_array_equal(array(cache)[i, :, :, 0], [expected] * 3)


# === Gradients ===


@pytest.mark.parametrize("kind", ["self", "cross", "additive", "multiplicative"])
def test_gradients_equal_finite_differences(kind):
    with float64():
        x, memory = normal(2, 3, 6, dtype="float64"), normal(2, 3, 6, seed=1, dtype="float64")
        target, visible = normal(2, 3, 6, seed=2, dtype="float64"), oracle.causal(3)[None]
        valid = np.array([[1, 1, 0], [1, 1, 1]], bool)
        if kind == "self":
            layer = SelfAttention(2, 4, num_kv_heads=1)
            turns = Rotary(4, base=100.0)(np.arange(3)[None])
            run, used = lambda: layer(x, visible, turns)[0], [layer]
        elif kind == "cross":
            used = [MemoryHeads(2, 4), CrossAttention(2, 4)]
            run = lambda: used[1](x, *used[0](memory, valid), valid[:, None])[0]  # noqa: E731
        else:
            used = [Alignment(kind), layers.Dense(6, use_bias=False)]
            run = lambda: used[0](x, used[1](memory), memory, visible)[0]  # noqa: E731
        run()
        check_gradients(lambda: tf.reduce_sum((run() - target) ** 2), [w for layer in used for w in layer.weights])
