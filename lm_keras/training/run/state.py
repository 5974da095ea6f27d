"""The state of a run: its position, which a callback keeps, and the checkpoint of it and of all tensors."""

from __future__ import annotations

import math
import re
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.models.seq2seq_transformer import DecoderBlock
from lm_keras.training.config import TrainingConfig
from lm_keras.training.distributed.workers import Workers
from lm_keras.training.evaluation import evaluate
from lm_keras.training.objectives import Objective
from lm_keras.training.train_steps import CarriedModel
from lm_keras.utils.atomic_files import read_tensors, write_tensors
from lm_keras.utils.keras_internals import flatten_layers
from lm_keras.utils.saved_kinds import CHECKPOINT


class RunState(keras.callbacks.Callback):
    """Counts steps, validates after each epoch, keeps the best weights, stops early.

    A loss that is not finite stops the run with an InputError, and so do weights that are not, which are looked at
    after each epoch and before each checkpoint: a good one is never replaced by one that cannot be gone on with.
    """

    def __init__(
        self,
        model: keras.Model,
        net: keras.Model,
        validation: tf.data.Dataset | None,
        config: TrainingConfig,
        steps_per_epoch: int,
        aim: Objective,
        loss: object = None,
        workers: Workers | None = None,
    ):
        super().__init__()
        self.workers = workers
        self.trained, self.net, self.validation, self.config = model, net, validation, config
        self.loss, self.task, self.measures = loss, aim.task, aim.measures
        # With label smoothing or coverage a loss is more than nats of the labels: e to its power is no perplexity.
        recipe = getattr(net, "recipe", None)
        more = getattr(aim.loss, "label_smoothing", 0) or (recipe is not None and recipe.arguments.get("coverage"))
        self.has_perplexity = "perplexity" in aim.measures and not more
        self.steps_per_epoch = steps_per_epoch
        self.step = 0  # updates done in the whole run
        self.total = config.total_steps(steps_per_epoch)
        self.epochs = []  # the logs of each finished epoch
        self.stopped = False
        self.best_loss, self.best_weights, self.waited = math.inf, None, 0
        self.logged = 0, 0.0  # the steps of this epoch that have a row in the log, and the sum of their losses
        self.saved = None  # the step of the newest checkpoint
        self._metrics = None  # running means of an epoch that a kill cut in two

    def restore(self, progress: dict, best_weights: list[np.ndarray] | None) -> None:
        """Takes over what `load_checkpoint` returned."""
        self.step, self.epochs = progress["step"], progress["epochs"]
        self.stopped, self.waited, self.saved = progress["stopped"], progress["waited"], progress["step"]
        self.logged = tuple(progress.get("logged", self.logged))
        self.best_loss = math.inf if progress["best_loss"] is None else progress["best_loss"]
        self.best_weights = self._fitting(best_weights)
        if self.step % self.steps_per_epoch:
            self._metrics = [np.asarray(v) for v in self.net.metrics_variables]

    def _fitting(self, weights):
        if weights is not None and [w.shape for w in weights] != [tuple(w.shape) for w in self.trained.weights]:
            raise InputError("the checkpoint holds best weights of another model; give the settings of the run")
        return weights

    def save(self) -> None:
        """Writes the checkpoint, where the run has a folder."""
        progress = {
            "step": self.step,
            "steps_per_epoch": self.steps_per_epoch,
            "epochs": self.epochs,
            "stopped": self.stopped,
            "waited": self.waited,
            "logged": self.logged,
            "best_loss": None if math.isinf(self.best_loss) else self.best_loss,
        }
        if self.config.output_dir:
            save_checkpoint(self.config.output_dir, self.net, progress, self.best_weights)
            self.saved = self.step

    def saves_now(self) -> bool:
        """Whether the step just done, within an epoch, is one of a checkpoint."""
        return self.step % self.steps_per_epoch != 0 and self.step % self.config.checkpoint_steps == 0

    def check_loss(self, name: str, value: float) -> None:
        """InputError for a loss that is not finite."""
        if not math.isfinite(value):
            raise self._diverged(f"the {name} is {value}")

    def check_weights(self) -> None:
        """InputError for weights that are not finite."""
        path = not_finite(self.net)
        if path is not None:
            raise self._diverged(f"{path} holds values that are not finite")

    def _diverged(self, found):
        config = self.config
        tries = ["a smaller learning rate"]
        tries += [] if config.clip_norm else ["a clip norm such as 1.0"]
        tries += [] if config.warmup_steps else ["warm-up steps"]
        tries += [] if config.dtype == "float32" else ["float32"]
        if self.step <= 1:
            tries = ["weights and data without values that are not finite", *tries]
        kept = "" if self.saved is None else f"; the checkpoint of step {self.saved} is kept"
        when = "at step" if self.workers is None else "by step"  # several take some steps between two looks
        return InputError(
            f"{found} {when} {self.step} (epoch {self.epoch()}), so the training stops{kept}: "
            f"start again with {', '.join(tries[:-1])}{' or ' if tries[:-1] else ''}{tries[-1]}"
        )

    def epoch(self) -> int:
        """The epoch of the step just done, from 1."""
        return max(self.step - 1, 0) // self.steps_per_epoch + 1

    def history(self) -> keras.callbacks.History:
        """All epochs as the History that `model.fit` returns."""
        history = keras.callbacks.History()
        history.set_model(self.trained)
        history.epoch = list(range(len(self.epochs)))
        keys = dict.fromkeys(key for logs in self.epochs for key in logs)
        history.history = {key: [logs.get(key) for logs in self.epochs] for key in keys}
        return history

    # === Callback ===
    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        if self._metrics is not None:  # the second part of an epoch: its means and its carried state go on
            for variable, value in zip(self.net.metrics_variables, self._metrics, strict=True):
                variable.assign(value)
            self._metrics = None
        elif isinstance(self.net, CarriedModel):
            self.net.reset_state()
        del self.epochs[epoch:]  # of a part of this epoch, where `max_steps` ended the run in it

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.step += 1
        self.check_loss("loss", logs.get("loss", 0.0))  # the mean since the epoch's start: one batch is enough

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.check_weights()
        if self.has_perplexity:
            logs["perplexity"] = math.exp(min(logs["loss"], 700))
        if self.validation is not None:
            result = evaluate(self.trained, self.validation, self.loss, self.workers, self.task)
            logs.update({f"val_{key}": result[key] for key in self.measures})
            self.check_loss("validation loss", logs["val_loss"])
            self._watch(logs["val_loss"])
        self.epochs.append({key: float(value) for key, value in logs.items()})
        done = self.stopped or self.step >= self.total
        if done and self.best_weights is not None:
            self.trained.set_weights(self.best_weights)

    def _watch(self, loss):
        patience = self.config.early_stopping_patience
        if patience is None:
            return
        if loss < self.best_loss:
            self.best_loss, self.waited, self.best_weights = loss, 0, self.trained.get_weights()
        else:
            self.waited += 1
            self.stopped = self.net.stop_training = self.waited >= patience


