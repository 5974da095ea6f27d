"""The data of `fit` and `evaluate` as batches, looked at before the model reads them: one line says what is wrong."""

from __future__ import annotations

import contextlib
import re
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

from lm_keras.data.text_dataset import TextDataset
from lm_keras.errors import InputError
from lm_keras.models.base import BuiltModel
from lm_keras.training.model_io import (
    check_label_shape,
    check_values,
    check_weights,
    input_rules,
    label_rules,
    weights_of,
)

if TYPE_CHECKING:
    from lm_keras.training.objectives import Objective

WIDTH_OF = ("masked_positions", "target_ids")  # inputs that the labels are as wide as; else the first of rank 2
# What TensorFlow says on a CPU of a batch that this file did not see.
TABLE = re.compile(r"indices\[[\d,]*\] = (-?\d+) is not in \[0, (\d+)\)")
LABEL = re.compile(r"Received a label value of (-?\d+) which is outside the valid range of \[0, (\d+)\)")
COUNTS = "give labels that are not negative, and weights above 0"
LONGEST = re.compile(r"a text has [^\n;]*max_length=\d+; cut it")


def as_dataset(data: object, batch_size: int, shuffle_seed: int | None = None) -> tf.data.Dataset:
    """A `tf.data.Dataset` of `(x, y)` batches.

    Args:
        data: A `tf.data.Dataset`, which is returned as it is, or a tuple `(x, y)` or `(x, y, weights)` of arrays or
            dicts of arrays.
        batch_size: The rows of a batch made of arrays.
        shuffle_seed: The seed of the order of their rows; None: they stay in their order.

    Returns:
        The dataset.

    Raises:
        InputError: For anything else, and for arrays without rows or of different numbers of rows.
    """
    if isinstance(data, tf.data.Dataset):
        return data
    if not isinstance(data, tuple) or len(data) not in (2, 3):
        raise InputError(
            f"the data is a {type(data).__name__}; give a tf.data.Dataset, or an (x, y) or (x, y, weights) tuple"
        )
    data = tuple(map(arrays_of, data, ("x", "y", "weights")))
    rows = [{len(array) for array in tf.nest.flatten(part)} for part in data]
    if len(set.union(*rows)) != 1:
        names = "x has {} rows and y has {}" if len(rows) == 2 else "x has {} rows, y has {} and the weights have {}"
        found = (" or ".join(map(str, sorted(part))) for part in rows)
        raise InputError(f"{names}; give as many of each".format(*found))
    (count,) = rows[0]
    if not count:
        raise InputError("x and y have 0 rows; give at least one")
    dataset = tf.data.Dataset.from_tensor_slices(data)
    if shuffle_seed is not None:
        dataset = dataset.shuffle(count, seed=shuffle_seed)
    return dataset.batch(batch_size)


def inputs_spec(dataset: tf.data.Dataset) -> object:
    """The `tf.TensorSpec`s of a batch's inputs, in their structure."""
    spec = dataset.element_spec
    return spec[0] if isinstance(spec, tuple) else spec


def is_windows(dataset: tf.data.Dataset) -> bool:
    """Whether the labels are the next words, as in the windows of `lm_windows`, which count them."""
    return isinstance(dataset, TextDataset) and dataset.num_tokens is not None


def arrays_of(part: object, name: str) -> object:
    """An array, or a dict or tuple of arrays, from those and from lists of numbers."""
    if isinstance(part, dict):
        return {key: arrays_of(value, f"{name}[{key!r}]") for key, value in part.items()}
    if isinstance(part, (list, tuple)) and any(hasattr(item, "shape") and len(item.shape) for item in part):
        # tf.data takes a list for a tensor.
        return tuple(arrays_of(value, f"{name}[{i}]") for i, value in enumerate(part))
    try:
        array = np.asarray(part)
    except ValueError:  # rows of different lengths
        array = np.array(None)
    if not array.ndim or array.dtype == object:
        raise InputError(f"{name} is no array of numbers; give one, its rows filled up to the same length")
    return array


# === Looking at them ===


