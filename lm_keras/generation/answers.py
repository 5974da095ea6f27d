"""Log-probabilities of answers after prompts: a prompt is read once, all answers after it at once."""

from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.generation.context import PIECE, any_batch
from lm_keras.generation.loop import follow, pad_left, read_prompts
from lm_keras.generation.prompt_cache import PromptCache, begin, first_column
from lm_keras.generation.sharing import IDS, batch_size, memory_of, memory_spec
from lm_keras.generation.step import logits_of, owned, step_hidden
from lm_keras.generation.writer import Writer, prompt_ids

COPIES = 2**28  # bytes of the states that are copied at once, one for each answer
LOGITS = 2**24  # numbers of the logits that are computed at once


# === In a graph ===
def score_answers(
    model: keras.Model,
    ids: tf.Tensor,
    answers: tf.Tensor,
    begun: PromptCache | None = None,
    kept: tf.Tensor | int = 0,
    *,
    fits: bool = False,
) -> tf.Tensor:
    """log p of each token of each answer after each prompt, in a graph too.

    A prompt is read once, and its state is copied for the answers. Of those of one token nothing is read: the prompt
    tells their probabilities. The output layer is computed at the answers' places alone. In a graph, trace it for ids
    of shape [None, None].

    Args:
        model: A `CausalLM`.
        ids: int32 [B, T], prompts of at least one token, -1 before the first.
        answers: int32 [A, L], the same for all prompts, -1 after the end of one.
        begun: What prompts may begin with.
        kept: How many of a row's first tokens a model of limited context never forgets (`generation.context`). Where
            a prompt and an answer are longer than its memory, it reads them one token at a time, as it writes.
        fits: Whether that is never so, which makes the graph smaller.

    Returns:
        float32 [B, A, L], 0 after the end of an answer.
    """
    window = model.context_length
    if window is None or fits:
        return _at_once(model, ids, answers, begun)
    longest = tf.reduce_max(tf.reduce_sum(tf.cast(ids >= 0, tf.int32), 1))
    fits = longest + tf.maximum(tf.shape(answers)[1] - 1, 0) <= window
    made = tf.cond(
        fits,
        lambda: _at_once(model, ids, answers, begun),
        lambda: _one_by_one(model, ids, answers, begun, kept),
    )
    return tf.ensure_shape(made, [None, None, None])


def _at_once(model, ids, answers, begun):
    batch = tf.shape(ids)[0]
    vectors, state = _read_whole(model, ids, tf.shape(answers)[1], begun)
    log_p = tf.nn.log_softmax(tf.cast(logits_of(model, vectors)[:, 0], tf.float32))  # (B, V)
    first = tf.gather(log_p, tf.maximum(answers[:, 0], 0), axis=1)
    first = tf.where(answers[:, 0] >= 0, first, 0.0)  # (B, A)
    longer = tf.reduce_any(answers[:, 1:] >= 0, 1)
    rest = _after(model, state, tf.boolean_mask(answers, longer), batch)  # (those that are longer, B, L - 1)
    place = tf.where(longer, tf.cumsum(tf.cast(longer, tf.int32)) - 1, -1)
    rest = tf.gather(tf.pad(rest, [[1, 0], [0, 0], [0, 0]]), place + 1)  # (A, B, L - 1)
    return tf.concat([first[:, :, None], tf.transpose(rest, [1, 0, 2])], -1)


def _read_whole(model, ids, more, begun):
    """The vectors [B, 1, N] of the last tokens of prompts, and the state after them with room for `more`."""
    batch, length = tf.shape(ids)[0], tf.shape(ids)[1] + more
    before, last = ids[:, :-1], ids[:, -1:]
    if begun is None:
        state = model.initial_state(batch, length)
    else:
        before, state = begin(model, before, begun, length)
        before = before[:, first_column(before) :]
    left = tf.concat([before, last], 1)
    until = tf.shape(left)[1]
    first = until - tf.maximum(until - 1, 0) // PIECE * PIECE  # of the first piece; all others are whole
    vectors, state = step_hidden(model, left[:, :first], owned(state))

    def body(start, vectors, *state):
        made, state = step_hidden(model, left[:, start : start + PIECE], state)
        return start + PIECE, made[:, -1:], *state

    _, vectors, *state = tf.while_loop(
        lambda start, *_: start < until,
        body,
        [first, vectors[:, -1:], *state],
        shape_invariants=[tf.TensorShape([]), tf.TensorShape([None, None, vectors.shape[-1]]), *any_batch(state)],
    )
    return vectors, state


