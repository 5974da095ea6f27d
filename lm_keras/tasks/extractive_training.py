"""`ExtractiveSummarizer.train`: from documents with summaries to a trained scorer of sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from lm_keras.data.labelled_batches import dataset_by_length
from lm_keras.data.splitting import split_texts
from lm_keras.errors import InputError
from lm_keras.losses import ExpectedReward
from lm_keras.tasks.embedding import TextEmbedder
from lm_keras.tasks.encoders import check_options, trained_tokenizer
from lm_keras.tasks.extracts import Document, Record, language_of, oracle_sentences, sentence_rouge, summaries_of
from lm_keras.tasks.retrieval import embedder_of
from lm_keras.tasks.sentence_scorer import (
    build_sentence_scorer,
    documents,
    sentence_features,
    summarizer_model,
    word_weights,
)
from lm_keras.tasks.training import run_config, settings_of
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.training.config import TrainingConfig
from lm_keras.training.fit import fit
from lm_keras.utils.checks import check_choice, check_number

if TYPE_CHECKING:
    from lm_keras.tasks.extractive_summarization import ExtractiveSummarizer

SETTINGS: dict[str, Any] = {"epochs": 15, "batch_size": 32, "learning_rate": 2e-3, "schedule": "linear"}
SETTINGS |= {"warmup_steps": 0, "weight_decay": 0.0}
IN_ALL = 300  # updates, at least about so many of few documents
LEARN = ("rouge", "oracle")


def train_summarizer(
    kind: type[ExtractiveSummarizer],
    records: Iterable[Document | Record],
    summaries: Iterable[str | Sequence[str]] | None,
    *,
    encoder: TextEmbedder | str | Path | None,
    num_sentences: int,
    labels: Iterable[Sequence[int]] | None,
    learn: str,
    validation: object,
    config: TrainingConfig | None,
    settings: dict[str, Any],
    max_sentences: int,
    tokenizer: Tokenizer | None,
    seed: int,
    options: dict[str, Any],
) -> ExtractiveSummarizer:
    """Returns a trained summarizer of the class `kind`; the arguments are those of `ExtractiveSummarizer.train`."""
    check_choice("learn", learn, LEARN)
    rows, gold = summaries_of(records, summaries)
    targets = _given(rows, labels) if labels is not None else None
    settings, options = settings_of(config, settings, options)
    check_options(build_sentence_scorer, options)
    sides = _parts(rows, gold, targets, validation, seed)
    if encoder is not None and tokenizer is not None:
        raise InputError("tokenizer is of words, and an encoder has its own; leave it out")
    embedder = None if encoder is None else embedder_of(encoder)
    texts = sides[0][0]
    tokenizer = tokenizer or (embedder.tokenizer if embedder else trained_tokenizer([" ".join(row) for row in texts]))
    keras.utils.set_random_seed(seed)
    width = None if embedder is None else embedder.model.output["sequence_output"].shape[-1]
    scorer = build_sentence_scorer(width, **options, seed=seed)
    model = summarizer_model(scorer, word_weights(tokenizer, texts), embedder and embedder.model)
    limits = {"num_sentences": num_sentences, "max_sentences": max_sentences}
    limits |= {} if embedder is None else {"max_length": embedder.options["max_length"]}
    summarizer = kind(model, tokenizer, **limits)

    learns_rouge = learn == "rouge" and labels is None
    train, held_out = (_examples(*side, learns_rouge, summarizer, language_of(texts)) for side in sides)
    if not train[0]:
        raise InputError("no document has two sentences and one that fits its summary; give other documents")
    config = run_config(config, SETTINGS, settings, len(train[0]), seed, IN_ALL)
    batches = _batches(summarizer, embedder, train, config.batch_size, True, seed)
    others = _batches(summarizer, embedder, held_out, 64, False, seed) if held_out[0] else None
    loss = ExpectedReward() if learns_rouge else keras.losses.CategoricalCrossentropy(from_logits=True)
    summarizer.history = fit(scorer, batches, others, config, loss=loss).history
    return summarizer


# === The documents, and what is right of them ===


def _given(rows, labels):
    """The places that were given, checked."""
    labels = list(labels)
    if len(labels) != len(rows):
        raise InputError(f"there are {len(rows)} documents and {len(labels)} labels; give the places of each")
    for i, (row, places) in enumerate(zip(rows, labels, strict=True)):
        if isinstance(places, (str, int)) or not all(isinstance(p, (int, np.integer)) for p in places):
            raise InputError(f"labels {i} is {places!r:.60}; give a list of places, from 0 on")
        if places and not 0 <= min(places) <= max(places) < len(row):
            raise InputError(f"labels {i} is {places!r:.60}, and document {i} has {len(row)} sentences")
    return labels


def _parts(rows, gold, targets, validation, seed):
    """`(documents, summaries, places or None)` to train on, and to measure by."""
    targets = [None] * len(rows) if targets is None else targets
    everything = list(zip(rows, gold, targets, strict=True))
    if validation is None or isinstance(validation, (int, float)):
        share = 0.1 if validation is None else check_number("validation", validation, above=0, below=1)
        if len(rows) < 2:
            raise InputError("there is one document; give more, or those to measure by with validation=")
        sides = split_texts(list(range(len(rows))), share, seed)
        parts = [[everything[i] for i in side] for side in sides]
    else:
        pair = isinstance(validation, tuple) and len(validation) == 2 and not isinstance(validation[0], Record)
        others = summaries_of(*validation) if pair else summaries_of(validation, None)
        parts = [everything, list(zip(*others, [None] * len(others[0]), strict=True))]
    return [tuple(map(list, zip(*part, strict=True))) for part in parts]


def _examples(rows, gold, targets, learns_rouge, summarizer, language):
    """The sentences of the documents that teach something, and what each of a document's sentences is worth."""
    kept, worth = [], []
    for row, summaries, places in zip(rows, gold, targets, strict=True):
        row = row[: summarizer.max_sentences]
        if learns_rouge:
            values = np.array(sentence_rouge(row, summaries, language=language), "float32")
        else:
            if places is None:
                places = oracle_sentences(row, summaries, summarizer.num_sentences, language=language)
            values = np.zeros(len(row), "float32")
            values[[place for place in places if place < len(row)]] = 1
            values /= max(values.sum(), 1)
        if len(row) > 1 and values.any():
            kept.append(row)
            worth.append(values)
    return kept, worth


def _batches(summarizer, embedder, examples, batch_size, shuffle, seed):
    """A `TextDataset` of (x, y); documents of like length stand in a batch together."""
    rows, worth = examples
    found = documents(summarizer.tokenizer, rows)
    with tf.device("CPU"):
        values = {"features": sentence_features(found, summarizer.word_weights), "worth": np.concatenate(worth)}
        if embedder is not None:
            values["vectors"] = embedder.embed([sentence for row in rows for sentence in row])
        values = {
            name: tf.RaggedTensor.from_row_splits(tf.constant(value), found.splits) for name, value in values.items()
        }

    def batch(items):
        some = {name: tf.gather(value, items) for name, value in values.items()}
        x = {name: value.to_tensor() for name, value in some.items()}
        y = x.pop("worth")
        return x | {"mask": tf.cast(tf.sequence_mask(some["worth"].row_lengths()), tf.float32)}, y

    return dataset_by_length(list(map(len, rows)), batch, batch_size, shuffle, seed)
