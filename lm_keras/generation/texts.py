"""Texts after prompts: reading the prompts, decoding or searching, and cutting at stop strings."""

import collections
import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.generation import compiled, greedy
from lm_keras.generation.context import state_spec
from lm_keras.generation.loop import pad_left
from lm_keras.generation.options import cut, stop_ids

BATCH = 64  # rows that go through the model at once
PIECE = 16  # new tokens between two looks for a stop string


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


def generate(functions, prompts, options):
    """A list of Generations, `num_return_sequences` in a row for each prompt."""
    if options.num_beams == 1:  # a beam search gives its n best itself
        prompts = [prompt for prompt in prompts for _ in range(options.num_return_sequences)]
    repeats, seeds = collections.Counter(), []
    for prompt in prompts:
        seeds.append(options.seed + repeats[prompt])
        repeats[prompt] += 1
    results = []
    for start in range(0, len(prompts), BATCH):
        rows = [prompt_ids(functions, prompt, options.begin) for prompt in prompts[start : start + BATCH]]
        if options.num_beams > 1:
            results += searched(functions, rows, options)
        elif options.penalty_alpha > 0:
            results += contrasted(functions, rows, options)
        else:
            results += sampled(functions, rows, seeds[start : start + BATCH], options)
    return results


def prompt_ids(functions, prompt, begin=True):
    """The begin mark (if `begin`) and the prompt; or a source, and the begin mark of what is to be written."""
    tokenizer, source = functions.tokenizer, functions.source_tokenizer
    if source is not None:
        return [*source.encode(prompt), tokenizer.bos_id]
    ids = tokenizer.encode(prompt)
    if not begin and not ids:
        raise InputError(f"the prompt {prompt!r} has no token to go on from; give another, or leave begin=False out")
    return [tokenizer.bos_id, *ids] if begin else ids


def read(functions, rows, max_new_tokens):
    """Last token [B] and the state before it of each row of ids; equal rows are read once."""
    place = {row: i for i, row in enumerate(dict.fromkeys(map(tuple, rows)))}
    which = tf.constant([place[tuple(row)] for row in rows], tf.int32)
    reader = compiled.prefill if functions.source_tokenizer is None else compiled.read_source
    return functions(reader)(pad_left(list(place)), max_new_tokens, which)


def sampled(functions, rows, seeds, options):
    stop, decode = options.stop, functions.tokenizer.decode
    longest, most = max(map(len, rows)), options.max_new_tokens
    room = greedy.memory_for(functions.model, longest, most) if options.jit_compile and most else None
    if room is None:
        pieces = steps(functions, rows, seeds, options, PIECE if stop else None)
    else:
        pieces = compiled_steps(functions, rows, options, room)
    for made in pieces:
        if stop and all(cut(decode(new, row[-1]), stop)[1] for new, row in zip(made[0], rows, strict=True)):
            break
    return [finished(functions, *each, stop) for each in zip(rows, *made[:3], strict=True)]


def searched(functions, rows, options):
    n, count = options.num_return_sequences, options.max_new_tokens
    search = functions(compiled.search, options.num_beams)
    tokens, log_probs, scores = search(
        *read(functions, rows, count),
        count,
        options.min_new_tokens,
        ends_of(functions, options),
        options.length_penalty,
    )
    rows = [row for row in rows for _ in range(n)]
    tokens, log_probs = (tf.reshape(part[:, :n], [len(rows), -1]) for part in (tokens, log_probs))
    made = followed(functions, rows, tokens, log_probs, options)
    return [
        one._replace(score=score) for one, score in zip(made, scores[:, :n].numpy().ravel().tolist(), strict=True)
    ]


def contrasted(functions, rows, options):
    tokens, log_probs = functions(compiled.contrast)(
        pad_left(rows), options.max_new_tokens, options.min_new_tokens, ends_of(functions, options),
        options.top_k, options.penalty_alpha,
    )  # fmt: skip
    return followed(functions, rows, tokens, log_probs, options)


def followed(functions, rows, tokens, log_probs, options):
    """Generations of tokens [B, n] that a search found; the likeliest words at each place take another pass."""
    top = None
    if options.top_logprobs:
        given = functions(compiled.follow)(
            *read(functions, rows, options.max_new_tokens), tokens, top_count(functions, options)
        )
        top = [part.numpy() for part in given[1]]
    results = []
    for i, (row, new, scores) in enumerate(zip(rows, tokens.numpy(), log_probs.numpy(), strict=True)):
        kept = new >= 0
        named = [] if top is None else likeliest(functions, *(part[i, : kept.sum()] for part in top))
        results.append(finished(functions, row, new[kept].tolist(), scores[kept].tolist(), named, options.stop))
    return results


