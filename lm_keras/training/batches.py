"""What `fit` and `evaluate` are given, as a tf.data.Dataset of batches."""

import numpy as np
import tensorflow as tf

from lm_keras.data.text_dataset import TextDataset
from lm_keras.errors import InputError


def as_dataset(data, batch_size, shuffle_seed=None):
    """A `tf.data.Dataset` of `(x, y)` batches.

    Args:
        data: A `tf.data.Dataset`, which is returned as it is, or a tuple `(x, y)` or `(x, y, weights)` of arrays or
            dicts of arrays.
        batch_size: The rows of a batch made of arrays.
        shuffle_seed: The seed of the order of their rows; None: they stay in their order.

    Returns:
        The dataset.

    Raises:
        InputError: For anything else, and for arrays without rows or of different numbers of rows.
    """
    if isinstance(data, tf.data.Dataset):
        return data
    if not isinstance(data, tuple) or len(data) not in (2, 3):
        raise InputError(
            f"the data is a {type(data).__name__}; give a tf.data.Dataset, or an (x, y) or (x, y, weights) tuple"
        )
    data = tuple(map(arrays_of, data, ("x", "y", "weights")))
    rows = [{len(array) for array in tf.nest.flatten(part)} for part in data]
    if len(set.union(*rows)) != 1:
        names = "x has {} rows and y has {}" if len(rows) == 2 else "x has {} rows, y has {} and the weights have {}"
        found = (" or ".join(map(str, sorted(part))) for part in rows)
        raise InputError(f"{names}; give as many of each".format(*found))
    (count,) = rows[0]
    if not count:
        raise InputError("x and y have 0 rows; give at least one")
    dataset = tf.data.Dataset.from_tensor_slices(data)
    if shuffle_seed is not None:
        dataset = dataset.shuffle(count, seed=shuffle_seed)
    return dataset.batch(batch_size)


def inputs_spec(dataset):
    """The `tf.TensorSpec`s of a batch's inputs, in their structure."""
    spec = dataset.element_spec
    return spec[0] if isinstance(spec, tuple) else spec


def is_windows(dataset):
    """Whether the labels are the next words, as in the windows of `lm_windows`, which count them."""
    return isinstance(dataset, TextDataset) and dataset.num_tokens is not None


def arrays_of(part, name):
    """An array, or a dict or tuple of arrays, from those and from lists of numbers."""
    if isinstance(part, dict):
        return {key: arrays_of(value, f"{name}[{key!r}]") for key, value in part.items()}
    if isinstance(part, (list, tuple)) and any(hasattr(item, "shape") and len(item.shape) for item in part):
        return tuple(
            arrays_of(value, f"{name}[{i}]") for i, value in enumerate(part)
        )  # tf.data takes a list for a tensor
    try:
        array = np.asarray(part)
    except ValueError:  # rows of different lengths
        array = np.array(None)
    if not array.ndim or array.dtype == object:
        raise InputError(f"{name} is no array of numbers; give one, its rows filled up to the same length")
    return array
