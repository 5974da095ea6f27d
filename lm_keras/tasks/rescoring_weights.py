"""The weights of a rescorer that have the fewest word errors: a search on a grid, one weight after the other."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from lm_keras.data.corpora.records import Hypotheses
from lm_keras.errors import InputError
from lm_keras.tasks.rescoring_metrics import edits_of
from lm_keras.utils.checks import check_whole

GRID = tuple(10 ** (k / 8) for k in range(-24, 9))  # 0.001, 0.0013, ..., 10
ROUNDS = 8
TIE = 1e-4  # as of rescoring


class Tried(NamedTuple):
    """Weights that were tried, and the word error rate with them."""

    weights: dict[str, Any]
    wer: float


class FoundWeights(NamedTuple):
    """The best weights of a search.

    Attributes:
        weights: As `Rescorer.with_weights` takes them.
        wer: The word error rate with them on the lists of the search.
        path: All that was tried, in order. The first ones are all language models of the same weight, for the plot
            of the word error rate against the weight of the language model.
    """

    weights: dict[str, Any]
    wer: float
    path: tuple[Tried, ...]


def search(lists: Sequence[Hypotheses], features: Sequence[np.ndarray], *, rounds: int = ROUNDS) -> FoundWeights:
    """Searches weights by coordinates (as Powell's method does, Och 2003, on a grid in place of its line search).

    It begins with the recognizer alone. A round goes through all language models together, then through each of
    them, then through the weight of the length. Each is tried at 0 and at 10^(k/8), k = -24 ... 8 (0.001 to 10), the
    length at the negative numbers, too; all language models together are multiplied by these numbers. Of equally good
    values the middle one is taken, unless the present one is as good. It ends after a round without a change. There
    is no chance in it.

    Args:
        lists: With references.
        features: Of each list, as `Rescorer.features` gives.
        rounds: The most rounds.

    Returns:
        The FoundWeights.

    Raises:
        InputError: The references have no word.
    """
    check_whole("rounds", rounds)
    space = _Space(lists, features)
    vector, path = np.zeros(space.num_features), []
    vector[0] = 1.0
    for _ in range(rounds):
        before = vector.copy()
        for tries in _coordinates(space.num_features):
            vector = _best(space, vector, list(tries(vector)), path)
        if (vector == before).all():
            break
    errors = space.errors(vector)
    return FoundWeights(_named(vector), errors / space.num_words, tuple(path))


def _coordinates(size: int) -> Iterator[Callable]:
    """Functions of a vector of weights that yield the vectors to try."""

    def together(vector):
        models = vector[1:-1]
        direction = models / models.max() if models.max() > 0 else np.ones_like(models)
        for value in (0.0, *GRID):
            yield np.concatenate([vector[:1], value * direction, vector[-1:]])

    def one(place, values):
        def tries(vector):
            for value in values:
                changed = vector.copy()
                changed[place] = value
                yield changed

        return tries

    yield together
    if size > 3:
        yield from (one(place, (0.0, *GRID)) for place in range(1, size - 1))
    yield one(size - 1, (*(-value for value in reversed(GRID)), 0.0, *GRID))


def _best(space, vector, tries, path):
    """The vector with the fewest errors: the present one, or the middle one of the best of others."""
    errors = [space.errors(one) for one in tries]
    path += [Tried(_named(one), count / space.num_words) for one, count in zip(tries, errors, strict=True)]
    least = min(errors)
    if space.errors(vector) <= least:
        return vector
    best = [one for one, count in zip(tries, errors, strict=True) if count == least]
    return best[(len(best) - 1) // 2]


def _named(vector):
    recognizer, *models, length = vector.tolist()
    return {"weight_recognizer": recognizer, "weights_lm": models, "weight_length": length}


class _Space:
    """The word errors of lists for a vector of weights; the errors of a hypothesis are counted once."""

    def __init__(self, lists, features):
        self.num_features = features[0].shape[1]
        most = max(map(len, features))
        self._features = np.zeros([len(lists), most, self.num_features])
        self._there = np.zeros([len(lists), most], bool)
        for i, part in enumerate(features):
            self._features[i, : len(part)], self._there[i, : len(part)] = part, True
        self._errors = np.zeros(self._there.shape, np.int64)
        self._errors[self._there] = np.concatenate(edits_of(lists))
        self.num_words = sum(len(one.reference.split()) for one in lists)
        if not self.num_words:
            raise InputError("the references have no word; give lists of what was said")

    def errors(self, vector):
        totals = np.where(self._there, self._features @ vector, -np.inf)
        place = np.argmax(totals >= totals.max(-1, keepdims=True) - TIE, -1)
        return int(np.take_along_axis(self._errors, place[:, None], 1).sum())