class DataCheck:
    """Looks at the batches of one pass over some data; `problem` is the InputError of a batch within `watched`.

    Args:
        model: The `keras.Model` that reads the data.
        aim: Its `Objective`.
        dataset: The `tf.data.Dataset`, of which the shapes and types are looked at here.
        num_batches: After so many batches without any label there is nothing to learn; None: say so at no batch.

    Raises:
        InputError: For batches of other shapes or types than the model and its loss take.
    """

    def __init__(self, model: keras.Model, aim: Objective, dataset: tf.data.Dataset, num_batches: int | None = None):
        spec = dataset.element_spec
        if not isinstance(spec, tuple) or len(spec) not in (2, 3):
            raise InputError(
                "a batch of the data is no (x, y) or (x, y, weights); give both the inputs and the labels"
            )
        self.model, self.aim, self.num_batches, self.problem, self._unlabelled = model, aim, num_batches, None, 0
        # Models of this library give as many labels a row as they read tokens.
        self.ours = any(isinstance(layer, BuiltModel) for layer in (model, *model.layers))
        leaves = tf.nest.flatten(spec)
        self.inputs = input_rules(model, spec[0])
        self.labels = label_rules(aim, spec[1])
        self._dense = all(isinstance(leaf, tf.TensorSpec) for leaf in leaves)
        if self._dense and all(leaf.shape.rank for leaf in leaves):
            self._check_widths(*spec[:2])
        if self._dense:
            self._check_weights(spec[1], *spec[2:])

    def arrays(self, data: object) -> None:
        """Looks at whole arrays, a tuple `(x, y)` or `(x, y, weights)`, at once; a dataset is left alone."""
        if isinstance(data, tuple):
            data = tuple(map(arrays_of, data, ("x", "y", "weights")))
            self(*data)
            if not self._has_label(*data[1:]):
                raise InputError(f"no label of the data counts; {COUNTS}")

    def __call__(self, x: object, y: object, *weights: object) -> None:
        """Raises InputError for what the model cannot read, or its loss cannot take, in arrays `x`, `y`, weights."""
        if not self._dense:  # ragged or sparse: the model says what it cannot read
            return
        for rules, part in ((self.inputs, x), (self.labels, y)):
            for rule, values in zip(rules, _leaves(part), strict=True):
                check_values(rule, values, self.model.name)
        for rule, values in zip(self.labels, _leaves(y), strict=True):
            check_label_shape(rule, values.shape)
        self._check_widths(x, y)
        self._check_places(x, y)
        self._check_weights(y, *(tf.nest.map_structure(np.asarray, part) for part in weights))

    def watched(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """The dataset, the first batch of which is looked at here, and every batch that holds what no model reads.

        Within the input pipeline: nothing is read twice. TensorFlow's operations find a bad batch, in its threads,
        and only then Python is called.
        """

        if not self._dense:
            return dataset
        spec, known = dataset.element_spec, weakref.ref(self)

        def look(number, *leaves):
            # TensorFlow's default graph keeps this function for ever: it must not keep the model, too.
            return known()._look(number, tf.nest.pack_sequence_as(spec, leaves))

        def checked(number, batch):
            arguments = [number, *tf.nest.flatten(batch)]
            odd = tf.logical_or(number == 0, self._is_odd(batch))
            done = tf.cond(odd, lambda: tf.reshape(tf.numpy_function(look, arguments, tf.bool), []), lambda: True)
            with tf.control_dependencies([done]):
                return tf.nest.map_structure(tf.identity, batch)

        return dataset.enumerate().map(checked).prefetch(2)

    def _look(self, number, batch):
        try:
            self(*batch)
            if not self._has_label(*batch[1:]):
                self._unlabelled_batch(number)
        except InputError as error:
            self.problem = error
            raise
        return True

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """The InputError of a watched batch, or what TensorFlow says of ids out of range, in one line."""
        try:
            yield
        except tf.errors.OpError as error:
            if self.problem is not None:
                raise self.problem from None
            for pattern, says in (
                (TABLE, "the data hold {}, and a layer of {} knows the ids 0 to {}"),
                (LABEL, "the data hold the label {}, and {} gives the classes 0 to {}"),
            ):
                found = pattern.search(error.message)
                if found and "boolean_mask" not in error.message:  # a gather of another kind
                    raise InputError(says.format(found[1], self.model.name, int(found[2]) - 1)) from None
            if found := LONGEST.search(error.message):
                raise InputError(found[0]) from None
            raise

    def _unlabelled_batch(self, number):
        """InputError where no batch of a whole epoch had a label that counts."""
        self._unlabelled = self._unlabelled + 1 if self._unlabelled == number else -1
        if self._unlabelled == self.num_batches:
            raise InputError(f"no label of the {self.num_batches} batches counts; {COUNTS}")

    def _has_label(self, y, *weights):
        weighs = [np.any(weight) for part in weights for weight in tf.nest.flatten(part)]
        counted = [(leaf >= 0).any() for rule, leaf in zip(self.labels, _leaves(y), strict=True) if rule.labels]
        return (not counted or any(counted)) and (not weighs or any(weighs))

    def _check_weights(self, y, weights=None):
        if weights is not None:
            owned = weights_of(self.labels, weights)
            for rule, part, labels in zip(self.labels, owned, tf.nest.flatten(y), strict=True):
                check_weights(rule, part, labels)

    def _is_odd(self, batch):
        """Whether a batch of tensors must be looked at: a bool tensor, from a few operations."""
        found, counted = [], []
        for rules, part in ((self.inputs, batch[0]), (self.labels, batch[1])):
            for rule, values in zip(rules, tf.nest.flatten(part), strict=True):
                if values.dtype.is_floating:
                    found.append(tf.logical_not(tf.reduce_all(tf.math.is_finite(values))))
                elif not values.dtype.is_integer:
                    continue
                wide = tf.cast(values, tf.float64 if values.dtype.is_floating else tf.int64)
                found.append(tf.size(values) == 0)
                if rule.low is not None:
                    found.append(tf.reduce_any(wide < rule.low))
                if rule.high is not None:
                    found.append(tf.reduce_any(wide >= rule.high))
                if rule.longest is not None:
                    found.append(tf.shape(values)[1] > rule.longest)
                if rule.labels:
                    counted.append(tf.reduce_any(wide >= 0))
        weighs = []
        for weights in tf.nest.flatten(batch[2:]):
            wide = tf.cast(weights, tf.float32)
            found.append(tf.logical_not(tf.reduce_all(tf.math.is_finite(wide) & (wide >= 0))))
            weighs.append(tf.reduce_any(wide > 0))
        for some in filter(None, (counted, weighs)):
            found.append(tf.logical_not(tf.reduce_any(some)))
        return tf.reduce_any(found) if found else tf.constant(False)

    def _check_widths(self, x, y):
        """Compares the shapes of inputs and labels, of arrays or, as far as they are known, of their types."""
        inputs, labels = ([tuple(leaf.shape) for leaf in tf.nest.flatten(part)] for part in (x, y))
        rows = {shape[0] for shape in inputs if shape} - {None}
        for rule, shape in zip(self.labels, labels, strict=True):
            if shape and shape[0] is not None and rows and shape[0] not in rows:
                raise InputError(
                    f"x has {min(rows)} rows in a batch and {rule.name} has {shape[0]}; give as many of both"
                )
        width = next((x[name].shape[1] for name in WIDTH_OF if isinstance(x, dict) and name in x), None)
        width = width or next((shape[1] for shape in inputs if len(shape) == 2), None)
        for rule, shape in zip(self.labels, labels, strict=True):
            if rule.per_token and len(shape) > 1 and None not in (width, shape[1]):
                same = self.ours and width == shape[1]
                gives = width if same else self._width_of_output(x, rule.output)  # it may be shorter than x
                if gives is not None and gives != shape[1]:
                    raise InputError(
                        f"{rule.name} has {shape[1]} labels a row, and {self.model.name} gives {gives} for rows of "
                        f"{width}; give a label for each, negative where none counts"
                    )

    def _check_places(self, x, y):
        """Places in a text, of answers or of masked words, are within it."""
        texts = zip(self.inputs, tf.nest.flatten(x), strict=True)
        width = next((leaf.shape[1] for rule, leaf in texts if len(leaf.shape) == 2 and not rule.places), None)
        for rule, leaf in zip([*self.inputs, *self.labels], [*_leaves(x), *_leaves(y)], strict=True):
            if rule.places and width is not None and leaf.max() >= width:
                raise InputError(f"{rule.name} holds the place {leaf.max()}, and the texts of x have {width} tokens")

    def _width_of_output(self, x, name):
        symbols = tf.nest.map_structure(
            lambda leaf: keras.KerasTensor(leaf.shape, dtype=keras.backend.standardize_dtype(leaf.dtype)), x
        )
        outputs = self.model(symbols)
        return (outputs[name] if isinstance(outputs, dict) else outputs).shape[1]


def _leaves(part):
    return [np.asarray(leaf) for leaf in tf.nest.flatten(part)]
