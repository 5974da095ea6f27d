"""What a model is trained for, told from its outputs: the loss of `fit` and the measures of `evaluate`."""

import dataclasses
import math
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from lm_keras.errors import InputError
from lm_keras.layers.label_cross_entropy import LabelCrossEntropy, aligned
from lm_keras.training.outputs import outputs_of, predicts_its_words, probabilities

MANY = 10_000  # classes of tokens; a table of answers by labels takes 800 MB, and more of them are words
TASKS = ("language_model", "classification", "regression")


@dataclasses.dataclass(frozen=True)
class Objective:
    """`loss` and `metrics` for compile; `sums(y, outputs, weights)` of one batch, a dict of tensors with "count", the
    labels in it; `report` of the sums of all batches. `measures`: the keys of the report that an epoch's log shows.
    `outputs`: those of the model that it is for, KerasTensors. `task`: what the outputs told, or what was given.
    """

    loss: object
    sums: Callable
    report: Callable
    measures: tuple[str, ...]
    metrics: tuple = ()
    outputs: object = None
    task: str | None = None


def objective(model, loss=None, task=None, x_spec=None, windows=False):
    """The `Objective` of a model: what `fit` minimizes and `evaluate` reports.

    By the outputs, where neither `loss` nor `task` is given:

    - {"start", "end"}: answer spans. [B] or [B, 1]: regression. [B, C]: classes of texts.
    - [B, T, C]: next words where the model is a `CausalLM` or a `Seq2SeqLM`, where the data are `windows` of
      `lm_windows`, or where C is the size of the vocabulary that the model reads (`predicts_its_words`) or above
      10,000; classes of tokens in all other cases.

    Args:
        model: Any `keras.Model`.
        loss: What `compile` takes as a loss, or None.
        task: "language_model", "classification" (of texts or tokens), "regression", or None.
        x_spec: The `tf.TensorSpec`s of a batch of inputs, for models that are no graph of layers.
        windows: Whether the data are windows of text, whose labels are the next words.

    Returns:
        The `Objective`.

    Raises:
        InputError: When the outputs do not tell, or are probabilities where logits are needed.
    """
    if task is not None and (loss is not None or task not in TASKS):
        known = f"task is one of {', '.join(TASKS)}, got {task!r}"
        raise InputError("give a loss or a task, not both" if task in TASKS else known)
    outputs = outputs_of(model, x_spec)
    found = _objective(model, loss, task, outputs, windows)
    _check_logits(model, found.loss, loss is None and task is None, x_spec)
    return dataclasses.replace(found, outputs=outputs, task=None if loss is not None else found.task)


def _objective(model, loss, task, outputs, windows):
    squared = loss in ("mse", "mean_squared_error")
    if loss is not None and not squared:
        return Objective(loss, _loss_sums(loss), _loss_report, ("loss",))
    if isinstance(outputs, dict) and set(outputs) == {"start", "end"}:
        losses = {name: LabelCrossEntropy() for name in outputs}
        return Objective(losses, _span_sums, _span_report, ("loss", "exact_match", "start_accuracy", "end_accuracy"))
    if isinstance(outputs, (dict, list, tuple)):
        raise InputError(f"{model.name} has {len(outputs)} outputs; say what each is trained for with loss={{...}}")
    rank = len(outputs.shape)
    if squared or task == "regression" or (task is None and (rank == 1 or outputs.shape[1:] == (1,))):
        return Objective("mean_squared_error", _value_sums, _value_report, ("loss", "mae", "r2"), task="regression")
    if rank not in (2, 3) or outputs.shape[-1] in (None, 1):
        raise InputError(
            f"{model.name} gives {list(outputs.shape)}, no logits [B, C] or [B, T, C] of two classes or more; "
            "say what it is trained for with loss=..."
        )
    next_words = rank == 3 and (windows or outputs.shape[-1] > MANY or predicts_its_words(model, outputs.shape[-1]))
    if task == "language_model" or (task is None and (hasattr(model, "step_model") or next_words)):
        return Objective(
            LabelCrossEntropy(), _word_sums, _word_report, ("loss", "perplexity", "accuracy"), task="language_model"
        )
    measures, metrics = ("loss", "accuracy", "f1", "macro_f1"), ("accuracy",) if rank == 2 else ()
    return Objective(LabelCrossEntropy(), _class_sums, _class_report, measures, metrics, task="classification")


def _check_logits(model, loss, by_outputs, x_spec):
    """Refuses a model that gives probabilities where the loss takes logits, or a value that a sigmoid cuts."""
    cross_entropy = isinstance(loss, keras.losses.SparseCategoricalCrossentropy) and loss.from_logits
    if not cross_entropy and not (by_outputs and loss == "mean_squared_error"):
        return
    activation = probabilities(model, x_spec)
    if activation is not None and (cross_entropy or activation == "sigmoid"):
        raise InputError(
            f"{model.name} ends in a {activation}, and this loss takes logits; leave the last activation out, "
            "or give the loss that expects its outputs with loss=..."
        )


# === Language models: logits [B, T, V], or [B, V] of the last word; y [B, T] or [B] ===