class Saver(keras.callbacks.Callback):
    """Saves checkpoints, on all workers, of whom one writes; weights that are not finite stop the run instead.

    It comes after the log, so that after a kill no row of metrics.csv is missing, and after the user's callbacks,
    which may change weights.
    """

    def __init__(self, state: RunState):
        super().__init__()
        self.state = state

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if self.state.saves_now():
            self.state.check_weights()
            self.state.save()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.state.check_weights()
        self.state.save()


# === The whole state of a training run in one file, and back ===
# One file, written beside its place and renamed, so that a kill leaves either the old state or the new one.


def training_variables(net: keras.Model) -> dict[str, keras.Variable]:
    """Everything that changes while `net` trains, by name: weights, carried state, seeds, optimizer, metrics."""
    groups = {
        "model": list({id(v): v for v in net.variables}.values()),
        "optimizer": net.optimizer.variables,
        "metrics": net.metrics_variables,
    }
    return {f"{group}/{i:04d}": v for group, variables in groups.items() for i, v in enumerate(variables)}


def not_finite(net: keras.Model) -> str | None:
    """The path of a variable of `net`, or of its optimizer, that a training has spoiled; None where there is none.

    That is NaN, and infinity where the gradient changes values (elsewhere it may be a mask). Looked at where they
    lie: one number is fetched for all.
    """
    changed = {id(v) for v in (*net.trainable_variables, *net.optimizer.variables)}
    variables = [v for v in (*net.variables, *net.optimizer.variables) if tf.as_dtype(v.dtype).is_floating]
    spoiled = [
        tf.reduce_any(~tf.math.is_finite(v.value) if id(v) in changed else tf.math.is_nan(v.value)) for v in variables
    ]
    found = np.flatnonzero(tf.stack(spoiled)) if spoiled else []
    return variables[found[0]].path if len(found) else None


