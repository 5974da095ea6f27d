"""Evaluation that weighs every token, every text the same, whatever the batches are."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import keras
import tensorflow as tf

from lm_keras.data.text_dataset import TextDataset
from lm_keras.errors import InputError
from lm_keras.training.batches import DataCheck, as_dataset, inputs_spec, is_windows
from lm_keras.training.objectives import Objective, objective
from lm_keras.training.train_steps import carry_state
from lm_keras.utils.functions import traced_of

if TYPE_CHECKING:
    from lm_keras.text_model import TextModel
    from lm_keras.training.distributed.workers import Workers


def evaluate(
    model: keras.Model | TextModel,
    dataset: tf.data.Dataset | tuple,
    loss: object = None,
    workers: Workers | None = None,
    task: Literal["language_model", "classification", "multi_label", "regression"] | None = None,
) -> dict[str, float]:
    """Measures a model's outputs over some data, where every token, every text weighs the same.

    Every batch is looked at before the model reads it: ids and labels out of range, of another shape or type.
    Contiguous windows are read with the state carried from batch to batch.

    Args:
        model: Any `keras.Model` that gives logits or numbers: functional, `Sequential` or subclassed; or a
            `LanguageModel` without a prompt, a `PromptTuning` or `PrefixTuning`, after its prompt, or a
            `ConditionalLM`, each row in its context.
        dataset: A `tf.data.Dataset` of `(x, y)` or `(x, y, weights)` batches, or one `(x, y)` of arrays; x may be a
            dict.
        loss: As in `fit`; what is reported then is this loss.
        workers: `training.multi_worker()`: each takes a part of the batches, and all get the result.
        task: As in `fit`: "language_model", "classification", "multi_label" or "regression", where the outputs do not
            tell.

    Returns:
        A dict. Language models: "loss", mean nats a token, "perplexity", e^loss, "accuracy", "tokens" and, when the
        dataset knows its text (`lm_windows`), "bits_per_byte" of the original UTF-8 text. Classifiers of texts or
        tokens: "loss", "accuracy", "f1" (of class 1 of two, else macro), "macro_f1" (the mean over the classes that
        occur), "examples"; tokens whose label is negative do not count. Several classes a text: "loss",
        "f1" (over all labels), "macro_f1", "exact_match", "examples". Regression: "loss" (mean squared error),
        "mae", "r2". `answer_span`: "loss", "exact_match", "start_accuracy", "end_accuracy".

    Raises:
        InputError: For data that the model cannot read or that have no label which counts, in one line.
    """
    if not isinstance(model, keras.Model):
        from lm_keras.text_model import TextModel  # whose subclasses stand on this

        if isinstance(model, TextModel):
            model = model.training_model
    data, dataset = dataset, as_dataset(dataset, batch_size=64)
    carried = isinstance(dataset, TextDataset) and dataset.contiguous
    net, sums, aim = _network(model, dataset.batch_size if carried else None, loss, task, dataset)
    check = DataCheck(model, aim, dataset)
    check.arrays(data)
    if carried:
        net.reset_state()
    totals, divided = {}, workers is not None and not carried and int(dataset.cardinality()) >= workers.count
    for x, y, *weights in dataset.shard(workers.count, workers.index) if divided else dataset:
        check(x, y, *weights)
        with check.explained():
            parts = sums(x, y, *weights)
        # In 64 bits on the Python side: a float32 sum over millions of tokens loses digits.
        for name, part in parts.items():
            part = part.numpy()
            totals[name] = totals.get(name, 0) + part.astype("float64" if part.dtype.kind == "f" else "int64")
    if workers is not None:
        combine = workers.add if divided else workers.from_chief
        totals = dict(zip(totals, combine(list(totals.values())), strict=True))
    if not totals:
        raise InputError("the dataset has no batch to evaluate; give more text or a smaller length")
    if not totals["count"]:
        raise InputError("no label of the data counts; give labels that are not negative, and weights above 0")
    result = {name: value if isinstance(value, int) else float(value) for name, value in aim.report(totals).items()}
    if isinstance(dataset, TextDataset) and dataset.num_bytes and result.get("tokens") == dataset.num_tokens:
        result["bits_per_byte"] = result["loss"] * result["tokens"] / math.log(2) / dataset.num_bytes
    return result


def _network(
    model: keras.Model, batch_size: int | None, loss: object, task: str | None, dataset: tf.data.Dataset
) -> tuple[keras.Model, Callable, Objective]:
    """The network to evaluate and its compiled sums, kept so that each epoch's validation does not trace again."""
    windows, model_of = is_windows(dataset), weakref.ref(model)

    def make():
        carried = None if batch_size is None else carry_state(model, batch_size)
        aim = objective(model, loss, task, inputs_spec(dataset), windows)

        @tf.function(reduce_retracing=True, autograph=False)  # as Keras traces its own steps
        def sums(x, y, weights=None):
            return aim.sums(y, (carried or model_of())(x, training=False), weights)

        return carried, sums, aim, loss  # the loss is kept too, so that its id stays its own

    carried, sums, aim, _ = traced_of(model).get(model, ("evaluate", batch_size, id(loss), task, windows), make)
    return carried or model, sums, aim
