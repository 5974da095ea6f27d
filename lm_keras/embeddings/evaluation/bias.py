"""The word embedding association test, WEAT (Caliskan, Bryson and Narayanan 2017, Science 356)."""

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lm_keras.errors import InputError
from lm_keras.utils.checks import check_seed, check_sizes

if TYPE_CHECKING:
    from gensim.models import KeyedVectors


_EXACT = 50_000  # partitions that are all looked at: nine words a side are 48,620
_NUMBERS = 1 << 20  # random numbers at a time
_ROUNDING = 1e-12  # sums that differ by less are equal


@dataclass(frozen=True)
class WeatResult:
    """The outcome of a word embedding association test.

    Attributes:
        effect_size: From -2 to 2. Above 0 the first targets go with the first attributes, the second with the second.
        p_value: The share of `partitions` with a larger difference.
        partitions: How many partitions of the targets were looked at.
        exact: Whether these are all there are, not a sample.
        missed: The words without a vector, which were left out.
    """

    effect_size: float
    p_value: float
    partitions: int
    exact: bool
    missed: list[str]


def weat(
    vectors: "KeyedVectors",
    targets_x: Iterable[str],
    targets_y: Iterable[str],
    attributes_a: Iterable[str],
    attributes_b: Iterable[str],
    permutations: int = 10_000,
    seed: int = 0,
) -> WeatResult:
    """Tests whether targets X go with attributes A, and Y with B, more than chance makes them.

    With s(w) = mean cos(w, a) - mean cos(w, b), the effect size is (mean s(x) - mean s(y)) / the standard deviation
    of s over all targets (divided by their number). The p-value is one-sided, over the partitions of all targets into
    sets of the sizes of X and Y: all of them if there are at most 50,000, otherwise `permutations` drawn at random,
    then (larger + 1) / (permutations + 1), which is never 0. If s is the same for all targets, both are nan
    (Caliskan, Bryson and Narayanan 2017, Science 356). A word without a vector takes that of its lower case.

    Args:
        vectors: gensim's `KeyedVectors`.
        targets_x: Words; `lk.embeddings.WEAT_TESTS` holds sets of the paper: `weat(vectors, *WEAT_TESTS[name])`.
        targets_y: Words to compare them with.
        attributes_a: Words that X may go with.
        attributes_b: Words that Y may go with.
        permutations: How many partitions are drawn where there are too many for all.
        seed: Of that draw.

    Returns:
        A `WeatResult`.

    Raises:
        InputError: If no word of a set has a vector.
    """
    check_sizes(permutations=permutations)
    check_seed(seed)
    missed = []
    sets = {
        "targets_x": targets_x,
        "targets_y": targets_y,
        "attributes_a": attributes_a,
        "attributes_b": attributes_b,
    }
    x, y, a, b = (_unit_vectors(vectors, name, words, missed) for name, words in sets.items())
    score = np.concatenate([x, y]) @ (a.mean(axis=0) - b.mean(axis=0))
    of_x, of_y, spread = score[: len(x)], score[len(x) :], score.std()
    count = math.comb(len(score), len(x))
    exact = count <= _EXACT
    partitions = _all_partitions(len(score), len(x)) if exact else _drawn(len(score), len(x), permutations, seed)
    # The sum over all targets is fixed, so a larger sum over the first set is a larger difference.
    larger = sum(int((score[part].sum(axis=1) > of_x.sum() + _ROUNDING).sum()) for part in partitions)
    p_value = larger / count if exact else (larger + 1) / (permutations + 1)
    if spread > _ROUNDING:
        effect = (of_x.mean() - of_y.mean()) / spread
    else:  # or nan, as a vector is
        effect = p_value = float("nan")
    return WeatResult(float(effect), p_value, count if exact else permutations, exact, missed)


def _unit_vectors(vectors, name, words, missed):
    """float64 [N, E] of the words that have a vector; the others are added to `missed`."""
    if isinstance(words, (str, bytes)):
        raise InputError(f"{name} takes a list of words, got one string: put it into a list")
    words, rows = list(words), []
    for word in words:
        if not isinstance(word, str):
            raise InputError(f"a word of {name} is {word!r}; words are strings")
        found = next((form for form in (word, word.lower()) if form in vectors), None)
        if found is None:
            missed.append(word)
        else:
            vector = np.asarray(vectors.get_vector(found), np.float64)
            rows.append(vector / (np.linalg.norm(vector) or 1))
    if not rows:
        raise InputError(f"none of the {len(words)} words of {name} has a vector; give words of their vocabulary")
    return np.array(rows)


def _all_partitions(total, size):
    """One array int64 [number of partitions, size]: the members of the first set."""
    members = itertools.chain.from_iterable(itertools.combinations(range(total), size))
    yield np.fromiter(members, np.int64, size * math.comb(total, size)).reshape(-1, size)


def _drawn(total, size, permutations, seed):
    """Arrays int64 [some, size], `permutations` rows together."""
    rng, rows = np.random.default_rng(seed), max(1, _NUMBERS // total)
    for start in range(0, permutations, rows):
        yield rng.random((min(rows, permutations - start), total)).argsort(axis=1)[:, :size]


# === Word sets of three tests of the paper ===


class WeatTest(NamedTuple):
    """The two sets of targets and the two of attributes, in the order of `weat`; what they go with first."""

    targets_x: tuple[str, ...]
    targets_y: tuple[str, ...]
    attributes_a: tuple[str, ...]
    attributes_b: tuple[str, ...]


def _test(*lists):
    return WeatTest(*(tuple(words.split()) for words in lists))


WEAT_TESTS = {
    # Test 1: flowers and insects, pleasant and unpleasant. Published for GloVe 840B 300d: effect size 1.50.
    "flowers-insects": _test(
        "aster clover hyacinth marigold poppy azalea crocus iris orchid rose bluebell daffodil lilac pansy tulip "
        "buttercup daisy lily peony violet carnation gladiola magnolia petunia zinnia",
        "ant caterpillar flea locust spider bedbug centipede fly maggot tarantula bee cockroach gnat mosquito "
        "termite beetle cricket hornet moth wasp blackfly dragonfly horsefly roach weevil",
        "caress freedom health love peace cheer friend heaven loyal pleasure diamond gentle honest lucky rainbow "
        "diploma gift honor miracle sunrise family happy laughter paradise vacation",
        "abuse crash filth murder sickness accident death grief poison stink assault disaster hatred pollute "
        "tragedy divorce jail poverty ugly cancer kill rotten vomit agony prison",
    ),
    # Test 6: male and female names, career and family. Published: 1.81.
    "career-family": _test(
        "John Paul Mike Kevin Steve Greg Jeff Bill",
        "Amy Joan Lisa Sarah Diana Kate Ann Donna",
        "executive management professional corporation salary office business career",
        "home parents children family cousins marriage wedding relatives",
    ),
    # Test 7: mathematics and arts, male and female terms. Published: 1.06.
    "maths-arts": _test(
        "math algebra geometry calculus equations computation numbers addition",
        "poetry art dance literature novel symphony drama sculpture",
        "male man boy brother he him his son",
        "female woman girl sister she her hers daughter",
    ),
}
