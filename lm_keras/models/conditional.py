"""A language model that is given the context of a text: a domain, a speaker, a register, a source."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from lm_keras.errors import InputError, damaged
from lm_keras.layers.padding import PackTokens, UnpackTokens
from lm_keras.layers.positions import with_columns_checked
from lm_keras.models.base import LogitsModel, output_model
from lm_keras.models.causal_lm import CausalLM, Views
from lm_keras.utils.checks import check_choice, check_number, check_whole

WAYS = ("token", "vector")
MOST_CONTEXTS = 2**20


# === Layers ===
class ReadContext(layers.Layer):
    """The vectors that a model reads: of words, and of contexts from a table [C + 1, E], its row 0 of no context.

    Args:
        num_contexts: C.
        width: E.
        by: "token": rows int32 [B, t] say which column is read as a context, negative where it is a word. "vector":
            the vector of row [B, 1] is added to that of every word.
    """

    def __init__(self, num_contexts: int, width: int, by: str, **kwargs: Any):
        super().__init__(autocast=False, dtype="float32", **kwargs)
        self.by = by
        self.table = self.add_weight((num_contexts + 1, width), "zeros", name="table", autocast=False)
        self.built = True

    def call(self, words: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        own = ops.cast(tf.gather(self.table, ops.maximum(rows, 0)), words.dtype)  # (B, t, E) or (B, 1, E)
        return words + own if self.by == "vector" else ops.where(rows[..., None] >= 0, own, words)

    def compute_output_spec(self, words, rows):
        return keras.KerasTensor(words.shape, words.dtype)


class FromStart(layers.Layer):
    """ids [B, T] -> what a step gives for them from the state before all text, [B, T, D].

    Args:
        step_model: The functional model [ids [B, t], *state] -> [B, t, D].
        initial_state: A function of `(batch_size, length)`, see `Views`.
        room: The most columns of a row; None: any number.
    """

    def __init__(self, step_model: keras.Model, initial_state: Callable, room: int | None, **kwargs: Any):
        super().__init__(autocast=False, **kwargs)
        self.step_model, self.initial_state, self.room = step_model, initial_state, room
        self.built = True

    def call(self, ids: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        checked = self.room is not None and ids.shape[1] is None
        if self.room is not None and not checked and ids.shape[1] > self.room:
            raise InputError(f"a row has {ids.shape[1]} columns and the model has room for {self.room}; give fewer")
        if checked:
            ids = with_columns_checked(ids, self.room, "a row has more columns than the model has room for")
        length = tf.shape(ids)[1]
        found = self.step_model([ids, *self.initial_state(tf.shape(ids)[0], length)], training=training)
        if checked:
            found = tf.where(length <= self.room, found, np.nan)  # where XLA runs no check
        return found

    def compute_output_spec(self, ids, training=None):
        found = self.step_model.outputs[0]
        return keras.KerasTensor((*ids.shape, found.shape[-1]), found.dtype)


class DropContext(layers.Layer):
    """Contexts int32 [B] (-1: none) -> rows of the table [B]; in training a context is dropped with a probability.

    Args:
        num_contexts: C.
        drop: The probability.
        seed: Of the draws.
    """

    def __init__(self, num_contexts: int, drop: float, seed: int, **kwargs: Any):
        super().__init__(autocast=False, **kwargs)
        self.num_contexts, self.drop = num_contexts, drop
        self.generator = keras.random.SeedGenerator(seed)
        self.built = True

    def call(self, context: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        rows = ops.where((context >= 0) & (context < self.num_contexts), ops.cast(context, "int32") + 1, 0)
        if not training or self.drop == 0:
            return rows
        kept = keras.random.uniform(ops.shape(rows), seed=self.generator) >= self.drop
        return ops.where(kept, rows, 0)

    def compute_output_spec(self, context, training=None):
        return keras.KerasTensor(context.shape, "int32")


# === The model ===
@keras.saving.register_keras_serializable("lm_keras")
class ConditionalModel(CausalLM):
    """A `CausalLM` whose rows may begin with the mark of a context: the id V says "no context", V + 1 + i context i.

    A row has one mark at most, before its first word; the logits stay those of the V words. It shares all layers with
    the model that it is made of, and adds a table of context vectors.

    by="token": the context's vector is read in the place of a word, as CTRL reads its codes (Keskar et al. 2019). It
    takes a place of the model's memory: a model that sees its last n words forgets it after n words. Without a mark a
    row is read as the model without contexts reads it.

    by="vector": the context's vector is added to the vector of every word. The context is a part of the state, and
    its mark takes no place. A row without a mark has no context.

    Args:
        inner: A `CausalLM`, of any family, that names its word vectors (`Views.step_embedded`).
        num_contexts: C.
        by: "token" or "vector".
        name: The name of the model.

    Raises:
        InputError: For other arguments.
    """

    def __init__(self, inner: CausalLM, num_contexts: int, by: str = "token", *, name: str | None = None):
        check_choice("by", by, WAYS)
        if not isinstance(inner, CausalLM) or isinstance(inner, ConditionalModel):
            raise InputError(f"contexts are learned by a CausalLM without contexts, not a {type(inner).__name__}")
        num_contexts = check_whole("num_contexts", num_contexts, most=MOST_CONTEXTS)
        name = name or f"{inner.name}_by_context"
        width = inner.word_vectors_model.output_shape[-1]
        read = ReadContext(num_contexts, width, by, name="contexts")
        step, found, head, views = _step_view(inner, read, by, name)
        room = None if inner.context_length is None else inner.context_length + (by == "vector")
        start = FromStart(found, views.initial_state, room, name="from_start")
        ids = keras.Input((None,), dtype="int32", name="ids")
        hidden = start(ids)
        super().__init__(ids, hidden if head is None else head(hidden), views=views, name=name)
        self.by, self.num_contexts, self.recipe, self.policy = by, num_contexts, inner.recipe, inner.policy
        # In a function: Keras would count its layers, and the metrics of its own training, a second time.
        self._parts = lambda: (inner, read, start, head)

    @property
    def inner(self) -> CausalLM:
        """The model without contexts, which shares its layers."""
        return self._parts()[0]

    @property
    def table(self) -> keras.Variable:
        """The context vectors [C + 1, E]; row 0 is that of no context."""
        return self._parts()[1].table

    def mark(self, context: int) -> int:
        """The id that a row of a context begins with; -1: of none."""
        return self.vocab_size + 1 + context

    def training_model(self, drop: float = 0.1, seed: int = 0) -> "ConditionalTraining":
        """The `keras.Model` that is trained: {"ids" [B, T], "context" [B]} -> logits [B, T, V].

        Args:
            drop: The probability that a row's context is dropped, so that the model learns to speak without too.
            seed: Of the draws.
        """
        return ConditionalTraining(self, drop, seed)

    def after_contexts(self, ids: Any, rows: Any) -> Any:
        """Logits [B, T, V] of ids [B, T] after contexts, rows [B] of the table; for the graph of a training."""
        _, _, start, head = self._parts()
        marks = ops.expand_dims(rows + self.vocab_size, 1)
        found = start(ops.concatenate([marks, ids], axis=1))[:, 1:]  # nothing is predicted from a mark alone
        return found if head is None else head(found)

    def get_config(self) -> dict[str, Any]:
        return {
            "inner": self.inner.get_config(),
            "num_contexts": self.num_contexts,
            "by": self.by,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        with damaged("the configuration of the model"):
            inner = CausalLM.from_config(config["inner"])
            return cls(inner, config["num_contexts"], config["by"], name=config["name"])


class ConditionalTraining(LogitsModel):
    """A functional `keras.Model`, {"ids" [B, T], "context" [B]} -> logits [B, T, V]; see `ConditionalModel`.

    A context is its place in the list, -1 for none. What is trained are the weights of the language model and the
    context vectors.
    """

    def __init__(self, model: ConditionalModel, drop: float, seed: int):
        check_number("drop", drop, least=0, most=1)
        inputs = {
            "context": keras.Input((), dtype="int32", name="context"),
            "ids": keras.Input((None,), dtype="int32", name="ids"),
        }
        rows = DropContext(model.num_contexts, drop, seed, name="drop_context")(inputs["context"])
        super().__init__(inputs, model.after_contexts(inputs["ids"], rows), name=f"{model.name}_training")
        self.vocab_size, self.num_contexts = model.vocab_size, model.num_contexts
        window = model.context_length
        self.longest = None if window is None else window - (model.by == "token")


def _step_view(inner: CausalLM, read: ReadContext, by: str, name: str) -> tuple:
    """The step with contexts; its part before the output layer; that layer, or None; and the `Views`."""
    body, head, has_hidden = _body_and_head(inner)
    ids = keras.Input((None,), dtype="int32", name="step_ids")
    old = inner.step_model.inputs[1:]
    state = [keras.Input(part.shape[1:], dtype=part.dtype, name=f"state_{i}") for i, part in enumerate(old)]
    # By "vector" the context stands second in the state: a growing one has its length first, and memory last.
    context = [keras.Input((), dtype="int32", name="context")] if by == "vector" else []
    places = None
    if by == "token" and any(isinstance(layer, PackTokens) for layer in inner.step_model.layers):
        tokens, places, _ = PackTokens(name="pack_marks")(ids)  # as the model does, whose word vectors come so
    else:
        tokens = ids
    known, rows, context_after = _contexts_of(tokens, inner.vocab_size, read.table.shape[0] - 1, context)
    vectors = read(inner.word_vectors_model(known), rows)
    outputs = body([known, vectors, *state])
    found, new = outputs[: 1 + (head is None and has_hidden)], outputs[1 + (head is None and has_hidden) :]
    if places is not None:
        unpack = UnpackTokens(name="unpack_marks")
        found = [unpack(part, places) for part in found]
    logits = found[0] if head is None else head(found[0])
    hidden = found[-1] if has_hidden else None

    def arranged(parts: Sequence, second: Sequence) -> list:
        return [*parts[:1], *second, *parts[1:]]

    inputs = [ids, *arranged(state, context)]
    step = LogitsModel(inputs, [logits, *arranged(new, context_after)], name=f"{name}_step")
    before_output = LogitsModel(inputs, found[0], name=f"{name}_before_output")

    def initial_state(batch_size, length=None):
        none = [ops.zeros((batch_size,), "int32")] if context else []
        return arranged(inner.initial_state(batch_size, length), none)

    views = Views(step, initial_state, context_length=inner.context_length, step_hidden=hidden)
    return step, before_output, head, views


def _contexts_of(ids, vocab_size, num_contexts, context_before):
    """Of ids with marks: those of words alone, the rows of the table to read, and the state's context after them."""
    marked = ids >= vocab_size
    given = ops.where(marked, ops.minimum(ids - vocab_size, num_contexts), -1)
    if not context_before:
        return ops.where(marked, 0, ids), given, []
    latest = ops.max(ops.pad(given, [[0, 0], [1, 0]], constant_values=-1), axis=1)  # of no column too
    context = ops.where(latest >= 0, latest, context_before[0])
    return ops.where(marked, -1, ids), context[:, None], [context]


def _body_and_head(inner):
    """[ids, vectors, *state] -> [hidden, *new state]; hidden -> logits; and whether there are hidden vectors at all.

    Where the logits are not made of these alone: [logits, hidden, *new state] and None.
    """
    if inner.views.step_embedded is None:
        raise InputError(
            f"{inner.name} does not say which tensor holds its word vectors; its builder gives it to its views as "
            "step_embedded"
        )
    view, hidden = inner.step_model, inner.views.step_hidden
    head = output_model(view, hidden)
    if head is not None:
        head.supports_masking = True  # recurrent layers hand on which columns are words
    first = [hidden] if head is not None else [view.outputs[0]] if hidden is None else [view.outputs[0], hidden]
    inputs = [view.inputs[0], inner.views.step_embedded, *view.inputs[1:]]
    body = LogitsModel(inputs, [*first, *view.outputs[1:]], name=f"{inner.name}_after_vectors")
    body.dtype_policy = inner.dtype_policy  # in which it was built, not what is set now
    return body, head, hidden is not None
