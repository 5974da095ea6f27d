"""Beam search over any model's step view."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from lm_keras.generation.context import any_batch, walk_of
from lm_keras.generation.loop import end_marks
from lm_keras.generation.prompt_cache import PromptCache
from lm_keras.generation.step import owned


def beam_search(
    model: keras.Model,
    token: tf.Tensor,
    state: Sequence[tf.Tensor],
    max_new_tokens: tf.Tensor | int,
    num_beams: int,
    *,
    banned: tf.Tensor,
    eos_id: tf.Tensor | int,
    length_penalty: tf.Tensor | float = 0.0,
    min_new_tokens: tf.Tensor | int = 0,
    begun: PromptCache | None = None,
    kept: tf.Tensor | int = 0,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The `num_beams` continuations of highest log-probability that a beam of that width finds.

    A beam that has met an `eos_id` is frozen: it keeps its place and its score, log p of its tokens and the end mark,
    and competes with the others. Scores are divided by (number of tokens, end mark included) ** `length_penalty` (Wu
    et al. 2016 use a like form).

    Args:
        model: A `CausalLM` or `Seq2SeqLM` with vocabulary V.
        token: int32 [B], the last token of each prompt.
        state: What came before it, as `prefill` or `model.encode` gives.
        max_new_tokens: One number, or one a prompt [B].
        num_beams: K.
        banned: float32 [V]; words with -inf are never chosen.
        eos_id: One id or several, at which a text ends; not before place `min_new_tokens`.
        length_penalty: One number, or one a prompt [B].
        min_new_tokens: See `eos_id`.
        begun: See `decode`.
        kept: See `decode`.

    Returns:
        Best first, tokens int32 [B, K, n] (-1 after the end), the log-probability of each token [B, K, n], and scores
        [B, K]; where there are fewer than K texts, the rest have no token and the score -inf.
    """
    step = walk_of(model, begun, kept).step
    batch, beams, words = tf.shape(token)[0], num_beams, model.vocab_size
    token = tf.repeat(token, beams)  # row b * K + k is beam k of prompt b
    state = owned([tf.repeat(part, beams, axis=0) for part in state])
    total = tf.tile([[0.0] + [-float("inf")] * (beams - 1)], [batch, 1])  # at first all beams are one
    length = tf.zeros([batch, beams])  # tokens and end mark
    frozen, ends = tf.zeros([batch, beams], tf.bool), end_marks(eos_id, words)
    tokens, log_probs = tf.zeros([batch, beams, 0], tf.int32), tf.zeros([batch, beams, 0])
    most = tf.broadcast_to(max_new_tokens, [batch])
    power = tf.reshape(tf.broadcast_to(tf.cast(length_penalty, tf.float32), [batch]), [-1, 1])

    def body(i, token, total, length, frozen, tokens, log_probs, *state):
        frozen |= (i >= most)[:, None]
        logits, state = step(tf.where(tf.reshape(frozen, [-1]), -1, token)[:, None], list(state))
        never = tf.math.is_inf(banned) | (ends & (i < min_new_tokens))
        candidates = total[:, :, None] + _log_p(logits[:, -1], never, frozen)  # (B, K, V)
        longer = length + tf.where(frozen, 0.0, 1.0)
        ranked = tf.reshape(_normalized(candidates, longer[:, :, None], power[:, :, None]), [batch, beams * words])
        _, place = tf.math.top_k(ranked, beams)
        parent, word = place // words, place % words

        def of_parent(x):
            return tf.gather(x, parent, axis=1, batch_dims=1)

        was_frozen = of_parent(frozen)
        new_total = tf.gather(tf.reshape(candidates, [batch, beams * words]), place, batch_dims=1)
        ended = tf.gather(ends, word) & ~was_frozen
        word = tf.where(was_frozen | ended | tf.math.is_inf(new_total), -1, word)
        gain = tf.where(word >= 0, new_total - of_parent(total), 0.0)
        tokens = tf.concat([of_parent(tokens), word[:, :, None]], -1)
        log_probs = tf.concat([of_parent(log_probs), gain[:, :, None]], -1)
        rows = tf.reshape(parent + tf.range(batch)[:, None] * beams, [-1])
        token, length, frozen = tf.reshape(tf.maximum(word, 0), [-1]), of_parent(longer), was_frozen | ended
        return i + 1, token, new_total, length, frozen, tokens, log_probs, *(tf.gather(part, rows) for part in state)

    scalar, rows, grid, history = map(tf.TensorShape, ([], [None], [None, beams], [None, beams, None]))
    _, _, total, length, _, tokens, log_probs, *_ = tf.while_loop(
        lambda i, token, total, length, frozen, *_: tf.reduce_any((i < most)[:, None] & ~frozen),
        body,
        [tf.constant(0), token, total, length, frozen, tokens, log_probs, *state],
        shape_invariants=[scalar, rows, grid, grid, grid, history, history, *any_batch(state)],
    )
    return _best_first(_normalized(total, length, power), tokens, log_probs)


def _log_p(logits, never, frozen):
    """Log-probabilities [B, K, V] of the next words; a frozen beam [B, K] has one continuation: itself."""
    log_p = tf.where(never, -float("inf"), tf.nn.log_softmax(tf.cast(logits, tf.float32)))
    log_p = tf.reshape(log_p, [-1, frozen.shape[1], never.shape[0]])
    stay = tf.one_hot(0, never.shape[0], 0.0, -float("inf"))
    return tf.where(frozen[:, :, None], stay, log_p)


def _normalized(total, length, power):
    return total / tf.maximum(length, 1.0) ** power


def _best_first(scores, tokens, log_probs):
    """The beams in the order of their scores [B, K]; those that are none have no token."""
    scores, order = tf.math.top_k(scores, scores.shape[1])
    tokens, log_probs = (tf.gather(history, order, batch_dims=1) for history in (tokens, log_probs))
    none = tf.math.is_inf(scores)[:, :, None]
    return tf.where(none, -1, tokens), tf.where(none, 0.0, log_probs), scores
