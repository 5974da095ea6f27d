"""What a loss is the mean over, the labels of a batch or their weights: what a batch, or a part of one, weighs."""

import numbers
from collections.abc import Callable, Hashable

import keras
import numpy as np
import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.losses import CrossEntropy, aligned
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
    ignored = getattr(loss, "ignore_class", getattr(loss, "keywords", {}).get("ignore_class"))  # or of a partial
    reduction = getattr(loss, "reduction", "sum_over_batch_size")
    # A loss has an axis less than the output.
    axes = max(rank - 1, 1) if rank is not None else None if isinstance(loss, CrossEntropy) else 1
    if reduction not in MEANS and strict:
        raise InputError(f"the loss has the reduction {reduction!r}; {whom} need a mean, the default of Keras")

    def count(y, weights=None, mask=None):
        rows = tf.ones(tf.shape(y)[:1])
        if reduction not in MEANS:
            return tf.reduce_sum(rows)
        places = tf.ones(tf.shape(y)[:axes])
        if isinstance(loss, CrossEntropy):
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
        if not isinstance(weight, numbers.Real) or not 0 <= weight < np.inf:
            raise InputError(f"class_weight of class {name} is {weight!r}; it must be a number of at least 0")
        table[name] = weight
    if not table.any():
        raise InputError("class_weight is 0 for every class; give one above 0")

    def weighed(x, y, weights=None):
        own = tf.gather(table, tf.maximum(tf.cast(y, tf.int32), 0))
        return x, y, own if weights is None else own * aligned(tf.cast(weights, tf.float32), own)

    # Of the base class: of what another dataset knows of its windows nothing is needed any more.
    return lambda stream: tf.data.Dataset.map(stream, weighed)
