"""Log-probability of texts under a model, over its step view."""

import tensorflow as tf


def score_ids(model, ids):
    """Sum of log p(next token) for ids int32 [B, T]: begin mark, text, end mark, then -1 to the right.

    Returns `(log_prob float32 [B], num_tokens int32 [B])`. Long texts go through the step view in pieces
    whose logits stay below 64 MB, so memory does not grow with the text.
    """
    batch, until = tf.shape(ids)[0], tf.shape(ids)[1] - 1
    piece = tf.clip_by_value(2**24 // (tf.maximum(batch, 1) * model.vocab_size), 1, 128)
    state = model.initial_state(batch)

    def body(start, total, *state):
        end = tf.minimum(start + piece, until)
        logits, state = model.step(ids[:, start:end], list(state))
        targets = ids[:, start + 1 : end + 1]
        nats = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(targets, 0), tf.cast(logits, tf.float32))
        return end, total - tf.reduce_sum(tf.where(targets >= 0, nats, 0.0), -1), *state

    any_batch = [tf.TensorShape([None, *s.shape[1:]]) for s in state]
    _, log_prob, *_ = tf.while_loop(
        lambda start, *_: start < until,
        body,
        [tf.constant(0), tf.zeros([batch]), *state],
        shape_invariants=[tf.TensorShape([]), tf.TensorShape([None]), *any_batch],
    )
    return log_prob, tf.reduce_sum(tf.cast(ids[:, 1:] >= 0, tf.int32), -1)
