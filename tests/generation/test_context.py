"""Texts longer than a model's memory, against the rule in plain Python over the full forward pass."""

import numpy as np
import pytest
import tensorflow as tf

import lm_keras as lk
from lm_keras.generation import beam_search, decode, loop, prefill, scoring
from lm_keras.generation.context import in_window

V, W = 9, 7  # an odd window: its older half is 4 tokens, its newer one 3
EQUAL = {"rtol": 1e-4, "atol": 1e-4}
BANNED = np.zeros(V, "float32")
SMALL = {"max_length": W, "hidden_dim": 8, "num_layers": 1, "num_heads": 2}


@pytest.fixture(scope="module", params=["build_gpt2", "build_llama"])
def model(request):
    model = getattr(lk.models, request.param)(V, **SMALL)
    rng = np.random.default_rng(1)
    model.set_weights([rng.normal(0, 0.7, w.shape).astype("float32") for w in model.get_weights()])
    return model


def known(text, window=W):
    """What a model knows when it has read the whole text: the window empties its older half when it is full."""
    kept = []
    for token in text:
        if len(kept) == window:
            kept = kept[-(-window // 2) :]
        kept.append(token)
    return kept


def log_probs_after(model, text):
    logits = model.predict_on_batch(np.array([known(text)], "int32"))[0, -1].astype("float64")
    return logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()


@pytest.mark.parametrize("lengths", [[1, 5, 7, 8], [3, 11, 12, 30]])
def test_prompts_and_decoding_beyond_the_window(model, lengths):
    rng = np.random.default_rng(0)
    prompts = [rng.integers(0, V, n).tolist() for n in lengths]
    ids = loop.pad_left(prompts)
    state = tf.function(prefill)(model, ids, 15)
    run = tf.function(lambda *args: decode(model, *args, banned=BANNED, eos_id=-5))
    tokens, log_probs, *_ = run(ids[:, -1], state, tf.fill([4], 15), 15)
    for prompt, row, scores in zip(prompts, tokens.numpy(), log_probs.numpy(), strict=True):
        text = list(prompt)
        for token, score in zip(row, scores, strict=True):
            expected = log_probs_after(model, text)
            assert expected[token] == pytest.approx(expected.max(), abs=1e-4)
            assert score == pytest.approx(expected[token], abs=1e-4)
            text.append(int(token))


def test_scores_of_long_texts(model):
    rng = np.random.default_rng(2)
    texts = [rng.integers(0, V, n).tolist() for n in (2, 7, 8, 9, 12, 40)]
    ids = np.full((len(texts), 40), -1, "int32")
    for row, text in zip(ids, texts, strict=True):
        row[: len(text)] = text
    any_shape = [tf.TensorSpec([None, None], tf.int32)]
    scores, counts = tf.function(lambda ids: scoring.score_ids(model, ids), any_shape)(tf.constant(ids))
    for text, score, count in zip(texts, scores.numpy(), counts.numpy(), strict=True):
        expected = [log_probs_after(model, text[:i])[text[i]] for i in range(1, len(text))]
        assert count == len(expected)
        assert score == pytest.approx(sum(expected), rel=1e-4)


def test_a_beam_beyond_the_window_scores_as_the_model_does(model):
    prompt = [3, 1, 4, 1, 5]
    ids = loop.pad_left([prompt])
    run = tf.function(
        lambda token, state: beam_search(model, token, state, 9, 3, banned=tf.constant(BANNED), eos_id=-5)
    )
    tokens, log_probs, scores = run(ids[:, -1], prefill(model, ids, 9))
    for row, row_scores, total in zip(tokens[0].numpy(), log_probs[0].numpy(), scores[0].numpy(), strict=True):
        text = list(prompt)
        for token, score in zip(row, row_scores, strict=True):
            assert score == pytest.approx(log_probs_after(model, text)[token], abs=1e-4)
            text.append(int(token))
        assert total == pytest.approx(sum(row_scores), abs=1e-4)


@pytest.mark.parametrize("window", [1, 2, 3, 6, 7])
def test_what_is_known_of_a_long_prompt(window):
    for count in range(1, 25):
        text = list(range(count))
        padded = tf.constant([[-1] * 2 + text])
        row = in_window(padded, window).numpy()[0]
        assert row[row >= 0].tolist() == known(text, window)
