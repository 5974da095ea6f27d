"""Sentences with tags as the batches (x, y) that a tagger trains on."""

from collections.abc import Mapping, Sequence

import numpy as np

from lm_keras.data.labelled_batches import WIDTHS, dataset_by_length
from lm_keras.data.text_dataset import TextDataset
from lm_keras.errors import InputError

UNKNOWN = -1  # the label of padding, which does not count


def tagged(
    inputs: Mapping[str, Sequence[np.ndarray]],
    labels: Sequence[np.ndarray],
    batch_size: int,
    *,
    shuffle: bool = True,
    seed: int = 0,
    fill: Mapping[str, int] | None = None,
    single: bool = False,
) -> TextDataset:
    """Returns a `TextDataset` of `x, y`: of each token what a model reads, and its label.

    Sentences of like length stand in a batch together, which is as wide as its longest one, up to the next multiple
    of 8.

    Args:
        inputs: By the name of the model's input, an int32 array [n] or [n, L] for each sentence.
        labels: An int32 array [n] for each sentence; negative ones do not count.
        batch_size: Sentences of a batch.
        shuffle: A new order every epoch, which `seed` decides.
        seed: Of that order.
        fill: By the name of an input, what it is filled up with, where that is not 0.
        single: Whether x is the one input itself, not a dict.

    Raises:
        InputError: For no sentence.
    """
    import tensorflow as tf

    lengths = np.array([len(row) for row in labels], np.int64)
    if not len(lengths):
        raise InputError("there is no sentence to train on; give at least one")
    with tf.device("CPU"):
        splits = np.concatenate([[0], np.cumsum(lengths)])
        rows = {
            name: tf.RaggedTensor.from_row_splits(np.concatenate([np.asarray(row, np.int32) for row in some]), splits)
            for name, some in {**inputs, "": labels}.items()
        }
    fill = {"": UNKNOWN, **(fill or {})}

    def batch(items):
        wide = -(-tf.maximum(tf.reduce_max(tf.gather(lengths, items)), 1) // WIDTHS) * WIDTHS
        made = {}
        for name, some in rows.items():
            more = some.flat_values.shape[1:].as_list()
            dense = tf.gather(some, items).to_tensor(fill.get(name, 0), shape=tf.stack([-1, wide, *more]))
            made[name] = tf.ensure_shape(dense, [None, None, *more])
        y = made.pop("")
        return (next(iter(made.values())) if single else made), y

    return dataset_by_length(lengths, batch, batch_size, shuffle, seed)
