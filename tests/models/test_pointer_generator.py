"""The pointer-generator against its equations in NumPy (See, Liu & Manning 2017), and what it can copy."""

import itertools

import attention_oracles as oracle
import numpy as np
import pytest
import tensorflow as tf
from gradients import check_gradients, float64
from keras import ops
from small_models import log_softmax

import lm_keras as lk
from lm_keras.generation.beam import beam_search
from lm_keras.layers.attention import UNSEEN

V, K = 7, 4
SOURCE = np.array([[3, 8, 4, 3, 7, 8]], "int32")  # two words that the vocabulary has not, one of them twice
TARGET = np.array([[2, 8, 4, 7]], "int32")
INPUTS = {"source_ids": SOURCE, "target_ids": TARGET}


def build(**changes):
    """Large weights, so that no factor or term can hide."""
    sizes = {"copy_slots": K, "embedding_dim": 5, "hidden_dim": 6, "coverage": 0.0, **changes}
    model, rng = lk.models.build_pointer_generator(V, **sizes), np.random.default_rng(0)
    model.set_weights([rng.normal(0, 0.7, w.shape) for w in model.get_weights()])
    return model


def array(tensor):
    return ops.convert_to_numpy(tensor).astype("float64")


def by_equations(w, coverage):
    """Log-probabilities [T, V + K], attention [T, S] and the coverage loss, word by word."""
    read = [np.where(ids[0] < V, ids[0], 1) for ids in (SOURCE, TARGET)]
    x, y = (w["embedding/embeddings"][ids] for ids in read)
    zero = np.zeros(6)
    forward, *last = oracle.lstm(x, w, "encoder_0", zero, zero)
    backward, *first = oracle.lstm(x[::-1], w, "encoder_backward_0", zero, zero)
    h = np.concatenate([forward, backward[::-1]], 1)
    bridges = [(w[f"bridge_{part}_0/kernel"], w[f"bridge_{part}_0/bias"]) for part in "hc"]
    last = [np.concatenate(ends) @ k + b for ends, (k, b) in zip(zip(last, first, strict=True), bridges, strict=True)]
    states, *_ = oracle.lstm(y, w, "decoder_0", *last)
    covered, log_p, seen, again = np.zeros(len(h)), [], [], 0.0
    for s_t, x_t in zip(states, y, strict=True):
        inner = h @ w["keys/kernel"] + s_t @ w["alignment/kernel"] + w["keys/bias"]
        if coverage:
            inner = inner + covered[:, None] * w["alignment/coverage"]  # equation 11
        a = oracle.softmax(np.tanh(inner) @ w["alignment/v"][:, 0])  # equations 1 and 2
        context = a @ h  # 3
        hidden = np.concatenate([context, s_t]) @ w["combine/kernel"] + w["combine/bias"]
        vocabulary = oracle.softmax(hidden @ w["logits/kernel"] + w["logits/bias"])  # 4
        z = np.concatenate([context, s_t, x_t]) @ w["generate/kernel"] + w["generate/bias"]
        p_gen = 1 / (1 + np.exp(-z[0]))  # 8
        p = p_gen * np.append(vocabulary, np.zeros(K))  # 9
        for word, share in zip(SOURCE[0], a, strict=True):
            p[word] += (1 - p_gen) * share
        again += np.minimum(a, covered).sum()  # 12
        covered = covered + a  # 10
        log_p.append(np.log(np.where(p > 0, p, 1)) + np.where(p > 0, 0, UNSEEN))
        seen.append(a)
    return np.array(log_p), np.array(seen), again / len(y)


@pytest.mark.parametrize("coverage", [0.0, 0.7])
def test_both_views_equal_the_equations(coverage):
    model = build(coverage=coverage)
    log_p, seen, again = by_equations({w.path: array(w) for w in model.weights}, coverage)
    np.testing.assert_array_equal(log_p[:, V + 2 :], UNSEEN)  # the slots that this source does not use
    steps, state = [], model.encode(SOURCE)
    for t in range(TARGET.shape[1]):
        logits, state = model.step(TARGET[:, t : t + 1], state)
        steps.append(array(logits)[0, 0])
    for view in (array(model(INPUTS))[0], np.array(steps)):
        np.testing.assert_allclose(view, log_p, rtol=0, atol=1e-5)
        np.testing.assert_allclose(np.exp(view).sum(-1), 1, rtol=1e-6)
    np.testing.assert_allclose(array(model.attention_weights(SOURCE, TARGET)[0])[0, 0], seen, rtol=0, atol=1e-6)
    model(INPUTS)
    assert model.losses == []  # it is no part of a perplexity
    model(INPUTS, training=True)
    assert [float(loss) for loss in model.losses] == pytest.approx([coverage * again] if coverage else [], rel=1e-5)


