"""A frozen language model after a prompt that is learned: what is trained are the prompt's own numbers alone."""

from collections.abc import Sequence
from typing import Any, NoReturn

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from lm_keras.errors import InputError
from lm_keras.layers.blocks import TransformerBlock, recompute_set
from lm_keras.layers.dense import Dense
from lm_keras.layers.positions import with_columns_checked
from lm_keras.models.base import LogitsModel
from lm_keras.models.causal_lm import CausalLM
from lm_keras.models.learned import LearnedPrompt, cut_state, facts_of, growing_axes, state_after_vectors, with_room
from lm_keras.utils.checks import check_choice
from lm_keras.utils.keras_internals import flatten_layers

REPARAMETERIZATIONS = (None, "mlp", "lstm")


# === The prompt's numbers ===
class LearnedVectors(layers.Layer):
    """Vectors [K, E] that are read in the place of words (prompt tuning, Lester et al. 2021).

    With a reparameterization (P-tuning, Liu et al. 2021) they are e + f(e): e [K, E] and the weights of f are
    learned. f is two dense layers with a ReLU between, "mlp", or these over a bidirectional LSTM, "lstm". Its last
    layer starts at zero (Razdaibiedina et al. 2023 add e too), so that the prompt starts at the given vectors.

    Args:
        start: The vectors [K, E] to start from.
        reparameterization: None, "mlp" or "lstm".
        seed: Of the starting weights of f.
    """

    def __init__(self, start: np.ndarray, reparameterization: str | None = None, seed: int = 0, **kwargs: Any):
        super().__init__(autocast=False, dtype="float32", **kwargs)
        check_choice("reparameterization", reparameterization, REPARAMETERIZATIONS)
        self.num_tokens, width = start.shape
        self.vectors = self.add_weight((self.num_tokens, width), _values(start), name="vectors", autocast=False)
        kernels = [keras.initializers.GlorotUniform(seed=seed + i) for i in range(2)]
        self.recurrent = self.widen = self.back = None
        if reparameterization is not None:
            self.widen = Dense(width, "relu", kernel_initializer=kernels[0], dtype="float32", name="widen")
            self.back = Dense(width, kernel_initializer="zeros", dtype="float32", name="back")
        if reparameterization == "lstm":
            turn = keras.initializers.Orthogonal(seed=seed)
            cell = layers.LSTM(
                max(width // 2, 1), return_sequences=True, kernel_initializer=kernels[1], recurrent_initializer=turn,
                use_cudnn=False, dtype="float32",
            )  # fmt: skip
            self.recurrent = layers.Bidirectional(cell, dtype="float32", name="lstm")
        self._build_layers((1, *self.vectors.shape))
        self.built = True

    def _build_layers(self, shape):
        if self.recurrent is not None:
            self.recurrent.build(shape)
            shape = (*shape[:2], 2 * max(shape[2] // 2, 1))
        if self.widen is not None:
            self.widen.build(shape)
            self.back.build((1, *self.vectors.shape))

    def values(self) -> tf.Tensor:
        """The vectors [K, E], float32."""
        vectors = tf.convert_to_tensor(self.vectors)
        if self.widen is None:
            return vectors
        x = vectors[None] if self.recurrent is None else self.recurrent(vectors[None])
        return vectors + tf.cast(self.back(self.widen(x))[0], tf.float32)

    def state(self, model: CausalLM) -> list[tf.Tensor]:
        """The state of a model after the vectors, [1, ...], without room for more tokens."""
        # Computed again, the keys and values of which the state is made would have no gradient.
        blocks = [layer for layer in flatten_layers(model.step_model) if isinstance(layer, TransformerBlock)]
        with recompute_set(blocks, False):
            return cut_state(state_after_vectors(model, self.values()), model, self.num_tokens)

    def learned(self, model: CausalLM) -> LearnedPrompt:
        """The prompt as it is now."""
        vectors = np.array(ops.convert_to_numpy(self.values()))
        return LearnedPrompt(self.num_tokens, vectors=vectors, model=facts_of(model))


class LearnedState(layers.Layer):
    """The state of a model after K tokens (prefix tuning, Li & Liang 2021): keys and values, or h and c.

    Args:
        start: The parts of the state to start from, without the batch axis. Those of whole numbers are not learned.
        num_tokens: K.
    """

    def __init__(self, start: Sequence[np.ndarray], num_tokens: int, **kwargs: Any):
        super().__init__(autocast=False, dtype="float32", **kwargs)
        self.num_tokens = num_tokens
        self.parts = [
            self.add_weight(part.shape, _values(part), name=f"state_{i}", autocast=False)
            if part.dtype.kind == "f"
            else part
            for i, part in enumerate(start)
        ]
        if not self.weights:
            raise InputError("the state of this model has no part of numbers that could be learned; use PromptTuning")
        self.built = True

    def state(self, model: CausalLM) -> list[tf.Tensor]:
        """The state of a model after the prompt, [1, ...], without room for more tokens."""
        return [tf.convert_to_tensor(part)[None] for part in self.parts]

    def learned(self, model: CausalLM) -> LearnedPrompt:
        """The prompt as it is now."""
        parts = tuple(np.array(ops.convert_to_numpy(part)) for part in self.parts)
        return LearnedPrompt(self.num_tokens, state=parts, model=facts_of(model))


def _values(start):
    """An initializer of given values; `keras.initializers.Constant` would write them into a graph."""
    return lambda shape, dtype=None: ops.convert_to_tensor(np.asarray(start), dtype)


# === The model that is trained ===
class AfterPrompt(layers.Layer):
    """ids [B, T] -> logits [B, T, V] of a frozen model after a learned prompt, by its step.

    Args:
        prompt: A `LearnedVectors` or `LearnedState`.
        model: The model. It computes as when it answers: without dropout, its norms with the means that they have.
    """

    def __init__(self, prompt: LearnedVectors | LearnedState, model: CausalLM, **kwargs: Any):
        super().__init__(autocast=False, **kwargs)
        self.prompt, self.step_model = prompt, model.step_model
        # In a function: Keras tracks tuples too, and the metrics of the model's own training would come with it.
        self._of = lambda: model
        self.room = None if model.context_length is None else model.context_length - prompt.num_tokens
        self.built = True

    def call(self, ids: tf.Tensor) -> tf.Tensor:
        model = self._of()
        ids = self._checked(ids)
        batch, length = tf.shape(ids)[0], tf.shape(ids)[1]
        state = []
        parts = with_room(self.prompt.state(model), model, length + 1)  # and the spare slot
        for part, axis in zip(parts, growing_axes(model), strict=True):
            if axis and self.room is not None and ids.shape[1] is None:  # where XLA runs no check
                part = tf.where(length <= self.room, part, np.nan)
            state.append(tf.repeat(part, batch, axis=0))
        logits, *_ = self.step_model([ids, *state], training=False)
        return logits

    def compute_output_spec(self, ids):
        model = self._of()
        return keras.KerasTensor((*ids.shape, model.vocab_size), model.step_model.outputs[0].dtype)

    def _checked(self, ids):
        """The ids; InputError where they are too many, or the same once the graph has looked."""
        if self.room is None:
            return ids
        told = (
            f"and after the prompt of {self.prompt.num_tokens} the model has room for {self.room}; make the windows "
            f"with length={self.room} or less"
        )
        if ids.shape[1] is None:
            return with_columns_checked(ids, self.room, f"a text has more tokens, {told}")
        if ids.shape[1] > self.room:
            raise InputError(f"a text has {ids.shape[1]} tokens, {told}")
        return ids


class PromptedLM(LogitsModel):
    """A functional `keras.Model`, ids [B, T] -> logits [B, T, V], of a frozen model after a learned prompt.

    Its variables are the prompt's alone: an optimizer, a checkpoint and the best weights of a run hold no others, and
    the model itself, which stays trainable, is not changed.

    Args:
        prompt: A `LearnedVectors` or `LearnedState`.
        model: The model.
    """

    def __init__(self, prompt: LearnedVectors | LearnedState, model: CausalLM):
        ids = keras.Input((None,), dtype="int32", name="ids")
        after = AfterPrompt(prompt, model, name="after_prompt")
        super().__init__(ids, after(ids), name=f"{model.name}_prompted")
        self.vocab_size, self.longest = model.vocab_size, after.room

    @property
    def prompt(self) -> LearnedVectors | LearnedState:
        """The layer that is learned."""
        return self.get_layer("after_prompt").prompt

    @property
    def trainable_variables(self) -> list:
        return self.prompt.trainable_variables

    @property
    def trainable_weights(self) -> list:
        return self.prompt.trainable_weights

    @property
    def non_trainable_variables(self) -> list:
        return self.prompt.non_trainable_variables

    @property
    def non_trainable_weights(self) -> list:
        return self.prompt.non_trainable_weights

    @property
    def variables(self) -> list:
        return self.prompt.variables

    @property
    def weights(self) -> list:
        return self.prompt.weights

    def save(self, *arguments: object, **options: object) -> NoReturn:
        """Refuses to write the whole model once more: what was learned is small."""
        raise InputError("this model is a language model and its prompt; save the prompt: tuned.save(path)")

    def get_config(self) -> NoReturn:
        raise InputError("this model is a language model and its prompt; save the prompt: tuned.save(path)")
