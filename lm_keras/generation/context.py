"""Texts that are longer than a model's memory.

A model of limited `context_length` W reads a text in windows: when a row has filled its W slots, it forgets the
older half, reads the newer half again from position 0, and goes on. So the token at place n is always predicted
from at least W // 2 tokens (or all there are), and by the same rule in scoring, prompts and decoding.
"""

import weakref
from collections.abc import Sequence

import keras
import tensorflow as tf

from lm_keras.generation.step import logits_of, owned, state_spec, step_hidden
from lm_keras.utils.functions import function, traced_of

PIECE = 64  # tokens a step of a text that is only read


def walk_of(model: keras.Model) -> "Walk":
    """How a text of any length is read by a model: a `SlidingWalk` where its memory is limited."""
    return Walk(model) if model.context_length is None else SlidingWalk(model)


class Walk:
    """One token a row after the other, or all of a prompt at once, by a model whose memory never fills.

    The caller's loop alone holds the state, see `step.owned`.
    """

    def __init__(self, model: keras.Model):
        self.model, self.vocab_size = model, model.vocab_size

    @property
    def state_spec(self) -> list[tf.TensorSpec]:
        return state_spec(self.model)

    def initial_state(self, batch_size: tf.Tensor | int, length: tf.Tensor | int | None = None) -> list[tf.Tensor]:
        return self.model.initial_state(batch_size, length)

    def step(self, ids: tf.Tensor, state: Sequence[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """ids int32 [B, 1], state -> (logits [B, 1, V], new state)."""
        hidden, state = self.step_hidden(ids, state)
        return logits_of(self.model, hidden), state

    def step_hidden(self, ids: tf.Tensor, state: Sequence[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """As `step`, with the vectors [B, 1, H] before the output layer."""
        return step_hidden(self.model, ids, state)

    def read(self, ids: tf.Tensor, state: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The state after left-padded prompts ids [B, T] from the initial state."""
        ids, *memory = self.known(ids)
        return [*memory, *read(self.model, ids, state[len(memory) :])]

    def known(self, ids: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """What is still known of left-padded prompts ids [B, T] when they have been read, and the state beside."""
        return (ids,)


class SlidingWalk(Walk):
    """The walk of a model of limited memory, without end.

    Its state is `recent` int32 [B, W], the newest tokens (-1: none yet), `filled` int32 [B], how many of them the
    model has in its memory, and then the model's own state.
    """

    def __init__(self, model: keras.Model):
        super().__init__(model)
        self.window = model.context_length
        self.kept = self.window - older_half(self.window)

    @property
    def state_spec(self) -> list[tf.TensorSpec]:
        return [
            tf.TensorSpec([None, self.window], tf.int32),
            tf.TensorSpec([None], tf.int32),
            *state_spec(self.model),
        ]

    def initial_state(self, batch_size: tf.Tensor | int, length: tf.Tensor | int | None = None) -> list[tf.Tensor]:
        nothing = tf.fill([batch_size, self.window], -1)
        return [nothing, tf.zeros([batch_size], tf.int32), *self.model.initial_state(batch_size, length)]

    def step_hidden(self, ids: tf.Tensor, state: Sequence[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        recent, filled, *inner = state
        full = (filled == self.window) & (ids[:, 0] >= 0)
        inner = tf.cond(tf.reduce_any(full), lambda: read_again(self.model, recent, full, inner), lambda: inner)
        filled = tf.where(full, self.kept, filled)
        hidden, inner = step_hidden(self.model, ids, inner)
        recent = tf.where(ids >= 0, tf.concat([recent[:, 1:], ids], 1), recent)
        return hidden, [recent, filled + tf.cast(ids[:, 0] >= 0, tf.int32), *inner]

    def known(self, ids: tf.Tensor) -> tuple[tf.Tensor, ...]:
        ids = in_window(ids, self.window)
        missing = tf.maximum(self.window - tf.shape(ids)[1], 0)
        recent = tf.pad(ids, [[0, 0], [missing, 0]], constant_values=-1)
        return ids, recent, tf.reduce_sum(tf.cast(ids >= 0, tf.int32), 1)


def read_again(model: keras.Model, recent: tf.Tensor, rows: tf.Tensor, state: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """The state in which those rows know the newer half of `recent` alone; the other rows' is as it was.

    This is rare in a decoding loop, and as large as the model: all graphs call one function, traced once.
    """
    spec, shapes = state_spec(model), any_batch(state)
    again = traced_of(model.step_model).get(model.step_model, _again, lambda: _again(weakref.ref(model), spec))
    state = again(recent, rows, list(state))
    for part, shape in zip(state, shapes, strict=True):  # the caller may know more of them
        part.set_shape(shape)
    return state


def _again(model, state):
    """The function of a model, which is held weakly, and of its state's spec."""
    ids, rows = tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.bool)

    @function(input_signature=[ids, rows, state])
    def again(recent, rows, state):
        newer = recent[:, older_half(model().context_length) :]
        state = [
            tf.where(tf.reshape(rows, [-1] + [1] * (part.shape.rank - 1)), tf.zeros_like(part), part)
            for part in state
        ]
        return read(model(), tf.where(rows[:, None], newer, -1), state)

    return again


def read(model: keras.Model, ids: tf.Tensor, state: Sequence[tf.Tensor], piece: int = PIECE) -> Sequence[tf.Tensor]:
    """The state after ids int32 [B, T], in pieces, which bounds the memory of a long text.

    The logits are not used, so the graph leaves their product out.
    """
    until = tf.shape(ids)[1]

    def body(start, *state):
        end = tf.minimum(start + piece, until)
        _, state = step_hidden(model, ids[:, start:end], state)
        return end, *state

    return tf.while_loop(
        lambda start, *_: start < until,
        body,
        [tf.constant(0), *owned(state)],
        shape_invariants=[tf.TensorShape([]), *any_batch(state)],
    )[1:]


def in_window(ids: tf.Tensor, window: int) -> tf.Tensor:
    """The tokens of left-padded prompts [B, T] that are still known when the whole prompt has been read."""
    count = tf.reduce_sum(tf.cast(ids >= 0, tf.int32), 1, keepdims=True)
    half = older_half(window)
    forgotten = -(-tf.maximum(count - window, 0) // half) * half
    place = tf.range(tf.shape(ids)[1])[None] - (tf.shape(ids)[1] - count)
    return tf.where(place >= forgotten, ids, -1)[:, -window:]


def older_half(window: int) -> int:
    """How many tokens of a full window are forgotten."""
    return -(-window // 2)


def any_batch(state: Sequence[tf.Tensor]) -> list[tf.TensorShape]:
    """The shapes of a state in a loop over any number of rows."""
    return [tf.TensorShape([None, *part.shape[1:]]) for part in state]
