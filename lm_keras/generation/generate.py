"""Texts after prompts: reading the prompts, decoding or searching, and cutting at stop strings."""

import collections
import functools
import math
import numbers
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.generation.beam import beam_search
from lm_keras.generation.config import GenerationConfig
from lm_keras.generation.context import walk_of
from lm_keras.generation.contrastive import contrastive_search
from lm_keras.generation.loop import GREEDY_STEPS, decode, decode_greedy, follow, greedy_room, pad_left
from lm_keras.generation.sampling import FILTERS
from lm_keras.generation.sharing import (
    COUNT,
    IDS,
    ROWS,
    batch_size,
    begun_spec,
    memory_of,
    memory_spec,
    prompt_reader,
    shared,
)
from lm_keras.generation.step import state_spec
from lm_keras.generation.writer import Writer, prompt_ids
from lm_keras.text.tokenizers.base import Tokenizer

PIECE = 16  # new tokens between two looks for a stop string
NUMBER, LOGITS = tf.TensorSpec([], tf.float32), tf.TensorSpec([None], tf.float32)  # a number, [V]
ENDS = {"banned": LOGITS, "eos_id": ROWS, "min_new_tokens": COUNT}  # see `ends_of`


class Generation(NamedTuple):
    """The text after the prompt, its token ids, and the log-probability of each under the model (nats).

    `score` is the sum of `log_probs`; of a beam, log p / length ** length_penalty with the end mark in both, and of
    the whole beam where a stop string cuts its text. `top_logprobs`, when asked for, has for each token the
    likeliest words there: a list of (token string, log-probability), best first.
    """

    text: str
    token_ids: list
    log_probs: list
    score: float = 0.0
    top_logprobs: list = ()


# === Many prompts ===
def generate(writer: Writer, prompts: Sequence[str], config: GenerationConfig) -> list[Generation]:
    """Continues each prompt; `num_return_sequences` Generations in a row for each."""
    if config.num_beams == 1:  # a beam search gives its n best itself
        prompts = [prompt for prompt in prompts for _ in range(config.num_return_sequences)]
    repeats, seeds, results = collections.Counter(), [], []
    for prompt in prompts:
        seeds.append(config.seed + repeats[prompt])
        repeats[prompt] += 1
    all_rows = [prompt_ids(writer, prompt, config.begin) for prompt in prompts]
    writer = writer.starting(all_rows if config.penalty_alpha == 0 else [], config.begin)
    size = batch_size(writer, all_rows, config.max_new_tokens)
    for start in range(0, len(prompts), size):
        results += continued(writer, all_rows[start : start + size], seeds[start : start + size], config)
    return results


def continued(
    writer: Writer,
    rows: Sequence[Sequence[int]],
    seeds: Sequence[int],
    config: GenerationConfig,
    left: dict | None = None,
) -> list[Generation]:
    """The Generations of rows of ids that go through the model at once; `left` as of `steps`."""
    if config.num_beams > 1:
        return searched(writer, rows, config)
    if config.penalty_alpha > 0:
        return contrasted(writer, rows, config)
    walk = greedy_steps if config.jit_compile and not writer.guidance else functools.partial(steps, left=left)
    for made in walk(writer, rows, seeds, config, PIECE if config.stop else None):
        if config.stop and all(_stopped(writer, *each, config) for each in zip(rows, made[0], strict=True)):
            break
    return [finished(writer, *each, config.stop) for each in zip(rows, *made[:3], strict=True)]


def stream(writer: Writer, prompt: str, config: GenerationConfig) -> Iterator[str]:
    """Pieces of the text of a prompt; what may still become a stop string or a character waits."""
    row = prompt_ids(writer, prompt, config.begin)
    yield from pieces(writer.starting([row], config.begin), row, config)


def pieces(writer: Writer, row: Sequence[int], config: GenerationConfig, left: dict | None = None) -> Iterator[str]:
    """`stream` of a row of ids; `left` as of `steps`."""
    shown, stop = "", config.stop
    for new, _, _, ended in steps(writer, [row], [config.seed], config, piece=1, left=left):
        text, found = cut(writer.text(row, new[0]), stop)
        if not (found or ended):
            text = text.rstrip("\ufffd")
            wait = max((n for s in stop for n in range(1, len(s)) if text.endswith(s[:n])), default=0)
            text = text[: len(text) - wait]
        if len(text) > len(shown):
            yield text[len(shown) :]
            shown = text
        if found:
            return


