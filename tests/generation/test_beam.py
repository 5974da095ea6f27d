"""Beam search against all sequences of a five-word vocabulary."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from lm_keras.generation.beam import beam_search
from lm_keras.models import build_lstm_lm

EOS, WORDS, STEPS = 2, 5, 4


@pytest.fixture(scope="module")
def model():
    # Large weights, so that the scores of different sequences lie apart.
    return build_lstm_lm(WORDS, embedding_dim=4, hidden_dim=8, initializer_range=1.5, seed=3)


def all_continuations(model, prompt, length_penalty):
    """(score, tokens) of every sequence that ends with the end mark or has STEPS tokens, by full passes."""
    found = []
    for n in range(STEPS + 1):
        words = list(itertools.product([w for w in range(WORDS) if w != EOS], repeat=n))
        targets = np.array([[*row, EOS] if n < STEPS else row for row in words], "int32")
        ids = np.concatenate([np.tile(prompt, (len(words), 1)), targets], 1).astype("int32")
        log_p = tf.nn.log_softmax(model(ids)).numpy()[:, len(prompt) - 1 : -1]
        scores = (
            np.take_along_axis(log_p, targets[:, :, None], 2)[:, :, 0].sum(1) / targets.shape[1] ** length_penalty
        )
        found += zip(scores.tolist(), map(list, words), strict=True)
    return sorted(found, reverse=True)


def search(model, prompt, beams, length_penalty=0.0, max_new_tokens=STEPS):
    ids = tf.constant([prompt, prompt[::-1]], tf.int32)
    _, state = model.step(ids[:, :-1], model.initial_state(2))
    return beam_search(
        model,
        ids[:, -1],
        state,
        max_new_tokens,
        beams,
        banned=np.zeros(WORDS, "float32"),
        eos_id=EOS,
        length_penalty=length_penalty,
    )


@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_a_wide_beam_finds_what_brute_force_finds(model, length_penalty):
    prompt = [1, 3, 4]
    tokens, log_probs, scores = search(model, prompt, 400, length_penalty)
    for row, start in enumerate((prompt, prompt[::-1])):
        best = all_continuations(model, start, length_penalty)
        for rank in range(20):
            assert float(scores[row, rank]) == pytest.approx(best[rank][0], abs=1e-4)
            made = [t for t in tokens[row, rank].numpy() if t >= 0]
            assert made == best[rank][1]
            ended = len(made) < STEPS
            assert (log_probs[row, rank].numpy()[len(made) :] == 0).all()
            if length_penalty == 0 and not ended:
                assert log_probs[row, rank].numpy().sum() == pytest.approx(float(scores[row, rank]), abs=1e-4)


def test_one_beam_is_greedy(model):
    tokens, _, _ = search(model, [1, 3, 4], 1)
    ids = [1, 3, 4]
    for token in tokens[0, 0].numpy():
        best = int(np.argmax(model(np.array([ids], "int32"))[0, -1]))
        assert token == (-1 if best == EOS else best)
        if best == EOS:
            break
        ids.append(best)


def test_no_new_token(model):
    tokens, log_probs, scores = search(model, [1, 3], 3, max_new_tokens=0)
    assert tokens.shape == log_probs.shape == (2, 3, 0)
    assert scores[0, 0] == 0


def test_each_prompt_has_its_own_limit_and_penalty(model):
    prompt, limits, penalties = [1, 3, 4], [2, 4], [1.0, 0.0]
    together = search(model, prompt, 6, tf.constant(penalties), tf.constant(limits))
    for row in range(2):
        alone = search(model, prompt, 6, penalties[row], limits[row])
        tokens, log_probs, scores = (part[row].numpy() for part in together)
        n = alone[0].shape[2]
        np.testing.assert_array_equal(tokens[:, :n], alone[0][row])
        assert (tokens[:, n:] == -1).all() and not log_probs[:, n:].any()
        np.testing.assert_allclose(log_probs[:, :n], alone[1][row], atol=1e-5)
        np.testing.assert_allclose(scores, alone[2][row], atol=1e-5)