def save_checkpoint(
    folder: str | Path, net: keras.Model, progress: dict, best: list[np.ndarray] | None = None
) -> None:
    """Writes `net`'s training state, the JSON value `progress` and the best weights so far, if any."""
    tensors = {name: np.asarray(v) for name, v in training_variables(net).items()}
    for i, weight in enumerate(best or ()):
        tensors[f"best/{i:04d}"] = weight
    write_tensors(Path(folder) / CHECKPOINT, tensors, {**progress, "variables": _names(net)})


def load_checkpoint(
    folder: str | Path, net: keras.Model, steps_per_epoch: int
) -> tuple[dict, list[np.ndarray] | None]:
    """Puts the saved state into `net`; returns `(progress, best weights or None)`.

    Raises:
        InputError: For a file that is missing, cut short, of another model or other data; nothing is changed then.
    """
    path = Path(folder) / CHECKPOINT
    tensors, progress = read_tensors(path)
    _check_progress(path, progress)
    best = [tensors.pop(name) for name in sorted(tensors) if name.startswith("best/")]
    _check_names(path, net, progress.pop("variables", None))
    variables = training_variables(net)
    if {n: tuple(v.shape) for n, v in variables.items()} != {n: t.shape for n, t in tensors.items()}:
        raise InputError(f"{path} is of another model or optimizer; give the settings the run was started with")
    if progress["steps_per_epoch"] != steps_per_epoch:
        raise InputError(
            f"the run was started with {progress['steps_per_epoch']} steps an epoch and this data gives "
            f"{steps_per_epoch}; give the same data, batch size and length to resume it"
        )
    kept = [tensor for name, tensor in tensors.items() if not name.startswith("metrics/")]
    if any(tensor.dtype.kind in "fV" and np.isnan(tensor).any() for tensor in (*kept, *best)):
        raise InputError(
            f"{path} holds NaN: the training had diverged; start again with a smaller learning rate in another folder"
        )
    for name, variable in variables.items():
        variable.assign(tensors[name])
    return progress, best or None


def _names(net):
    """The paths of the variables of `net` in their order, without the numbers that Keras gives layers of one name."""
    unique = list({id(v): v for v in net.variables}.values())
    return [re.sub(r"_\d+(?=/|$)", "", v.path) for v in unique]


def _check_names(path, net, names):
    """InputError where the tensors of a file, which stand in it by number, are of variables in another order."""
    if names is not None and names != _names(net):
        raise InputError(f"{path} is of another model; give the settings the run was started with")
    # Release 0.1 kept no names. It had the variables of all models but this one in the order of today.
    if names is None and any(isinstance(layer, DecoderBlock) for layer in flatten_layers(net)):
        raise InputError(
            f"{path} was written by release 0.1, which had the weights of this transformer in another order; go on "
            "with that release, or start again from the weights of its last save"
        )


def _check_progress(path, progress):
    """InputError unless the place of the run is what `RunState.save` wrote: who changed the file is not known."""
    numbers = progress.get("logged", [0, 0.0]) if isinstance(progress, dict) else None
    whole = isinstance(progress, dict) and all(
        _count(progress.get(name)) for name in ("step", "steps_per_epoch", "waited")
    )
    whole = whole and isinstance(progress.get("epochs"), list) and isinstance(progress.get("stopped"), bool)
    whole = whole and (progress.get("best_loss", "") is None or _number(progress.get("best_loss", "")))
    whole = whole and isinstance(numbers, list) and len(numbers) == 2 and all(map(_number, numbers))
    if not whole or progress["step"] < 0 or progress["steps_per_epoch"] < 1:
        raise InputError(f"{path} is damaged: its place in the run is none; use another copy, or start again")
    for logs in progress["epochs"]:
        if not isinstance(logs, dict) or not all(map(_number, logs.values())):
            raise InputError(f"{path} is damaged: an epoch in it has no measures; use another copy, or start again")


def _count(value):
    return type(value) is int and abs(value) < 2**63


def _number(value):
    return isinstance(value, float) or _count(value)
