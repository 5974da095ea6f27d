"""What a model is trained for, told from its outputs: the loss of `fit` and the measures of `evaluate`."""

import dataclasses
import math
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from lm_keras.errors import InputError
from lm_keras.layers.crf import viterbi
from lm_keras.losses import (
    CRFLoss,
    CrossEntropy,
    MultiLabelCrossEntropy,
    SquaredError,
    aligned,
    check_takes_logits,
    expects_probabilities,
)
from lm_keras.models.base import check_loss
from lm_keras.models.causal_lm import CausalLM
from lm_keras.models.seq2seq import Seq2SeqLM
from lm_keras.training.label_weights import counting, keys_of, loss_object, part_of
from lm_keras.training.model_io import outputs_of, predicts_its_words, probabilities, values_of_zeros
from lm_keras.utils.checks import check_choice
from lm_keras.utils.keras_internals import mask_of, with_mask

MANY = 10_000  # classes of tokens; a table of answers by labels takes 800 MB, and more of them are words
TASKS = ("language_model", "classification", "multi_label", "regression")


@dataclasses.dataclass(frozen=True)
class Objective:
    """What a model is trained for and how it is measured.

    Attributes:
        loss: What `compile` takes.
        sums: A function of the labels, outputs and weights of one batch, which gives a dict of tensors, weighted
            where there are weights; "count" are the labels in it that count.
        report: A function of the sums over all batches, which gives the measures.
        measures: The keys of the report that an epoch's log shows.
        metrics: Those of Keras that `compile` takes.
        outputs: The outputs of the model, as `KerasTensor`s of no graph.
        task: What the outputs told, or what was given.
    """

    loss: object
    sums: Callable[[object, object, object], dict[str, tf.Tensor]]
    report: Callable[[dict], dict[str, float]]
    measures: tuple[str, ...]
    metrics: tuple = ()
    outputs: object = None
    task: str | None = None


def objective(
    model: keras.Model, loss: object = None, task: str | None = None, x_spec: object = None, windows: bool = False
) -> Objective:
    """The `Objective` of a model: what `fit` minimizes and `evaluate` reports.

    By the outputs, where neither `loss` nor `task` is given:

    - {"start", "end"}: answer spans. [B] or [B, 1]: regression. [B, C]: classes of texts, one a text ("multi_label",
      or its loss, for several).
    - [B, T, C]: next words where the model is a `CausalLM` or a `Seq2SeqLM`, where the data are `windows` of
      `lm_windows`, or where C is the size of the vocabulary that the model reads (`predicts_its_words`) or above
      10,000; classes of tokens in all other cases.
    - [B, T, C, C]: the potentials of a `CRF` layer, for tags of words.

    Args:
        model: Any `keras.Model`.
        loss: What `compile` takes as a loss, or None.
        task: "language_model", "classification" (of texts or tokens), "multi_label" (several classes a text),
            "regression", or None.
        x_spec: The `tf.TensorSpec`s of a batch of inputs, for models that are no graph of layers.
        windows: Whether the data are windows of text, whose labels are the next words.

    Returns:
        The `Objective`.

    Raises:
        InputError: When the outputs do not tell, or are probabilities where logits are needed.
    """
    if task is not None:
        check_choice("task", task, TASKS)
        if loss is not None:
            raise InputError("give a loss or a task, not both")
    outputs = outputs_of(model, x_spec)  # before the rest: it builds a model that is not
    check_loss(model, loss)
    _check_probabilities(model, loss, x_spec)
    found = _objective(model, loss, task, outputs, windows)
    _check_logits(model, found.loss, loss is None and task is None, x_spec)
    bare = keras.tree.map_structure(_without_history, outputs)
    return dataclasses.replace(found, outputs=bare, task=None if loss is not None else found.task)


def _without_history(output: keras.KerasTensor) -> keras.KerasTensor:
    """The same output, of no graph: an objective is kept beside a model, and must not hold it."""
    bare, mask = keras.KerasTensor(output.shape, output.dtype), mask_of(output)
    return bare if mask is None else with_mask(bare, keras.KerasTensor(mask.shape, mask.dtype))