# === Prompts ===
def read(writer: Writer, rows: Sequence[Sequence[int]], max_new_tokens: int) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Last token [B] and the state before it of each row of ids; what rows share is read once."""
    place = {row: i for i, row in enumerate(dict.fromkeys(map(tuple, rows)))}
    which = tf.constant([place[tuple(row)] for row in rows], tf.int32)
    memory = memory_of(writer, writer.begun and shared(writer, list(place), writer.begun))
    reader = prompt_reader(writer, memory)
    return reader(ids=pad_left(list(place)), max_new_tokens=max_new_tokens, which=which, **memory)


# === Decoding, token by token ===
def steps(
    writer: Writer,
    rows: Sequence[Sequence[int]],
    seeds: Sequence[int],
    config: GenerationConfig,
    piece: int | None,
    left: dict | None = None,
) -> Iterator[tuple]:
    """Yields (ids, log_probs, top, ended) of all rows so far, every `piece` tokens (None: at the end).

    `left` gets where the loop stands: "ids" as they are yielded, "token" [B], -1 where a row has met its end mark,
    and "state", the model's own, before these tokens.
    """
    most, unguided = config.max_new_tokens, writer.unguided(rows) if writer.guidance else []
    token, state = read(writer, [*rows, *unguided], most)
    token, guidance = token[: len(rows)], {"guidance": tf.fill([len(rows)], writer.guidance)} if unguided else {}
    remaining, position, ended = tf.fill([len(rows)], most), 0, most == 0 or not rows
    options, seen = sampling_options(config, seeds), {}
    if config.repetition_penalty != 1.0:
        options["repetition_penalty"] = tf.fill([len(rows)], config.repetition_penalty)
        seen["seen"] = words_before(writer, rows, config.begin)
    step = writer.traced(decode, {
        "token": ROWS, "state": walk_of(writer.model).state_spec, "remaining": ROWS, "num_steps": COUNT,
        "options": {name: tf.TensorSpec([None], values.dtype) for name, values in options.items()},
        "position": COUNT, "num_top": COUNT, **ENDS,
        **dict.fromkeys(seen, tf.TensorSpec([None, None], tf.bool)), **memory_spec(writer, writer.memory),
        **dict.fromkeys(guidance, tf.TensorSpec([None], tf.float32)),
    })  # fmt: skip
    new_ids, log_probs, top = ([[] for _ in rows] for _ in range(3))
    num_parts = len(state_spec(writer.model))  # the rest is what a `SlidingWalk` remembers
    fixed = {"options": options, "num_top": top_count(writer, config), **ends_of(writer, config)}
    fixed |= writer.memory | guidance
    while not ended:
        count = most - position if piece is None else min(piece, most - position)
        tokens, scores, (token, state, remaining, after), best = step(
            token=token, state=state, remaining=remaining, num_steps=count, position=position, **fixed, **seen
        )
        seen = dict.fromkeys(seen, after)
        best = [part.numpy() for part in best]
        for i, (new, new_scores) in enumerate(zip(tokens.numpy(), scores.numpy(), strict=True)):
            kept = new >= 0
            new_ids[i] += new[kept].tolist()
            log_probs[i] += new_scores[kept].tolist()
            named = (part[i, : kept.sum()] for part in best)
            top[i] += likeliest(writer, rows[i], *named) if config.top_logprobs else []
        if left is not None:
            left.update(ids=[list(ids) for ids in new_ids], token=token, state=state[-num_parts:])
        position += count
        ended = position >= most or not remaining.numpy().any()
        yield new_ids, log_probs, top, ended
    if position == 0:
        yield new_ids, log_probs, top, True


def sampling_options(config: GenerationConfig, seeds: Sequence[int]) -> dict[str, tf.Tensor]:
    """What `sampling.sample` takes for rows of those seeds: nothing where the likeliest word is wanted."""
    if config.temperature <= 0:
        return {}
    names = ("temperature", "top_k", *FILTERS)
    seeds = tf.constant([(seed + 2**63) % 2**64 - 2**63 for seed in seeds], tf.int64)  # any whole number
    return {name: tf.fill([len(seeds)], getattr(config, name)) for name in names} | {"seed": seeds}


def words_before(writer: Writer, rows: Sequence[Sequence[int]], begin: bool) -> tf.Tensor:
    """bool [B, V]: the words of the prompts. Not the begin mark: it is the end mark too. Nothing of a source."""
    seen = np.zeros([len(rows), writer.model.vocab_size], bool)
    if writer.source_tokenizer is None:
        for mark, row in zip(seen, rows, strict=True):
            mark[list(row[len(writer.before(begin)) :])] = True
        seen[:, sorted(writer.tokenizer.special_ids)] = False  # a chat has an end mark after each turn
    return tf.constant(seen)


def greedy_steps(
    writer: Writer, rows: Sequence[Sequence[int]], seeds: Sequence[int], config: GenerationConfig, piece: int | None
) -> Iterator[tuple]:
    """`steps` for greedy rows, by the loop that XLA compiles if the model's memory has room for all tokens."""
    most, spec = config.max_new_tokens, state_spec(writer.model)
    room = greedy_room(writer.model, max(map(len, rows)), most) if most else None
    if room is None:
        yield from steps(writer, rows, seeds, config, piece)
        return
    tensors = {"token": ROWS, "state": spec, "remaining": ROWS, "position": COUNT, **ENDS}
    step = writer.traced(decode_greedy, tensors, jit_compile=True)
    token, state = read(writer, rows, room)
    state = state[-len(spec) :]  # not what is remembered of a text that is longer than it
    remaining, new_ids, log_probs = tf.fill([len(rows)], most), [[] for _ in rows], [[] for _ in rows]
    ends = ends_of(writer, config)
    for position in range(0, most, GREEDY_STEPS):
        tokens, scores, (token, state, remaining) = step(
            token=token, state=state, remaining=remaining, position=position, **ends
        )
        for i, (new, new_scores) in enumerate(zip(tokens.numpy(), scores.numpy(), strict=True)):
            new_ids[i] += new[new >= 0].tolist()
            log_probs[i] += new_scores[new >= 0].tolist()
        ended = not remaining.numpy().any()
        yield new_ids, log_probs, [[]] * len(rows), ended
        if ended:
            return


