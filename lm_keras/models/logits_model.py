"""A Keras model that gives logits, and refuses what would train on something else without a word."""

import contextlib

import keras
import numpy as np
import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.losses import check_takes_logits, takes_no_negative_label
from lm_keras.utils.keras_internals import source_of
from lm_keras.utils.traced import traced_of

NEGATIVE = (
    "a label is negative, which keras.losses.SparseCategoricalCrossentropy does not take; compile with "
    "lm_keras.losses.CrossEntropy(), which leaves out such labels"
)


@keras.saving.register_keras_serializable("lm_keras")
class LogitsModel(keras.Model):
    """A functional `keras.Model` whose outputs are logits, or numbers without bounds: no probabilities.

    `compile` takes what Keras' does and leaves the loss as it is, but refuses one that expects probabilities. `fit`,
    `evaluate` and `predict` see layers that change in place (`quantize`, `enable_lora`), for which the step views
    and encoders are such models too.
    """

    def compile(self, optimizer="rmsprop", loss=None, *arguments, metrics=None, weighted_metrics=None, **options):
        """Keras' `compile`.

        Raises:
            InputError: for a loss or a metric that expects probabilities, such as "sparse_categorical_crossentropy";
                the line names the right one.
        """
        check_takes_logits(self.name, loss, metrics, weighted_metrics, list(arguments[1:3]))
        options |= {} if metrics is None else {"metrics": metrics}
        options |= {} if weighted_metrics is None else {"weighted_metrics": weighted_metrics}
        super().compile(optimizer, loss, *arguments, **options)

    def compile_from_config(self, config):
        # Keras' own refuses a class that has a `compile`.
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def fit(self, x=None, y=None, *arguments, validation_data=None, **options):
        pair = validation_data if isinstance(validation_data, (tuple, list)) else (validation_data, None)
        with self._labels_checked(x, y) as x, self._labels_checked(*pair[:2]) as first:
            validation_data = first if pair[1] is None else validation_data
            return super().fit(x, y, *arguments, validation_data=validation_data, **options)

    def evaluate(self, x=None, y=None, *arguments, **options):
        with self._labels_checked(x, y) as x:
            return super().evaluate(x, y, *arguments, **options)

    def train_on_batch(self, x, y=None, *arguments, **options):
        with self._labels_checked(x, y):
            return super().train_on_batch(x, y, *arguments, **options)

    def test_on_batch(self, x, y=None, *arguments, **options):
        with self._labels_checked(x, y):
            return super().test_on_batch(x, y, *arguments, **options)

    @contextlib.contextmanager
    def _labels_checked(self, x, y):
        """Gives `x`; InputError for negative labels that the loss does not take, of a dataset when they are read."""
        loss = getattr(self, "loss", None)
        if not any(takes_no_negative_label(part) for part in keras.tree.flatten(loss)):
            yield x
            return
        for part in [] if y is None else map(np.asarray, _plain(loss, y)):
            if part.dtype.kind in "if" and part.min(initial=0) < 0:
                raise InputError(NEGATIVE)
        if isinstance(x, tf.data.Dataset):
            # Of the base class: the labels change nothing of what another dataset knows of its windows.
            x = tf.data.Dataset.map(x, lambda *batch: _checked(loss, batch))
        try:
            yield x
        except tf.errors.InvalidArgumentError as error:
            # Of a generator, which is not looked at, the operation itself says it where XLA does not compile it.
            if NEGATIVE not in str(error) and "Received a label value of -" not in str(error):
                raise
            raise InputError(NEGATIVE) from None

    # Keras keeps what `fit`, `evaluate` and `predict` traced when a layer's variables change in place.
    def make_train_function(self, force=False):
        return super().make_train_function(force or self._changed("train"))

    def make_test_function(self, force=False):
        return super().make_test_function(force or self._changed("test"))

    def make_predict_function(self, force=False):
        return super().make_predict_function(force or self._changed("predict"))

    def _changed(self, function):
        """True when the layers are others than at the last call for this function."""
        fresh = []
        traced_of(self).get(self, function, lambda: fresh.append(True))
        return bool(fresh)


def check_loss(model: keras.Model, loss: object) -> None:
    """Raises InputError for a loss of probabilities where `model` is known to give logits."""
    outputs = getattr(model, "outputs", None) or []
    last = source_of(outputs[0]) if len(outputs) == 1 else None
    if isinstance(model, LogitsModel) or getattr(last, "activation", None) is keras.activations.linear:
        check_takes_logits(model.name, loss)


def _plain(loss, y):
    """The labels of those outputs whose loss takes no negative ones."""
    if isinstance(loss, dict) and isinstance(y, dict):
        return [y[name] for name, part in loss.items() if name in y and takes_no_negative_label(part)]
    if isinstance(loss, (list, tuple)) and isinstance(y, (list, tuple)) and len(loss) == len(y):
        return [part for own, part in zip(loss, y, strict=True) if takes_no_negative_label(own)]
    return keras.tree.flatten(y) if takes_no_negative_label(loss) else []


def _checked(loss, batch):
    """A batch (x, y, ...) of a dataset, whose labels are looked at when it is read: XLA would leave that out."""
    labels = _plain(loss, batch[1]) if len(batch) > 1 else []
    checks = [tf.debugging.assert_non_negative(part, NEGATIVE) for part in labels]
    with tf.control_dependencies([check for check in checks if check is not None]):
        return tf.nest.map_structure(tf.identity, batch)
