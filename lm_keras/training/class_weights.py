"""Weights of classes as weights of labels."""

import numbers
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.losses import aligned


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
