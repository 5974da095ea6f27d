"""The decoding loop against a plain Python loop that runs the whole model on the growing text."""

import numpy as np
import pytest
import tensorflow as tf

import lm_keras as lk
from lm_keras.generation import context, decode, loop, prefill, scoring

V, EOS = 15, 2
PROMPTS = [[2, 5, 6, 7, 9, 4], [2], [2, 11, 3]]
NO_EOS = -5
BANNED = np.where(np.isin(np.arange(V), [0, 1]), -np.inf, 0.0).astype("float32")
PREFILL = tf.function(prefill, reduce_retracing=True)
EQUAL = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(scope="module")
def model():
    model = lk.models.build_lstm_lm(V, embedding_dim=8, hidden_dim=12, num_layers=2)
    rng = np.random.default_rng(4)
    model.set_weights([rng.normal(0, 0.6, w.shape).astype("float32") for w in model.get_weights()])
    return model


def log_softmax(logits):
    logits = np.asarray(logits, "float64")
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def plain_loop(model, prompt, num_tokens, eos_id=NO_EOS, penalty=1.0):
    """Greedy: the whole model again for each token."""
    ids, new, log_probs = list(prompt), [], []
    for _ in range(num_tokens):
        raw = model.predict_on_batch(np.array([ids], "int32"))[0, -1]
        logits = (raw + BANNED).astype("float64")
        for token in set(ids):
            logits[token] = logits[token] / penalty if logits[token] > 0 else logits[token] * penalty
        token = int(logits.argmax())
        if token == eos_id:
            break
        ids.append(token)
        new.append(token)
        log_probs.append(log_softmax(raw)[token])
    return new, log_probs


def run(model, prompts, remaining, count, eos_id=NO_EOS, penalty=None, start=None, position=0):
    ids = loop.pad_left(prompts)
    token, state, seen = ids[:, -1], None if start else PREFILL(model, ids, 12), None
    if penalty is not None:
        seen = np.zeros([len(prompts), V], bool)
        for row, prompt in zip(seen, prompts, strict=True):
            row[prompt] = True
        seen = tf.constant(seen)
    if start:
        token, state, remaining, seen = start if penalty is not None else (*start[:3], None)
    options = None if penalty is None else {"repetition_penalty": tf.fill([len(prompts)], penalty)}
    return decode(
        model, token, state, tf.constant(remaining), count, options,
        banned=BANNED, eos_id=eos_id, position=position, seen=seen,
    )  # fmt: skip


def rows(tokens, log_probs):
    tokens, log_probs = tokens.numpy(), log_probs.numpy()
    return [(t[t >= 0].tolist(), p[t >= 0]) for t, p in zip(tokens, log_probs, strict=True)]


@pytest.mark.parametrize("penalty", [None, 1.5, 0.7])
def test_greedy_equals_a_plain_loop_over_the_whole_model(model, penalty):
    tokens, log_probs, *_ = run(model, PROMPTS, [12] * 3, 12, penalty=penalty)
    assert tokens.shape == (3, 12)
    for prompt, (row, row_log_probs) in zip(PROMPTS, rows(tokens, log_probs), strict=True):
        expected, expected_log_probs = plain_loop(model, prompt, 12, penalty=penalty or 1.0)
        assert row == expected
        np.testing.assert_allclose(row_log_probs, expected_log_probs, **EQUAL)


def test_each_row_has_its_own_number_of_tokens(model):
    tokens, log_probs, *_ = run(model, PROMPTS, [3, 0, 7], 20)
    assert tokens.shape == (3, 7)  # and no step is done for nothing
    for prompt, (row, _), count in zip(PROMPTS, rows(tokens, log_probs), [3, 0, 7], strict=True):
        assert row == plain_loop(model, prompt, count)[0]
    assert (log_probs.numpy()[tokens.numpy() < 0] == 0).all()


def test_the_end_mark_stops_its_row_and_no_other(model):
    free, *_ = run(model, PROMPTS, [10] * 3, 10, penalty=1.5)
    free = free.numpy().tolist()

    def length(row, mark):
        return row.index(mark) if mark in row else 10

    # A word that each row has after some others, or not at all, and not all rows at once.
    end = next(t for t in range(2, V) if 1 <= min(n := [length(row, t) for row in free]) < max(n))
    tokens, log_probs, (_, _, remaining, _), _ = run(model, PROMPTS, [10] * 3, 10, eos_id=end, penalty=1.5)
    lengths = []
    for prompt, (row, row_log_probs) in zip(PROMPTS, rows(tokens, log_probs), strict=True):
        expected, expected_log_probs = plain_loop(model, prompt, 10, eos_id=end, penalty=1.5)
        assert row == expected
        assert end not in row
        np.testing.assert_allclose(row_log_probs, expected_log_probs, **EQUAL)
        lengths.append(len(row))
    assert lengths == [length(row, end) for row in free]
    assert [left == 0 for left in remaining.numpy()] == [True] * 3


