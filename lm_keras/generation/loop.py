"""The decoding loop: prompts in, one token a row and step out, over any model's step view."""

import tensorflow as tf

from lm_keras.generation.context import any_batch, read, sliding
from lm_keras.generation.sampling import penalize, sample


def pad_left(rows):
    """Lists of ids -> int32 [B, T], each row ending in the last column, -1 ("no token") before it."""
    width = max((len(row) for row in rows), default=1)
    return tf.constant([[-1] * (width - len(row)) + list(row) for row in rows], tf.int32, [len(rows), width])


def prefill(model, ids, max_new_tokens):
    """State after all but the last token of ids int32 [B, T] (left-padded with -1), with room for what follows.

    What of a long prompt is still known to a model of limited context: see `generation.context`.
    """
    walk = sliding(model)
    state = walk.initial_state(tf.shape(ids)[0], tf.shape(ids)[1] + max_new_tokens)
    return walk.read(ids[:, :-1], state) if walk is not model else read(model, ids[:, :-1], state)


def decode(model, token, state, remaining, num_steps, *, banned, eos_id, choose, position=0, seen=None):
    """Up to `num_steps` new tokens a row, after `token` int32 [B] in `state`.

    `remaining` int32 [B] is how many tokens each row may still have; a row ends there or at `eos_id`.
    `banned` [V] is added to the logits (-inf: never chosen); `choose(logits, position, token, seen)` gives
    int32 [B]; `seen` bool [B, V], when given, gets each new token. Returns tokens int32 [B, n] (-1 after a
    row's end), their log-probabilities [B, n] under the model itself, and where the loop stands: token,
    state, remaining, seen.
    """
    model = sliding(model)
    track = seen is not None
    seen = seen if track else tf.zeros([tf.shape(token)[0], 0], tf.bool)

    def body(i, token, remaining, seen, tokens, log_probs, *state):
        alive = remaining > 0
        logits, state = model.step(tf.where(alive, token, -1)[:, None], list(state))
        logits = tf.cast(logits[:, -1], tf.float32)  # (B, V)
        new = choose(logits + banned, position + i, token, seen)
        log_prob = -tf.nn.sparse_softmax_cross_entropy_with_logits(new, logits)
        ended = new == eos_id
        new = tf.where(alive & ~ended, new, -1)
        if track:
            seen |= tf.one_hot(new, tf.shape(logits)[-1], True, False)
        tokens = tokens.write(i + 1, new)
        log_probs = log_probs.write(i + 1, tf.where(new >= 0, log_prob, 0.0))
        remaining = tf.where(new >= 0, remaining - 1, 0)
        return i + 1, new, remaining, seen, tokens, log_probs, *state

    arrays = [
        # Entry 0 is cut off again: an array without any entry could not be stacked.
        tf.TensorArray(t, 1, dynamic_size=True, element_shape=[None]).write(0, tf.zeros_like(token, t))
        for t in (tf.int32, tf.float32)
    ]
    rows, scalar = tf.TensorShape([None]), tf.TensorShape([])
    _, token, remaining, seen, tokens, log_probs, *state = tf.while_loop(
        lambda i, token, remaining, *_: (i < num_steps) & tf.reduce_any(remaining > 0),
        body,
        [tf.constant(0), token, remaining, seen, *arrays, *state],
        shape_invariants=[scalar, rows, rows, tf.TensorShape([None, None]), scalar, scalar, *any_batch(state)],
    )
    tokens, log_probs = (tf.transpose(array.stack()[1:]) for array in (tokens, log_probs))  # (B, n)
    return tokens, log_probs, (token, state, remaining, seen)


def chooser(temperature, top_k, top_p, seed, penalty=None):
    """The `choose` function of `decode` for options [B] each; `temperature=None` is greedy for all rows."""

    def choose(logits, position, token, seen):
        if penalty is not None:
            logits = penalize(logits, seen, penalty)
        if temperature is None:
            return tf.argmax(logits, -1, tf.int32)
        return sample(logits, temperature, top_k, top_p, seed, position, token)

    return choose