# === Searching ===
def searched(writer: Writer, rows: Sequence[Sequence[int]], config: GenerationConfig) -> list[Generation]:
    """The `num_return_sequences` best beams of each row."""
    n, count = config.num_return_sequences, config.max_new_tokens
    spec = {
        "token": ROWS,
        "state": walk_of(writer.model).state_spec,
        "max_new_tokens": COUNT,
        "length_penalty": NUMBER,
        **memory_spec(writer, writer.memory),
    }
    search = writer.traced(beam_search, spec | ENDS, num_beams=config.num_beams)
    token, state = read(writer, rows, count)
    tokens, log_probs, scores = search(
        token=token,
        state=state,
        max_new_tokens=count,
        length_penalty=config.length_penalty,
        **ends_of(writer, config),
        **writer.memory,
    )
    rows = [row for row in rows for _ in range(n)]
    tokens, log_probs = (tf.reshape(part[:, :n], [len(rows), -1]) for part in (tokens, log_probs))
    made = followed(writer, rows, tokens, log_probs, config)
    return [
        one._replace(score=score) for one, score in zip(made, scores[:, :n].numpy().ravel().tolist(), strict=True)
    ]


def contrasted(writer: Writer, rows: Sequence[Sequence[int]], config: GenerationConfig) -> list[Generation]:
    """The text of contrastive search after each row."""
    spec = {
        "ids": IDS,
        "max_new_tokens": COUNT,
        "top_k": COUNT,
        "alpha": NUMBER,
        **memory_spec(writer, writer.memory),
    }
    learned = {"learned": writer.learned_cache()} if writer.learned else {}
    spec |= dict.fromkeys(learned, begun_spec(writer))
    tokens, log_probs = writer.traced(contrastive_search, spec | ENDS)(
        ids=pad_left(rows), max_new_tokens=config.max_new_tokens, top_k=config.top_k, alpha=config.penalty_alpha,
        **ends_of(writer, config), **writer.memory, **learned,
    )  # fmt: skip
    return followed(writer, rows, tokens, log_probs, config)


