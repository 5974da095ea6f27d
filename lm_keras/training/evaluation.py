"""Token-weighted evaluation."""

import math

import keras
import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.training.carried_state import carry_state


def evaluate(model, dataset):
    """Loss and accuracy of `model`'s logits over all `(x, y)` batches of `dataset` (or one (x, y) of arrays).

    Returns {"loss": mean nats a token, "perplexity": e^loss, "accuracy", "tokens"} and, when the dataset
    knows its text (`lm_windows`), "bits_per_byte" of the original UTF-8 text. Contiguous windows are read
    with the state carried from batch to batch. Raises InputError for a dataset without batches.
    """
    if isinstance(dataset, tuple):
        dataset = tf.data.Dataset.from_tensor_slices(dataset).batch(64)
    carried = getattr(dataset, "lm_contiguous", False)
    net, sums = _network(model, dataset.lm_batch_size if carried else None)
    if carried:
        net.reset_state()
    totals = [0.0, 0.0, 0]
    for x, y, *_ in dataset:
        # float64 on the Python side: a float32 sum over millions of tokens loses digits.
        totals = [total + float(part) for total, part in zip(totals, sums(x, y), strict=True)]
    nats, correct, tokens = totals
    if not tokens:
        raise InputError("the dataset has no batch to evaluate; give more text or a smaller length")
    loss = nats / tokens
    result = {
        "loss": loss,
        "perplexity": math.exp(min(loss, 700)),
        "accuracy": correct / tokens,
        "tokens": int(tokens),
    }
    if getattr(dataset, "lm_num_bytes", None):
        result["bits_per_byte"] = nats / math.log(2) / dataset.lm_num_bytes
    return result


def _network(model, batch_size):
    """The network to evaluate and its compiled sums, kept so that each epoch's validation does not trace again."""
    # Past Keras' __setattr__, which would take the network for a layer of the model. In mixed precision (`fit`)
    # and outside of it the same layers are two functions.
    cache = vars(model).setdefault("_lm_evaluation", {})
    key = batch_size, model.compute_dtype
    if key not in cache:
        net = model if batch_size is None else carry_state(model, batch_size)

        @tf.function(reduce_retracing=True)
        def sums(x, y):
            logits = tf.cast(net(x, training=False), tf.float32)
            nats = keras.ops.sparse_categorical_crossentropy(y, logits, from_logits=True)
            correct = tf.cast(tf.argmax(logits, -1, tf.int32) == tf.cast(y, tf.int32), tf.float32)
            return tf.reduce_sum(nats), tf.reduce_sum(correct), tf.size(y)

        cache[key] = net, sums
    return cache[key]
