"""`TextClassifier.train`: from labelled texts to a trained classifier."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from lm_keras.data.labelled import LabelledTexts
from lm_keras.data.labelled_batches import labelled
from lm_keras.data.splitting import split_texts
from lm_keras.errors import InputError
from lm_keras.losses import MultiLabelCrossEntropy
from lm_keras.tasks.encoders import SETTINGS, encoder_of
from lm_keras.tasks.labels import class_weights, classes_of, places_of, texts_and_labels
from lm_keras.training.config import TrainingConfig
from lm_keras.training.fit import fit
from lm_keras.utils.checks import check_number

if TYPE_CHECKING:
    from lm_keras.tasks.classification import TextClassifier
    from lm_keras.text.tokenizers.base import Tokenizer

# Of few texts an epoch has at least about so many updates, of smaller batches, and the training so many in all.
AN_EPOCH, IN_ALL = 10, 200
ALL_SETTINGS = {field.name for field in dataclasses.fields(TrainingConfig)}


def train_classifier(
    kind: type[TextClassifier],
    texts: Iterable[Any] | LabelledTexts,
    labels: Iterable[Any] | None,
    *,
    encoder: str | keras.Model,
    classes: Sequence[str] | None,
    validation: object,
    multi_label: bool,
    class_weight: object,
    config: TrainingConfig | None,
    settings: dict[str, Any],
    max_length: int | None,
    tokenizer: Tokenizer | None,
    seed: int,
    options: dict[str, Any],
) -> TextClassifier:
    """Returns a trained classifier of the class `kind`; the arguments are those of `TextClassifier.train`."""
    texts, labels, named = texts_and_labels(texts, labels)
    pairs = check_pairs(texts)
    settings, options = settings_of(config, settings, options)
    classes = classes_of(labels, multi_label, classes, named)
    y = places_of(labels, classes, multi_label, named)
    train, held_out = _parts(texts, y, classes, validation, multi_label, pairs, seed)
    _check_several(train[1], classes, multi_label)
    weights = class_weights(class_weight, train[1], classes, multi_label)

    flat = [part for text in train[0] for part in text] if pairs else train[0]
    found = encoder_of(encoder, flat, tokenizer=tokenizer, max_length=max_length, seed=seed, options=options)
    keras.utils.set_random_seed(seed)
    model = found.build(len(classes))
    flags = {"max_length": found.max_length, "multi_label": multi_label, "pairs": pairs}
    classifier = kind(model, found.tokenizer, classes, **flags)

    config = run_config(config, SETTINGS[found.kind], settings, len(train[0]), seed)
    masks = classifier.width is None  # so rows need not be filled up
    reads = {"by_length": masks, "segments": classifier.segments}
    batches, validation_batches = (
        labelled(*part, found.tokenizer, size, found.max_length, shuffle, seed, **reads)
        for part, size, shuffle in ((train, config.batch_size, True), (held_out, 64, False))
    )
    aim = {"loss": MultiLabelCrossEntropy(weights)} if multi_label else {"task": "classification"}
    if weights is not None and not multi_label:
        aim["class_weight"] = dict(enumerate(weights.tolist()))
    classifier.history = fit(model, batches, validation_batches, config, **aim).history
    return classifier


def _check_several(y, classes, multi_label):
    """InputError where all texts have the same labels, from which nothing can be learnt."""
    if (y == y[0]).all():
        name = "have the same classes" if multi_label else f"are {classes[y[0]]!r}"
        raise InputError(f"all texts to train on {name}; give texts of two classes or more, in any order")


def check_pairs(texts: Sequence[Any]) -> bool:
    """Returns whether texts are pairs of strings, or strings; InputError for anything else, or for both."""
    pairs = not isinstance(texts[0], str)
    for i, text in enumerate(texts):
        parts = text if pairs and isinstance(text, (tuple, list)) and len(text) == 2 else (text,)
        if not all(isinstance(part, str) for part in parts) or len(parts) != 1 + pairs:
            wanted = "pairs of strings" if pairs and isinstance(texts[0], (tuple, list)) else "strings"
            raise InputError(f"text {i} is {text!r:.60}; give {wanted}, all of one kind")
    return pairs


def _parts(texts, y, classes, validation, multi_label, pairs, seed):
    """`((texts, y) to train on, (texts, y) to stop by)`."""
    if validation is not None and not isinstance(validation, (int, float)):
        given = (validation, None) if isinstance(validation, LabelledTexts) else validation
        if not isinstance(given, tuple) or len(given) != 2:
            raise InputError("validation is (texts, labels), LabelledTexts, or the share of the texts that it is")
        others, labels, named = texts_and_labels(*given)
        if check_pairs(others) != pairs:
            raise InputError("the texts are pairs and those of validation are not, or the other way round")
        return (texts, y), (others, places_of(labels, classes, multi_label, named))
    share = 0.1 if validation is None else check_number("validation", validation, above=0, below=1)
    if len(texts) < 2:
        raise InputError("there is one text; give more, of two classes at least")
    sides = (np.array(side) for side in split_texts(list(range(len(texts))), share, seed))
    return tuple(([texts[i] for i in side], y[side]) for side in sides)


def settings_of(
    config: TrainingConfig | None, settings: dict[str, Any], options: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the settings of a run that were given by name, and the options of its model.

    Args:
        config: The user's, or None.
        settings: Those that are arguments of `train`.
        options: The others that were given: fields of `TrainingConfig`, and arguments of a builder.

    Raises:
        InputError: For a `config` that is none.
    """
    if config is not None and not isinstance(config, TrainingConfig):
        raise InputError(f"config is {config!r:.60}; give a TrainingConfig")
    settings = settings | {name: options[name] for name in options if name in ALL_SETTINGS}
    return settings, {name: value for name, value in options.items() if name not in ALL_SETTINGS}


def run_config(
    config: TrainingConfig | None,
    defaults: dict[str, Any],
    settings: dict[str, Any],
    num_texts: int,
    seed: int,
    in_all: int = IN_ALL,
) -> TrainingConfig:
    """Returns the settings of a run: those of `config` or of the encoder, and in their place those that were given.

    Args:
        config: The user's, or None.
        defaults: Those of the encoder; few texts get smaller batches and more epochs.
        settings: What was given by name.
        num_texts: Number of texts to train on.
        seed: Of the run, where there is no `config`.
        in_all: About how many updates there are at least, with the encoder's settings.
    """
    if config is not None:
        return dataclasses.replace(config, **settings)
    chosen = dict(defaults)
    chosen["batch_size"] = settings.get("batch_size", max(4, min(chosen["batch_size"], num_texts // AN_EPOCH)))
    steps = -(-num_texts // chosen["batch_size"])
    chosen["epochs"] = max(chosen["epochs"], -(-in_all // steps))
    return TrainingConfig(**{**chosen, **settings}, seed=seed)
