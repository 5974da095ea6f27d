"""Greedy decoding that XLA compiles: nothing in it has a size that is known only while it runs."""

import tensorflow as tf

from lm_keras.generation.loop import advance, end_marks

STEPS = 16  # tokens a call
ROOM = 128  # the memory's length is a multiple of it: each length is compiled anew


def memory_for(model, longest_prompt, max_new_tokens):
    """Room for so many new tokens, rounded up; None where the memory cannot hold them all."""
    needed = longest_prompt + max_new_tokens
    if model.context_length is None:
        return max_new_tokens
    if needed > model.context_length:
        return None
    return -(-needed // ROOM) * ROOM - longest_prompt


def decode(model, token, state, remaining, *, banned, eos_id, position, min_new_tokens):
    """As `loop.decode` with the likeliest word each time, for STEPS tokens of a model whose memory holds them."""
    ends, batch = end_marks(eos_id, model.vocab_size), tf.shape(token)[0]

    def body(i, token, remaining, tokens, log_probs, *state):
        new, log_prob, _, remaining, state = advance(
            model, token, state, remaining, banned, ends, position + i < min_new_tokens,
            lambda logits: tf.argmax(logits, -1, tf.int32),
        )  # fmt: skip
        at = [[i]]
        tokens = tf.tensor_scatter_nd_update(tokens, at, new[None])
        return i + 1, new, remaining, tokens, tf.tensor_scatter_nd_update(log_probs, at, log_prob[None]), *state

    loop = [0, token, remaining, tf.fill([STEPS, batch], -1), tf.zeros([STEPS, batch]), *state]
    _, token, remaining, tokens, log_probs, *state = tf.while_loop(
        lambda i, token, remaining, *_: (i < STEPS) & tf.reduce_any(remaining > 0), body, loop
    )
    return tf.transpose(tokens), tf.transpose(log_probs), (token, state, remaining)
