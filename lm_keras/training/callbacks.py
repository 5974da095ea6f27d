"""Keras' callbacks in `fit`: of the model that is trained, whatever network trains it."""

import keras
import tensorflow as tf

from lm_keras.errors import InputError


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

    def on_train_begin(self, logs=None):
        self._trained.stop_training = False
        if not self._begun:
            super().on_train_begin(logs)
        self._begun = True

    def on_train_end(self, logs=None):
        self._last_logs = logs

    def finish(self) -> None:
        """Tells the callbacks that the training has ended, if it has begun."""
        if self._begun:
            super().on_train_end(self._last_logs)

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)
        self._network.stop_training |= self._trained.stop_training

    def on_epoch_end(self, epoch, logs=None):
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
