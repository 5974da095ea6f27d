"""The private names of Keras and TensorFlow that have no public way around them: all stand here."""

import collections
import contextlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator

import h5py
import keras
import tensorflow as tf
from keras.src.backend.common import global_state
from tensorflow.core.protobuf import config_pb2
from tensorflow.python.eager import context
from tensorflow.python.framework import op_def_registry
from tensorflow.python.saved_model import fingerprinting_utils

SHUFFLE = "`shuffle=True` was passed, but will be ignored since the data `x` was provided as a tf.data.Dataset"


def flatten_layers(model: keras.Layer) -> list[keras.Layer]:
    """`model` and all layers in it, those within layers too; Keras' `model.layers` has the outermost alone."""
    return model._flatten_layers()


def change_h5(store: object, change: Callable[[h5py.File], h5py.File]) -> None:
    """Replaces the HDF5 file that Keras loads a model from: `store` is what it gives `load_own_variables`."""
    if isinstance(getattr(store, "h5_file", None), h5py.File):
        store.h5_file = change(store.h5_file)


def source_of(output: keras.KerasTensor) -> keras.Operation:
    """The layer or operation that gives an output of a functional model."""
    return output._keras_history.operation


def mask_of(x: object) -> object:
    """The mask [B, T] that Keras hands on beside a tensor from layer to layer and to the loss; None without one."""
    return getattr(x, "_keras_mask", None)


def with_mask(x: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """`x`, which from here on has this mask for Keras."""
    x._keras_mask = mask
    return x


class _Numbers(collections.defaultdict):
    """How many layers of each name were made since `fresh_names` began."""


@contextlib.contextmanager
def fresh_names() -> Iterator[None]:
    """Within it Keras numbers layers that were given no name from the first on, whatever the process has made before.

    One within another changes nothing, and later names differ from those within.
    """
    counts = "object_name_uids"
    before = global_state.get_global_attribute(counts, collections.defaultdict(int))
    if isinstance(before, _Numbers):
        yield
        return
    made = _Numbers(int)
    global_state.set_global_attribute(counts, made)
    try:
        yield
    finally:
        for name, number in made.items():
            before[name] = max(before[name], number)
        global_state.set_global_attribute(counts, before)


def write_fingerprint(folder: str | os.PathLike) -> None:
    """Writes the fingerprint.pb of a SavedModel anew, whose saved_model.pb has changed."""
    fingerprinting_utils.write_fingerprint(os.fspath(folder))


def is_stateful(operation: str) -> bool:
    """Whether an operation of TensorFlow, given by its name, does more than to compute its outputs."""
    definition = op_def_registry.get(operation)
    return definition is None or definition.is_stateful


@contextlib.contextmanager
def without_grappler() -> Iterator[None]:
    """Within it this thread calls TensorFlow functions as they were traced, without TensorFlow's graph optimizer.

    `tf.config.optimizer.set_experimental_options` says so for all threads, and from then on.
    """
    here = context.context()
    before = here.function_call_options
    config = config_pb2.ConfigProto.FromString(before.config_proto_serialized)
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    here.function_call_options = context.FunctionCallOptions(before.executor_type, config)
    try:
        yield
    finally:
        here.function_call_options = before


class OwnClipping:
    """Lets an optimizer clip the gradients of an update, accumulated ones too, with its method `clip`."""

    def _clip_gradients(self, grads):
        return self.clip(grads)


class WrappedDataset(tf.data.Dataset):
    """A `tf.data.Dataset` with the elements of another one, for subclasses that know more than it does.

    `tf.data.Dataset` asks its subclasses for `_inputs`.

    Args:
        dataset: The `tf.data.Dataset` whose elements it has.
    """

    def __init__(self, dataset: tf.data.Dataset):
        # Before Dataset's own: it asks for the inputs.
        self._wrapped = dataset._wrapped if isinstance(dataset, WrappedDataset) else dataset
        super().__init__(tf.data.experimental.to_variant(self._wrapped))

    def _inputs(self):
        return [self._wrapped]

    @property
    def element_spec(self):
        return self._wrapped.element_spec


def no_shuffle_warning(kind: type) -> None:
    """Silences Keras' warning that `shuffle=True`, its default, does nothing for a dataset: for those of a class.

    Other datasets are warned of as before. It is set each time, as `warnings.catch_warnings` and pytest take it away.
    """
    warnings.filters[:] = [entry for entry in warnings.filters if not isinstance(entry[1], _ShuffleOf)]
    warnings.filterwarnings("ignore", message=SHUFFLE)  # puts one first, the pattern of which is replaced
    warnings.filters[0] = ("ignore", _ShuffleOf(kind), UserWarning, None, 0)


class _ShuffleOf:
    """Stands for the pattern of a warning's message: of Keras' warning, where the dataset is one of a class."""

    def __init__(self, kind: type):
        self.kind = kind

    def match(self, message: str) -> bool:
        if not message.startswith(SHUFFLE):
            return False
        frame = sys._getframe(1)
        while frame is not None and frame.f_code.co_name != "get_data_adapter":
            frame = frame.f_back
        return frame is not None and isinstance(frame.f_locals.get("x"), self.kind)