def _objective(model, loss, task, outputs, windows):
    if type(loss) is CrossEntropy and isinstance(outputs, keras.KerasTensor) and len(outputs.shape) in (2, 3):
        # What is minimized may be smoothed; what is measured is the same as without it.
        return dataclasses.replace(_objective(model, None, task, outputs, windows), loss=loss)
    squared = loss in ("mse", "mean_squared_error")
    if isinstance(loss, MultiLabelCrossEntropy) or task == "multi_label":
        return _multi_label(model, loss or MultiLabelCrossEntropy(), outputs)
    if isinstance(loss, CRFLoss) or (loss is None and task in (None, "classification") and _is_chain(outputs)):
        measures = ("loss", "accuracy", "macro_f1")
        return Objective(loss or CRFLoss(), _tag_sums, class_report, measures, task="classification")
    if loss is not None and not squared:
        return Objective(loss, *_loss_sums(loss, outputs), ("loss",))
    if isinstance(outputs, dict) and set(outputs) == {"start", "end"}:
        losses = {name: CrossEntropy() for name in outputs}
        return Objective(losses, _span_sums, _span_report, ("loss", "exact_match", "start_accuracy", "end_accuracy"))
    if isinstance(outputs, (dict, list, tuple)):
        raise InputError(f"{model.name} has {len(outputs)} outputs; say what each is trained for with loss={{...}}")
    rank = len(outputs.shape)
    if squared or task == "regression" or (task is None and (rank == 1 or outputs.shape[1:] == (1,))):
        return Objective(SquaredError(), _value_sums, _value_report, ("loss", "mae", "r2"), task="regression")
    if rank not in (2, 3) or outputs.shape[-1] in (None, 1):
        raise InputError(
            f"{model.name} gives {list(outputs.shape)}, no logits [B, C] or [B, T, C] of two classes or more; "
            "say what it is trained for with loss=..."
        )
    next_words = rank == 3 and (windows or outputs.shape[-1] > MANY or predicts_its_words(model, outputs.shape[-1]))
    if task == "language_model" or (task is None and (isinstance(model, (CausalLM, Seq2SeqLM)) or next_words)):
        return Objective(
            CrossEntropy(), _word_sums, _word_report, ("loss", "perplexity", "accuracy"), task="language_model"
        )
    measures, metrics = ("loss", "accuracy", "f1", "macro_f1"), ("accuracy",) if rank == 2 else ()
    return Objective(CrossEntropy(), _class_sums, class_report, measures, metrics, task="classification")


def _is_chain(outputs):
    """Whether an output is what a `CRF` layer gives."""
    return isinstance(outputs, keras.KerasTensor) and len(outputs.shape) == 4 and outputs.shape[2] == outputs.shape[3]


def _multi_label(model, loss, outputs):
    if not isinstance(outputs, keras.KerasTensor) or len(outputs.shape) != 2 or outputs.shape[-1] in (None, 1):
        raise InputError(
            f"{model.name} has no output of logits [B, C], one a class, which several labels a text need"
        )
    measures = ("loss", "f1", "macro_f1", "exact_match")
    return Objective(loss, _label_sums, _label_report, measures, task="multi_label")


def _check_probabilities(model, loss, x_spec):
    """Refuses a loss of probabilities where the one output of the model is seen to be none."""
    name = None if isinstance(loss, (dict, list, tuple)) else expects_probabilities(loss)
    values = None if name is None else values_of_zeros(model, x_spec)
    if values is None or not values.size:
        return
    one_of_many = "categorical" in name.lower()  # they add up to 1
    if (values < 0).any() or (one_of_many and not np.allclose(values.sum(-1), 1, atol=1e-2)):
        check_takes_logits(model.name, loss)


def _check_logits(model, loss, by_outputs, x_spec):
    """Refuses a model that gives probabilities where the loss takes logits, or a value that a sigmoid cuts."""
    cross_entropy = isinstance(loss, keras.losses.SparseCategoricalCrossentropy) and loss.from_logits
    if not cross_entropy and not (by_outputs and isinstance(loss, SquaredError)):
        return
    activation = probabilities(model, x_spec)
    if activation is not None and (cross_entropy or activation == "sigmoid"):
        raise InputError(
            f"{model.name} ends in a {activation}, and this loss takes logits; leave the last activation out, "
            "or give the loss that expects its outputs with loss=..."
        )


# === Language models: logits [B, T, V], or [B, V] of the last word; y [B, T] or [B] ===


def _nats(y, logits, weights):
    """Labels, nats, answers and weights, [N] each, of the N labels that are not negative and have a weight."""
    w = tf.cast(y >= 0, tf.float64)  # in 64 bits, as the sums over all batches are
    if weights is not None:
        w *= tf.cast(aligned(weights, w), tf.float64)
    w, y = tf.reshape(w, [-1]), tf.reshape(tf.cast(y, tf.int32), [-1])
    logits = tf.reshape(tf.cast(logits, tf.float32), [-1, tf.shape(logits)[-1]])
    nats = ops.sparse_categorical_crossentropy(tf.maximum(y, 0), logits, from_logits=True)
    parts = y, tf.cast(nats, tf.float64), tf.argmax(logits, -1, tf.int32), w
    return [tf.boolean_mask(part, w != 0) for part in parts]


