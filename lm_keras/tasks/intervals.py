"""How sure a measure is: bootstrap intervals (Efron 1987), Wilson's interval of a share, the error of a mean."""

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from lm_keras.errors import InputError
from lm_keras.utils.checks import check_choice, check_number, check_seed, check_sizes

RESAMPLES = 2000
METHODS = ("bca", "percentile")
_AT_ONCE = 1 << 22  # numbers that are drawn at once


class Interval(NamedTuple):
    """The ends of an interval.

    Attributes:
        low: Lower end.
        high: Upper end.
    """

    low: float
    high: float


def wilson(hits: float, total: int, level: float = 0.95) -> Interval:
    """Returns the ends of Wilson's interval of a share, such as an accuracy (Wilson 1927).

    With z the quantile of the normal distribution, all p with |hits / total - p| <= z sqrt(p (1 - p) / total).
    Unlike hits / total +- z standard errors it stays within 0 and 1, and is no point where all or none are hits.

    Args:
        hits: A number from 0 to `total`; of judgements with ties, each of which is half a hit, it need not be whole.
        total: Whole number of at least 1.
        level: The share of such intervals that hold the true value.

    Returns:
        `(low, high)`.

    Raises:
        InputError: For more hits than `total`, and for a level that is not between 0 and 1.
    """
    check_sizes(total=total)
    check_number("hits", hits, least=0)
    check_number("level", level, above=0, below=1)
    if hits > total:
        raise InputError(f"{hits} hits are more than the total, {total}")
    z = statistics.NormalDist().inv_cdf(0.5 + level / 2)
    share, more = hits / total, z * z / total
    middle = (share + more / 2) / (1 + more)
    half = z * math.sqrt(share * (1 - share) / total + more / (4 * total)) / (1 + more)
    # At the ends the formula gives 0 and 1, up to rounding.
    return Interval(0.0 if hits == 0 else middle - half, 1.0 if hits == total else middle + half)


def standard_error(values: Sequence[float]) -> float:
    """The standard error of the mean, NaN of a single value."""
    return float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan


def bootstrap_interval(
    values: ArrayLike | tuple[ArrayLike, ...],
    metric: Callable[..., float] | None = None,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    method: str = "bca",
    seed: int = 0,
) -> Interval:
    """Returns the bootstrap interval of a measure of several rows (texts): rows are drawn anew, with replacement.

    It says how far the measure would move with other texts of the same kind; not with another training.

    Args:
        values: [N, ...], a row for each text; or a tuple of several such arrays, which are drawn together.
        metric: A function of the array, or of the arrays, that returns a number; None: the mean of numbers [N], which
            is computed for all resamples at once.
        level: The share of such intervals that hold the true value.
        resamples: How often rows are drawn. A `metric` is called as often, and N times more for "bca".
        method: "bca", bias-corrected and accelerated (Efron 1987); "percentile", the quantiles of the resampled
            measures.
        seed: Of the draws.

    Returns:
        An `Interval`. Where all resamples give the same value it is that point.

    Raises:
        InputError: For no rows, arrays of different lengths, and a `metric` that gives no finite number.

    Example:

    ```python
    from sklearn.metrics import f1_score

    right = [True, True, False, True, True, False, True, True]
    low, high = lk.tasks.bootstrap_interval(right)
    low, high = lk.tasks.bootstrap_interval((y, answers), lambda y, a: f1_score(y, a, average="macro"))
    ```
    """
    check_number("level", level, above=0, below=1)
    check_choice("method", method, METHODS)
    check_sizes(resamples=resamples)
    rng = np.random.default_rng(check_seed(seed))
    arrays = [np.asarray(part) for part in (values if isinstance(values, tuple) else (values,))]
    rows = _rows(arrays)
    if metric is None:
        if len(arrays) != 1 or arrays[0].ndim != 1 or arrays[0].dtype.kind not in "biuf":
            raise InputError("without a metric values are numbers [N], one for each text; give metric=...")
        if not np.isfinite(arrays[0]).all():
            raise InputError("values has NaN or infinite numbers; give finite ones")
        different, counts = np.unique(arrays[0].astype("float64"), return_counts=True)
        found = np.concatenate([weights @ different / rows for weights in draws(counts, resamples, rng)])
        value = counts @ different / rows
        left_out = (value * rows - different) / max(rows - 1, 1)
    else:
        value = _measured(metric, arrays)
        some = (rng.integers(0, rows, rows) for _ in range(resamples))
        found = np.array([_measured(metric, [part[i] for part in arrays]) for i in some])
        counts, left_out = np.ones(rows, int), None
        if method == "bca" and rows > 1:
            left_out = np.array([_measured(metric, [np.delete(part, i, 0) for part in arrays]) for i in range(rows)])
    return interval_of(value, found, None if method == "percentile" or rows < 2 else left_out, counts, level)


