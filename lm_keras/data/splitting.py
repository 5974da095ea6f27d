"""A training and a validation part of a set of texts."""

import hashlib
import math
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from lm_keras.data.labelled import LabelledTexts
from lm_keras.data.text_files import read_texts
from lm_keras.errors import InputError
from lm_keras.utils.checks import check_number

COUNTED = 20_000  # up to so many texts the shares are exact; beyond, they are so on average


def split_texts(texts: str | Path | Iterable[str] | LabelledTexts, validation: float = 0.1, seed: int = 0) -> tuple:
    """Splits texts into a training and a validation part.

    Text i goes by a hash of `(seed, i)` alone, so the order is kept, and the same texts split the same way as list
    and as stream. From two texts on each side gets at least one. A single text is cut into two, at the white space
    next to the place, so that nothing of it is lost.

    Args:
        texts: An iterable of str, what `read_labelled` returns, or a path for `read_texts`.
        validation: The share of the validation part.
        seed: Of the split.

    Returns:
        `(train, validation)`. Of a list, a tuple or an iterator: two lists. Of any other iterable
        (`read_texts(...)`): two iterables that stream. Of `LabelledTexts`: two of them, the labels with their texts.

    Raises:
        InputError: For no text, or a share not between 0 and 1.
    """
    check_number("validation", validation, above=0, below=1)
    if isinstance(texts, (str, os.PathLike)):
        texts = read_texts(texts)
    if isinstance(texts, LabelledTexts):
        sides = split_texts(list(range(len(texts.texts))), validation, seed)
        return tuple(
            LabelledTexts([texts.texts[i] for i in side], texts.labels[side], texts.classes) for side in sides
        )
    if isinstance(texts, Iterator):
        texts = list(texts)
    scores = [_score(seed, i) for i, _ in enumerate(islice(texts, COUNTED + 1))]
    if not scores:
        raise InputError("there is no text to split; give at least one")
    if len(scores) == 1:
        train, valid = cut_text(next(iter(texts)), validation)
        return [train], [valid]
    threshold = _threshold(scores, validation)
    sides = _Side(texts, seed, threshold, False), _Side(texts, seed, threshold, True)
    return tuple(map(list, sides)) if isinstance(texts, (list, tuple)) else sides


def cut_text(text: str, validation: float = 0.1) -> tuple[str, str]:
    """Cuts one text in two, `train + validation == text`, after the white space nearest to the place.

    Text without white space there (Chinese) is cut at the place itself.
    """
    if not isinstance(text, str):
        raise InputError(f"a single {type(text).__name__} cannot be split; give at least two")
    if len(text) < 2:
        raise InputError(f"a single text of {len(text)} characters cannot be split; give more text")
    place = min(max(round(len(text) * (1 - validation)), 1), len(text) - 1)
    reach = round(len(text) * min(validation, 1 - validation) / 2)
    for distance in range(reach + 1):
        for end in (place - distance, place + distance):
            if 0 < end < len(text) and text[end - 1].isspace():
                return text[:end], text[end:]
    return text[:place], text[place:]


class _Side:
    """The texts of one side, streamed from `texts` at every iteration."""

    def __init__(self, texts, seed, threshold, is_validation):
        self.texts, self.seed, self.threshold, self.is_validation = texts, seed, threshold, is_validation

    def __iter__(self):
        for i, text in enumerate(self.texts):
            if (_score(self.seed, i) < self.threshold) == self.is_validation:
                yield text


def _threshold(scores, validation):
    ordered = sorted(scores)
    if len(scores) <= COUNTED:
        return ordered[min(max(round(len(scores) * validation), 1), len(scores) - 1)]
    # Too many to count without reading them all: keep only that neither side is empty.
    return min(max(validation, math.nextafter(ordered[0], 1)), ordered[-1])


def _score(seed, index):
    """A number in [0, 1) that is the same on every machine and in every Python version."""
    return int.from_bytes(hashlib.blake2b(f"{seed},{index}".encode(), digest_size=6).digest(), "big") / 2**48
