"""The weights of a rescorer that have the fewest word errors: a search on a grid, one weight after the other."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from lm_keras.data.corpora.records import Hypotheses
from lm_keras.errors import InputError
from lm_keras.tasks.rescoring_metrics import edits_of
from lm_keras.utils.checks import check_whole

GRID = tuple(10 ** (k / 8) for k in range(-24, 9))  # 0.001, 0.0013, ..., 10
FACTORS = tuple(10 ** (k / 16) for k in range(-16, 17))  # of all weights at once
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
    them, then through the weight of the length, and last through all of these at once. Each is tried at 0 and at
    10^(k/8), k = -24 ... 8 (0.001 to 10), the length at the negative numbers, too; all language models together are
    multiplied by these numbers, and all at once by 10^(k/16), k = -16 ... 16. Of equally good values the middle one
    is taken, unless the present one is as good. It ends after a round without a change. With several language models
    it begins anew with each of them alone, then with the others beside it, and the best end is taken. There is no
    chance in it.

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
    space, path = _Space(lists, features), []
    models = range(1, space.num_features - 1)
    found = [_descend(space, _moves(space.num_features, models), rounds, path)]
    for one in models if len(models) > 1 else ():
        alone = _descend(space, _moves(space.num_features, [one]), rounds, path)
        found.append(_descend(space, _moves(space.num_features, models), rounds, path, alone))
    best = min(found, key=space.errors)  # the first of equally good ones
    return FoundWeights(_named(best), space.errors(best) / space.num_words, tuple(path))


def _descend(space, moves, rounds, path, vector=None):
    """The vector of weights from which no move leads to fewer errors; it begins with the recognizer alone."""
    vector = np.eye(space.num_features)[0] if vector is None else vector
    for _ in range(rounds):
        before = vector.copy()
        for tries in moves:
            vector = _best(space, vector, list(tries(vector)), path)
        if (vector == before).all():
            break
    return vector


def _moves(size: int, models: Sequence[int]) -> list[Callable[[np.ndarray], Iterator[np.ndarray]]]:
    """Functions of a vector of weights that yield the vectors to try; `models`: the places that are not 0."""
    models, everything = list(models), [*models, size - 1]

    def together(vector):
        most = vector[models].max()
        direction = vector[models] / most if most > 0 else 1.0
        for value in (0.0, *GRID):
            yield _changed(vector, models, value * direction)

    def scaled(vector):
        for factor in FACTORS:
            yield _changed(vector, everything, factor * vector[everything])

    def one(place, values):
        return lambda vector: (_changed(vector, [place], value) for value in values)

    each = [one(place, (0.0, *GRID)) for place in models] if len(models) > 1 else []
    return [together, *each, one(size - 1, (*(-value for value in reversed(GRID)), 0.0, *GRID)), scaled]


def _changed(vector, places, values):
    changed = vector.copy()
    changed[places] = values
    return changed


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
