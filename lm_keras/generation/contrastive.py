"""Contrastive search over any model's step view: a likely word whose hidden vector is like none before it."""

import tensorflow as tf

from lm_keras.generation.context import PIECE, Walk, any_batch, walk_of
from lm_keras.generation.loop import end_marks
from lm_keras.generation.prompt_cache import PromptCache, begin
from lm_keras.generation.step import hidden_of, logits_of, owned, step_hidden
from lm_keras.models.causal_lm import CausalLM


def contrastive_search(
    model: CausalLM,
    ids: tf.Tensor,
    max_new_tokens: tf.Tensor | int,
    top_k: tf.Tensor | int,
    alpha: tf.Tensor | float,
    *,
    banned: tf.Tensor,
    eos_id: tf.Tensor | int,
    min_new_tokens: tf.Tensor | int = 0,
    begun: PromptCache | None = None,
    kept: tf.Tensor | int = 0,
    learned: PromptCache | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Contrastive search (Su et al. 2022, eq. 5).

    Each new word is the one of the `top_k` likeliest, V^k, with the highest
        (1 - alpha) p(v | x) - alpha max_j cos(h_v, h_xj),
    h the vector before the output layer and j over the tokens before; of a prompt longer than the model's memory, its
    last token and those that are known before it (`generation.context`).

    Args:
        model: A `CausalLM` with vocabulary V, whose builder gives its hidden vectors.
        ids: int32 [B, T], left-padded prompts.
        max_new_tokens: The most tokens of a text.
        top_k: k.
        alpha: From 0 (the likeliest word) to 1.
        banned: float32 [V]; words with -inf are never chosen.
        eos_id: One id or several, at which a row ends; not before place `min_new_tokens`.
        min_new_tokens: See `eos_id`.
        begun: See `decode`. The prompts are read from their first token all the same, for their hidden vectors.
        kept: See `decode`.
        learned: A learned prompt that all rows begin with, of which there are no hidden vectors to be unlike.

    Returns:
        Tokens int32 [B, n], -1 after a row's end, and their log-probabilities [B, n] under the model.
    """
    words, batch = model.vocab_size, tf.shape(ids)[0]
    walk, ends, k = walk_of(model, begun, kept), end_marks(eos_id, words), tf.minimum(top_k, words)
    logits, history, valid, state = read_prompt(walk, ids, max_new_tokens, learned)

    def body(i, alive, logits, history, valid, tokens, log_probs, *state):
        log_p = tf.nn.log_softmax(logits)
        never = tf.math.is_inf(banned) | (ends & (i < min_new_tokens))
        chosen, candidates = tf.math.top_k(tf.where(never, -float("inf"), log_p), k)  # (B, k)
        step_ids = tf.reshape(tf.where(alive[:, None], candidates, -1), [-1, 1])
        vectors, state = walk.step_hidden(step_ids, [tf.repeat(part, k, axis=0) for part in state])
        after, hidden = logits_of(model, vectors), hidden_of(model, vectors)
        hidden = tf.reshape(unit(hidden), [batch, k, hidden.shape[-1]])
        alike = tf.where(valid[:, None], tf.matmul(hidden, history, transpose_b=True), -1.0)  # (B, k, n)
        gain = (1 - alpha) * tf.exp(chosen) - alpha * tf.reduce_max(alike, -1)
        best = tf.argmax(tf.where(tf.math.is_inf(chosen), -float("inf"), gain), -1, tf.int32)
        new = tf.gather(candidates, best, batch_dims=1)
        going = alive & ~tf.gather(ends, new)
        tokens = tf.concat([tokens, tf.where(going, new, -1)[:, None]], 1)
        log_prob = tf.where(going, tf.gather(chosen, best, batch_dims=1), 0.0)
        log_probs = tf.concat([log_probs, log_prob[:, None]], 1)
        history = tf.concat([history, tf.gather(hidden, best, batch_dims=1)[:, None]], 1)
        row = tf.range(batch) * k + best
        logits, *state = (tf.gather(part, row) for part in (tf.cast(after[:, -1], tf.float32), *state))
        return i + 1, going, logits, history, tf.concat([valid, going[:, None]], 1), tokens, log_probs, *state

    grid = tf.TensorShape([None, None])
    _, _, _, _, _, tokens, log_probs, *_ = tf.while_loop(
        lambda i, alive, *_: (i < max_new_tokens) & tf.reduce_any(alive),
        body,
        [tf.constant(0), tf.fill([batch], True), logits, history, valid,
         tf.zeros([batch, 0], tf.int32), tf.zeros([batch, 0]), *state],
        shape_invariants=[
            tf.TensorShape([]), tf.TensorShape([None]), tf.TensorShape([None, words]),
            tf.TensorShape([None, None, history.shape[-1]]), *[grid] * 3, *any_batch(state)
        ],
    )  # fmt: skip
    return tokens, log_probs


def read_prompt(
    walk: Walk, ids: tf.Tensor, max_new_tokens: tf.Tensor | int, learned: PromptCache | None = None
) -> tuple:
    """Logits [B, V] after ids [B, T], hidden vectors [B, n, H] of length 1, which of them are of tokens, state."""
    model, length = walk.model, tf.shape(ids)[1] + max_new_tokens
    known, *memory = walk.known(ids[:, :-1])
    if learned is None:
        state = model.initial_state(tf.shape(ids)[0], length)
    else:
        known, state = begin(model, known, learned, length)
    until, width = tf.shape(known)[1], model.step_hidden_model.outputs[1].shape[-1]

    def body(start, history, *state):
        end = tf.minimum(start + PIECE, until)
        vectors, state = step_hidden(model, known[:, start:end], state)
        return end, tf.concat([history, unit(hidden_of(model, vectors))], 1), *state

    state = owned(state)
    _, history, *state = tf.while_loop(
        lambda start, *_: start < until,
        body,
        [tf.constant(0), tf.zeros([tf.shape(ids)[0], 0, width]), *state],
        shape_invariants=[tf.TensorShape([]), tf.TensorShape([None, None, width]), *any_batch(state)],
    )
    vectors, state = walk.step_hidden(ids[:, -1:], [*memory, *state])
    history = tf.concat([history, unit(hidden_of(model, vectors))], 1)
    valid = tf.concat([known, ids[:, -1:]], 1) >= 0
    return tf.cast(logits_of(model, vectors)[:, -1], tf.float32), history, valid, state


def unit(vectors: tf.Tensor) -> tf.Tensor:
    """The vectors [..., H] with length 1."""
    return tf.math.l2_normalize(tf.cast(vectors, tf.float32), -1)
