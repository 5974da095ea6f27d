"""The order in which an epoch reads its items: decided by a seed and the epoch's number, by nothing else."""

import itertools

import numpy as np


def shuffled_batches(num_items, batch_size, seed):
    """Returns `(dataset, stream)` of int64 [b], the items of each batch; every item once an epoch.

    Each iteration of `dataset` is an epoch in another order. `stream(step)`: all epochs without end, from that
    batch on, the same however often it is read, so that a run which stopped can go on.
    """
    import tensorflow as tf

    num_batches = -(-num_items // batch_size)
    epochs = itertools.count()

    def items(epoch, batch):
        # index_shuffle is a permutation that needs no memory; seeds of Dataset.shuffle mix in tf.random.set_seed.
        first = batch * batch_size
        places = tf.range(first, tf.minimum(first + batch_size, num_items))
        key = tf.stack([tf.constant(seed, tf.int64), epoch])
        return tf.random.experimental.index_shuffle(places, key, tf.constant(num_items - 1, tf.int64))

    def next_epoch(_):
        epoch = tf.reshape(tf.numpy_function(lambda: np.int64(next(epochs)), [], tf.int64), [])
        return tf.data.Dataset.range(num_batches).map(lambda batch: items(epoch, batch))

    def stream(step):
        steps = tf.data.Dataset.range(step, np.iinfo(np.int64).max)
        return steps.map(lambda i: items(i // num_batches, i % num_batches))

    dataset = tf.data.Dataset.range(1).flat_map(next_epoch)
    return dataset.apply(tf.data.experimental.assert_cardinality(num_batches)), stream
