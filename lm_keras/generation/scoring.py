"""Probabilities of texts: of whole ones, and of answers after a prompt."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.generation.context import any_batch, older_half, read_again
from lm_keras.generation.generate import BATCH, IDS, Writer, log_probs_of, prompt_ids
from lm_keras.generation.step import owned, step


# === Whole texts ===
class Score(NamedTuple):
    """Log-probability (nats) of a text and its end mark; perplexity a token; bits a byte of its UTF-8.

    `bits_per_byte` is NaN of an empty text, and with `begin=False`: the first token has bytes and no probability.
    """

    log_prob: float
    num_tokens: int
    perplexity: float
    bits_per_byte: float


def score(writer: Writer, texts: Sequence[str], begin: bool, end: bool) -> list[Score]:
    """A Score a text, texts of like length together."""
    tokenizer, results = writer.tokenizer, [None] * len(texts)
    before, after = [tokenizer.bos_id] if begin else [], [tokenizer.eos_id] if end else []
    rows = [[*before, *ids, *after] for ids in tokenizer.encode_batch(texts)]
    for text, row in zip(texts, rows, strict=True):
        if len(row) < 2:
            raise InputError(f"the text {text[:40]!r} has no token after its first one to score; give a longer one")
    by_length = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    traced = writer.traced(score_ids, {"ids": IDS})
    for start in range(0, len(rows), BATCH):
        group = by_length[start : start + BATCH]
        log_probs, counts = (part.numpy() for part in traced(ids=_padded([rows[i] for i in group])))
        for i, log_prob, count in zip(group, log_probs.tolist(), counts.tolist(), strict=True):
            size = len(texts[i].encode("utf-8", "replace"))
            bits = -log_prob / math.log(2) / size if size and begin else math.nan
            results[i] = Score(log_prob, count, math.exp(min(-log_prob / count, 700)), bits)
    return results


def score_ids(model: keras.Model, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Sum of log p(next token) for ids int32 [B, T]: begin mark, text, end mark, then -1 to the right.

    Returns `(log_prob float32 [B], num_tokens int32 [B])`. Long texts go through the step view in pieces
    whose logits stay below 64 MB, so memory does not grow with the text; a model of limited context reads them in
    windows (`generation.context`). In a graph, trace it for ids of shape [None, None]: of fixed shapes TensorFlow
    2.21 folds the nested loops wrongly.
    """
    batch, until = tf.shape(ids)[0], tf.shape(ids)[1] - 1
    piece = tf.clip_by_value(2**24 // (tf.maximum(batch, 1) * model.vocab_size), 1, 128)
    state = owned(model.initial_state(batch, until))
    window = model.context_length

    def body(start, total, *state):
        end = tf.minimum(start + piece, until)
        if window is not None:
            past = (start - window) % older_half(window)
            full = (start >= window) & (past == 0)
            state = tf.cond(full, lambda: forget(start, state), lambda: list(state))
            end = tf.minimum(end, tf.where(start < window, window, start - past + older_half(window)))
        logits, state = step(model, ids[:, start:end], state)
        targets = ids[:, start + 1 : end + 1]
        nats = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(targets, 0), tf.cast(logits, tf.float32))
        return end, total - tf.reduce_sum(tf.where(targets >= 0, nats, 0.0), -1), *state

    def forget(start, state):
        return read_again(model, ids[:, start - window : start], tf.fill([batch], True), state)

    _, log_prob, *_ = tf.while_loop(
        lambda start, *_: start < until,
        body,
        [tf.constant(0), tf.zeros([batch]), *state],
        shape_invariants=[tf.TensorShape([]), tf.TensorShape([None]), *any_batch(state)],
    )
    return log_prob, tf.reduce_sum(tf.cast(ids[:, 1:] >= 0, tf.int32), -1)


# === Answers after a prompt ===
class Choice(NamedTuple):
    """An answer, its log p(answer | prompt) in nats, and its probability among the given answers."""

    answer: str
    log_prob: float
    probability: float


def choose(
    writer: Writer, prompts: Sequence[str], answers: Sequence[str], end: bool, normalize: str | None, begin: bool
) -> list[list[Choice]]:
    """For each prompt a Choice of each answer, best first."""
    if normalize not in (None, "tokens"):
        raise InputError(f'normalize is {normalize!r}; give None or "tokens"')
    if not answers:
        raise InputError("there are no answers to choose from; give at least one")
    mark = [writer.tokenizer.eos_id] if end else []
    targets = [[*ids, *mark] for ids in writer.tokenizer.encode_batch(answers)]
    for answer, ids in zip(answers, targets, strict=True):
        if not ids:
            raise InputError(f"the answer {answer!r} has no token; give end=True, or leave it out")
    lengths, tokens = np.array([len(ids) for ids in targets]), _padded(targets)
    prompts = [prompt_ids(writer, prompt, begin) for prompt in prompts]
    pairs = [(prompt, place) for prompt in prompts for place in range(len(answers))]
    sums = []
    for start in range(0, len(pairs), BATCH):  # answers of one prompt lie together: it is read once a batch
        rows, places = zip(*pairs[start : start + BATCH], strict=True)
        log_probs, _ = log_probs_of(writer, rows, tf.constant(tokens[list(places)]), 0, int(lengths.max()))
        sums += log_probs.numpy().astype("float64").sum(1).tolist()
    table = np.array(sums).reshape(len(prompts), len(answers))
    return [ranked(answers, row, row / lengths if normalize else row) for row in table]


def ranked(answers: Sequence[str], log_probs: np.ndarray, values: np.ndarray) -> list[Choice]:
    """Choices, best first, whose probabilities are the softmax of `values`."""
    weights = np.exp(values - values.max())
    weights /= weights.sum()
    best_first = np.argsort(-values, kind="stable")
    return [Choice(answers[i], float(log_probs[i]), float(weights[i])) for i in best_first]


def _padded(rows: Sequence[Sequence[int]]) -> np.ndarray:
    """int32 [B, T], -1 after the end of a row."""
    ids = np.full([len(rows), max(map(len, rows))], -1, np.int32)
    for row, given in zip(ids, rows, strict=True):
        row[: len(given)] = given
    return ids