def test_the_coverage_loss_is_a_mean_over_the_words_of_all_targets():
    model = build(coverage=1.0)

    def loss(source, target):
        model({"source_ids": np.array(source, "int32"), "target_ids": np.array(target, "int32")}, training=True)
        return float(model.losses[0])

    one, other = loss([[3, 8, 4]], [[2, 8, 4, 7]]), loss([[5, 7, 7]], [[2, 7]])
    both = loss([[3, 8, 4, -1], [-1, 5, 7, 7]], [[2, 8, 4, 7], [-1, 2, -1, 7]])
    assert both == pytest.approx((4 * one + 2 * other) / 6, rel=1e-5)


def test_gradients_equal_finite_differences():
    with float64():
        model = build(coverage=0.7)
        y = tf.constant([[8, 4, 7, 3]])  # words that are only copied, and words that may be either

        @tf.function
        def loss():
            logits = model(INPUTS, training=True)
            return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)) + sum(model.losses)

        check_gradients(loss, model.trainable_weights)


def test_extreme_weights_give_finite_numbers():
    model = build()
    model.set_weights([300 * w for w in model.get_weights()])
    for source in (SOURCE, np.full((1, 3), -1, "int32")):
        y = np.array([[8, 4, 0, 1]])
        with tf.GradientTape() as tape:
            logits = model({"source_ids": source, "target_ids": TARGET})
            loss = lk.losses.CrossEntropy()(y, logits)
        assert np.isfinite(logits).all() and np.isfinite(loss)
        assert all(np.isfinite(tf.convert_to_tensor(g)).all() for g in tape.gradient(loss, model.trainable_weights))


def test_without_a_source_all_of_a_word_is_generated():
    model = build()
    empty = array(model({"source_ids": np.full((1, 2), -1, "int32"), "target_ids": TARGET}))
    np.testing.assert_allclose(np.exp(empty[..., :V]).sum(-1), 1, rtol=1e-6)
    np.testing.assert_array_equal(empty[..., V:], UNSEEN)


@pytest.mark.parametrize("coverage", [0.0, 0.7])
def test_a_wide_beam_finds_what_brute_force_finds(coverage):
    model, eos, steps = build(coverage=coverage), 2, 3
    texts = [text for n in range(steps + 1) for text in itertools.product([*range(eos), *range(3, V + K)], repeat=n)]
    full = [text for text in texts if len(text) == steps]
    rows = {"source_ids": np.tile(SOURCE, (len(full), 1)), "target_ids": np.array([[eos, *text] for text in full])}
    table = log_softmax(np.asarray(model(rows)))
    scores = {}
    for text, log_p in zip(full, table, strict=True):
        for n in range(steps + 1):
            scores[text[:n]] = sum(log_p[t, w] for t, w in enumerate(text[:n])) + (log_p[n, eos] if n < steps else 0)
    best = sorted((text for text in texts if scores[text] > -100), key=lambda text: -scores[text])
    assert sum(max(text, default=0) >= V for text in best[:50]) > 5  # texts with copied words
    state = model.encode(np.repeat(SOURCE, 2, 0))
    tokens, _, found = beam_search(
        model, tf.fill([2], eos), state, steps, 800, banned=np.zeros(V + K, "float32"), eos_id=eos
    )
    for row in range(2):
        for text, made, score in zip(best[:50], tokens[row].numpy(), found[row].numpy(), strict=False):
            assert tuple(made[made >= 0]) == text
            assert score == pytest.approx(scores[text], abs=1e-4)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"copy_slots": 0}, "copy_slots is 0"),
        ({"coverage": -1}, "coverage is -1"),
        ({"unknown_id": V}, "unknown_id is 7"),
        ({"source_vocab_size": 1}, "vocab_size"),
    ],
)
def test_impossible_arguments(change, message):
    with pytest.raises(lk.InputError, match=message):
        lk.models.build_pointer_generator(**{"source_vocab_size": V, **change})


def test_a_loss_with_coverage_is_no_perplexity():
    batch = tf.data.Dataset.from_tensors((INPUTS, np.array([[8, 4, 7, 3]])))
    history = lk.fit(build(coverage=0.7), batch, batch, lk.TrainingConfig(epochs=1)).history
    assert set(history) == {"loss", "val_loss", "val_perplexity", "val_accuracy"}
    assert history["val_perplexity"][0] == pytest.approx(np.exp(history["val_loss"][0]))
