"""What stands in a .keras file, a zip archive of a configuration and weights, before Keras makes anything of it."""

import contextlib
import contextvars
import dataclasses
import io
import math
import re
import threading
import zipfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.utils.atomic_files import MOST_JSON, parsed

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
_SMALL, _EXPANSION = 64 << 20, 20  # bytes that any member may have, and how often its compressed size beyond
_OTHERS = 1 << 29  # bytes that other threads may take in the meantime
_MODULES = {"keras", "builtins"} | {
    f"keras.{name}"
    for name in (
        *("activations", "constraints", "dtype_policies", "initializers", "layers", "losses", "metrics", "models"),
        *("ops", "optimizers", "optimizers.schedules", "quantizers", "random", "regularizers"),
    )
}
_INNER = ("keras.src.models.", "keras.src.ops.", "keras.src.layers.", "keras.src.random.")
# What would run code that is in the file, or beside it.
_FOREIGN = {"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "__lambda__"}


def check_file(path):
    """`(numbers, weights)`: how many numbers the weights of a file have, and how many weights there are.

    Raises InputError for what is no .keras file, for one that expands out of proportion, and for one that names
    classes or functions that are neither of Keras' that compute nor registered.
    """
    if not Path(path).is_file() or not zipfile.is_zipfile(path):
        raise InputError(f"{path} is no .keras file, or a damaged one; give one that `model.save` wrote")
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: info for info in archive.infolist()}
        stored = sum(info.compress_size for info in archive.infolist())
        for info in archive.infolist():
            if info.file_size > _SMALL + _EXPANSION * info.compress_size or stored > Path(path).stat().st_size:
                raise InputError(
                    f"{path}: {info.filename} of {info.compress_size:,} bytes would expand to {info.file_size:,}; "
                    "no model is compressed so much"
                )
        for name in (CONFIG, WEIGHTS):
            if name not in members:
                raise InputError(f"{path} has no {name}, so it is no .keras file that `model.save` wrote")
        if members[CONFIG].file_size > MOST_JSON:
            raise InputError(f"{path} has a {CONFIG} of {members[CONFIG].file_size:,} bytes; use another copy")
        config = parsed(archive.read(CONFIG))
        if isinstance(config, dict):
            config.pop("compile_config", None)  # nothing is made of it, so it may name what is not registered yet
        _check_classes(path, config)
        plain = members[WEIGHTS].compress_type == zipfile.ZIP_STORED  # else going back in it means reading it again
        with archive.open(WEIGHTS) if plain else io.BytesIO(archive.read(WEIGHTS)) as file:
            return _weights(path, file, members[WEIGHTS].file_size)


def _check_classes(path, config):
    """InputError for a class or function that is not to be made of a file."""
    level = [config]
    while level:
        for part in level:
            if isinstance(part, dict) and "class_name" in part and "config" in part:
                _check_class(path, part)
        level = [
            inner
            for part in level
            for inner in (part.values() if isinstance(part, dict) else part)
            if isinstance(inner, (dict, list))
        ]


def _check_class(path, part):
    name, module = part["class_name"], part.get("module")
    what = part["config"] if name == "function" else part.get("registered_name", name)  # as Keras looks it up
    if not isinstance(name, str) or not isinstance(module, str | None) or not isinstance(what, str | None):
        raise InputError(f"{path} is damaged: the name of a class is {name!r} of {module!r}; use another copy")
    if _FOREIGN.intersection((name, what)):
        raise InputError(f"{path} holds a {name}, which would run code of the file; build the model without it")
    registered = what is not None and keras.saving.get_registered_object(what) is not None
    if not registered and module is not None and module not in _MODULES and not module.startswith(_INNER):
        raise InputError(
            f"{path} needs {name} of {module}, which is not registered here: import the module that registers it "
            "with keras.saving.register_keras_serializable"
        )


def _weights(path, file, size):
    """(how many numbers, how many datasets) of an HDF5 file of that size, all of them with their bytes in it."""
    import h5py

    found = []
    with _little_memory(_SMALL), h5py.File(file, "r") as h5:
        h5.visititems(lambda _, item: found.append((item, list(item.attrs))))
        numbers, length = 0, 0
        found = [item for item, _ in found if isinstance(item, h5py.Dataset)]
        for item in found:
            if item.external or item.is_virtual or item.chunks:
                raise InputError(f"{path} has weights elsewhere or in pieces, as Keras writes none; use another copy")
            count = math.prod(item.shape or (0,))
            numbers, length = numbers + count, length + count * item.dtype.itemsize
            if length > size:
                raise InputError(
                    f"{path} has a weight of shape {item.shape}, but {WEIGHTS} has {size:,} bytes; use another copy"
                )
    return numbers, len(found)


