"""Truncated back-propagation: a model that starts each batch where the last one ended."""

import keras

from lm_keras.errors import InputError


class CarriedStep(keras.layers.Layer):
    """Runs a model's step view, ids [B, T] -> logits [B, T, V], from the state that the last call left.

    The state is a constant to the gradient, so back-propagation ends at the start of the batch.
    """

    def __init__(self, model, batch_size):
        super().__init__(name="carried_step", autocast=False)
        self.step_model = model.step_model
        self.state = [
            self.add_weight(shape=s.shape, initializer="zeros", trainable=False, name=f"state_{i}")
            for i, s in enumerate(model.initial_state(batch_size))
        ]

    def call(self, ids):
        logits, *state = self.step_model([ids, *[variable.value for variable in self.state]])
        for variable, value in zip(self.state, state, strict=True):
            variable.assign(keras.ops.cast(value, variable.dtype))
        return logits

    def reset(self):
        for variable in self.state:
            variable.assign(keras.ops.zeros_like(variable))


def carry_state(model, batch_size):
    """A `keras.Model` that shares `model`'s weights and carries its state from batch to batch.

    For contiguous windows (`lm_windows(..., contiguous=True)`), ids [batch_size, T] -> logits. Call
    `carried.reset_state()` before each pass over the data. Source: Zaremba et al. 2014, section 4.1.
    InputError for a model of growing memory (attention).
    """
    if not hasattr(model, "step_model"):
        raise InputError(f"{model.name} has no step view to carry a state; give windows made with contiguous=False")
    if model.context_length is not None:
        raise InputError(f"{model.name} has no state of fixed size to carry; give windows made with contiguous=False")
    ids = keras.Input(batch_shape=(batch_size, None), dtype="int32", name="ids")
    layer = CarriedStep(model, batch_size)
    carried = keras.Model(ids, layer(ids), name=f"{model.name}_carried")
    carried.reset_state = layer.reset
    return carried
