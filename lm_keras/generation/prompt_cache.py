"""What texts begin with, read once: a prompt's token ids and the model's state after them.

A `PromptCache` changes how much is read, never what comes out: a row of ids starts in its state if it begins with the
ids that the state has read, and before its first token if not. To cut texts in place of ids would be wrong: the end
of a prompt may become another token with what follows it.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from lm_keras.text.tokenizers.base import Tokenizer

# What may follow a prompt: where a tokenizer joins one of these to the prompt's end, the prompt is cut before it.
CONTINUATIONS = (
    *(" ", " a", " 1", "a", "A", "s", "'s", "1", ".", ",", "-"),
    *("\n", "\n\n", " \n", "  ", "\u0301", "中", "🙂"),
)
MOST_WORDS = 64  # of the vocabulary, that go on with the last token
SAMPLE = 8  # numbers of a weight, by which a change is seen


class PromptCache(NamedTuple):
    """A beginning of texts, and the state of a model that has read it.

    Args:
        ids: int32 [N], the token ids of the beginning, the begin mark included.
        state: The model's state after the first `num_read` of them, tensors [1, ...].
        num_read: int32. The other ids are read with the text: the last one, because the token after it is predicted
            from it, and those before it that the tokenizer may join to what follows.
        learned: Of a learned prompt, with whose ids all rows begin, the number of these and its state; () without
            one. No model can read them: a row that does not begin with what `state` has read starts there.
    """

    ids: tf.Tensor
    state: list[tf.Tensor]
    num_read: tf.Tensor
    learned: Sequence[tf.Tensor] = ()


def nothing(model: keras.Model) -> PromptCache:
    """The `PromptCache` without any token."""
    return PromptCache(tf.zeros([0], tf.int32), model.initial_state(1, 0), tf.constant(0))


def first_ids(model: keras.Model, cache: PromptCache, count: int) -> PromptCache | None:
    """The `PromptCache` of the first `count` ids of one, all of which are read; None where its state has no part.

    The state of attention has one: its slots are those of the tokens. That of other models is what all tokens made
    of it; it is there for as many as it has read.
    """
    read = int(cache.num_read)
    if count >= read:
        return cache._replace(ids=cache.ids[:read])
    if not has_parts(model) or count < (int(cache.learned[0]) if cache.learned else 0):
        return None
    parts = cache.state[1:]
    parts = [tf.pad(part[:, :, :count], [[0, 0], [0, 0], [0, 1], [0, 0]]) for part in parts]
    return PromptCache(cache.ids[:count], [tf.fill([1], count), *parts], tf.constant(count), cache.learned)


def has_parts(model: keras.Model) -> bool:
    """Whether a model's state is that of `models.causal_lm.decoder`: the number of tokens, and slots of each."""
    _, filled, *parts = (part.shape for part in model.step_model.inputs)
    return len(filled) == 1 and bool(parts) and all(len(part) == 4 and part[2] is None for part in parts)


def facts_of_prompt(cache: PromptCache) -> dict[str, int]:
    """What a model card says of a prompt whose state is a constant of the graph, and no parameter."""
    numbers = sum(math.prod(part.shape) for part in cache.state)
    return {"prompt_tokens": int(tf.size(cache.ids)), "prompt_numbers": numbers}


