"""The cross-entropy of labels, together with the output layer that gives the logits where there is one."""

import keras
import tensorflow as tf
from keras import ops

from lm_keras.layers.linear_cross_entropy import linear_cross_entropy
from lm_keras.layers.output import factors_of


@keras.saving.register_keras_serializable("lm_keras")
class LabelCrossEntropy(keras.losses.SparseCategoricalCrossentropy):
    """Cross-entropy of logits [..., C] in nats: the (weighted) mean over the labels y [...] that are not negative."""

    def __init__(self, reduction="mean_with_sample_weight", name="label_cross_entropy", dtype=None):
        super().__init__(from_logits=True, reduction=reduction, name=name, dtype=dtype)

    def __call__(self, y, logits, sample_weight=None):
        weight = ops.cast(ops.convert_to_tensor(y) >= 0, "float32")
        if sample_weight is not None:
            weight *= aligned(ops.cast(sample_weight, "float32"), weight)
        y, factors = ops.maximum(y, 0), factors_of(logits)
        if factors is None:
            return super().__call__(y, logits, weight)
        nats = _nats_of_factors(y, factors)
        nats._keras_mask = getattr(logits, "_keras_mask", None)
        return _Given(reduction=self.reduction, name=self.name)(y, nats, weight)

    def get_config(self):
        return keras.losses.Loss.get_config(self)


def with_output_layer(loss):
    """`loss`; Keras' cross-entropy of logits as a LabelCrossEntropy, the same for labels of at least 0."""
    if type(loss) is not keras.losses.SparseCategoricalCrossentropy:
        return loss
    if not loss.from_logits or loss.ignore_class is not None or loss._fn_kwargs.get("axis", -1) != -1:
        return loss
    return LabelCrossEntropy(loss.reduction, loss.name, loss.dtype)


class _Given(keras.losses.Loss):
    """The (weighted) mean of losses that are there already."""

    def call(self, y, losses):
        return losses


def _nats_of_factors(y, factors):
    """Nats of the labels y [...] under the logits that `factors` are of: the same, without these logits."""
    x = tf.reshape(factors.x, [-1, factors.x.shape[-1]])
    labels = tf.reshape(tf.cast(y, tf.int32), [-1])
    nats = linear_cross_entropy(x, factors.table, factors.bias, labels, factors.rows)
    return tf.reshape(nats, tf.shape(y))


def aligned(weights, labels):
    """Weights [B] of texts for labels [B, T] of their tokens."""
    missing = len(labels.shape) - len(weights.shape)
    return ops.reshape(weights, (-1,) + (1,) * missing) if missing > 0 else weights