def _word_sums(y, logits, weights=None):
    y, nats, answers, w = _nats(y, logits, weights)
    hits = tf.reduce_sum(tf.where(answers == y, w, 0))
    return {"nats": tf.reduce_sum(w * nats), "hits": hits, "weight": tf.reduce_sum(w), "count": tf.size(y)}


def _word_report(sums):
    loss = sums["nats"] / sums["weight"]
    return {
        "loss": loss,
        "perplexity": math.exp(min(loss, 700)),
        "accuracy": sums["hits"] / sums["weight"],
        "tokens": int(sums["count"]),
    }


# === Classifiers: logits [B, C] of texts or [B, T, C] of tokens; y [B] or [B, T] ===


def _class_sums(y, logits, weights=None):
    y, nats, answers, w = _nats(y, logits, weights)
    # Row: label, column: answer.
    confusion = tf.math.confusion_matrix(y, answers, logits.shape[-1], weights=w, dtype=tf.float64)
    return {"nats": tf.reduce_sum(w * nats), "confusion": confusion, "count": tf.size(y)}


def _tag_sums(y, potentials, weights=None):
    """Of tags y [B, T] and the potentials of a `CRF` layer: its answers are the best sequences."""
    known = tf.cast(y >= 0, tf.float64)
    rows = tf.ones_like(known[:, 0]) if weights is None else tf.reshape(tf.cast(weights, tf.float64), [-1])
    nats = rows * tf.cast(CRFLoss(reduction="none")(y, potentials), tf.float64)
    counts, y = rows[:, None] * known, tf.cast(y, tf.int32)
    some = counts != 0
    y, answers, w = (tf.boolean_mask(part, some) for part in (y, viterbi(potentials), counts))
    confusion = tf.math.confusion_matrix(y, answers, potentials.shape[-1], weights=w, dtype=tf.float64)
    return {"nats": tf.reduce_sum(nats), "confusion": confusion, "count": tf.size(y)}


def class_report(sums: dict) -> dict[str, float]:
    """The measures of a classifier.

    Args:
        sums: "nats", of the right classes; "confusion", [C, C], a row a label and a column an answer; "count".

    Returns:
        "loss", mean nats; "accuracy"; "f1", of class 1 of two, else macro; "macro_f1", the mean over the classes that
        occur; "examples".
    """
    confusion, weight = sums["confusion"], sums["confusion"].sum()
    hits, occurring = np.diag(confusion), confusion.sum(0) + confusion.sum(1)  # as an answer, as a label
    f1 = 2 * hits / np.where(occurring > 0, occurring, 1)
    macro = f1[occurring > 0].mean()  # over the classes that occur at all
    return {
        "loss": sums["nats"] / weight,
        "accuracy": hits.sum() / weight,
        "f1": f1[1] if len(f1) == 2 else macro,
        "macro_f1": macro,
        "examples": int(sums["count"]),
    }


# === Several classes a text: logits [B, C]; y [B, C] of 0 and 1 ===


def _label_sums(y, logits, weights=None):
    """Without the weights of classes that a loss may have."""
    y, logits = tf.cast(y, tf.float64), tf.cast(logits, tf.float64)
    w = tf.ones_like(logits[:, 0])
    if weights is not None:
        w *= tf.cast(aligned(weights, w), tf.float64)
    yes = tf.cast(logits >= 0, tf.float64)  # a probability of at least a half
    nats = tf.reduce_mean(y * tf.nn.softplus(-logits) + (1 - y) * tf.nn.softplus(logits), -1)
    counts = {"hits": y * yes, "labels": y, "answers": yes}
    sums = {name: tf.reduce_sum(w[:, None] * part, 0) for name, part in counts.items()}  # [C] each
    exact = tf.cast(tf.reduce_all(tf.equal(y, yes), -1), tf.float64)
    scalars = {"nats": nats, "exact": exact, "weight": tf.ones_like(w)}
    sums |= {name: tf.reduce_sum(w * part) for name, part in scalars.items()}
    return {**sums, "count": tf.math.count_nonzero(w)}


