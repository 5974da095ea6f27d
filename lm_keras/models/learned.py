"""`LearnedPrompt`: what stands before all text and no text says, vectors in the place of words or a first state."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lm_keras.errors import InputError, damaged
from lm_keras.models.causal_lm import CausalLM
from lm_keras.models.keras_file import check_finite
from lm_keras.utils.atomic_files import path_of, write_tensors
from lm_keras.utils.checks import check_whole
from lm_keras.utils.saved_kinds import LEARNED_PROMPT, read_kind

KIND = "learned prompt"
MOST_TOKENS = 2**16  # each of which has an id in every row


@dataclasses.dataclass(frozen=True, eq=False)
class LearnedPrompt:
    """A learned prompt of a `CausalLM`: `PromptTuning.learned` and `PrefixTuning.learned` give it.

    `lm.with_prompt(learned)` is the language model after it. It stands before the begin mark and takes the places of
    `num_tokens` tokens.

    Args:
        num_tokens: K, the tokens in whose place it stands.
        vectors: float32 [K, E], read in the place of word vectors; or None.
        state: In their place the state after it, the parts of `model.initial_state` without the batch axis: keys and
            values [heads, K, D] for a transformer, h and c [H] for an LSTM; or None.
        model: What tells which model it is of: its name, builder and sizes.

    Raises:
        InputError: There is neither `vectors` nor `state`, or both; or numbers that are not finite.
    """

    num_tokens: int
    vectors: np.ndarray | None = None
    state: tuple[np.ndarray, ...] | None = None
    model: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        check_whole("num_tokens", self.num_tokens, most=MOST_TOKENS)
        if (self.vectors is None) == (self.state is None):
            raise InputError("a learned prompt has vectors or a state, one of the two; give one of them")
        parts = [self.vectors] if self.state is None else self.state
        for part in parts:
            check_finite("a learned prompt", np.asarray(part), "train it again with a lower learning rate")
        if self.vectors is not None and (self.vectors.ndim != 2 or len(self.vectors) != self.num_tokens):
            shape = list(self.vectors.shape)
            raise InputError(f"vectors have the shape {shape}; a prompt of {self.num_tokens} needs as many rows")

    @property
    def num_parameters(self) -> int:
        """How many numbers it has."""
        parts = [self.vectors] if self.state is None else [part for part in self.state if part.dtype.kind == "f"]
        return sum(math.prod(part.shape) for part in parts)

    def sample(self) -> bytes:
        """Nothing: its numbers do not change."""
        return b""

    def current(self, model: CausalLM) -> LearnedPrompt:
        """Itself."""
        return self

    def first_state(self, model: CausalLM) -> list[tf.Tensor]:
        """The state of a model after this prompt.

        Args:
            model: The model.

        Returns:
            Tensors [1, ...], with room for `num_tokens` and a spare one where the state grows.

        Raises:
            InputError: The prompt is of a model of other sizes.
        """
        self.check_fits(model)
        if self.vectors is not None:
            return state_after_vectors(model, tf.constant(self.vectors))
        return with_room([tf.constant(part)[None] for part in self.state], model, 1)

    def check_fits(self, model: CausalLM) -> None:
        """Raises InputError unless this is a prompt as a model takes it."""
        if self.vectors is not None:
            found, wanted = [self.vectors.shape], [(self.num_tokens, width_of(model))]
        else:
            found, wanted = [part.shape for part in self.state], state_shapes(model, self.num_tokens)
        of = f" of {self.model['name']}" if self.model.get("name") else ""
        if found == wanted:
            self._check_numbers(model, of)
            return
        kind = "vectors" if self.state is None else "a state"
        pairs = [pair for pair in zip(found, wanted, strict=False) if pair[0] != pair[1]]
        sizes = f"{list(pairs[0][0])}, not {list(pairs[0][1])}" if pairs else f"{len(found)} parts, not {len(wanted)}"
        raise InputError(
            f"the learned prompt{of} is {kind} of {sizes} as {model.name} takes them; give the model that it was "
            "learned for"
        )

    def _check_numbers(self, model, of):
        """The types of a state, and how many tokens it says it holds: beyond these the next one would be written."""
        if self.state is None:
            return
        types = ["int32" if "int" in part.dtype else "float32" for part in model.step_model.inputs[1:]]
        same = [part.dtype for part in self.state] == types
        if not same or (model.context_length is not None and int(self.state[0]) != self.num_tokens):
            raise InputError(
                f"the learned prompt{of} is no state after {self.num_tokens} tokens as {model.name} has it; give the "
                "model that it was learned for"
            )

    def save(self, path: str | os.PathLike) -> None:
        """Writes the prompt to one small file of safetensors, which `load` reads.

        Args:
            path: The file.

        Raises:
            InputError: It cannot be written there.
        """
        facts = {"format": LEARNED_PROMPT, "num_tokens": self.num_tokens, "model": self.model}
        if self.vectors is not None:
            tensors = {"vectors": np.asarray(self.vectors, order="C")}
        else:
            tensors = {f"state/{i:04d}": np.asarray(part, order="C") for i, part in enumerate(self.state)}
        write_tensors(path_of(path), tensors, facts)

    @classmethod
    def load(cls, path: str | os.PathLike) -> LearnedPrompt:
        """Reads a file that `save` wrote.

        Args:
            path: The file.

        Returns:
            The LearnedPrompt.

        Raises:
            InputError: It is none, or damaged.
        """
        tensors, facts = read_kind(path, KIND, "LearnedPrompt.load")
        with damaged(path_of(path), "it holds no learned prompt of this version; save it again"):
            vectors = tensors.pop("vectors", None)
            state = tuple(tensors[name] for name in sorted(tensors))
            parts = [(vectors, "f")] if vectors is not None else [(part, "fi") for part in state]
            if not isinstance(facts["model"], dict) or any(part.dtype.kind not in kinds for part, kinds in parts):
                raise ValueError("its facts are none")
            return cls(facts["num_tokens"], vectors, state or None, facts["model"])


def facts_of(model: CausalLM) -> dict[str, Any]:
    """What a learned prompt keeps of the model that it is of."""
    recipe = model.recipe
    return {"name": model.name, **({} if recipe is None else {"builder": recipe.builder, "sizes": recipe.arguments})}


def width_of(model: CausalLM) -> int:
    """E, the width of a model's word vectors."""
    return model.word_vectors_model.output_shape[-1]