def followed(writer, rows, tokens, log_probs, config) -> list[Generation]:
    """Generations of tokens [B, n] that a search found; the likeliest words at each place take another pass."""
    top = None
    if config.top_logprobs:
        _, top = log_probs_of(writer, rows, tokens, top_count(writer, config), config.max_new_tokens)
        top = [part.numpy() for part in top]
    results = []
    for i, (row, new, scores) in enumerate(zip(rows, tokens.numpy(), log_probs.numpy(), strict=True)):
        kept = new >= 0
        named = [] if top is None else likeliest(writer, row, *(part[i, : kept.sum()] for part in top))
        results.append(finished(writer, row, new[kept].tolist(), scores[kept].tolist(), named, config.stop))
    return results


def log_probs_of(
    writer: Writer, rows: Sequence[Sequence[int]], tokens: tf.Tensor, num_top: int, max_new_tokens: int
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Log-probabilities [B, n] of tokens [B, n] (-1 at the end) after each row, and the likeliest words there."""
    spec = {"token": ROWS, "state": walk_of(writer.model).state_spec, "tokens": IDS, "num_top": COUNT}
    token, state = read(writer, rows, max_new_tokens)
    run = writer.traced(follow, spec | memory_spec(writer, writer.memory))
    return run(token=token, state=state, tokens=tokens, num_top=num_top, **writer.memory)


# === Where a text ends ===
def ends_of(writer: Writer, config: GenerationConfig) -> dict[str, tf.Tensor]:
    """What ends a text, and what is never chosen, for `decode` and the searches."""
    ends = tf.constant(stop_ids(writer.tokenizer, config.stop_tokens), tf.int32)
    return {"banned": banned_marks(writer.tokenizer), "eos_id": ends, "min_new_tokens": config.min_new_tokens}


def banned_marks(tokenizer: Tokenizer) -> np.ndarray:
    """What is added to the logits [V] so that padding and unknown-word marks are never generated.

    A mark that ends a text too, as the padding of many checkpoints does, stays possible: else no text would end.
    """
    banned = np.zeros(tokenizer.vocab_size, np.float32)
    marks = {tokenizer.pad_id, tokenizer.unk_id} - {None, *tokenizer.end_ids}
    banned[sorted(marks)] = -np.inf
    return banned


def stop_ids(tokenizer: Tokenizer, stop_tokens: Sequence[int | str]) -> list[int]:
    """The ids of the end marks and of `stop_tokens`: ids, or strings of the vocabulary."""
    ids = list(tokenizer.end_ids)
    for token in stop_tokens:
        if isinstance(token, str) and token in tokenizer.tokens:
            token = tokenizer.tokens.index(token)
        if not isinstance(token, numbers.Integral) or not 0 <= token < tokenizer.vocab_size:
            raise InputError(
                f"a stop token is {token!r}; give an id below {tokenizer.vocab_size} or a vocabulary string"
            )
        ids.append(int(token))
    return ids


def cut(text: str, stop: Sequence[str]) -> tuple[str, bool]:
    """`text` up to the first stop string in it, and whether there was one."""
    places = [place for place in map(text.find, stop) if place >= 0]
    return (text[: min(places)], True) if places else (text, False)


def _stopped(writer, row, new, config):
    return cut(writer.text(row, new), config.stop)[1]


def finished(writer, row, new, log_probs, top, stop) -> Generation:
    """A Generation; with a stop string in it, of the tokens up to the first one that completes a stop string."""
    text, found = cut(writer.text(row, new), stop)
    if found:
        cuts = (cut(writer.text(row, new[:n]), stop) for n in range(1, len(new) + 1))
        keep, text = next((n, text) for n, (text, found) in enumerate(cuts, 1) if found)
        new, log_probs, top = new[:keep], log_probs[:keep], top[:keep]
    return Generation(text, new, log_probs, math.fsum(log_probs), top)


# === The likeliest words ===
def top_count(writer: Writer, config: GenerationConfig) -> int:
    """`top_logprobs`, or the whole vocabulary."""
    return min(config.top_logprobs, writer.model.vocab_size)


def likeliest(writer, row, log_probs, ids) -> list[list[tuple[str, float]]]:
    """For each place of [n, k] after a row of ids the k words with their log-probabilities, best first."""
    return [
        [(writer.token(row, i), p) for i, p in zip(words, scores, strict=True)]
        for words, scores in zip(ids.tolist(), log_probs.tolist(), strict=True)
    ]
