"""Choosing the next token, each row by its own options."""

import tensorflow as tf


def uniform(seed, position, token):
    """One number in [0, 1) a row from seed [B], position and the token before [B] (splitmix64, Steele et al. 2014).

    TensorFlow's stateless generators take one seed a call, not one a row. The token is mixed in so that rows
    of one seed part ways.
    """
    word = tf.constant

    def shifted(x, bits):
        return tf.bitwise.bitwise_xor(x, tf.bitwise.right_shift(x, word(bits, tf.uint64)))

    def mixed(value, constant):
        return tf.cast(tf.cast(value, tf.int64), tf.uint64) * word(constant, tf.uint64)

    x = mixed(seed, 0xD1342543DE82EF95) + mixed(position + 1, 0x9E3779B97F4A7C15) + mixed(token, 0xA0761D6478BD642F)
    x = shifted(x, 30) * word(0xBF58476D1CE4E5B9, tf.uint64)
    x = shifted(x, 27) * word(0x94D049BB133111EB, tf.uint64)
    x = tf.bitwise.right_shift(shifted(x, 31), word(40, tf.uint64))
    return tf.cast(tf.cast(x, tf.int64), tf.float32) * 2.0**-24


def sample(logits, temperature, top_k, top_p, seed, position, token, min_p=None):
    """Next tokens int32 [B] from logits [B, V]; all options are [B], `position` is the index of the new token,
    `token` [B] the one before.

    Temperature, then top-k (Fan et al. 2018; 0 keeps all), then top-p (Holtzman et al. 2020; the smallest set
    of words that holds at least p), then min-p (Nguyen et al. 2024; words of at least min_p times the best word's
    probability; None keeps all), then a draw by the inverse of the cumulative distribution. A temperature of 0
    or less (or NaN) is greedy. Ties keep the smaller id.
    """
    greedy = tf.argmax(logits, -1, tf.int32)
    hot = temperature > 0

    def draw():
        # Relative to the best word, so that a temperature near 0 gives 0 / t for it and no overflow.
        warmth = tf.clip_by_value(tf.where(hot, temperature, 1.0), 1e-4, 1e4)
        scaled = (logits - tf.reduce_max(logits, -1, keepdims=True)) / warmth[:, None]
        words = tf.shape(logits)[-1]
        wanted = tf.where((top_k > 0) & (top_k < words), top_k, words)
        # To sort the whole vocabulary costs more than a small model's step: only as many as some row may keep.
        scaled, order = tf.math.top_k(scaled, tf.reduce_max(tf.where(hot, wanted, 1)))
        kept = tf.range(tf.shape(scaled)[1])[None] < wanted[:, None]
        p = tf.nn.softmax(tf.where(kept, scaled, -float("inf")))
        p = tf.where(tf.cumsum(p, -1, exclusive=True) < tf.where(top_p > 0, top_p, 1e-9)[:, None], p, 0.0)
        if min_p is not None:  # the best word has 0 and stays
            p = tf.where(scaled >= tf.math.log(min_p)[:, None], p, 0.0)
        cumulative = tf.cumsum(p, -1)
        mark = uniform(seed, position, token)[:, None] * cumulative[:, -1:]
        index = tf.reduce_sum(tf.cast(cumulative <= mark, tf.int32), -1)
        last = tf.reduce_sum(tf.cast(p > 0, tf.int32), -1) - 1
        # (A model whose logits are not numbers has no last word: -1.)
        return tf.gather(order, tf.clip_by_value(index, 0, tf.maximum(last, 0)), batch_dims=1)

    return tf.where(hot, tf.cond(tf.reduce_any(hot), draw, lambda: greedy), greedy)


def penalize(logits, seen, penalty):
    """Repetition penalty (Keskar et al. 2019): words in `seen` [B, V] bool are made less likely by `penalty`."""
    return tf.where(seen, tf.where(logits > 0, logits / penalty, logits * penalty), logits)
