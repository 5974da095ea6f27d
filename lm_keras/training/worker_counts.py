"""How many labels of a batch a loss is the mean over: what a worker's part weighs."""

import keras
import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.losses import CrossEntropy, aligned


def labels_of(loss, outputs):
    """The function (y, weights) -> the number of labels that `loss` is the mean over; several `outputs`: a dict."""
    if any(getattr(output, "_keras_mask", None) is not None for output in tf.nest.flatten(outputs)):
        raise InputError(
            "an output has a mask of Keras (mask_zero or Masking), which several workers cannot count; give what is "
            "masked a negative label or the weight 0, and the layers the mask as an argument"
        )
    if not isinstance(outputs, (dict, list, tuple)):
        return _counting(loss)
    if not isinstance(outputs, dict) or not isinstance(loss, dict) or set(loss) != set(outputs):
        raise InputError("several outputs on several workers need names, and a loss for each: loss={name: loss, ...}")
    counting = {name: _counting(part) for name, part in loss.items()}

    def labels(y, weights=None):
        by_name = weights if isinstance(weights, dict) else dict.fromkeys(counting, weights)
        return {name: count(y[name], by_name[name]) for name, count in counting.items()}

    return labels


def _counting(loss):
    """The function (y, weights) -> the number of labels that the loss of one output is the mean over."""
    loss = keras.losses.get(loss)
    reduction = getattr(loss, "reduction", "sum_over_batch_size")
    if reduction not in ("mean_with_sample_weight", "sum_over_batch_size", "mean"):
        raise InputError(
            f"the loss has the reduction {reduction!r}; several workers need a mean, the default of Keras"
        )

    def count(y, weights=None):
        counts = tf.ones(tf.shape(y)[:1])
        if reduction != "mean_with_sample_weight":
            return tf.reduce_sum(counts)
        if isinstance(loss, CrossEntropy):
            counts = tf.cast(y >= 0, tf.float32)
            counts *= 1.0 if weights is None else aligned(tf.cast(weights, tf.float32), counts)
        elif weights is not None:
            counts = tf.cast(weights, tf.float32)
        return tf.reduce_sum(counts)

    return count