def _after(model, state, answers, batch):
    """log p of the tokens of answers [A, L] but the first, after each of the states: [A, B, L - 1]."""
    count, length = tf.shape(answers)[0], tf.shape(answers)[1]
    size = tf.add_n([tf.size(part, tf.int64) for part in state]) * 4
    together = tf.cast(tf.clip_by_value(COPIES // tf.maximum(size, 1), 1, 2**20), tf.int32)

    def body(start, made):
        these = tf.repeat(answers[start : start + together], batch, axis=0)
        targets = these[:, 1:]
        # What a step writes in place stands behind the prompt, where the next answers write again.
        copies = [tf.tile(part, [tf.shape(these)[0] // batch] + [1] * (part.shape.rank - 1)) for part in state]
        vectors, _ = step_hidden(model, tf.where(targets >= 0, these[:, :-1], -1), copies)
        log_p = _all_at(model, vectors, targets)
        return start + together, tf.concat([made, tf.reshape(log_p, [-1, batch, length - 1])], 0)

    _, made = tf.while_loop(
        lambda start, _: (start < count) & (batch > 0),
        body,
        [tf.constant(0), tf.zeros([0, batch, length - 1])],
        shape_invariants=[tf.TensorShape([]), tf.TensorShape([None, None, None])],
    )
    return made


def _one_by_one(model, ids, answers, begun, kept):
    """As `follow` reads them, for a model that forgets on the way."""
    batch, count = tf.shape(ids)[0], tf.shape(answers)[0]
    length, which = tf.shape(answers)[1], tf.repeat(tf.range(batch), count)
    token, state = read_prompts(model, ids, length, which, begun, kept)
    made, _ = follow(model, token, state, tf.tile(answers, [batch, 1]), 0, begun=begun, kept=kept)
    made = tf.pad(made, [[0, 0], [0, length - tf.shape(made)[1]]])
    return tf.reshape(made, [batch, count, length])


def _all_at(model, vectors, targets):
    """`log_probs_at` in parts of 64 MB."""
    where = tf.where(targets >= 0)
    picked, wanted = tf.gather_nd(vectors, where), tf.gather_nd(targets, where)
    together = max(LOGITS // model.vocab_size, 1)

    def body(start, made):
        part = slice(start, start + together)
        return start + together, tf.concat([made, _log_probs(model, picked[part], wanted[part])], 0)

    _, made = tf.while_loop(
        lambda start, _: start < tf.size(wanted),
        body,
        [tf.constant(0), tf.zeros([0])],
        shape_invariants=[tf.TensorShape([]), tf.TensorShape([None])],
    )
    return tf.scatter_nd(where, made, tf.shape(targets, tf.int64))


def log_probs_at(model: keras.Model, vectors: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """log p float32 [B, t] of targets int32 [B, t], 0 where one is negative: the output layer skips these places.

    `vectors` [B, t, N] is what `step_hidden` gives.
    """
    where = tf.where(targets >= 0)
    made = _log_probs(model, tf.gather_nd(vectors, where), tf.gather_nd(targets, where))
    return tf.scatter_nd(where, made, tf.shape(targets, tf.int64))


def _log_probs(model, vectors, targets):
    logits = tf.cast(logits_of(model, vectors[None])[0], tf.float32)
    return -tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)


# === Answers of a call ===
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
    rows = [prompt_ids(writer, prompt, begin) for prompt in prompts]
    table = answer_log_probs(writer.starting(rows, begin), rows, targets).sum(-1)
    means = table / [len(ids) for ids in targets]
    return [ranked(answers, *both) for both in zip(table, means if normalize else table, strict=True)]


def answer_log_probs(writer: Writer, rows: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]) -> np.ndarray:
    """log p of each token of each answer after each row of ids: float64 [B, A, L], 0 after the end of an answer.

    Args:
        writer: One that `starting` gave of the rows.
        rows: Prompts of at least one id, see `prompt_ids`. Equal ones are read once.
        answers: Ids, the same answers for all prompts.
    """
    unique = sorted({tuple(row) for row in rows}, key=lambda row: (len(row), row))
    tokens, memory = tf.constant(padded(answers)), memory_of(writer, writer.begun)
    run = writer.traced(score_answers, {"ids": IDS, "answers": IDS, **memory_spec(writer, memory)})
    size, made = batch_size(writer, unique, tokens.shape[1], copied=True), {}
    for at in range(0, len(unique), size):
        group = unique[at : at + size]
        made |= zip(group, run(ids=pad_left(group), answers=tokens, **memory).numpy(), strict=True)
    return np.array([made[tuple(row)] for row in rows], "float64").reshape(-1, *tokens.shape)


def ranked(answers: Sequence[str], log_probs: np.ndarray, values: np.ndarray) -> list[Choice]:
    """Choices, best first, whose probabilities are the softmax of `values`."""
    weights = np.exp(values - values.max())
    weights /= weights.sum()
    best_first = np.argsort(-values, kind="stable")
    return [Choice(answers[i], float(log_probs[i]), float(weights[i])) for i in best_first]


def padded(rows: Sequence[Sequence[int]]) -> np.ndarray:
    """int32 [B, T], -1 after the end of a row."""
    ids = np.full([len(rows), max(map(len, rows), default=0)], -1, np.int32)
    for row, given in zip(ids, rows, strict=True):
        row[: len(given)] = given
    return ids
