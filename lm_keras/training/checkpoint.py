"""The whole state of a training run in one file, and back.

One file, written beside its place and renamed, so that a kill leaves either the old state or the new one.
"""

from pathlib import Path

import numpy as np

from lm_keras.errors import InputError
from lm_keras.files import read_tensors, write_tensors
from lm_keras.saved_kinds import CHECKPOINT as NAME


def training_variables(net):
    """Everything that changes while `net` trains, by name: weights, carried state, seeds, optimizer, metrics."""
    groups = {
        "model": list({id(v): v for v in net.variables}.values()),
        "optimizer": net.optimizer.variables,
        "metrics": net.metrics_variables,
    }
    return {f"{group}/{i:04d}": v for group, variables in groups.items() for i, v in enumerate(variables)}


def not_finite(net):
    """The path of a variable of `net`, or of its optimizer, that a training has spoiled; None where there is none.

    That is NaN, and infinity where the gradient changes values (elsewhere it may be a mask). Looked at where they
    lie: one number is fetched for all.
    """
    import tensorflow as tf

    changed = {id(v) for v in (*net.trainable_variables, *net.optimizer.variables)}
    variables = [v for v in (*net.variables, *net.optimizer.variables) if tf.as_dtype(v.dtype).is_floating]
    spoiled = [
        tf.reduce_any(~tf.math.is_finite(v.value) if id(v) in changed else tf.math.is_nan(v.value)) for v in variables
    ]
    found = np.flatnonzero(tf.stack(spoiled)) if spoiled else []
    return variables[found[0]].path if len(found) else None


def save_checkpoint(folder, net, progress, best=None):
    """Writes `net`'s training state, the JSON value `progress` and the best weights so far, if any."""
    tensors = {name: np.asarray(v) for name, v in training_variables(net).items()}
    for i, weight in enumerate(best or ()):
        tensors[f"best/{i:04d}"] = weight
    write_tensors(Path(folder) / NAME, tensors, progress)


def load_checkpoint(folder, net, steps_per_epoch):
    """Puts the saved state into `net`; returns `(progress, best weights or None)`.

    Raises InputError, and changes nothing, when the file is missing, cut short, of another model or other data.
    """
    path = Path(folder) / NAME
    tensors, progress = read_tensors(path)
    _check_progress(path, progress)
    best = [tensors.pop(name) for name in sorted(tensors) if name.startswith("best/")]
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
