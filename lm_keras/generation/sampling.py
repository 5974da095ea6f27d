"""Choosing the next token, each row by its own options."""

from collections.abc import Callable, Mapping

import tensorflow as tf

FILTERS: dict[str, Callable] = {}  # by the name of the option, in the order in which they are applied


def sampling_filter(keep: Callable) -> Callable:
    """Makes a function the filter of the option of its name; a decorator.

    Args:
        keep: `keep(p, scaled, value)` -> bool [B, K], the words that stay. The K words that `top_k` left are sorted,
            best first: `p` float32 [B, K] are their probabilities, 0 where a filter before has left one out (and not
            normalized again), `scaled` [B, K] their log-probabilities relative to the best word's, and `value` [B, 1]
            the option. Where no word stays, the best one is chosen.
    """
    FILTERS[keep.__name__] = keep
    return keep


@sampling_filter
def top_p(p: tf.Tensor, scaled: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """Holtzman et al. 2020: the smallest set of likeliest words that holds at least that probability."""
    return tf.cumsum(p, -1, exclusive=True) < tf.where(value > 0, value, 1e-9)


@sampling_filter
def min_p(p: tf.Tensor, scaled: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """Nguyen et al. 2024: words of at least that many times the best word's probability."""
    return scaled >= tf.math.log(value)


def sample(
    logits: tf.Tensor,
    options: Mapping[str, tf.Tensor],
    position: tf.Tensor | int,
    token: tf.Tensor,
    seen: tf.Tensor | None = None,
) -> tf.Tensor:
    """Chooses the next token of each row.

    Temperature, then top-k (Fan et al. 2018), then the filters above, then a draw by the inverse of the cumulative
    distribution. Ties keep the smaller id.

    Args:
        logits: float32 [B, V].
        options: Tensors [B] by name, each row its own: `temperature` (0 or less, or NaN, is greedy), `top_k` int32 (0
            or less keeps all), `seed` int64, and those of filters; a filter whose option is not there is left out.
            Without `temperature` all rows are greedy. `repetition_penalty` comes first.
        position: The index of the new token in its text.
        token: int32 [B], the tokens before.
        seen: bool [B, V], the words that the repetition penalty makes less likely.

    Returns:
        int32 [B].
    """
    if "repetition_penalty" in options:
        logits = penalize(logits, seen, options["repetition_penalty"][:, None])
    greedy = tf.argmax(logits, -1, tf.int32)
    if "temperature" not in options:
        return greedy
    temperature, top_k = options["temperature"], options["top_k"]
    hot = temperature > 0

    def draw():
        # Relative to the best word, so that a temperature near 0 gives 0 / t for it and no overflow.
        warmth = tf.clip_by_value(tf.where(hot, temperature, 1.0), 1e-4, 1e4)
        scaled = (logits - tf.reduce_max(logits, -1, keepdims=True)) / warmth[:, None]
        words = tf.shape(logits)[-1]
        wanted = tf.where((top_k > 0) & (top_k < words), top_k, words)
        # To sort the whole vocabulary costs more than a small model's step: only as many as some row may keep.
        scaled, order = tf.math.top_k(scaled, tf.reduce_max(tf.where(hot, wanted, 1)))  # (B, K)
        kept = tf.range(tf.shape(scaled)[1])[None] < wanted[:, None]
        p = tf.nn.softmax(tf.where(kept, scaled, -float("inf")))
        for name, keep in FILTERS.items():
            if name in options:
                p = tf.where(keep(p, scaled, options[name][:, None]), p, 0.0)
        cumulative = tf.cumsum(p, -1)
        mark = uniform(options["seed"], position, token)[:, None] * cumulative[:, -1:]
        index = tf.reduce_sum(tf.cast(cumulative <= mark, tf.int32), -1)
        # Not beyond the last word that is left; of logits that are not numbers none is.
        last = tf.reduce_max(tf.where(p > 0, tf.range(tf.shape(p)[1]), 0), -1)
        return tf.gather(order, tf.clip_by_value(index, 0, last), batch_dims=1)

    return tf.where(hot, tf.cond(tf.reduce_any(hot), draw, lambda: greedy), greedy)


def penalize(logits: tf.Tensor, seen: tf.Tensor, penalty: tf.Tensor | float) -> tf.Tensor:
    """Repetition penalty (Keskar et al. 2019): words in `seen` [B, V] bool are made less likely by `penalty`."""
    return tf.where(seen, tf.where(logits > 0, logits / penalty, logits * penalty), logits)


def uniform(seed: tf.Tensor, position: tf.Tensor | int, token: tf.Tensor) -> tf.Tensor:
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
