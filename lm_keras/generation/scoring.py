"""Probabilities of whole texts."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.generation import sharing
from lm_keras.generation.answers import log_probs_at, padded
from lm_keras.generation.context import any_batch, older_half, read_again
from lm_keras.generation.prompt_cache import PromptCache, begin, common_length, first_column
from lm_keras.generation.sharing import IDS, ROWS, batch_size, sharable
from lm_keras.generation.step import owned, step_hidden
from lm_keras.generation.writer import Writer


class Score(NamedTuple):
    """Log-probability (nats) of a text and its end mark; perplexity a token; bits a byte of its UTF-8.

    `bits_per_byte` is NaN of an empty text, and with `begin=False`: the first token has bytes and no probability.
    """

    log_prob: float
    num_tokens: int
    perplexity: float
    bits_per_byte: float


def score(writer: Writer, texts: Sequence[str], begin: bool, end: bool) -> list[Score]:
    """A Score a text, texts of like length together, of the tokens beyond those of the writer's prompt."""
    tokenizer, results = writer.tokenizer, [None] * len(texts)
    before, after = writer.before(begin), [tokenizer.eos_id] if end else []
    rows = [[*before, *ids, *after] for ids in tokenizer.encode_batch([writer.prompt + text for text in texts])]
    prompt = [*before, *tokenizer.encode(writer.prompt)]
    common = [common_length([prompt, row]) for row in rows]
    least = writer.num_learned + 1  # what is predicted from a learned state alone does not count
    firsts = [max(length, least) for length in common]
    for text, row, first in zip(texts, rows, firsts, strict=True):
        if len(row) <= first:
            where = "" if writer.prompt else " after its first one"
            raise InputError(f"the text {text[:40]!r} has no token{where} to score; give a longer one")
    by_length = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    writer = writer.starting([], begin)
    whole = scored_beginning(writer, rows, firsts, Beginning(writer.begun))
    size = batch_size(writer, rows, copied=whole.num_tokens > 0 or writer.prompted)
    for at in range(0, len(rows), size):
        group = by_length[at : at + size]
        log_probs = log_probs_of_rows(writer, [rows[i] for i in group], [firsts[i] for i in group], whole)
        for i, log_prob in zip(group, log_probs, strict=True):
            # Without any token before it, the first one of a text does not count, but its bytes would.
            results[i] = score_of(texts[i], log_prob, len(rows[i]) - firsts[i], known=common[i] >= least)
    return results


def score_of(text: str, log_prob: float, num_tokens: int, *, known: bool) -> Score:
    """The Score of a text from the log-probability of so many tokens; `known`: those are all that it has."""
    num_bytes = len(text.encode("utf-8", "replace"))
    bits = -log_prob / math.log(2) / num_bytes if known and num_bytes else math.nan
    return Score(log_prob, num_tokens, math.exp(min(-log_prob / num_tokens, 700)), bits)


class Beginning(NamedTuple):
    """What rows begin with: its state, and log p of those of its first `num_tokens` ids that count."""

    cache: PromptCache
    log_prob: float = 0.0
    num_tokens: int = 0


def scored_beginning(
    writer: Writer, rows: Sequence[Sequence[int]], firsts: Sequence[int], before: Beginning
) -> Beginning:
    """What all rows of ids begin with, scored once, if that is so much more than `before` that it is worth it."""
    length = sharable(writer, rows)
    if length - int(before.cache.num_read) < sharing.WORTH_SHARING:
        return before
    ids = list(rows[0][: min(length + 1, common_length(rows))])  # the last one is predicted, not read
    memory = {"begun": before.cache, "kept": writer.memory.get("kept", 0)}
    log_prob, _, state = _scored(writer, [ids], firsts[:1], before, memory)
    cache = PromptCache(tf.constant(ids, tf.int32), list(state), tf.constant(len(ids) - 1), before.cache.learned)
    return Beginning(cache, before.log_prob + float(log_prob[0]), len(ids))


