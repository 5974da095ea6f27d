"""Pretrained word vectors that stay as they are until the layers above them have learned something."""

import keras
import tensorflow as tf

from lm_keras.errors import InputError

_METHOD = "_backend_apply_gradients"  # of an optimizer: all that changes variables, weight decay included


class FrozenFor(keras.callbacks.Callback):
    """Keeps the weights of the layers named `layer` as they are for the first `epochs` epochs, to the bit.

    For `fit` and `model.fit`; the number of the epoch decides, so a resumed run goes on as it would have. The layer
    stays trainable and its updates are dropped: the train function and the optimizer's variables are the same before
    and after, clipping counts the gradient all the time, and Adam's averages are warm when the layer begins to learn
    (`layer.trainable = True` would start them at zero, late: too large steps). Constraints still
    apply. After a `model.fit` that ended with an error, `compile` again.
    Raises InputError, when training begins, if no layer of that name has weights to train.
    """

    def __init__(self, epochs, layer="embedding"):
        super().__init__()
        if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
            raise InputError(f"epochs is {epochs!r}; it must be a whole number of at least 1")
        self.epochs, self.layer = epochs, layer
        self.frozen = keras.Variable(False, trainable=False, dtype="bool", name="frozen")

    def set_model(self, model):
        super().set_model(model)
        vars(self._optimizer()).pop(_METHOD, None)  # what a run that was interrupted left

    def on_train_begin(self, logs=None):
        variables, apply = self._variables(), getattr(self._optimizer(), _METHOD)

        def apply_to_others(*arguments):
            before = [tf.identity(v.value) for v in variables]
            apply(*arguments)
            for variable, old in zip(variables, before, strict=True):
                variable.assign(tf.where(self.frozen.value, old, variable.value))

        vars(self._optimizer())[_METHOD] = apply_to_others  # past Keras' __setattr__
        self.model.make_train_function(force=True)  # one of an earlier `fit` knows nothing of this

    def on_epoch_begin(self, epoch, logs=None):
        self.frozen.assign(epoch < self.epochs)

    def on_train_end(self, logs=None):
        self.frozen.assign(False)
        vars(self._optimizer()).pop(_METHOD, None)

    def _optimizer(self):  # that within one that scales the loss
        return getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)

    def _variables(self):
        layers = [layer for layer in self.model._flatten_layers() if layer.trainable_variables]
        found = {id(v): v for layer in layers if layer.name == self.layer for v in layer.trainable_variables}
        if not found:
            names = dict.fromkeys(layer.name for layer in layers[1:])
            raise InputError(f"no layer {self.layer!r} has weights to train; give one of: {', '.join(names)}")
        return list(found.values())
