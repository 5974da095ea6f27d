"""What a pointer-generator adds to attention: copying of source words, and a memory of what was looked at."""

import keras
import tensorflow as tf
from keras import layers, ops

from lm_keras.layers.alignment import Alignment, shares
from lm_keras.layers.attention import UNSEEN

TINY = 1e-37  # the least probability whose logarithm is taken, near the smallest float32


@keras.saving.register_keras_serializable("lm_keras")
class CopyMixture(layers.Layer):
    """log P(w) = log(p P_vocab(w) + (1 - p) sum of a_s over the source's places s that hold w), [B, t, V + K].

    p = sigmoid(z), with z [B, t, 1]; P_vocab = softmax(logits), [B, t, V]; a the attention [B, t, S] on source ids
    [B, S] below V + K (See et al. 2017, equations 8 and 9). The last K places are words that this source has and the
    vocabulary has not: they are only copied, and a place that no word of the source has is `UNSEEN`. A negative
    source id is no token; of a source without any, p is 1. In mixed precision too, all of it is float32.
    """

    def __init__(self, copy_slots, **kwargs):
        super().__init__(**kwargs)
        self.copy_slots, self.supports_masking = copy_slots, True

    def call(self, z, logits, attention, source_ids):
        exact = keras.backend.result_type(logits.dtype, "float32")
        z, logits, attention = (ops.cast(part, exact) for part in (z, logits, attention))
        real = source_ids >= 0
        some = ops.any(real, -1)[:, None, None]
        generated = ops.where(some, ops.sigmoid(z), 1.0) * ops.softmax(logits)
        copied = ops.where(some & real[:, None], ops.sigmoid(-z) * attention, 0.0)  # (B, t, S)
        p = tf.pad(generated, [[0, 0], [0, 0], [0, self.copy_slots]])
        p += _by_word(copied, ops.maximum(source_ids, 0), p)
        slots = logits.shape[-1] + ops.arange(self.copy_slots, dtype="int32")
        used = ops.any(source_ids[:, :, None] == slots, 1)  # (B, K)
        possible = tf.pad(used, [[0, 0], [logits.shape[-1], 0]], constant_values=True)
        return ops.where(possible[:, None], ops.log(ops.maximum(p, TINY)), UNSEEN)

    def get_config(self):
        return {**super().get_config(), "copy_slots": self.copy_slots}


def _by_word(copied, source_ids, p):
    """The sums of copied [B, t, S] over the places of each word, in the shape of p [B, t, V + K]."""
    batch, count = tf.shape(copied)[0], tf.shape(copied)[1]
    rows, steps = tf.range(batch)[:, None, None], tf.range(count)[None, :, None]
    places = [tf.broadcast_to(part, tf.shape(copied)) for part in (rows, steps, source_ids[:, None])]
    return tf.scatter_nd(tf.stack(places, -1), copied, tf.shape(p))


@keras.saving.register_keras_serializable("lm_keras")
class CoverageAlignment(Alignment):
    """Additive attention that knows what it has looked at, c_s, the sum of the weights a_s of all words before.

    query [B, t, Q], keys [B, S, A], values [B, S, H], visible [B, S], coverage c [B, S] before the first query,
    tokens [B, t] (False: no word, which covers nothing) -> contexts [B, t, H], weights [B, t, S], coverage after.
    The scores are v · tanh(W h_t + key_s + w c_s). In training `rate` times the mean over the words of
    Σ_s min(a_s, c_s) is added to the loss (See et al. 2017, equations 10 to 13).
    """

    def __init__(self, rate, kernel_initializer="glorot_uniform", v_initializer="glorot_uniform", **kwargs):
        super().__init__("additive", kernel_initializer, v_initializer, **kwargs)
        self.rate = rate

    def build(self, query_shape, keys_shape, *_):
        super().build(query_shape, keys_shape)
        self.w = self.add_weight((keys_shape[-1],), "zeros", name="coverage")

    def call(self, query, keys, values, visible, coverage, tokens, training=None):
        query = ops.transpose(ops.matmul(query, self.kernel), (1, 0, 2))  # (t, B, A)
        exact = keras.backend.result_type(query.dtype, "float32")
        real = ops.cast(ops.transpose(tokens), exact)[..., None]  # (t, B, 1)
        before = ops.cast(coverage, exact)

        def look(past, step):
            (c, _), (q, counts) = past, step
            scores = self._additive(q[:, None], keys + ops.cast(c, keys.dtype)[..., None] * self.w)
            weights = shares(scores, visible)
            return c + counts * weights, weights

        _, weights = tf.scan(look, (query, real), (before, tf.zeros_like(before)))  # (t, B, S)
        looked = real * weights
        if training:
            covered = before + ops.cumsum(looked, 0) - looked
            again = ops.sum(real * ops.minimum(weights, covered))
            self.add_loss(self.rate * again / ops.maximum(ops.sum(real), 1.0))
        after = before + ops.sum(looked, 0)
        weights = ops.cast(ops.transpose(weights, (1, 0, 2)), values.dtype)
        return ops.matmul(weights, values), weights, after

    def get_config(self):
        config = {**super().get_config(), "rate": self.rate}
        del config["score"]
        return config
