"""Which of some given answers follows a prompt, by the model's own probabilities."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.generation import compiled
from lm_keras.generation.texts import BATCH, prompt_ids, read


class Choice(NamedTuple):
    """An answer, its log p(answer | prompt) in nats, and its probability among the given answers."""

    answer: str
    log_prob: float
    probability: float


def choose(functions, prompts, answers, end, normalize, begin):
    """For each prompt a Choice of each answer, best first."""
    if normalize not in (None, "tokens"):
        raise InputError(f'normalize is {normalize!r}; give None or "tokens"')
    if not answers:
        raise InputError("there are no answers to choose from; give at least one")
    mark = [functions.tokenizer.eos_id] if end else []
    targets = [[*ids, *mark] for ids in functions.tokenizer.encode_batch(answers)]
    for answer, ids in zip(answers, targets, strict=True):
        if not ids:
            raise InputError(f"the answer {answer!r} has no token; give end=True, or leave it out")
    lengths = np.array([len(ids) for ids in targets])
    tokens = np.full([len(targets), lengths.max()], -1, np.int32)
    for row, ids in zip(tokens, targets, strict=True):
        row[: len(ids)] = ids
    prompts = [prompt_ids(functions, prompt, begin) for prompt in prompts]
    pairs = [(prompt, place) for prompt in prompts for place in range(len(answers))]
    sums = []
    for start in range(0, len(pairs), BATCH):  # answers of one prompt lie together: it is read once a batch
        rows, places = zip(*pairs[start : start + BATCH], strict=True)
        given = tf.constant(tokens[list(places)])
        log_probs, _ = functions(compiled.follow)(*read(functions, rows, int(lengths.max())), given, 0)
        sums += log_probs.numpy().astype("float64").sum(1).tolist()
    table = np.array(sums).reshape(len(prompts), len(answers))
    return [ranked(answers, row, row / lengths if normalize else row) for row in table]


def ranked(answers, log_probs, values):
    """Choices, best first, whose probabilities are the softmax of `values`."""
    weights = np.exp(values - values.max())
    weights /= weights.sum()
    best_first = np.argsort(-values, kind="stable")
    return [Choice(answers[i], float(log_probs[i]), float(weights[i])) for i in best_first]
