"""`RelationExtractor.train`: from texts with two entities to a trained extractor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from lm_keras.data.corpora.records import Relation
from lm_keras.data.labelled_batches import WIDTHS, dataset_by_length
from lm_keras.data.splitting import split_texts
from lm_keras.errors import InputError
from lm_keras.tasks.encoders import check_options, tokenized_encoder
from lm_keras.tasks.labels import class_weights, classes_of, places_of
from lm_keras.tasks.relations import NONE, relations_of, rows_at
from lm_keras.tasks.tagging_training import vectors_of, vocabulary, with_vectors
from lm_keras.tasks.training import run_config, settings_of
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.training.config import TrainingConfig
from lm_keras.training.fit import fit
from lm_keras.utils.checks import check_choice, check_number

if TYPE_CHECKING:
    from lm_keras.tasks.relations import RelationExtractor

# The settings of `TrainingConfig`. No run is stopped by its validation loss: F1 still rises when the loss does.
SETTINGS: dict[str, dict[str, Any]] = {
    "cnn": {"epochs": 15, "batch_size": 32, "learning_rate": 1e-3},
    "bilstm": {"epochs": 20, "batch_size": 32, "learning_rate": 2e-3},
    "pretrained": {"epochs": 5, "batch_size": 16, "learning_rate": 1e-4},
}
SETTINGS["cnn"]["warmup_steps"] = SETTINGS["bilstm"]["warmup_steps"] = 0
SETTINGS["pretrained"]["schedule"] = "linear"
BUILDERS = {"cnn": "build_relation_cnn", "bilstm": "build_relation_rnn"}  # those that start from random weights
IN_ALL = 300  # updates, at least about so many of few records


class _Parts(NamedTuple):
    """What an extractor is made of: a key of `SETTINGS`, its tokenizer, and what builds the model of C classes."""

    kind: str
    tokenizer: Tokenizer
    build: Callable[[int], keras.Model]


def train_extractor(
    kind: type[RelationExtractor],
    records: Iterable[Relation],
    *,
    encoder: str | keras.Model,
    classes: Sequence[str] | None,
    word_vectors: object,
    validation: object,
    class_weight: object,
    swap: bool,
    config: TrainingConfig | None,
    settings: dict[str, Any],
    max_length: int | None,
    seed: int,
    options: dict[str, Any],
) -> RelationExtractor:
    """Returns a trained extractor of the class `kind`; the arguments are those of `RelationExtractor.train`."""
    records = _checked(records, "records")
    settings, options = settings_of(config, settings, options)
    classes = classes_of([record.label for record in records], False, classes, None)
    train, held_out = _parts(records, validation, seed)
    y, other = (places_of([record.label for record in part], classes, False) for part in (train, held_out))
    if check_choice("swap", swap, (True, False)):
        train, y = _with_swapped(train, y, classes)
    weights = class_weights(class_weight, y, classes, False)
    if (y == y[0]).all():
        raise InputError(f"all records to train on are {classes[y[0]]!r}; give records of two relations or more")
    if isinstance(encoder, str) and encoder in BUILDERS:
        found = _word_model(encoder, train, word_vectors, seed, dict(options))
    else:
        if word_vectors is not None:
            raise InputError('word_vectors are where "cnn" and "bilstm" start from; leave them out with an encoder')
        found = _pretrained(encoder, seed, dict(options))
    keras.utils.set_random_seed(seed)
    extractor = kind(found.build(len(classes)), found.tokenizer, classes, max_length=max_length)
    config = run_config(config, SETTINGS[found.kind], settings, len(train), seed, IN_ALL)
    batches = _batches(extractor, train, y, config.batch_size, True, seed)
    others = _batches(extractor, held_out, other, 64, False, seed)
    aim = {} if weights is None else {"class_weight": dict(enumerate(weights.tolist()))}
    extractor.history = fit(extractor.model, batches, others, config, task="classification", **aim).history
    return extractor


# === The records ===


def _checked(records, name):
    if isinstance(records, (str, bytes)):
        raise InputError(f"{name} is one string; of a file read them by lk.data.read_relations")
    rows = relations_of(records)
    for i, row in enumerate(rows):
        if row.label is None:
            raise InputError(f"record {i} of {name} has no label; give lk.data.Relation(text, first, second, label)")
    if not rows:
        raise InputError(f"there is no record in {name}; give at least one")
    return rows


def _parts(records, validation, seed):
    """The records to train on, and those to stop by."""
    if validation is not None and not isinstance(validation, (int, float)):
        return records, _checked(validation, "validation")
    share = 0.1 if validation is None else check_number("validation", validation, above=0, below=1)
    texts = list(dict.fromkeys(record.text for record in records))
    if len(texts) < 2:
        raise InputError("all records are of one text; give those of two texts or more, or validation=")
    _, others = map(set, split_texts(texts, share, seed))
    train, held_out = ([row for row in records if (row.text in others) == side] for side in (False, True))
    return train, held_out


def _with_swapped(records, y, classes):
    """The records and their labels, and after them the same with both entities exchanged."""
    ends, place = ("(e1,e2)", "(e2,e1)"), {name: i for i, name in enumerate(classes)}
    turned = np.full(len(classes), -1)
    for name, i in place.items():
        if name[-7:] in ends:
            turned[i] = place.get(name[:-7] + ends[name.endswith(ends[0])], -1)
        elif name.lower() in NONE:
            turned[i] = i
    if (turned[y] < 0).any():
        name = classes[y[np.argmax(turned[y] < 0)]]
        raise InputError(
            f"swap=True turns (e1,e2) to (e2,e1), and {name!r} has no such other direction among the classes; "
            "name relations so, give both in classes=, or leave swap out"
        )
    swapped = [row._replace(first=row.second, second=row.first) for row in records]
    return records + swapped, np.concatenate([y, turned[y]])


def _batches(extractor, records, y, batch_size, shuffle, seed):
    """A `TextDataset` of (x, y); records of like length stand in a batch together."""
    with tf.device("CPU"):
        rows, labels = extractor.rows(records), tf.constant(y, tf.int32)
    lengths = rows.ids.row_lengths().numpy()

    def batch(items):
        return extractor.inputs.dense(rows_at(rows, items), WIDTHS), tf.gather(labels, items)

    return dataset_by_length(lengths, batch, batch_size, shuffle, seed)


# === What reads the text ===


def _word_model(encoder, records, word_vectors, seed, options):
    from lm_keras import models

    builder = getattr(models, BUILDERS[encoder])
    vectors = None if word_vectors is None else vectors_of(word_vectors)
    tokenizer, trained = vocabulary(list(dict.fromkeys(record.text for record in records)), vectors)
    options = with_vectors(options, tokenizer, vectors, trained, seed)
    check_options(builder, options)

    def build(num_classes):
        return builder(tokenizer.vocab_size, num_classes=num_classes, **options, seed=seed)

    return _Parts(encoder, tokenizer, build)


def _pretrained(encoder, seed, options):
    from lm_keras import models

    model, tokenizer, _ = tokenized_encoder(encoder, options.get("dropout"), tuple(BUILDERS))
    check_options(models.relation_classifier, options)

    def build(num_classes):
        return models.relation_classifier(model, num_classes, **options, seed=seed)

    return _Parts("pretrained", tokenizer, build)
