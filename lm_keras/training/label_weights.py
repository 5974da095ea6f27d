"""What labels weigh: the labels that a loss is the mean over, shares of an accumulated update, weights of classes."""

import numbers
from collections.abc import Callable, Hashable

import keras
import numpy as np
import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.losses import CRFLoss, CrossEntropy, aligned, ignored_class
from lm_keras.utils.checks import check_number
from lm_keras.utils.keras_internals import mask_of

MEANS = ("mean_with_sample_weight", "sum_over_batch_size", "mean")


def labels_of(loss: object, outputs: object, whom: str) -> Callable:
    """Returns the function (y, weights) -> what `loss` is the mean over; of several `outputs` a dict by their keys.

    Args:
        loss: what `compile` takes for these outputs.
        outputs: the symbolic outputs of the model; None: one that is not known.
        whom: who needs it, for the error.

    Raises:
        InputError: where it cannot be told before the model has run, or the loss is no mean.
    """
    if any(mask_of(output) is not None for output in tf.nest.flatten(outputs)):
        raise InputError(
            f"an output has a mask of Keras (mask_zero or Masking), which {whom} cannot count; give what is "
            "masked a negative label or the weight 0, and the layers the mask as an argument"
        )
    keys = keys_of(loss, outputs)
    ranks = {key: None if outputs is None else len(part_of(outputs, key).shape) for key in keys}
    counts = {key: counting(part_of(loss, key), rank, whom) for key, rank in ranks.items()}
    if keys == (None,):
        return counts[None]

    def labels(y, weights=None):
        return {key: count(part_of(y, key), part_of(weights, key)) for key, count in counts.items()}

    return labels


def counting(loss: object, rank: int | None, whom: str = "", strict: bool = True) -> Callable:
    """Returns the function (y, weights, mask) -> what the loss of one output with `rank` axes is the mean over.

    Raises InputError, if `strict`, for a loss that is no mean; else the rows are counted.
    """
    loss = keras.losses.get(loss)
    ignored = ignored_class(loss)
    reduction = loss.reduction if isinstance(loss, keras.losses.Loss) else "sum_over_batch_size"
    if isinstance(loss, CRFLoss) and rank is not None:
        rank -= 1  # its outputs are a table of tags by tags for each word
    # A loss has an axis less than the output.
    axes = max(rank - 1, 1) if rank is not None else None if isinstance(loss, CrossEntropy) else 1
    if reduction not in MEANS and strict:
        raise InputError(f"the loss has the reduction {reduction!r}; {whom} need a mean, the default of Keras")

    def count(y, weights=None, mask=None):
        rows = tf.ones(tf.shape(y)[:1])
        if reduction not in MEANS:
            return tf.reduce_sum(rows)
        places = tf.ones(tf.shape(y)[:axes])
        if isinstance(loss, (CrossEntropy, CRFLoss)):
            places *= tf.cast(tf.reshape(y, tf.shape(places)) >= 0, tf.float32)
        if ignored is not None:
            places *= tf.cast(tf.reshape(tf.cast(y, tf.int32), tf.shape(places)) != ignored, tf.float32)
        if mask is not None:
            places *= tf.cast(aligned(mask, places), tf.float32)
        if reduction == "mean_with_sample_weight" and weights is not None:
            places *= tf.cast(aligned(weights, places), tf.float32)
        return tf.reduce_sum(places)

    return count


def keys_of(loss: object, outputs: object) -> tuple:
    """Returns the names or places of several outputs, (None,) of one; InputError unless each has a loss."""
    if not isinstance(outputs, (dict, list, tuple)):
        return (None,)
    keys = tuple(outputs) if isinstance(outputs, dict) else tuple(range(len(outputs)))
    given = tuple(loss) if isinstance(loss, dict) else tuple(range(len(loss))) if _listed(loss) else ()
    if set(given) != set(keys):
        raise InputError(f"{len(keys)} outputs need a loss for each: loss={{name: loss, ...}}")
    return keys


def part_of(parts: object, key: Hashable) -> object:
    """Returns what belongs to the output `key`, of a dict or list; what is one alone belongs to each."""
    return parts[key] if key is not None and (isinstance(parts, dict) or _listed(parts)) else parts


def loss_object(loss: object) -> keras.losses.Loss:
    """Returns the `keras.losses.Loss` of a name, a function or a Loss."""
    found = keras.losses.get(loss)
    return found if isinstance(found, keras.losses.Loss) else FunctionLoss(found)


class FunctionLoss(keras.losses.Loss):
    """The mean of what a function of labels and outputs gives."""

    def __init__(self, function: Callable):
        super().__init__(name="function")
        self.call = function


def _listed(parts):
    return isinstance(parts, (list, tuple))


# === An update of several batches as one of a large batch: each batch weighs what its loss is the mean over ===
# The mean of the batches' gradients, which Keras' optimizers take, is another one where the batches have different
# numbers of labels. So the loss becomes a sum, and each label has the weight n / N: n batches an update, N the
# labels of all of them, which are counted before the first of them is given to the model.


def in_shares(stream: tf.data.Dataset, steps: int, loss: object, outputs: object, whom: str) -> tf.data.Dataset:
    """Returns batches (x, y, weights) for `summed(loss)` that weigh, `steps` together, as one large batch would.

    Args:
        stream: batches (x, y) or (x, y, weights) from the first of an update on.
        steps: how many batches an update takes.
        loss: what `compile` takes for `outputs`.
        outputs: the symbolic outputs of the model.
        whom: who needs the shares, for the error.
    """
    counts, keys = labels_of(loss, outputs, whom), keys_of(loss, outputs)

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


# === Weights of classes as weights of labels ===


def weighing(class_weight: dict | None, model: keras.Model, output: object, spec: tuple) -> Callable:
    """Returns what gives a stream of batches (x, y, ...) the weights of its labels' classes.

    Args:
        class_weight: {class: weight}, 1 for those that are not in it; None: the stream stays as it is.
        model: the model, for its name.
        output: its symbolic output, one of logits [..., C].
        spec: the `element_spec` of the batches. Weights that they have are multiplied.

    Raises:
        InputError: for what is no such dict, a class that the model does not know, or labels that are no classes.
    """
    if class_weight is None:
        return lambda stream: stream
    if isinstance(output, (dict, list, tuple)) or len(output.shape) < 2 or output.shape[-1] in (None, 1):
        raise InputError(f"class_weight needs one output of logits, which {model.name} has not; give sample weights")
    if isinstance(spec[1], (dict, list, tuple)) or not spec[1].dtype.is_integer:
        raise InputError("class_weight needs labels that are numbers of classes, integers; give sample weights")
    if not isinstance(class_weight, dict):
        raise InputError(f"class_weight is a {type(class_weight).__name__}; give a dict {{class: weight}}")
    table = np.ones(output.shape[-1], "float32")
    for name, weight in class_weight.items():
        if isinstance(name, bool) or not isinstance(name, numbers.Integral) or not 0 <= name < len(table):
            raise InputError(
                f"class_weight has the class {name!r}; {model.name} has the classes 0 to {len(table) - 1}"
            )
        table[name] = check_number(f"class_weight of class {name}", weight, least=0)
    if not table.any():
        raise InputError("class_weight is 0 for every class; give one above 0")

    def weighed(x, y, weights=None):
        own = tf.gather(table, tf.maximum(tf.cast(y, tf.int32), 0))
        return x, y, own if weights is None else own * aligned(tf.cast(weights, tf.float32), own)

    # Of the base class: of what another dataset knows of its windows nothing is needed any more.
    return lambda stream: tf.data.Dataset.map(stream, weighed)