@pytest.mark.parametrize("penalty", [None, 1.5])
@pytest.mark.parametrize("pieces", [[1, 1, 7], [4, 5]])
def test_pieces_equal_one_run(model, pieces, penalty):
    whole, whole_log_probs, *_ = run(model, PROMPTS, [9, 5, 9], 9, penalty=penalty)
    parts, end, position = [], None, 0
    for count in pieces:
        made = run(model, PROMPTS, [9, 5, 9], count, penalty=penalty, start=end, position=position)
        tokens, log_probs, end, _ = made
        parts.append((tokens.numpy(), log_probs.numpy()))
        position += count
    tokens, log_probs = (np.concatenate(part, 1) for part in zip(*parts, strict=True))
    np.testing.assert_array_equal(tokens, whole.numpy())
    np.testing.assert_allclose(log_probs, whole_log_probs.numpy(), **EQUAL)


def test_sampled_pieces_equal_one_run_because_the_position_counts(model):
    ids, fill = loop.pad_left(PROMPTS), tf.fill

    def sampled(counts):
        token, state, remaining, out, position = ids[:, -1], prefill(model, ids, 12), fill([3], 12), [], 0
        options = {"temperature": fill([3], 2.0), "top_k": fill([3], 0), "seed": tf.constant([1, 2, 3], tf.int64)}
        for count in counts:
            tokens, _, (token, state, remaining, _), _ = decode(
                model, token, state, remaining, count, options, banned=BANNED, eos_id=EOS, position=position
            )
            out.append(tokens.numpy())
            position += count
        return np.concatenate(out, 1)

    whole, parts = sampled([12]), sampled([5, 1, 6])
    np.testing.assert_array_equal(whole, parts[:, : whole.shape[1]])
    assert not np.isin(whole, [0, 1, EOS]).any()


def test_no_steps_give_no_tokens(model):
    for remaining, count in (([5] * 3, 0), ([0] * 3, 5)):
        tokens, log_probs, *_ = run(model, PROMPTS, remaining, count)
        assert tokens.shape == log_probs.shape == (3, 0)


def test_a_prompt_longer_than_one_piece_of_the_prefill(model):
    long = np.random.default_rng(0).integers(3, V, 2 * context.PIECE + 11).tolist()
    tokens, log_probs, *_ = run(model, [long, [2, 4]], [3, 3], 3)
    for prompt, (row, row_log_probs) in zip([long, [2, 4]], rows(tokens, log_probs), strict=True):
        expected, expected_log_probs = plain_loop(model, prompt, 3)
        assert row == expected
        np.testing.assert_allclose(row_log_probs, expected_log_probs, **EQUAL)


def test_pad_left():
    np.testing.assert_array_equal(loop.pad_left([[1, 2, 3], [4]]), [[1, 2, 3], [-1, -1, 4]])
    assert loop.pad_left([]).shape[0] == 0


# === Scoring ===
@pytest.fixture(scope="module")
def score(model):
    return tf.function(
        lambda ids: scoring.score_ids(model, ids), input_signature=[tf.TensorSpec([None, None], tf.int32)]
    )


@pytest.mark.parametrize("length", [2, 100, 129, 300])  # pieces are of 128
def test_scores_equal_the_full_forward_pass(model, score, length):
    rng = np.random.default_rng(length)
    texts = [rng.integers(0, V, n).tolist() for n in (length, max(2, length // 3), 1)]
    ids = np.full((3, length), -1, "int32")
    for row, text in zip(ids, texts, strict=True):
        row[: len(text)] = text
    log_prob, count = score(tf.constant(ids))
    assert count.numpy().tolist() == [len(text) - 1 for text in texts]
    for text, found in zip(texts, log_prob.numpy(), strict=True):
        full = log_softmax(model.predict_on_batch(np.array([text], "int32")))[0]
        expected = sum(full[t, text[t + 1]] for t in range(len(text) - 1))
        assert found == pytest.approx(expected, rel=1e-5)