def _label_report(sums):
    hits, occurring = sums["hits"], sums["labels"] + sums["answers"]
    f1 = 2 * hits / np.where(occurring > 0, occurring, 1)
    return {
        "loss": sums["nats"] / sums["weight"],
        "f1": 2 * hits.sum() / max(occurring.sum(), 1e-300),
        "macro_f1": f1[occurring > 0].mean() if (occurring > 0).any() else 0.0,
        "exact_match": sums["exact"] / sums["weight"],
        "examples": int(sums["count"]),
    }


# === Regression: values [B] or [B, 1]; y [B] ===


def _value_sums(y, values, weights=None):
    y, values = (tf.cast(part, tf.float64) for part in (y, values))
    w = tf.ones_like(values)
    if weights is not None:
        w *= tf.cast(aligned(weights, w), tf.float64)
    y, values, w = (tf.reshape(part, [-1]) for part in (y, values, w))
    parts = {"squares": (values - y) ** 2, "distances": tf.abs(values - y), "y": y, "y2": y**2, "weight": 1.0}
    return {**{name: tf.reduce_sum(w * part) for name, part in parts.items()}, "count": tf.math.count_nonzero(w)}


def _value_report(sums):
    weight = sums["weight"]
    spread = sums["y2"] - sums["y"] ** 2 / weight
    return {
        "loss": sums["squares"] / weight,
        "mae": sums["distances"] / weight,
        "r2": 1 - sums["squares"] / spread if spread > 0 else math.nan,
        "examples": int(sums["count"]),
    }


# === Answer spans: {"start", "end"} logits [B, T]; y {"start", "end"} [B] ===


def _span_sums(y, logits, weights=None):
    """Of texts without an answer, or of weight 0, nothing; with a weight each, both right weighs their mean."""
    own = weights if isinstance(weights, dict) else dict.fromkeys(("start", "end"), weights)
    ws = {name: 1.0 if w is None else tf.reshape(tf.cast(w, tf.float64), [-1]) for name, w in own.items()}
    counted = (y["start"] >= 0) & (y["end"] >= 0) & (ws["start"] != 0) & (ws["end"] != 0)
    ws = {name: tf.where(counted, tf.cast(w, tf.float64), 0) for name, w in ws.items()}
    starts, start_nats, at, start_w = _nats(tf.where(counted, y["start"], -1), logits["start"], ws["start"])
    ends, end_nats, to, end_w = _nats(tf.where(counted, y["end"], -1), logits["end"], ws["end"])
    hits = {"start": (at == starts, start_w), "end": (to == ends, end_w)}
    hits["both"] = hits["start"][0] & hits["end"][0], (start_w + end_w) / 2
    sums = {name: tf.reduce_sum(tf.where(hit, w, 0)) for name, (hit, w) in hits.items()}
    sums |= {f"{name}_weight": tf.reduce_sum(w) for name, (_, w) in hits.items()}
    nats = {"start_nats": tf.reduce_sum(start_w * start_nats), "end_nats": tf.reduce_sum(end_w * end_nats)}
    return {**sums, **nats, "count": tf.size(starts)}


def _span_report(sums):
    shares = {"exact_match": "both", "start_accuracy": "start", "end_accuracy": "end"}
    report = {name: sums[key] / sums[f"{key}_weight"] for name, key in shares.items()}
    loss = sum(sums[f"{name}_nats"] / sums[f"{name}_weight"] for name in ("start", "end"))
    return {"loss": loss, **report, "examples": int(sums["count"])}


# === Any other loss that Keras knows ===


def _loss_sums(loss, outputs):
    """Each loss times what it is the mean over, so that the sums over all batches give the mean over all."""
    keys = keys_of(loss, outputs)

    def sums(y, outputs, weights=None):
        result = {}
        for key in keys:
            own, labels, out = (part_of(part, key) for part in (loss, y, outputs))
            weight = part_of(weights, key)
            value = tf.reduce_mean(loss_object(own)(labels, out, sample_weight=weight))
            mask, rank = mask_of(out), len(out.shape)
            count = tf.cast(counting(own, rank, strict=False)(labels, weight, mask), tf.float64)
            result |= {f"loss {key}": tf.cast(value, tf.float64) * count, f"count {key}": count}
        return {**result, "count": tf.shape(tf.nest.flatten(y)[0])[0]}

    def report(sums):
        total = sum(sums[f"loss {key}"] / max(sums[f"count {key}"], 1e-300) for key in keys)
        return {"loss": total, "examples": int(sums["count"])}

    return sums, report
