"""`QuestionAnswerer.train`: from questions with their answers in texts to a trained model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from lm_keras.data.corpora.records import QuestionAnswer
from lm_keras.data.labelled_batches import WIDTHS, dataset_by_length
from lm_keras.data.questions import checked_questions
from lm_keras.data.splitting import split_texts
from lm_keras.errors import InputError
from lm_keras.tasks.answer_metrics import token_f1
from lm_keras.tasks.encoders import check_options, tokenized_encoder
from lm_keras.tasks.inputs import tokens_of, windows, words_of
from lm_keras.tasks.training import run_config, settings_of
from lm_keras.training.config import TrainingConfig
from lm_keras.training.fit import fit
from lm_keras.utils.checks import check_number

if TYPE_CHECKING:
    from lm_keras.tasks.qa import QuestionAnswerer

SETTINGS: dict[str, Any] = {"epochs": 4, "batch_size": 16, "learning_rate": 2e-4, "schedule": "linear"}
IN_ALL = 500  # updates, at least about so many of few questions: with fewer no place of an answer is learned
LONGEST = 384  # tokens of question and window


class Features(NamedTuple):
    """Windows of a text after a question, as a model trains on them.

    Attributes:
        ids: The tokens of question and window with their marks, int32 [n] each.
        asked: The number of tokens before the window, marks included, [M].
        start: The place of the answer's first token among them, [M]; 0, that of [CLS], where it is not in the window.
        end: That of its last token, [M].
    """

    ids: list[np.ndarray]
    asked: np.ndarray
    start: np.ndarray
    end: np.ndarray


def train_answerer(
    kind: type[QuestionAnswerer],
    questions: Iterable[QuestionAnswer],
    *,
    encoder: str | keras.Model,
    validation: object,
    threshold: float | None,
    config: TrainingConfig | None,
    settings: dict[str, Any],
    max_length: int | None,
    seed: int,
    options: dict[str, Any],
) -> QuestionAnswerer:
    """Returns a trained model of the class `kind`; the arguments are those of `QuestionAnswerer.train`."""
    from lm_keras import models

    train, held_out = train_and_held_out(questions, validation, seed)
    if not any(record.answers for record in train):
        raise InputError("no question to train on has an answer in its context; give some that have")
    settings, options = settings_of(config, settings, options)
    model, tokenizer, context = tokenized_encoder(encoder, options.get("dropout"), ())
    check_options(models.answer_span, options)
    keras.utils.set_random_seed(seed)
    most = min(filter(None, (context, LONGEST))) if max_length is None else max_length
    answerer = kind(models.answer_span(model, **options, seed=seed), tokenizer, max_length=most)

    config = run_config(config, SETTINGS, settings, len(train), seed, IN_ALL)
    batches, others = (
        _batches(answerer, features(answerer, part), size, shuffle, seed)
        for part, size, shuffle in ((train, config.batch_size, True), (held_out, 64, False))
    )
    history = fit(answerer.model, batches, others, config).history
    if threshold is None and not all(record.answers for record in held_out):
        threshold = best_threshold(answerer, held_out)
    if threshold:
        answerer = kind(answerer.model, tokenizer, **{**answerer.options, "threshold": threshold})
    answerer.history = history
    return answerer


def train_and_held_out(questions, validation, seed):
    """The questions to train on, and those to measure by: of other contexts."""
    records = checked_questions(questions)
    if validation is not None and not isinstance(validation, (int, float)):
        return records, checked_questions(validation, "validation question")
    share = 0.1 if validation is None else check_number("validation", validation, above=0, below=1)
    contexts = list(dict.fromkeys(record.context for record in records))
    if len(contexts) < 2:
        raise InputError("all questions are on one context; give questions on several, or validation=...")
    others = set(split_texts(contexts, share, seed)[1])
    return tuple([record for record in records if (record.context in others) == side] for side in (False, True))


def best_threshold(answerer: QuestionAnswerer, questions: Sequence[QuestionAnswer]) -> float:
    """Returns the threshold below which no answer is the better one: the mean F1 of all questions is the highest.

    It is SQuAD 2.0's `best_f1_thresh` (Rajpurkar et al. 2018), between two scores that differ.

    Args:
        answerer: The model, without a threshold.
        questions: Some with an answer and some without.
    """
    found = answerer.answer([record.question for record in questions], [record.context for record in questions])
    golds = [[answer.text for answer in record.answers] for record in questions]
    scores = np.array([answer.score for answer in found])
    gain = np.array([token_f1(answer.text, gold) - (not gold) for answer, gold in zip(found, golds, strict=True)])
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)  # equal scores fall together
    sums = np.concatenate([[0.0], np.cumsum(gain[order])[ends]])  # of the first n that are answered
    best = int(np.argmax(sums))
    levels = np.concatenate([[1.0], scores[order][ends], [0.0]])
    return float((levels[best] + levels[best + 1]) / 2) if best < len(ends) else 0.0


# === Windows with their labels ===


def features(answerer: QuestionAnswerer, questions: Sequence[QuestionAnswer]) -> Features:
    """Returns the windows of questions as a model trains on them.

    Of several answers the one that most people gave is learned, of as many the first.

    Args:
        answerer: It knows the tokens and the sizes.
        questions: The questions.
    """
    tokenizer, inputs = answerer.tokenizer, answerer.inputs
    asked = [
        ids[: answerer.question_room()] for ids in tokenizer.encode_batch([record.question for record in questions])
    ]
    words, places = words_of(tokenizer, [record.context for record in questions])
    flat, row_splits = words.of_texts().flat_values.numpy(), words.of_texts().row_splits.numpy()
    word_splits, token_splits = words.splits.numpy(), words.tokens.row_splits.numpy()
    room = inputs.room(2) - np.array([len(ids) for ids in asked])
    found = windows(tf.constant(np.diff(row_splits), tf.int32), tf.constant(room, tf.int32))
    pieces = tokens_of(words.of_texts(), found)

    spans = []  # the first and the last token of each question's answer, among all tokens
    for record, row, first in zip(questions, places, word_splits, strict=False):
        spans.append(_tokens(record, row, first, token_splits))
    ids, ends = [], []
    for row, window in zip(found.row.numpy(), pieces, strict=True):
        at, before = window.numpy(), len(asked[row]) + 2
        ids.append(np.array([tokenizer.cls_id, *asked[row], tokenizer.sep_id, *flat[at], tokenizer.sep_id], np.int32))
        start, end = spans[row]
        inside = start >= 0 and len(at) and at[0] <= start and end <= at[-1]
        ends.append([before, before + start - at[0], before + end - at[0]] if inside else [before, 0, 0])
    return Features(ids, *np.array(ends, np.int32).T)


def _tokens(record, places, first, token_splits):
    """The first and last token of the words that the answer touches; (-1, -1) where there is none."""
    if not record.answers:
        return -1, -1
    answer, _ = Counter(record.answers).most_common(1)[0]
    end = answer.start + len(answer.text)
    touched = [first + i for i, (start, stop) in enumerate(places) if start < end and answer.start < stop]
    span = (token_splits[touched[0]], token_splits[touched[-1] + 1] - 1) if touched else (-1, -1)
    return span if span[0] <= span[1] else (-1, -1)


def _batches(answerer, made, batch_size, shuffle, seed):
    """The `TextDataset` of windows; windows of like length stand in a batch together."""
    lengths = np.array([len(row) for row in made.ids], np.int64)
    with tf.device("CPU"):
        rows = tf.RaggedTensor.from_row_lengths(np.concatenate(made.ids), lengths)
        asked, start, end = (tf.constant(part) for part in made[1:])

    def batch(items):
        length = tf.cast(tf.gather(lengths, items), tf.int32)[:, None]
        wide = -(-tf.reduce_max(length) // WIDTHS) * WIDTHS
        place = tf.range(wide)[None]
        mask = place < length
        x = {
            "token_ids": tf.gather(rows, items).to_tensor(answerer.tokenizer.pad_id, shape=tf.stack([-1, wide])),
            "segment_ids": tf.cast(mask & (place >= tf.gather(asked, items)[:, None]), tf.int32),
            "padding_mask": tf.cast(mask, tf.int32),
        }
        x = {name: tf.ensure_shape(part, [None, None]) for name, part in x.items()}
        return x, {"start": tf.gather(start, items), "end": tf.gather(end, items)}

    return dataset_by_length(lengths, batch, batch_size, shuffle, seed)
