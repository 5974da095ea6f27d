"""An update of several batches as one of a large batch: each batch weighs what its loss is the mean over.

The mean of the batches' gradients, which Keras' optimizers take, is another one where the batches have different
numbers of labels. So the loss becomes a sum, and each label has the weight n / N: n batches an update, N the labels
of all of them, which are counted before the first of them is given to the model.
"""

import keras
import tensorflow as tf

from lm_keras.training.label_counts import keys_of, labels_of, loss_object, part_of


def in_shares(stream: tf.data.Dataset, steps: int, loss: object, outputs: object) -> tf.data.Dataset:
    """Returns batches (x, y, weights) for `summed(loss)` that weigh, `steps` together, as one large batch would.

    Args:
        stream: batches (x, y) or (x, y, weights) from the first of an update on.
        steps: how many batches an update takes.
        loss: what `compile` takes for `outputs`.
        outputs: the symbolic outputs of the model.
    """
    counts, keys = labels_of(loss, outputs, "accumulate_steps"), keys_of(loss, outputs)

    def shares(*parts):
        batches = tf.data.Dataset.zip(parts)
        none = tf.constant(0.0) if keys == (None,) else {key: tf.constant(0.0) for key in keys}
        labels = batches.reduce(none, lambda total, batch: tf.nest.map_structure(tf.add, total, counts(*batch[1:])))
        return batches.map(lambda x, y, *weights: (x, y, scaled(labels, y, *weights)))

    def scaled(labels, y, weights=None):
        result = {}
        for key in keys:
            own = part_of(weights, key)
            own = tf.ones(tf.shape(part_of(y, key))[:1]) if own is None else tf.cast(own, tf.float32)
            result[key] = own * tf.math.divide_no_nan(float(steps), part_of(labels, key))
        if keys == (None,):
            return result[None]
        return result if isinstance(outputs, dict) else tuple(result.values())

    # Of the base class: of what another dataset knows of its windows nothing is needed here.
    return tf.data.Dataset.window(stream, steps, drop_remainder=True).flat_map(shares)


def summed(loss: object) -> object:
    """Returns the loss, or the dict or list of losses, whose weights are shares; without weights it is as it was."""
    if isinstance(loss, dict):
        return {name: summed(part) for name, part in loss.items()}
    if isinstance(loss, (list, tuple)):
        return [summed(part) for part in loss]
    return Summed(loss)


@keras.saving.register_keras_serializable("lm_keras")
class Summed(keras.losses.Loss):
    """A loss that is a sum where there are weights. A file that holds it gives back the loss itself."""

    def __init__(self, loss: object):
        self.given, self.mean = loss, loss_object(loss)
        super().__init__(name=self.mean.name, reduction="sum")

    def __call__(self, y: object, outputs: object, sample_weight: object = None) -> object:
        if sample_weight is None:
            return self.mean(y, outputs)
        # The loss itself, for a moment: a copy needs its config, which a loss of one's own need not have.
        reduction, self.mean.reduction = self.mean.reduction, "sum"
        try:
            total = self.mean(y, outputs, sample_weight=sample_weight)
        finally:
            self.mean.reduction = reduction
        return total / tf.distribute.get_strategy().num_replicas_in_sync  # as Keras does to a mean

    def get_config(self) -> dict:
        return {"loss": keras.saving.serialize_keras_object(self.given)}

    @classmethod
    def from_config(cls, config: dict) -> object:
        return keras.saving.deserialize_keras_object(config["loss"])
