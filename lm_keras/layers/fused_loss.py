"""Layers that give logits, and note of which product they are: the loss can then do both in one pass.

The note stands in a collection of the TensorFlow graph that the logits are in, and is gone with it.
"""

import dataclasses

import keras
import tensorflow as tf
from keras import layers, ops

from lm_keras.layers.dense import Dense, tokens_of

FACTORS = "lm_keras_factors"  # the collection: pairs of logits and their Factors


@dataclasses.dataclass(frozen=True)
class Factors:
    """logits = x W + b: x [..., D], table W [D, V], or [V, D] where its `rows` are the words; bias [V] or None."""

    x: object
    table: object
    bias: object = None
    rows: bool = False


def factors_of(logits: tf.Tensor) -> Factors | None:
    """The `Factors` of logits that one of these layers has given in the same graph; None for others."""
    if not tf.is_symbolic_tensor(logits):
        return None
    noted = logits.graph.get_collection(FACTORS)
    return next((factors for made, factors in reversed(noted) if made is logits), None)


def _noted(logits, layer, x, table, bias=None, rows=False):
    """Only in a graph of TensorFlow: there the product itself falls away where nothing but the loss reads it."""
    if layer.quantization_mode is None and tf.is_symbolic_tensor(logits):
        x, table, bias = (w if w is None else ops.cast(w, logits.dtype) for w in (x, table, bias))
        logits.graph.add_to_collection(FACTORS, (logits, Factors(x, table, bias, rows)))
    return logits


@keras.saving.register_keras_serializable("lm_keras")
class Logits(Dense):
    """A dense layer over the vocabulary: x [..., D] -> logits [..., V]."""

    def call(self, x, training=None):
        result = super().call(x, training=training)
        if self.activation is not keras.activations.linear:
            return result
        return _noted(result, self, x, self.kernel, self.bias)


@keras.saving.register_keras_serializable("lm_keras")
class WordEmbedding(layers.ReversibleEmbedding):
    """`keras.layers.ReversibleEmbedding`: ids -> vectors [..., D]; with `reverse`, x [..., D] -> logits [..., V]."""

    def call(self, inputs, reverse=False):
        if not reverse or self.logit_soft_cap is not None or self.reverse_dtype is not None:
            return super().call(inputs, reverse=reverse)
        table = self.embeddings if self.tie_weights else self.reverse_embeddings
        # In mixed precision too: Keras does not cast the table of an embedding.
        exact = keras.backend.result_type(inputs.dtype, table.dtype)
        # Rows by words: nothing is transposed, and a product of two matrices is one operation.
        rows = ops.cast(tf.reshape(inputs, [-1, inputs.shape[-1]]), exact)
        rows = tf.matmul(rows, ops.cast(table, exact), transpose_b=self.tie_weights)
        return _noted(tokens_of(rows, inputs), self, inputs, table, None, self.tie_weights)

    def quantize(self, mode=None, type_check=True, config=None):
        return super().quantize(mode, type_check=False, config=config)


# === Output layer and cross-entropy in one: no pass over the logits more than the two need together ===


def linear_cross_entropy(x, table, bias, labels, rows=False, smoothing=0.0):
    """Nats [N] of int `labels` [N] under softmax(x W + b): x [N, D], W [D, V], or [V, D] with `rows`; bias or None.

    The gradient of the logits is (softmax - one-hot) g. What is kept for it is e = exp(logits - max) alone: its row
    sums and the g of each row scale the rows of x and of the product with W^T instead, N D numbers and not N V.
    `smoothing` s takes 1 - s of the word of the label and s of the mean of all V words (Szegedy et al. 2016, section
    7). The mean of a row's logits is the product of the row with the mean of the words, so that costs no pass more.
    """
    labels = tf.cast(labels, tf.int32)
    if bias is None:
        return _nats(labels, rows, smoothing)(x, table)
    return _nats(labels, rows, smoothing)(x, table, bias)


def _nats(labels, rows, smoothing):
    @tf.custom_gradient
    def nats(x, table, bias=None):
        exact = tf.float64 if x.dtype == tf.float64 else tf.float32  # in mixed precision too
        logits = tf.cast(tf.matmul(x, table, transpose_b=rows), exact)
        if bias is not None:
            logits += tf.cast(bias, exact)
        places = tf.stack([tf.range(tf.shape(labels)[0]), labels], 1)
        expected = (1 - smoothing) * tf.gather_nd(logits, places)
        if smoothing:
            mean_word = tf.reduce_mean(tf.cast(table, exact), 0 if rows else 1)  # (D,)
            mean = tf.linalg.matvec(tf.cast(x, exact), mean_word)
            expected += smoothing * (mean if bias is None else mean + tf.reduce_mean(tf.cast(bias, exact)))
        top = tf.reduce_max(logits, 1, keepdims=True)
        e = tf.exp(logits - top)
        total = tf.reduce_sum(e, 1, keepdims=True)

        def gradient(g):
            # One copy of e, where a one-hot matrix would be written, read and subtracted.
            at_labels = (1 - smoothing) * total[:, 0]
            d = tf.cast(tf.tensor_scatter_nd_sub(e, places, at_labels), x.dtype)  # (softmax - one-hot) total
            scale = g[:, None] / total
            scaled = x * tf.cast(scale, x.dtype)
            d_x = tf.cast(tf.matmul(d, table, transpose_b=not rows), exact) * scale
            if smoothing:
                d_x -= smoothing * g[:, None] * mean_word
            d_x = tf.cast(d_x, x.dtype)
            with tf.control_dependencies([d_x]):
                d_table = tf.matmul(*((d, scaled) if rows else (scaled, d)), transpose_a=True)
            d_bias = None if bias is None else tf.matmul(tf.cast(scale, x.dtype), d, transpose_a=True)[0]
            if smoothing:  # what each word has of all labels
                share = smoothing / tf.cast(tf.shape(logits)[1], exact)
                words = share * tf.linalg.matvec(tf.cast(x, exact), g, transpose_a=True)  # (D,)
                d_table -= tf.cast(words if rows else words[:, None], x.dtype)
                d_bias = None if bias is None else d_bias - tf.cast(share * tf.reduce_sum(g), x.dtype)
            return (d_x, d_table) if bias is None else (d_x, d_table, d_bias)

        return tf.math.log(total[:, 0]) + top[:, 0] - expected, gradient

    return nats
