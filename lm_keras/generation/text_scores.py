"""Scores of whole texts."""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from lm_keras.generation import compiled
from lm_keras.generation.texts import BATCH


class Score(NamedTuple):
    """Log-probability (nats) of a text and its end mark; perplexity a token; bits a byte of its UTF-8."""

    log_prob: float
    num_tokens: int
    perplexity: float
    bits_per_byte: float


def score(functions, texts):
    """A Score a text, texts of like length together."""
    tokenizer, results = functions.tokenizer, [None] * len(texts)
    rows = [[tokenizer.bos_id, *ids, tokenizer.eos_id] for ids in tokenizer.encode_batch(texts)]
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
            bits = -log_prob / math.log(2) / size if size else math.nan
            results[i] = Score(log_prob, count, math.exp(min(-log_prob / count, 700)), bits)
    return results