def _nats(y, logits, weights):
    """Labels, nats and answers, [N] each, of the N labels that are not negative and have not the weight 0."""
    counted = y >= 0
    if weights is not None:
        counted &= tf.broadcast_to(aligned(weights, counted) != 0, tf.shape(counted))
    counted, y = tf.reshape(counted, [-1]), tf.reshape(tf.cast(y, tf.int32), [-1])
    logits = tf.reshape(tf.cast(logits, tf.float32), [-1, logits.shape[-1]])
    nats = ops.sparse_categorical_crossentropy(tf.maximum(y, 0), logits, from_logits=True)
    return [tf.boolean_mask(part, counted) for part in (y, nats, tf.argmax(logits, -1, tf.int32))]


def _word_sums(y, logits, weights=None):
    y, nats, answers = _nats(y, logits, weights)
    return {"nats": tf.reduce_sum(nats), "hits": tf.math.count_nonzero(answers == y), "count": tf.size(y)}


def _word_report(sums):
    loss = sums["nats"] / sums["count"]
    return {
        "loss": loss,
        "perplexity": math.exp(min(loss, 700)),
        "accuracy": sums["hits"] / sums["count"],
        "tokens": int(sums["count"]),
    }


# === Classifiers: logits [B, C] of texts or [B, T, C] of tokens; y [B] or [B, T] ===


def _class_sums(y, logits, weights=None):
    y, nats, answers = _nats(y, logits, weights)
    confusion = tf.math.confusion_matrix(y, answers, logits.shape[-1], dtype=tf.int64)  # row: label, column: answer
    return {"nats": tf.reduce_sum(nats), "confusion": confusion, "count": tf.size(y)}


def _class_report(sums):
    confusion, examples = sums["confusion"], sums["count"]
    hits, occurring = np.diag(confusion), confusion.sum(0) + confusion.sum(1)  # as an answer, as a label
    f1 = 2 * hits / np.maximum(occurring, 1)
    macro = f1[occurring > 0].mean()  # over the classes that occur at all
    return {
        "loss": sums["nats"] / examples,
        "accuracy": hits.sum() / examples,
        "f1": f1[1] if len(f1) == 2 else macro,
        "macro_f1": macro,
        "examples": int(examples),
    }


# === Regression: values [B] or [B, 1]; y [B] ===


def _value_sums(y, values, weights=None):
    y, values = (tf.reshape(tf.cast(part, tf.float64), [-1]) for part in (y, values))
    parts = {"squares": (values - y) ** 2, "distances": tf.abs(values - y), "y": y, "y2": y**2}
    return {**{name: tf.reduce_sum(part) for name, part in parts.items()}, "count": tf.size(y)}


def _value_report(sums):
    examples = sums["count"]
    spread = sums["y2"] - sums["y"] ** 2 / examples
    return {
        "loss": sums["squares"] / examples,
        "mae": sums["distances"] / examples,
        "r2": 1 - sums["squares"] / spread if spread > 0 else math.nan,
        "examples": int(examples),
    }


# === Answer spans: {"start", "end"} logits [B, T]; y {"start", "end"} [B] ===


def _span_sums(y, logits, weights=None):
    counted = (y["start"] >= 0) & (y["end"] >= 0)  # no answer, no measure
    if weights is not None:
        for weight in tf.nest.flatten(weights):
            counted &= weight != 0
    labels = {name: tf.where(counted, y[name], -1) for name in ("start", "end")}
    (starts, start_nats, at), (ends, end_nats, to) = (_nats(labels[name], logits[name], None) for name in labels)
    hits = {"start": at == starts, "end": to == ends, "both": (at == starts) & (to == ends)}
    sums = {name: tf.math.count_nonzero(hit) for name, hit in hits.items()}
    return {**sums, "nats": tf.reduce_sum(start_nats) + tf.reduce_sum(end_nats), "count": tf.size(starts)}


def _span_report(sums):
    examples = sums["count"]
    shares = {"exact_match": "both", "start_accuracy": "start", "end_accuracy": "end"}
    report = {name: sums[key] / examples for name, key in shares.items()}
    return {"loss": sums["nats"] / examples, **report, "examples": int(examples)}


# === Any other loss that Keras knows ===


def _loss_sums(loss):
    def sums(y, outputs, weights=None):
        names = loss if isinstance(loss, dict) else (None,)
        total = 0.0
        for name in names:
            value, *parts = (loss, y, outputs) if name is None else (loss[name], y[name], outputs[name])
            weight = weights[name] if isinstance(weights, dict) else weights
            total += tf.reduce_mean(_loss_object(value)(*parts, sample_weight=weight))
        rows = tf.shape(tf.nest.flatten(y)[0])[0]
        return {"loss": total * tf.cast(rows, total.dtype), "count": rows}

    return sums


def _loss_object(loss):
    """A keras.losses.Loss of a name, a function or a Loss."""
    found = keras.losses.get(loss)
    return found if isinstance(found, keras.losses.Loss) else FunctionLoss(found)


class FunctionLoss(keras.losses.Loss):
    def __init__(self, function):
        super().__init__(name="function")
        self.call = function


def _loss_report(sums):
    return {"loss": sums["loss"] / sums["count"], "examples": int(sums["count"])}