def finished(functions, row, new, log_probs, top, stop):
    """A Generation; with a stop string in it, of the tokens up to the first one that completes a stop string."""
    decode, previous = functions.tokenizer.decode, row[-1]
    text, found = cut(decode(new, previous), stop)
    if found:
        cuts = (cut(decode(new[:n], previous), stop) for n in range(1, len(new) + 1))
        keep, text = next((n, text) for n, (text, found) in enumerate(cuts, 1) if found)
        new, log_probs, top = new[:keep], log_probs[:keep], top[:keep]
    return Generation(text, new, log_probs, math.fsum(log_probs), top)


def steps(functions, rows, seeds, options, piece=None):
    """Yields (ids, log_probs, top, ended) of all rows so far, every `piece` tokens (None: at the end)."""
    most, size, top_size = options.max_new_tokens, len(rows), top_count(functions, options)
    token, state = read(functions, rows, most)
    penalized = options.repetition_penalty != 1.0
    step = functions(compiled.decode, options.temperature <= 0, penalized)
    seen = np.zeros([size, functions.model.vocab_size if penalized else 0], bool)
    if penalized and functions.source_tokenizer is None:
        for mark, row in zip(seen, rows, strict=True):
            mark[row[int(options.begin) :]] = True  # not the begin mark: it is the end mark too
    chances = {
        "temperature": tf.fill([size], float(options.temperature)),
        "top_k": tf.fill([size], options.top_k),
        "top_p": tf.fill([size], float(options.top_p)),
        "min_p": tf.fill([size], float(options.min_p)),
        "seed": tf.constant([(seed + 2**63) % 2**64 - 2**63 for seed in seeds], tf.int64),  # any whole number
        "ends": ends_of(functions, options),
        "penalty": tf.constant(float(options.repetition_penalty)),
        "min_new_tokens": tf.constant(options.min_new_tokens),
        "num_top": tf.constant(top_size),
    }
    new_ids, log_probs, top = ([[] for _ in rows] for _ in range(3))
    remaining, position, ended = tf.fill([size], most), 0, most == 0 or not rows
    while not ended:
        count = most - position if piece is None else min(piece, most - position)
        tokens, scores, (token, state, remaining, seen), best = step(
            token, state, remaining, tf.constant(seen), tf.constant(count), tf.constant(position), chances
        )
        best = [part.numpy() for part in best]
        for i, (new, new_scores) in enumerate(zip(tokens.numpy(), scores.numpy(), strict=True)):
            kept = new >= 0
            new_ids[i] += new[kept].tolist()
            log_probs[i] += new_scores[kept].tolist()
            top[i] += likeliest(functions, *(part[i, : kept.sum()] for part in best)) if top_size else []
        position += count
        ended = position >= most or not remaining.numpy().any()
        yield new_ids, log_probs, top, ended
    if position == 0:
        yield new_ids, log_probs, top, True


def compiled_steps(functions, rows, options, room):
    """As `steps` for greedy rows; `room` for new tokens in the memory."""
    most, step = options.max_new_tokens, functions(compiled.decode_greedy)
    token, state = read(functions, rows, room)
    state = state[-len(state_spec(functions.model)) :]  # not what is remembered of a text that is longer than it
    remaining, new_ids, log_probs = tf.fill([len(rows)], most), [[] for _ in rows], [[] for _ in rows]
    for position in range(0, most, greedy.STEPS):
        tokens, scores, (token, state, remaining) = step(
            token, state, remaining, tf.constant(position), options.min_new_tokens, ends_of(functions, options)
        )
        for i, (new, new_scores) in enumerate(zip(tokens.numpy(), scores.numpy(), strict=True)):
            new_ids[i] += new[new >= 0].tolist()
            log_probs[i] += new_scores[new >= 0].tolist()
        ended = not remaining.numpy().any()
        yield new_ids, log_probs, [[]] * len(rows), ended
        if ended:
            return


def ends_of(functions, options):
    return tf.constant(stop_ids(functions.tokenizer, options.stop_tokens))


def top_count(functions, options):
    return min(options.top_logprobs, functions.model.vocab_size)


def likeliest(functions, log_probs, ids):
    """For each place of [n, k] the k words with their log-probabilities, best first."""
    names = functions.tokenizer.tokens
    return [
        [(names[i], p) for i, p in zip(row, row_log_probs, strict=True)]
        for row, row_log_probs in zip(ids.tolist(), log_probs.tolist(), strict=True)
    ]


def stream(functions, prompt, options):
    """Pieces of the text; what may still become a stop string or a character waits."""
    shown, stop, row = "", options.stop, prompt_ids(functions, prompt, options.begin)
    for new, _, _, ended in steps(functions, [row], [options.seed], options, piece=1):
        text, found = cut(functions.tokenizer.decode(new[0], row[-1]), stop)
        if not (found or ended):
            text = text.rstrip("\ufffd")
            wait = max((n for s in stop for n in range(1, len(s)) if text.endswith(s[:n])), default=0)
            text = text[: len(text) - wait]
        if len(text) > len(shown):
            yield text[len(shown) :]
            shown = text
        if found:
            return