def ratio_interval(parts: ArrayLike, wholes: ArrayLike, level: float = 0.95, seed: int = 0) -> Interval:
    """Returns the bootstrap interval (BCa) of sum(parts) / sum(wholes); 0 where there is nothing.

    Args:
        parts: What each row (text) counts, [N]: such as spans that are right.
        wholes: What it counts them out of, [N].
        level: Of the interval.
        seed: Of the draws.
    """

    def ratio(sums):
        return sums[:, 0] / np.where(sums[:, 1] > 0, sums[:, 1], 1)

    return sums_interval(np.stack([parts, wholes], 1), ratio, level, seed=seed)


def sums_interval(
    rows: np.ndarray,
    measure: Callable[[np.ndarray], np.ndarray],
    level: float = 0.95,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Returns the bootstrap interval (BCa) of a measure of sums, such as BLEU, which is made of counts of n-grams.

    Args:
        rows: What each text counts, [N, K].
        measure: A function of sums of such rows [R, K] that returns the measure of each, [R].
        level: Of the interval.
        resamples: How often texts are drawn.
        seed: Of the draws.
    """
    kinds, counts = np.unique(np.asarray(rows, "float64"), axis=0, return_counts=True)
    rng, sums = np.random.default_rng(seed), counts @ kinds
    drawn = np.concatenate([measure(weights @ kinds) for weights in draws(counts, resamples, rng)])
    return interval_of(float(measure(sums[None])[0]), drawn, measure(sums - kinds), counts, level)


def draws(counts: np.ndarray, resamples: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yields how often each kind of row is drawn: float64 [some of the resamples, U] until all are there.

    Rows that are equal are one kind, so that a classifier's answers are the cells of its confusion matrix.

    Args:
        counts: How often each of the U kinds is there, [U].
        resamples: How often rows are drawn, as many as there are.
        rng: The generator.
    """
    counts = np.asarray(counts)
    rows, kinds = int(counts.sum()), len(counts)
    few = kinds * 8 <= rows
    at_once = max(1, _AT_ONCE // (kinds if few else rows))
    places = None if few else np.repeat(np.arange(kinds), counts)
    for start in range(0, resamples, at_once):
        number = min(at_once, resamples - start)
        if few:
            yield rng.multinomial(rows, counts / rows, size=number).astype("float64")
        else:  # faster for many kinds
            drawn = places[rng.integers(0, rows, (number, rows))] + kinds * np.arange(number)[:, None]
            yield np.bincount(drawn.ravel(), minlength=number * kinds).reshape(number, kinds).astype("float64")


def interval_of(
    value: float, resampled: np.ndarray, left_out: np.ndarray | None, counts: np.ndarray, level: float
) -> Interval:
    """The interval of a measure from its resampled values.

    Args:
        value: The measure.
        resampled: It for each resample, [R].
        left_out: It without one row of each kind, [U], for the BCa interval; None: the percentile interval.
        counts: How many rows of each kind there are, [U].
        level: Of the interval.
    """
    if resampled.min() == resampled.max():
        return Interval(float(value), float(value))
    ends = np.array([0.5 - level / 2, 0.5 + level / 2])
    if left_out is not None:
        ends = _corrected(ends, value, resampled, left_out, counts)
    low, high = np.quantile(resampled, ends)
    return Interval(float(low), float(high))


def _corrected(ends, value, resampled, left_out, counts):
    """The quantiles that BCa takes in place of `ends` (Efron 1987, eq. 2.3)."""
    near = np.isclose(resampled, value, rtol=1e-12, atol=1e-15)  # equal but for the order of a sum
    share = ((resampled < value) & ~near).mean() + near.mean() / 2
    if not 0 < share < 1:  # the value lies outside of what is resampled; there is no correction
        return ends
    bias = ndtri(share)
    apart = np.average(left_out, weights=counts) - left_out
    squares = counts @ apart**2
    acceleration = counts @ apart**3 / (6 * squares**1.5) if squares > 0 else 0.0
    z = bias + ndtri(ends)
    return ndtr(bias + z / (1 - acceleration * z))


def _rows(arrays):
    """The number of rows of all arrays."""
    if any(part.ndim == 0 or not len(part) for part in arrays):
        raise InputError("values has no rows; give at least one for each array")
    lengths = [len(part) for part in arrays]
    if len(set(lengths)) > 1:
        raise InputError(f"values has arrays of {', '.join(map(str, lengths))} rows; give as many in each")
    return lengths[0]


def _measured(metric, arrays):
    found = metric(*arrays)
    try:
        number = float(found)
    except (TypeError, ValueError):
        raise InputError(f"metric gives a {type(found).__name__}; it must give a number") from None
    if not math.isfinite(number):
        raise InputError(f"metric gives {number} of a resample; give one that is a finite number of any rows")
    return number
