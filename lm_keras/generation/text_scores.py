"""Scores of whole texts."""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.generation import compiled
from lm_keras.generation.texts import BATCH


class Score(NamedTuple):
    """Log-probability (nats) of a text and its end mark; perplexity a token; bits a byte of its UTF-8.

    `bits_per_byte` is NaN of an empty text, and with `begin=False`: the first token has bytes and no probability.
    """

    log_prob: float
    num_tokens: int
    perplexity: float
    bits_per_byte: float


def score(functions, texts, begin, end):
    """A Score a text, texts of like length together."""
    tokenizer, results = functions.tokenizer, [None] * len(texts)
    before, after = [tokenizer.bos_id] if begin else [], [tokenizer.eos_id] if end else []
    rows = [[*before, *ids, *after] for ids in tokenizer.encode_batch(texts)]
    for text, row in zip(texts, rows, strict=True):
        if len(row) < 2:
            raise InputError(f"the text {text[:40]!r} has no token after its first one to score; give a longer one")
    by_length = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    for start in range(0, len(rows), BATCH):
        group = by_length[start : start + BATCH]
        width = len(rows[group[-1]])
        ids = np.full([len(group), width], -1, np.int32)
        for row, i in zip(ids, group, strict=True):
            row[: len(rows[i])] = rows[i]
        log_probs, counts = (part.numpy() for part in functions(compiled.score)(tf.constant(ids)))
        for i, log_prob, count in zip(group, log_probs.tolist(), counts.tolist(), strict=True):
            size = len(texts[i].encode("utf-8", "replace"))
            bits = -log_prob / math.log(2) / size if size and begin else math.nan
            results[i] = Score(log_prob, count, math.exp(min(-log_prob / count, 700)), bits)
    return results