@contextlib.contextmanager
def _little_memory(extra):
    """At most so many more bytes for this process, for a moment; where the system knows no such limit, nothing.

    The HDF5 library takes memory for whatever length stands in a header, and fills it, before it looks how long the
    file is. A file that was gone through once asks for nothing more when Keras reads it.
    """
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError):
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    most = pages * resource.getpagesize() + extra + _OTHERS
    if before[0] != resource.RLIM_INFINITY:
        most = min(most, before[0])
    resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


# === What a file may make of memory: weights are counted before they are made, and a file has room for so many ===

_SIZE = re.compile(
    r"(.*_)?(vocab_size|dim|dims)|kernel_sizes|num_(kv_)?(layers|heads|classes|filters|segments)|context_length|skip"
)
_RANDOM = tuple(
    getattr(keras.initializers, name)
    for name in ("RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling", "Orthogonal")
)
_limit = contextvars.ContextVar("limit", default=None)
_lock, _users, _add_weight = threading.Lock(), 0, keras.Layer.add_weight


@dataclasses.dataclass
class Limit:
    """The numbers and the weights that may still be made, those there were at first, and if random ones are drawn."""

    numbers: int
    weights: int
    most: int
    drawn: bool
    unset: list = dataclasses.field(default_factory=list)  # (variable, its initializer)

    def draw_others(self, weights):
        """Draws those that were left unset and are none of these weights: what Keras does not know is in no file."""
        known = {id(weight) for weight in weights}
        for weight, initializer in self.unset:
            if id(weight) not in known:
                weight.assign(keras.initializers.get(initializer)(weight.shape, dtype=weight.dtype))

    def take(self, shape):
        count = math.prod(size or 0 for size in shape)
        self.numbers, self.weights = self.numbers - count, self.weights - 1
        if self.numbers < 0 or self.weights < 0:
            raise InputError(
                f"the configuration asks for a weight of shape {tuple(shape)}, but the file that should hold the "
                f"weights has room for {self.most:,} numbers; use another copy"
            )


@contextlib.contextmanager
def weights_within(numbers, weights, *, drawn=True):
    """Lets Keras layers make so many weights in this block, of so many numbers in all; InputError before one more.

    With `drawn=False` random weights are not drawn, which takes as long as all the rest of loading: their values mean
    nothing. It is for what puts those of a file into all weights of a model, or raises; weights beside them are for
    `draw_others` of the Limit that the block gets.
    """
    global _users, _add_weight
    limit = Limit(numbers, weights, numbers, drawn)
    token = _limit.set(limit)
    with _lock:
        if not _users:
            _add_weight, keras.Layer.add_weight = keras.Layer.add_weight, _counted
        _users += 1
    try:
        yield limit
    finally:
        with _lock:
            _users -= 1
            if not _users:
                keras.Layer.add_weight = _add_weight
        _limit.reset(token)


def _counted(layer, shape=None, initializer=None, *args, **kwargs):
    """`keras.Layer.add_weight` while a file is read, in whatever thread: what no file limits is not counted."""
    if (limit := _limit.get()) is not None:
        limit.take((shape,) if isinstance(shape, int) else tuple(shape or ()))
        if not limit.drawn and _is_loaded(layer) and _is_random(initializer):
            weight = _add_weight(layer, shape, Unset(), *args, **kwargs)
            limit.unset.append((weight, initializer or "glorot_uniform"))
            return weight
    return _add_weight(layer, shape, initializer, *args, **kwargs)


def draw_weights():
    """From here on random weights of the current limit are drawn, as something is computed of them on the way."""
    if (limit := _limit.get()) is not None:
        limit.drawn = True


class Unset(keras.initializers.Initializer):
    """Memory that nobody has written to: for weights that are read from a file before anything reads them."""

    def __call__(self, shape, dtype=None, **_):
        return tf.raw_ops.Empty(shape=shape, dtype=keras.backend.standardize_dtype(dtype))


def _is_loaded(layer):
    """Whether loading sets all weights of a layer or raises: other code may not save some that it draws again."""
    return type(layer).load_own_variables.__module__.partition(".")[0] in ("keras", "lm_keras")


def _is_random(initializer):
    return initializer is None or isinstance(keras.initializers.get(initializer), _RANDOM)


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
