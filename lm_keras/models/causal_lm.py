"""Two views of one set of layers: the whole sequence for training, one step for decoding."""

import dataclasses
from collections.abc import Callable

import keras
from keras import ops

import lm_keras.models


@dataclasses.dataclass(frozen=True)
class Views:
    """What a builder hands over beside its training graph (a plain object, so that Keras does not track it)."""

    step_model: keras.Model
    initial_state: Callable
    builder: str
    arguments: dict


@keras.saving.register_keras_serializable("lm_keras")
class CausalLM(keras.Model):
    """A functional `keras.Model`, ids [B, T] -> logits [B, T, V], with its step view.

    `model.step(ids, state)` -> `(logits, state)` shares the weights: ids int32 [B, t], where a negative id
    means "no token here" and leaves the state of that row as it was; `model.step_model` is the functional
    model behind it. `model.initial_state(B)` is the list of state tensors before the first token. The model
    saves as its builder's arguments and its weights, so `keras.models.load_model` brings back both views.
    """

    def __init__(self, inputs, outputs, *, views, name=None):
        super().__init__(inputs=inputs, outputs=outputs, name=name)
        self.views = views

    def step(self, ids, state):
        """ids [B, t], state -> (logits [B, t, V], new state)."""
        logits, *new_state = self.views.step_model([ops.convert_to_tensor(ids, "int32"), *state])
        # In mixed precision too, the state keeps its type from step to step.
        return logits, [ops.cast(new, old.dtype) for new, old in zip(new_state, state, strict=True)]

    @property
    def step_model(self):
        return self.views.step_model

    def initial_state(self, batch_size):
        return self.views.initial_state(batch_size)

    @property
    def vocab_size(self):
        return self.output_shape[-1]

    def get_config(self):
        return {"builder": self.views.builder, "arguments": self.views.arguments, "name": self.name}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        if config["builder"] not in lm_keras.models.BUILDERS.values():
            raise KeyError(config["builder"])
        builder = getattr(lm_keras.models, config["builder"])
        return builder(**config["arguments"], name=config["name"])