def log_probs_of_rows(
    writer: Writer, rows: Sequence[Sequence[int]], firsts: Sequence[int], before: Beginning
) -> list[float]:
    """log p of the tokens of each row of ids from its place `firsts` on; the rows begin with `before`."""
    before = scored_beginning(writer, rows, firsts, before)
    if memory := sharing.memory_of(writer, before.cache):
        log_probs = _scored(writer, rows, firsts, before, memory)[0]
    else:
        log_probs = writer.traced(score_ids, {"ids": IDS})(ids=padded(rows))[0]
    return [before.log_prob + log_prob for log_prob in log_probs.numpy().tolist()]


def _scored(writer, rows, firsts, before, memory):
    """What `score_and_state` gives of rows, without the tokens that `before` has counted."""
    first = tf.constant([max(first, before.num_tokens) for first in firsts], tf.int32)
    traced = writer.traced(score_and_state, {"ids": IDS, "first": ROWS, **sharing.memory_spec(writer, memory)})
    return traced(ids=padded(rows), first=first, **memory)


def score_ids(
    model: keras.Model,
    ids: tf.Tensor,
    begun: PromptCache | None = None,
    kept: tf.Tensor | int = 0,
    first: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Sum of log p(next token) for ids int32 [B, T]: begin mark, text, end mark, then -1 to the right.

    Args:
        model: A `CausalLM`.
        ids: See above.
        begun: What rows may begin with. It is not read again, and its tokens but the last one do not count.
        kept: How many of a row's first tokens a model of limited context never forgets (`generation.context`).
        first: int32 [B], the column of the first token that counts; None: 1.

    Returns `(log_prob float32 [B], num_tokens int32 [B])`. Long texts go through the step view in pieces
    whose logits stay below 64 MB, so memory does not grow with the text; a model of limited context reads them in
    windows. In a graph, trace it for ids of shape [None, None]: of fixed shapes TensorFlow 2.21 folds the nested
    loops wrongly. It has no gradient, and XLA does not compile it.
    """
    return score_and_state(model, ids, begun, kept, first)[:2]


def score_and_state(
    model: keras.Model,
    ids: tf.Tensor,
    begun: PromptCache | None = None,
    kept: tf.Tensor | int = 0,
    first: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
    """What `score_ids` returns, and the state after all columns but the last."""
    batch, until = tf.shape(ids)[0], tf.shape(ids)[1] - 1
    piece = tf.clip_by_value(2**24 // (tf.maximum(batch, 1) * model.vocab_size), 1, 128)
    counted = ids >= 0
    if first is not None:
        counted &= tf.range(until + 1)[None] >= first[:, None]
    if begun is None:
        left, start, state = ids, tf.constant(0), model.initial_state(batch, until)
    else:
        left, state = begin(model, ids, begun, until, beyond=1)
        start = first_column(left)
    state = owned(state)
    window = model.context_length

    def body(start, total, *state):
        end = tf.minimum(start + piece, until)
        if window is not None:
            half = older_half(window - kept)
            past = (start - window) % half
            full = (start >= window) & (past == 0)
            state = tf.cond(full, lambda: forget(start, state), lambda: list(state))
            end = tf.minimum(end, tf.where(start < window, window, start - past + half))
        vectors, state = step_hidden(model, left[:, start:end], state)
        targets = tf.where(counted[:, start + 1 : end + 1], ids[:, start + 1 : end + 1], -1)
        return end, total + tf.reduce_sum(log_probs_at(model, vectors, targets), -1), *state

    def forget(start, state):
        recent = ids[:, start - (window - kept) : start]
        recent = recent if begun is None else tf.concat([ids[:, :kept], recent], 1)
        return read_again(model, recent, tf.fill([batch], True), state, begun, kept)

    _, log_prob, *state = tf.while_loop(
        lambda start, *_: start < until,
        body,
        [start, tf.zeros([batch]), *state],
        shape_invariants=[tf.TensorShape([]), tf.TensorShape([None]), *any_batch(state)],
    )
    return log_prob, tf.reduce_sum(tf.cast(counted[:, 1:], tf.int32), -1), state
