"""What a file may make of memory: weights are counted before they are made, and a file has room for so many."""

import contextlib
import contextvars
import dataclasses
import math
import re
import threading

import keras
import numpy as np

from lm_keras.errors import InputError

_SIZE = re.compile(
    r"(.*_)?(vocab_size|dim|dims)|kernel_sizes|num_(kv_)?(layers|heads|classes|filters|segments)|context_length|skip"
)
_limit = contextvars.ContextVar("limit", default=None)
_lock, _users, _add_weight = threading.Lock(), 0, keras.Layer.add_weight


@dataclasses.dataclass
class Limit:
    """The numbers and the weights that may still be made, and those there were at first."""

    numbers: int
    weights: int
    most: int

    def take(self, shape):
        count = math.prod(size or 0 for size in shape)
        self.numbers, self.weights = self.numbers - count, self.weights - 1
        if self.numbers < 0 or self.weights < 0:
            raise InputError(
                f"the configuration asks for a weight of shape {tuple(shape)}, but the file that should hold the "
                f"weights has room for {self.most:,} numbers; use another copy"
            )


@contextlib.contextmanager
def weights_within(numbers, weights):
    """Lets Keras layers make so many weights in this block, of so many numbers in all; InputError before one more."""
    global _users, _add_weight
    token = _limit.set(Limit(numbers, weights, numbers))
    with _lock:
        if not _users:
            _add_weight, keras.Layer.add_weight = keras.Layer.add_weight, _counted
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                keras.Layer.add_weight = _add_weight
        _limit.reset(token)


def _counted(layer, shape=None, *args, **kwargs):
    """`keras.Layer.add_weight` while a file is read, in whatever thread: what no file limits is not counted."""
    if (limit := _limit.get()) is not None:
        limit.take((shape,) if isinstance(shape, int) else tuple(shape or ()))
    return _add_weight(layer, shape, *args, **kwargs)


def check_arguments(arguments):
    """InputError for sizes among a builder's arguments that no file of the current limit could hold the weights of.

    Layers and lists of them are made before their first weight is.
    """
    limit = _limit.get()
    if limit is None:
        return
    for name, value in arguments.items():
        if not _SIZE.fullmatch(name):
            continue
        most = limit.weights if name.endswith("layers") else limit.most
        for size in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(size, (int, float)) and not abs(size) <= most:
                raise InputError(f"{name} is {size!r}, but the file that should hold the weights has no room for it")


def check_finite(name, values, advice):
    """Raises InputError when a weight that was read holds NaN or infinity, of which every answer would be made."""
    if not np.isfinite(values).all():
        raise InputError(f"{name} holds NaN or infinity; {advice}")


def check_savable(model):
    """Raises InputError for weights that no function which loads would take: what is saved already is to stay."""
    for weight in model.weights:
        advice = "the training has diverged: train again with a lower learning rate; nothing was written"
        check_finite(weight.path, np.asarray(weight), advice)
