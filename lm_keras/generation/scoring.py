"""Log-probability of texts under a model, over its step view."""

import tensorflow as tf

from lm_keras.generation.context import any_batch, older_half, read_again


def score_ids(model, ids):
    """Sum of log p(next token) for ids int32 [B, T]: begin mark, text, end mark, then -1 to the right.

    Returns `(log_prob float32 [B], num_tokens int32 [B])`. Long texts go through the step view in pieces
    whose logits stay below 64 MB, so memory does not grow with the text; a model of limited context reads them in
    windows (`generation.context`). In a graph, trace it for ids of shape [None, None]: of fixed shapes TensorFlow
    2.21 folds the nested loops wrongly.
    """
    batch, until = tf.shape(ids)[0], tf.shape(ids)[1] - 1
    piece = tf.clip_by_value(2**24 // (tf.maximum(batch, 1) * model.vocab_size), 1, 128)
    state = model.initial_state(batch, until)
    window = model.context_length

    def body(start, total, *state):
        end = tf.minimum(start + piece, until)
        if window is not None:
            past = (start - window) % older_half(window)
            full = (start >= window) & (past == 0)
            state = tf.cond(full, lambda: forget(start, state), lambda: list(state))
            end = tf.minimum(end, tf.where(start < window, window, start - past + older_half(window)))
        logits, state = model.step(ids[:, start:end], list(state))
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
