"""The decoding loop: prompts in, one token a row and step out, over any model's step view."""

import functools
from collections.abc import Callable, Mapping, Sequence

import keras
import tensorflow as tf

from lm_keras.generation.context import any_batch, read, walk_of
from lm_keras.generation.prompt_cache import PromptCache, begin, first_column
from lm_keras.generation.sampling import sample
from lm_keras.generation.step import owned
from lm_keras.models.seq2seq import Seq2SeqLM

GREEDY_STEPS = 16  # tokens a call of `decode_greedy`
GREEDY_ROOM = 128  # the memory's length is a multiple of it: each length is compiled anew


# === Before the first new token ===
def pad_left(rows: Sequence[Sequence[int]]) -> tf.Tensor:
    """Lists of ids -> int32 [B, T], each row ending in the last column, -1 ("no token") before it."""
    width = max((len(row) for row in rows), default=1)
    return tf.constant([[-1] * (width - len(row)) + list(row) for row in rows], tf.int32, [len(rows), width])


def prefill(
    model: keras.Model,
    ids: tf.Tensor,
    max_new_tokens: tf.Tensor | int,
    begun: PromptCache | None = None,
    kept: tf.Tensor | int = 0,
) -> list[tf.Tensor]:
    """State after all but the last token of ids int32 [B, T] (left-padded with -1), with room for what follows.

    What of a long prompt is still known to a model of limited context, and which tokens are `kept`: see
    `generation.context`. Rows that begin with what `begun` has read are read from there.
    """
    walk, length = walk_of(model, begun, kept), tf.shape(ids)[1] + max_new_tokens
    ids, *memory = walk.known(ids[:, :-1])
    if begun is None:
        return [*memory, *read(model, ids, model.initial_state(tf.shape(ids)[0], length))]
    ids, state = begin(model, ids, begun, length)
    return [*memory, *read(model, ids[:, first_column(ids) :], state)]


def encode_source(model: Seq2SeqLM, ids: tf.Tensor, max_new_tokens: tf.Tensor | int) -> list[tf.Tensor]:
    """The state of a `Seq2SeqLM` before the begin mark, for sources int32 [B, S] (-1: no token)."""
    ids = tf.pad(ids, [[0, 0], [0, tf.cast(tf.shape(ids)[1] == 0, tf.int32)]], constant_values=-1)
    return model.encode(ids, max_new_tokens + 1)


