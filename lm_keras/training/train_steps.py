"""Two ways to change a training step: activations computed again (Chen et al. 2016), and a state carried along."""

import contextlib
from collections.abc import Iterator

import keras

from lm_keras.errors import InputError
from lm_keras.layers.blocks import TransformerBlock, recompute_set
from lm_keras.models.causal_lm import CausalLM
from lm_keras.models.prompted import PromptedLM
from lm_keras.utils.keras_internals import flatten_layers


@contextlib.contextmanager
def recomputing(model: keras.Model) -> Iterator[None]:
    """While it lasts, the gradient of `model` keeps of each transformer block no more than what enters it.

    The last block is kept: the gradient begins with it, so nothing would be gained. Dropout draws the same numbers
    in both passes.

    Args:
        model: A model with transformer blocks, or one around such a model.

    Raises:
        InputError: For a model without two blocks.
    """
    with recompute_set(blocks_to_recompute(model), True):
        yield


def blocks_to_recompute(model: keras.Model) -> list[TransformerBlock]:
    """The blocks of a model, and of the models in it, but the last of each; InputError where there are none."""
    models = [part for part in flatten_layers(model) if isinstance(part, keras.Model)]
    stacks = [[layer for layer in part.layers if isinstance(layer, TransformerBlock)] for part in models]
    blocks = [block for stack in stacks for block in stack[:-1]]
    if not blocks:
        raise InputError(f"{model.name} has no two transformer blocks to compute again; leave recompute out")
    return blocks


# === Truncated back-propagation: a model that starts each batch where the last one ended ===


class CarriedStep(keras.layers.Layer):
    """Runs a model's step view, ids [B, T] -> logits [B, T, V], from the state that the last call left.

    The state is a constant to the gradient, so back-propagation ends at the start of the batch.
    """

    def __init__(self, model: CausalLM, batch_size: int):
        super().__init__(name="carried_step", autocast=False)
        self.step_model = model.step_model
        self.state = [
            self.add_weight(shape=s.shape, initializer="zeros", trainable=False, name=f"state_{i}")
            for i, s in enumerate(model.initial_state(batch_size))
        ]

    def call(self, ids: object) -> object:
        logits, *state = self.step_model([ids, *[variable.value for variable in self.state]])
        for variable, value in zip(self.state, state, strict=True):
            variable.assign(keras.ops.cast(value, variable.dtype))
        return logits

    def reset(self) -> None:
        for variable in self.state:
            variable.assign(keras.ops.zeros_like(variable))


class CarriedModel(keras.Model):
    """A functional `keras.Model`, ids [batch_size, T] -> logits [batch_size, T, V], that carries its state along."""

    def __init__(self, model: CausalLM, batch_size: int):
        ids = keras.Input(batch_shape=(batch_size, None), dtype="int32", name="ids")
        super().__init__(ids, CarriedStep(model, batch_size)(ids), name=f"{model.name}_carried")

    def reset_state(self) -> None:
        """Sets the state to zeros, as before the first batch."""
        self.get_layer("carried_step").reset()


def carry_state(model: keras.Model, batch_size: int) -> CarriedModel:
    """Returns a model that shares the weights of `model` and carries its state from batch to batch.

    For contiguous windows (`lm_windows(..., contiguous=True)`). Call `carried.reset_state()` before each pass over
    the data. Source: Zaremba et al. 2014, section 4.1.

    Args:
        model: A `CausalLM` with a state of fixed size: `build_lstm_lm`, `build_rnn_lm`, `build_feedforward_lm`, ...
        batch_size: The rows of every batch.

    Returns:
        A functional `keras.Model`, ids int32 [batch_size, T] -> logits [batch_size, T, V].

    Raises:
        InputError: For another model, and for one of growing memory (attention).
    """
    if isinstance(model, PromptedLM):
        raise InputError("a learned prompt stands before each window; give windows made with contiguous=False")
    if not isinstance(model, CausalLM):
        raise InputError(f"{model.name} has no step view to carry a state; give windows made with contiguous=False")
    if model.context_length is not None:
        raise InputError(f"{model.name} has no state of fixed size to carry; give windows made with contiguous=False")
    return CarriedModel(model, batch_size)
