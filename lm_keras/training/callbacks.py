"""Callbacks: `FrozenFor`, and what lets those of Keras work in `fit` as in `model.fit`."""

from collections.abc import Iterable

import keras
import tensorflow as tf
from keras import ops

from lm_keras.errors import InputError
from lm_keras.utils.checks import check_whole
from lm_keras.utils.keras_internals import flatten_layers

# === Pretrained word vectors that stay as they are until the layers above them have learned something ===


class FrozenFor(keras.callbacks.Callback):
    """Keeps the weights of the layers named `layer` as they are for the first `epochs` epochs, to the bit.

    For `lk.fit` and `model.fit`. The number of the epoch decides, so a resumed run goes on as it would have. The
    layer stays trainable, and what an update changes in it is taken back, weight decay too: the train function and
    the optimizer's variables are the same before and after, clipping counts the gradient all the time, and Adam's
    averages are warm when the layer begins to learn (`layer.trainable = True` would start them at zero, late: too
    large steps). Constraints still apply. After a `model.fit` that ended with an error, `compile` again.

    Args:
        epochs: The number of epochs at the start of the run, of at least 1, in which the weights stay.
        layer: The name of the layer, or of several layers; those within models and layers are found too.

    Raises:
        InputError: For another number of epochs, and when training begins, if no layer of that name has weights to
            train.
    """

    def __init__(self, epochs: int, layer: str = "embedding"):
        super().__init__()
        self.epochs, self.layer = check_whole("epochs", epochs), layer
        self.frozen = keras.Variable(False, trainable=False, dtype="bool", name="frozen")
        self.holds = []

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        _release(model.variables)  # what a run that was interrupted left

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.holds = [_Hold(variable, self.frozen, self.model) for variable in self._variables()]
        for hold in self.holds:
            hold.variable.constraint = hold
        self.model.make_train_function(force=True)  # one of an earlier `fit` knows nothing of this

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.frozen.assign(epoch < self.epochs)
        for hold in self.holds if epoch < self.epochs else ():
            hold.values.assign(hold.variable)

    def on_train_end(self, logs: dict | None = None) -> None:
        self.frozen.assign(False)
        _release(hold.variable for hold in self.holds)
        self.holds = []

    def _variables(self) -> list[keras.Variable]:
        layers = [layer for layer in flatten_layers(self.model) if layer.trainable_variables]
        found = {id(v): v for layer in layers if layer.name == self.layer for v in layer.trainable_variables}
        if not found:
            names = dict.fromkeys(layer.name for layer in layers[1:])
            raise InputError(f"no layer {self.layer!r} has weights to train; give one of: {', '.join(names)}")
        return list(found.values())


class _Hold:
    """A constraint, which an optimizer applies after an update: puts the values back while `frozen` is true.

    Args:
        variable: The variable; the constraint that it has is applied after this one.
        frozen: A variable that holds a bool.
        model: The model in training. Compiled again, it is no longer held.
    """

    def __init__(self, variable: keras.Variable, frozen: keras.Variable, model: keras.Model):
        self.variable, self.own, self.frozen = variable, variable.constraint, frozen
        self.model, self.optimizer = model, model.optimizer
        self.values = keras.Variable("zeros", variable.shape, variable.dtype, trainable=False, name="held")

    def __call__(self, value: object) -> object:
        if self.model.optimizer is self.optimizer:
            value = ops.where(self.frozen.value, self.values.value, ops.convert_to_tensor(value))
        return value if self.own is None else self.own(value)


def _release(variables: Iterable[keras.Variable]) -> None:
    """Gives each variable the constraint that it had before."""
    for variable in variables:
        while isinstance(variable.constraint, _Hold):
            variable.constraint = variable.constraint.own


# === Keras' callbacks in `fit`: of the model that is trained, whatever network trains it ===


class OfModel(keras.callbacks.CallbackList):
    """A list of callbacks whose `callback.model` is `model`; where it stops its training, that of the network stops.

    Contiguous windows are read by another network of the same weights, which carries the state along and cannot be
    saved. A run may take several calls of `model.fit`; the callbacks hear of one beginning and, by `finish`, one end.
    """

    def __init__(self, callbacks: list, model: keras.Model):
        super().__init__(callbacks)
        self._trained, self._network, self._begun, self._last_logs = model, model, False, None
        super().set_model(model)

    def set_model(self, model: keras.Model) -> None:
        self._network = model  # the callbacks have theirs, once: `FrozenFor` begins anew with it

    def on_train_begin(self, logs: dict | None = None) -> None:
        self._trained.stop_training = False
        if not self._begun:
            super().on_train_begin(logs)
        self._begun = True

    def on_train_end(self, logs: dict | None = None) -> None:
        self._last_logs = logs

    def finish(self) -> None:
        """Tells the callbacks that the training has ended, if it has begun."""
        if self._begun:
            super().on_train_end(self._last_logs)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        super().on_train_batch_end(batch, logs)
        self._network.stop_training |= self._trained.stop_training

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        super().on_epoch_end(epoch, logs)
        self._network.stop_training |= self._trained.stop_training


def check_place(model: keras.Model, callbacks: list) -> None:
    """Raises InputError within a strategy of several devices, and for a callback that would do what `fit` does."""
    strategies = tf.distribute.get_strategy(), model.distribute_strategy
    if any(strategy.num_replicas_in_sync > 1 for strategy in strategies):
        raise InputError(
            "fit trains on one device, and the model or the call is within a strategy of several; leave its scope, "
            "or give strategy='multi_worker'"
        )
    if any(isinstance(callback, keras.callbacks.BackupAndRestore) for callback in callbacks):
        raise InputError(
            "BackupAndRestore does what fit does itself; give TrainingConfig(output_dir=..., resume=True) instead"
        )