def read_prompts(
    model: keras.Model,
    ids: tf.Tensor,
    max_new_tokens: tf.Tensor | int,
    which: tf.Tensor,
    begun: PromptCache | None = None,
    kept: tf.Tensor | int = 0,
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """The last token and the state before it of the prompts `which` [B] of ids [P, T]; see `prefill`.

    Of a `Seq2SeqLM`, ids are sources and, in the last column, the begin mark of the target.
    """
    if isinstance(model, Seq2SeqLM):
        state = encode_source(model, ids[:, :-1], max_new_tokens)
    else:
        state = prefill(model, ids, max_new_tokens, begun, kept)
    return tf.gather(ids[:, -1], which), [tf.gather(part, which) for part in state]


# === The loop ===
def decode(
    model: keras.Model,
    token: tf.Tensor,
    state: Sequence[tf.Tensor],
    remaining: tf.Tensor,
    num_steps: tf.Tensor | int,
    options: Mapping[str, tf.Tensor] | None = None,
    *,
    banned: tf.Tensor,
    eos_id: tf.Tensor | int,
    position: tf.Tensor | int = 0,
    seen: tf.Tensor | None = None,
    choose: Callable = sample,
    min_new_tokens: tf.Tensor | int = 0,
    num_top: tf.Tensor | int = 0,
    begun: PromptCache | None = None,
    kept: tf.Tensor | int = 0,
    guidance: tf.Tensor | None = None,
) -> tuple:
    """Up to `num_steps` new tokens a row, after `token` in `state`.

    Args:
        model: A `CausalLM` or `Seq2SeqLM` with vocabulary V.
        token: int32 [B], the last token of each row.
        state: What came before it, as `prefill` or `model.encode` gives.
        remaining: int32 [B], how many tokens each row may still have.
        num_steps: The most steps of the loop.
        options: Those of `choose`, [B] each. None: greedy.
        banned: float32 [V], added to the logits (-inf: never chosen).
        eos_id: One id or several, at which a row ends; not chosen before place `min_new_tokens`.
        position: The place of the first new token in its text.
        seen: bool [B, V], for the repetition penalty; each new token is added.
        choose: `sampling.sample`, or a function of its arguments that gives the next token of each row.
        min_new_tokens: See `eos_id`.
        num_top: How many of the likeliest words to give at each place.
        begun: What the rows begin with, for a model of limited context that keeps it.
        kept: How many first tokens such a model never forgets, as `prefill` was told.
        guidance: float32 [B], how far each row goes away from what it would say without its context, see `guided`.
            The state is then of 2 B rows, the second half of them without; or of B, where no row is guided.

    Returns:
        Tokens int32 [B, n] (-1 after a row's end); their log-probabilities [B, n] under the model itself; where the
        loop stands (token, state, remaining, seen); and the likeliest words at each place: (log-probabilities, ids),
        both [B, n, num_top].
    """
    step, options, state = walk_of(model, begun, kept).step, options or {}, owned(state)
    step = step if guidance is None else functools.partial(guided_step, step, guidance)
    ends, track = end_marks(eos_id, model.vocab_size), seen is not None
    seen = seen if track else tf.zeros([tf.shape(token)[0], 0], tf.bool)

    def body(i, token, remaining, seen, *loop):
        arrays, state = loop[:4], loop[4:]

        new, log_prob, log_p, remaining, state = advance(
            step, token, state, remaining, banned, ends, position + i < min_new_tokens,
            lambda logits: choose(logits, options, position + i, token, seen),
        )  # fmt: skip
        if track:
            seen |= tf.one_hot(new, tf.shape(log_p)[-1], True, False)
        made = (new, log_prob, *tf.math.top_k(log_p, num_top))
        arrays = [array.write(i + 1, entry) for array, entry in zip(arrays, made, strict=True)]
        return i + 1, new, remaining, seen, *arrays, *state

    row, several = tf.zeros_like(token), tf.zeros([tf.shape(token)[0], num_top], tf.int32)
    arrays = [
        # Entry 0 is cut off again: an array without any entry could not be stacked.
        tf.TensorArray(t, 1, dynamic_size=True, element_shape=[None] * len(x.shape)).write(0, tf.cast(x, t))
        for x, t in ((row, tf.int32), (row, tf.float32), (several, tf.float32), (several, tf.int32))
    ]
    rows, scalar = tf.TensorShape([None]), tf.TensorShape([])
    _, token, remaining, seen, *after = tf.while_loop(
        lambda i, token, remaining, *_: (i < num_steps) & tf.reduce_any(remaining > 0),
        body,
        [tf.constant(0), token, remaining, seen, *arrays, *state],
        shape_invariants=[scalar, rows, rows, tf.TensorShape([None, None]), *[scalar] * 4, *any_batch(state)],
    )
    tokens, log_probs, *top = (array.stack()[1:] for array in after[:4])
    where = token, after[4:], remaining, seen
    return tf.transpose(tokens), tf.transpose(log_probs), where, [tf.transpose(part, [1, 0, 2]) for part in top]


def follow(
    model: keras.Model,
    token: tf.Tensor,
    state: Sequence[tf.Tensor],
    tokens: tf.Tensor,
    num_top: tf.Tensor | int,
    **memory: object,
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Log-probabilities [B, n] of tokens [B, n] (-1 after a row's end), and the likeliest words at each place.

    `memory` is `begun` and `kept` of `decode`.
    """
    length = tf.reduce_sum(tf.cast(tokens >= 0, tf.int32), -1)
    _, log_probs, _, top = decode(
        model, token, state, length, tf.shape(tokens)[1], banned=0.0, eos_id=-1, num_top=num_top,
        choose=lambda logits, options, position, token, seen: tf.maximum(tf.gather(tokens, position, axis=1), 0),
        **memory,
    )  # fmt: skip
    return log_probs, top


def advance(step, token, state, remaining, banned, ends, early, choose) -> tuple:
    """One token more for each row that may still have one, after `token` [B] in `state`.

    `ends` [V] marks the words that end a row, which are not chosen while it is `early`; `choose(logits [B, V])` gives
    [B]. Returns the new tokens [B] (-1: none), their log-probabilities [B], those of all words [B, V], `remaining`
    and the state after `token`.
    """
    alive = remaining > 0
    logits, state = step(tf.where(alive, token, -1)[:, None], list(state))
    logits = tf.cast(logits, tf.float32)
    new = choose(tf.where(ends & early, -float("inf"), logits[:, 0] + banned))  # the first of a guided step's two
    logits = logits[:, -1]  # (B, V)
    log_p = tf.nn.log_softmax(logits)
    log_prob, ended = tf.gather(log_p, new, batch_dims=1), tf.gather(ends, new)
    new = tf.where(alive & ~ended, new, -1)
    made = new >= 0
    return new, tf.where(made, log_prob, 0.0), log_p, tf.where(made, remaining - 1, 0), state


# === Guidance: away from what would be said without a context ===
def guided(with_context: tf.Tensor, without: tf.Tensor, guidance: tf.Tensor) -> tf.Tensor:
    """log p(. | c) + g (log p(. | c) - log p(.)), up to a constant (Ho & Salimans 2022; Sanchez et al. 2023).

    Args:
        with_context: Logits [B, V].
        without: Logits [B, V].
        guidance: g, float32 [B]. 0: the logits with the context, unchanged.

    Returns:
        float32 [B, V].
    """
    log_p, log_q = tf.nn.log_softmax(with_context), tf.nn.log_softmax(without)
    g = guidance[:, None]
    return tf.where(g == 0, with_context, log_p + g * (log_p - log_q))


def guided_step(step: Callable, guidance: tf.Tensor, ids: tf.Tensor, state: Sequence[tf.Tensor]) -> tuple:
    """`step` of ids [B, 1] for a state of 2 B rows, or B: [B, 2, V], guided and the model's own, and the state."""
    batch = tf.shape(ids)[0]
    copies = tf.shape(state[0])[0] // tf.maximum(batch, 1)
    logits, state = step(tf.tile(ids, [copies, 1]), state)
    logits = tf.cast(logits[:, -1], tf.float32)
    own, without = logits[:batch], logits[tf.shape(logits)[0] - batch :]
    return tf.stack([guided(own, without, guidance), own], 1), state


def end_marks(eos_id: tf.Tensor | int, vocab_size: int) -> tf.Tensor:
    """Which words end a text, bool [V]; `eos_id` is one id or several."""
    return tf.reduce_any(tf.one_hot(tf.reshape(eos_id, [-1]), vocab_size, True, False), 0)


# === Greedy decoding that XLA compiles: nothing in it has a size that is known only while it runs ===
def decode_greedy(
    model: keras.Model,
    token: tf.Tensor,
    state: Sequence[tf.Tensor],
    remaining: tf.Tensor,
    *,
    banned: tf.Tensor,
    eos_id: tf.Tensor | int,
    position: tf.Tensor | int,
    min_new_tokens: tf.Tensor | int,
) -> tuple:
    """`decode` without options, for GREEDY_STEPS tokens of a model whose memory holds them."""
    ends, batch = end_marks(eos_id, model.vocab_size), tf.shape(token)[0]

    def body(i, token, remaining, tokens, log_probs, *state):
        new, log_prob, _, remaining, state = advance(
            model.step, token, state, remaining, banned, ends, position + i < min_new_tokens,
            lambda logits: tf.argmax(logits, -1, tf.int32),
        )  # fmt: skip
        at = [[i]]
        tokens = tf.tensor_scatter_nd_update(tokens, at, new[None])
        return i + 1, new, remaining, tokens, tf.tensor_scatter_nd_update(log_probs, at, log_prob[None]), *state

    loop = [0, token, remaining, tf.fill([GREEDY_STEPS, batch], -1), tf.zeros([GREEDY_STEPS, batch]), *state]
    _, token, remaining, tokens, log_probs, *state = tf.while_loop(
        lambda i, token, remaining, *_: (i < GREEDY_STEPS) & tf.reduce_any(remaining > 0), body, loop
    )
    return tf.transpose(tokens), tf.transpose(log_probs), (token, state, remaining)


def greedy_room(model: keras.Model, longest_prompt: int, max_new_tokens: int) -> int | None:
    """Room for so many new tokens, rounded up; None where the model's memory cannot hold them all."""
    needed = longest_prompt + max_new_tokens
    if model.context_length is None:
        return max_new_tokens
    if needed > model.context_length:
        return None
    return -(-needed // GREEDY_ROOM) * GREEDY_ROOM - longest_prompt
