"""The sets of `tagging.py`, each cut into training, development and test part."""

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

import lm_keras as lk

TEST, DEV = 23, 13  # of 256: 9 % and 5 % of the Chinese sentences


class Parts(NamedTuple):
    """A set: what is trained on, what options are chosen and training is stopped by, and what is measured."""

    train: list[lk.data.TaggedSentence]
    dev: list[lk.data.TaggedSentence]
    test: list[lk.data.TaggedSentence]
    language: str = "en"


def conll2003():
    """The published parts: eng.train, eng.testa, eng.testb."""
    return Parts(*(lk.data.load("conll2003", split) for split in ("train", "validation", "test")))


def msra():
    """An own cut, by a hash of the sentence, so that equal sentences are in one part.

    The file at hand has the published training and test part in one, so figures do not compare with published ones.
    """
    found = [], [], []
    for record in lk.data.load("msra-ner", "all"):
        byte = hashlib.sha256("".join(record.words).encode()).digest()[0]
        found[2 if byte < TEST else 1 if byte < TEST + DEV else 0].append(record)
    return Parts(*found, "zh")


def conll04():
    """The entities of CoNLL04, in the parts of Bekoulis et al. 2018."""
    folder = Path(os.environ["LM_KERAS_DATA"]) / "conll04"
    columns = {"word": 1, "tag": 2, "separator": "\t", "comment": "#doc"}
    return Parts(*(lk.data.read_conll(folder / f"{part}.txt.gz", **columns) for part in ("train", "dev", "test")))


SETS = {"conll2003": conll2003, "msra-ner": msra, "conll04": conll04}