# === A state without room to spare, as it is learned and saved, and one that a model goes on from ===
def state_shapes(model: CausalLM, num_tokens: int) -> list[tuple[int, ...]]:
    """The shapes of a model's state after so many tokens, without the batch axis."""
    shapes = [part.shape[1:] for part in model.step_model.inputs[1:]]
    return [tuple(num_tokens if size is None else size for size in shape) for shape in shapes]


def cut_state(state: Sequence[tf.Tensor], model: CausalLM, num_tokens: int) -> list[tf.Tensor]:
    """The parts of a state, those that grow cut to so many tokens."""
    return [
        part[(*[slice(None)] * axis, slice(num_tokens))] if axis else part
        for part, axis in zip(state, growing_axes(model), strict=True)
    ]


def with_room(state: Sequence[tf.Tensor], model: CausalLM, more: tf.Tensor | int) -> list[tf.Tensor]:
    """The parts of a state, those that grow with so many empty slots after them."""
    return [
        tf.pad(part, [[0, more if axis == i else 0] for i in range(part.shape.rank)]) if axis else part
        for part, axis in zip(state, growing_axes(model), strict=True)
    ]


def growing_axes(model: CausalLM) -> list[int]:
    """The axis along which each part of a model's state grows with the tokens; 0 where it does not."""
    shapes = [part.shape[1:] for part in model.step_model.inputs[1:]]
    return [1 + shape.index(None) if None in shape else 0 for shape in map(tuple, shapes)]


def state_after(model: CausalLM, ids: Sequence[int]) -> list[np.ndarray]:
    """The parts of the state after ids, without the batch axis: keys and values of a transformer [heads, K, D]."""
    _, state = model.step(tf.constant([list(ids)], tf.int32), model.initial_state(1, len(ids)))
    return [keras.ops.convert_to_numpy(part)[0] for part in cut_state(state, model, len(ids))]


def state_after_vectors(model: CausalLM, vectors: tf.Tensor) -> list[tf.Tensor]:
    """The state after vectors [K, E] in the place of words, [1, ...], with a spare slot where it grows."""
    return model.step_vectors(vectors[None], model.initial_state(1, vectors.shape[0]))[1]