def sample_of_weights(model: keras.Model) -> bytes:
    """Some numbers of every weight: other ones where the model has been trained, or its weights replaced."""
    line, places, some = tf.constant([-1]), {}, []
    for weight in model.weights:  # without the conveniences of `tf`, in a third of the time
        flat = tf.raw_ops.Reshape(tensor=tf.convert_to_tensor(weight.value), shape=line)
        size = flat.shape[0]
        if size not in places:
            places[size] = tf.range(0, size, max(size // SAMPLE, 1))
        part = tf.raw_ops.Gather(params=flat, indices=places[size])
        some.append(part if part.dtype == tf.float32 else tf.cast(part, tf.float32))
    return tf.concat(some, 0).numpy().tobytes()


# === In a graph: rows that start in its state ===
def begin(
    model: keras.Model, ids: tf.Tensor, cache: PromptCache, length: tf.Tensor | int, beyond: int = 0
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """What is left to read of rows of ids, and the states to start from.

    Args:
        model: The model that the state is of.
        ids: int32 [B, T], -1 where there is no token.
        cache: What rows may begin with.
        length: Tokens of a row that the states must have room for.
        beyond: A row must have so many of the cache's ids more than its state has read, as far as there are more.

    Returns:
        ids [B, T] with -1 for those that have been read, and a state [B, ...].
    """
    valid = ids >= 0
    place = tf.cumsum(tf.cast(valid, tf.int32), axis=1) - 1  # of a token in its row
    wanted, count = tf.concat([cache.ids, [-1]], 0), cache.num_read  # ids that must agree
    if beyond:
        count = tf.minimum(count + beyond, tf.maximum(tf.size(cache.ids), count))
    agree = tf.gather(wanted, tf.clip_by_value(place, 0, tf.size(cache.ids))) == ids
    agree = valid & agree & (place < count)
    begun = tf.reduce_sum(tf.cast(agree, tf.int32), 1) == count  # (B,)
    left = tf.where(begun[:, None] & (place < cache.num_read), -1, ids)
    if cache.learned:
        left = tf.where(place < cache.learned[0], -1, left)
    which = tf.cast(begun, tf.int32)
    return left, [tf.gather(part, which) for part in _first_and_state(model, cache, length)]


def _first_and_state(model, cache, length):
    """The state before all text, zero or that of a learned prompt, and that of a cache: tensors [2, ...].

    They have room for `length` tokens.
    """
    shapes, first, more, missing = [part.shape[1:] for part in model.step_model.inputs[1:]], cache.learned[1:], 0, 0
    if model.context_length is not None:  # its memory grows: slots for all tokens, and a spare one
        slots = tf.shape(cache.state[-1])[2]
        more = tf.maximum(tf.minimum(length, model.context_length) + 1 - slots, 0)
        missing = slots + more - tf.shape(first[-1])[2] if first else 0
    paddings, parts = {}, []
    for i, (shape, part) in enumerate(zip(shapes, cache.state, strict=True)):
        grows = tuple(size is None for size in shape)
        if grows not in paddings:  # one for all layers
            paddings[grows] = [
                tf.stack([[0 if first else 1, 0], *([0, room] if grown else [0, 0] for grown in grows)])
                for room in (more, missing)
            ]
        padded = tf.pad(part, paddings[grows][0])
        if first:
            padded = tf.concat([tf.pad(first[i], paddings[grows][1]), padded], 0)
        padded.set_shape([2, *shape])
        parts.append(padded)
    return parts


def first_column(ids: tf.Tensor) -> tf.Tensor:
    """The first column of ids [B, T] that holds a token; T where none does."""
    held = tf.reduce_any(ids >= 0, 0)
    return tf.reduce_min(tf.where(held, tf.range(tf.size(held)), tf.size(held)))


def num_common(ids: tf.Tensor, beginning: tf.Tensor) -> tf.Tensor:
    """How many of the ids of `beginning` [N] the rows of ids [B, T], -1 after their end, begin with: int32 [B]."""
    most = tf.minimum(tf.shape(ids)[1], tf.size(beginning))
    agree = tf.cast(ids[:, :most] == beginning[:most], tf.int32)
    return tf.reduce_sum(tf.math.cumprod(agree, axis=1), 1)


# === In Python: where beginnings end ===
def common_length(rows: Sequence[Sequence[int]]) -> int:
    """How many of their first ids all rows share."""
    first, last = min(rows), max(rows)  # all others lie between them
    return next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))


def num_settled(tokenizer: Tokenizer, text: str) -> int:
    """How many of the first ids of a text stay, as far as trials show, whatever follows it.

    `begin` looks at the ids themselves, so that an answer is right where a trial was missing, though slower.
    """
    ids = tokenizer.encode(text)
    tried = [text + more for more in (*CONTINUATIONS, *_rests_of_words(tokenizer, ids))]
    return common_length([ids, *tokenizer.encode_batch(tried)])


def _rests_of_words(tokenizer, ids):
    """What makes the last token another one of the vocabulary, such as "ment" after "govern"."""
    if not ids:
        return []
    last, text = tokenizer.tokens[ids[-1]], tokenizer.decode(ids[-1:])
    longer = [i for i, token in enumerate(tokenizer.tokens) if token.startswith(last) and token != last]
    texts = [tokenizer.decode([i]) for i in sorted(longer, key=lambda i: len(tokenizer.tokens[i]))[:MOST_WORDS]]
    return [found.removeprefix(text) for found in texts if found.startswith(text) and "\ufffd" not in found]
