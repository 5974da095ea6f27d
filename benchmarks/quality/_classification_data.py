"""The sets of `classification.py`, each cut into training, development and test part."""

import gzip
import hashlib
import json
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

import lm_keras as lk

SEED, FOLDS = 21, 10  # of the cuts that are not published; of the film reviews
OUT_OF_SCOPE = "oos"


class Texts(NamedTuple):
    """Texts, or pairs of them, and their classes, as places."""

    texts: list[str] | list[tuple[str, str]]
    y: np.ndarray


class Parts(NamedTuple):
    """A set: what is trained on, what options are chosen and training is stopped by, and what is measured."""

    train: Texts
    dev: Texts
    test: Texts
    classes: tuple[str, ...]
    language: str = "en"


def parts(name: str, fold: int = 0) -> Parts:
    """The parts of a set; `fold` is that of the film reviews, 0 to 9."""
    return SETS[name](fold)


def ag_news(fold):
    """8,000 training items, a tenth of them for development; the whole test part. Descriptions, without titles."""
    rest, dev = _cut(_texts(lk.data.load("ag-news", "train")), 0.1)
    return Parts(rest, dev, _texts(lk.data.load("ag-news", "test")), lk.data.classes("ag-news"))


def mr(fold):
    """Fold by fold a tenth is the test part, a tenth of the rest for development: the folds of `mr_cnn.py`."""
    every = _texts(lk.data.load("mr", "all"))
    order = np.random.default_rng(0).permutation(len(every.texts))
    test = order[fold::FOLDS]
    rest = np.random.default_rng(fold).permutation(np.setdiff1d(order, test))
    dev = len(rest) // 10
    return Parts(_some(every, rest[dev:]), _some(every, rest[:dev]), _some(every, test), lk.data.classes("mr"))


def chnsenticorp(fold):
    """Reviews of the same words once; a fifth is the test part, a tenth of the rest for development."""
    return _own_cut("chnsenticorp-hotel", "zh")


def sms_spam(fold):
    """Messages of the same words once, cut as the hotel reviews."""
    return _own_cut("sms-spam", "en")


def sms_spam_copies(fold):
    """All 5,574 messages, as published figures have them: 414 are copies of others, some in another part."""
    return _cut_in_three(_texts(lk.data.load("sms-spam", "all")), "sms-spam", "en")


def clinc150(fold):
    """150 intents, and what is out of scope as one class more: the published parts of the small version."""
    from lm_keras.data.corpora.registry import locate

    with gzip.open(locate("clinc150") / "data_small.json.gz", "rt", encoding="utf-8") as file:
        content = json.load(file)
    intents = (*sorted({intent for _, intent in content["train"]}), OUT_OF_SCOPE)
    places = {intent: place for place, intent in enumerate(intents)}
    made = []
    for part in ("train", "val", "test"):
        rows = [*content[part], *content[f"oos_{part}"]]
        made.append(Texts([text for text, _ in rows], np.array([places[intent] for _, intent in rows])))
    return Parts(*made, intents)


def snli(fold):
    """Pairs of SNLI's development part, the only one at hand, cut by a hash of the first sentence: 80, 10, 10 %.

    So the three or more pairs of a first sentence are in one part.
    """
    path = Path(os.environ["LM_KERAS_DATA"]) / "snli-dev" / "dev.csv.gz"
    rows = lk.data.read_labelled(path, "premise", "label", pair="hypothesis")
    tenths = np.array([hashlib.sha256(first.encode()).digest()[0] * 10 >> 8 for first, _ in rows.texts])
    every = Texts(rows.texts, rows.labels)
    train, dev, test = (_some(every, np.flatnonzero(some)) for some in (tenths > 1, tenths == 1, tenths == 0))
    return Parts(train, dev, test, rows.classes)


SETS = {
    "ag-news": ag_news,
    "mr": mr,
    "chnsenticorp-hotel": chnsenticorp,
    "clinc150": clinc150,
    "sms-spam": sms_spam,
    "sms-spam-copies": sms_spam_copies,
    "snli-dev": snli,
}


def _own_cut(name, language):
    return _cut_in_three(_texts({item.text: item for item in lk.data.load(name, "all")}.values()), name, language)


def _cut_in_three(every, name, language):
    rest, test = _cut(every, 0.2)
    train, dev = _cut(rest, 0.1)
    return Parts(train, dev, test, lk.data.classes(name), language)


def _texts(items):
    items = list(items)
    return Texts([item.text for item in items], np.array([item.label for item in items]))


def _some(every, places):
    return Texts([every.texts[i] for i in places], every.y[places])


def _cut(every, share):
    """All but a share, and the share."""
    order = np.random.default_rng(SEED).permutation(len(every.texts))
    size = round(share * len(order))
    return _some(every, np.sort(order[size:])), _some(every, np.sort(order[:size]))
