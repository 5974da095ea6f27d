"""Probabilities of n-grams by sorted tables: what counts of words are in a graph."""

from collections.abc import Sequence

import keras
import tensorflow as tf
from keras import layers

from lm_keras.errors import InputError
from lm_keras.utils.checks import check_sizes


@keras.saving.register_keras_serializable("lm_keras")
class NGrams(layers.Layer):
    """Ids of texts, int32 [B, T], below 0: none -> log p of each, float32 [B, T], 0 where there is none.

    p(w | c) = value(c w) + backoff(c) p(w | c without its first word), as of `training.baselines.kneser_ney_tables`;
    0 + p(w | c without its first word) for a context c that is not known; at the end 1 / V. Before a text stand as
    many `eos_id` as a context is long. Ids stand at the left, and the last one of a text is `eos_id`.

    Weights, for n = 1, 2, ..., N words: `contexts_n` int64 [C_n] and `grams_n` int64 [G_n], sorted keys; `values_n`
    [G_n] and `backoff_n` [C_n].

    Args:
        vocab_size: V.
        eos_id: See above.
        num_contexts: C_n for n = 1, 2, ..., N; the first is 1.
        num_grams: G_n.

    Raises:
        InputError: For impossible numbers.
    """

    def __init__(self, vocab_size: int, eos_id: int, num_contexts: Sequence[int], num_grams: Sequence[int], **kwargs):
        super().__init__(trainable=kwargs.pop("trainable", False), **kwargs)
        if len(num_contexts) != len(num_grams) or not num_grams:
            raise InputError(f"there are contexts of {len(num_contexts)} orders and n-grams of {len(num_grams)}")
        check_sizes(vocab_size=vocab_size)
        check_sizes(least=0, eos_id=eos_id)
        for contexts, grams in zip(num_contexts, num_grams, strict=True):
            check_sizes(num_contexts=contexts, num_grams=grams)
        self.vocab_size, self.eos_id = vocab_size, eos_id
        self.num_contexts, self.num_grams = list(num_contexts), list(num_grams)

    @property
    def order(self) -> int:
        """N, the length of the longest n-grams."""
        return len(self.num_grams)

    def build(self, ids_shape):
        self.tables = [
            [
                self.add_weight(
                    shape=(size,), name=f"{name}_{n}", initializer="zeros", dtype=dtype, trainable=False,
                    autocast=False,
                )
                for name, size, dtype in (
                    ("contexts", contexts, "int64"), ("grams", grams, "int64"), ("values", grams, "float32"),
                    ("backoff", contexts, "float32"),
                )
            ]
            for n, (contexts, grams) in enumerate(zip(self.num_contexts, self.num_grams, strict=True), 1)
        ]  # fmt: skip

    def call(self, ids):
        ids = tf.cast(ids, tf.int64)
        there = (ids >= 0) & (ids < self.vocab_size)
        words = tf.where(there, ids, self.eos_id)
        width = tf.shape(words)[1]
        p = tf.fill(tf.shape(words), 1.0 / self.vocab_size)
        context = tf.zeros_like(words)  # the place of each word's context, -1 where it is not known
        for k, table in enumerate(self.tables):
            contexts, grams, values, backoff = (weight.value for weight in table)
            if k:
                earlier = tf.pad(words, [[0, 0], [k, 0]], constant_values=self.eos_id)[:, :width]
                context = _places(contexts, context, earlier * self.num_contexts[k - 1] + context)
            gram = _places(grams, context, context * self.vocab_size + words)
            seen = tf.where(gram >= 0, tf.gather(values, tf.maximum(gram, 0)), 0.0)
            mixed = seen + tf.gather(backoff, tf.maximum(context, 0)) * p
            p = tf.where(context >= 0, mixed, p)
        # In float64: of float32 the last digit depends on the place in memory.
        return tf.where(there, tf.cast(tf.math.log(tf.cast(p, tf.float64)), tf.float32), 0.0)

    def is_whole(self) -> bool:
        """Returns whether the weights are tables: keys in order, numbers from 0 to 1."""
        for contexts, grams, values, backoff in ([weight.numpy() for weight in table] for table in self.tables):
            sorted_keys = all((keys[1:] > keys[:-1]).all() for keys in (contexts, grams))
            within = all(((numbers >= 0) & (numbers <= 1)).all() for numbers in (values, backoff))
            if not sorted_keys or not within:
                return False
        return True

    def compute_output_spec(self, ids):
        return keras.KerasTensor(ids.shape, "float32")

    def get_config(self):
        names = ("vocab_size", "eos_id", "num_contexts", "num_grams")
        return super().get_config() | {name: getattr(self, name) for name in names}


def _places(keys, context, wanted):
    """The place of each wanted key among sorted ones; -1 where it is not there, or the context is not known."""
    flat = tf.reshape(wanted, [-1])
    places = tf.minimum(tf.searchsorted(keys, flat, out_type=tf.int64), tf.size(keys, tf.int64) - 1)
    places = tf.reshape(tf.where(tf.gather(keys, places) == flat, places, -1), tf.shape(wanted))
    return tf.where(context >= 0, places, -1)
