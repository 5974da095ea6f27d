"""Texts that are longer than a model's memory.

A model of limited `context_length` W reads a text in windows: when a row has filled its W slots, it forgets the
older half, reads the newer half again from position 0, and goes on. So the token at place n is always predicted
from at least W // 2 tokens (or all there are), and by the same rule in scoring, prompts and decoding.

The first `kept` tokens of a row, a prompt (`LanguageModel.with_prompt`), are never forgotten: the rule holds for the
tokens after them, in the W - `kept` slots that they leave.
"""

import weakref
from collections.abc import Sequence

import keras
import tensorflow as tf

from lm_keras.generation.prompt_cache import PromptCache, begin, first_column
from lm_keras.generation.step import logits_of, owned, state_spec, step_hidden
from lm_keras.utils.functions import function, traced_of

PIECE = 64  # tokens a step of a text that is only read


def walk_of(model: keras.Model, begun: PromptCache | None = None, kept: tf.Tensor | int = 0) -> "Walk":
    """How a text of any length is read by a model: a `SlidingWalk` where its memory is limited."""
    return Walk(model) if model.context_length is None else SlidingWalk(model, begun, kept)


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
        vectors, state = self.step_hidden(ids, state)
        return logits_of(self.model, vectors), state

    def step_hidden(self, ids: tf.Tensor, state: Sequence[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """As `step`, with the vectors [B, 1, N] of `generation.step.step_hidden`."""
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

    Its state is `recent` int32 [B, W], the tokens that are kept and the newest ones after them (-1: none yet),
    `filled` int32 [B], how many of the newest ones the model has in its memory, and then the model's own state.

    Args:
        model: A model of limited context.
        begun: What rows may begin with: those that do are not read from their first token when they forget.
        kept: How many of a row's first tokens are never forgotten.
    """

    def __init__(self, model: keras.Model, begun: PromptCache | None = None, kept: tf.Tensor | int = 0):
        super().__init__(model)
        self.window, self.begun, self.kept = model.context_length, begun, kept
        self.room = self.window - kept

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
        full = (filled == self.room) & (ids[:, 0] >= 0)
        inner = tf.cond(
            tf.reduce_any(full),
            lambda: read_again(self.model, recent, full, inner, self.begun, self.kept),
            lambda: inner,
        )
        filled = tf.where(full, self.room - older_half(self.room), filled)
        vectors, inner = step_hidden(self.model, ids, inner)
        new = ids >= 0
        pushed, later = self._pushed(recent, ids)
        recent = tf.ensure_shape(tf.where(new, pushed, recent), [None, self.window])
        return vectors, [recent, filled + tf.cast(new[:, 0] & later, tf.int32), *inner]

    def _pushed(self, recent, ids):
        """`recent` with one token more, and whether that comes after those that are kept."""
        if isinstance(self.kept, int) and self.kept == 0:
            return tf.concat([recent[:, 1:], ids], 1), True
        first, later = recent[:, : self.kept], recent[:, self.kept :]
        held = tf.reduce_sum(tf.cast(first >= 0, tf.int32), 1, keepdims=True)  # fewer where a prompt alone was read
        whole = held == self.kept
        first = tf.where(tf.range(self.kept)[None] == held, ids, first)
        later = tf.where(whole, tf.concat([later[:, 1:], ids], 1), later)
        return tf.concat([first, later], 1), whole[:, 0]

    def known(self, ids: tf.Tensor) -> tuple[tf.Tensor, ...]:
        ids = in_window(ids, self.window, self.kept)
        later = ids[:, self.kept :]
        missing = tf.fill([tf.shape(ids)[0], tf.maximum(self.window - tf.shape(ids)[1], 0)], -1)
        recent = tf.ensure_shape(tf.concat([ids[:, : self.kept], missing, later], 1), [None, self.window])
        return ids, recent, tf.reduce_sum(tf.cast(later >= 0, tf.int32), 1)


def read_again(
    model: keras.Model,
    recent: tf.Tensor,
    rows: tf.Tensor,
    state: Sequence[tf.Tensor],
    begun: PromptCache | None = None,
    kept: tf.Tensor | int = 0,
) -> list[tf.Tensor]:
    """The state in which those rows know what is kept and the newer half of the rest of `recent` alone.

    The other rows' is as it was.

    This is rare in a decoding loop, and as large as the model: all graphs call one function, traced once.
    """
    spec, shapes = state_spec(model), any_batch(state)
    key = (_again, begun is not None, begun is not None and bool(begun.learned))
    again = traced_of(model.step_model).get(model.step_model, key, lambda: _again(weakref.ref(model), spec, *key[1:]))
    state = again(recent, rows, list(state), *([begun, kept] if begun else []))
    for part, shape in zip(state, shapes, strict=True):  # the caller may know more of them
        part.set_shape(shape)
    return state


def _again(model, state, prompted, learned):
    """The function of a model, which is held weakly, and of its state's spec."""
    ids, rows = tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.bool)
    prompt = [cache_spec(state, learned), tf.TensorSpec([], tf.int32)] if prompted else []

    @function(input_signature=[ids, rows, state, *prompt])
    def again(recent, rows, state, begun=None, kept=0):
        newer = recent[:, kept + older_half(model().context_length - kept) :]
        newer = newer if begun is None else tf.concat([recent[:, :kept], newer], 1)
        newer = tf.where(rows[:, None], newer, -1)
        if begun is None:
            first = [tf.zeros_like(part) for part in state]
        else:  # a row is full: its state has room for all that the model can hold
            newer, first = begin(model(), newer, begun, model().context_length)
            newer = newer[:, first_column(newer) :]
        state = [
            tf.where(tf.reshape(rows, [-1] + [1] * (part.shape.rank - 1)), new, part)
            for new, part in zip(first, state, strict=True)
        ]
        return read(model(), newer, state)

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


def in_window(ids: tf.Tensor, window: int, kept: tf.Tensor | int = 0) -> tf.Tensor:
    """The tokens of left-padded prompts [B, T] that are still known when the whole prompt has been read.

    The first `kept` of a row stand in as many columns before the others.
    """
    count = tf.reduce_sum(tf.cast(ids >= 0, tf.int32), 1, keepdims=True)
    width, half = tf.shape(ids)[1], older_half(window - kept)
    forgotten = -(-tf.maximum(count - window, 0) // half) * half
    place = tf.range(width)[None] - (width - count)
    later = tf.where(place >= kept + forgotten, ids, -1)[:, tf.maximum(kept, width - (window - kept)) :]
    if isinstance(kept, int) and kept == 0:
        return later
    first, wanted = tf.pad(ids, [[0, 0], [0, kept]], constant_values=-1), tf.range(kept)[None]
    first = tf.gather(first, tf.where(wanted < count, width - count + wanted, width), batch_dims=1)
    return tf.concat([first, later], 1)


def older_half(window: tf.Tensor | int) -> tf.Tensor | int:
    """How many tokens of a full window are forgotten."""
    return -(-window // 2)


def any_batch(state: Sequence[tf.Tensor]) -> list[tf.TensorShape]:
    """The shapes of a state in a loop over any number of rows."""
    return [tf.TensorShape([None, *part.shape[1:]]) for part in state]


def cache_spec(state: Sequence[tf.TensorSpec], learned: bool = False) -> PromptCache:
    """The specs of a `PromptCache`, from those of a model's own state; `learned`: after a learned prompt."""
    number = tf.TensorSpec([], tf.int32)
    return PromptCache(tf.TensorSpec([None], tf.int32), list(state), number, (number, *state) if learned else ())
