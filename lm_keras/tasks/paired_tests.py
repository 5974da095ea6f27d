"""Whether two models differ by more than chance on the same texts: McNemar's test, approximate randomization."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lm_keras.errors import InputError
from lm_keras.tasks.class_counts import counted, grouped
from lm_keras.tasks.intervals import bootstrap_interval, draws, interval_of
from lm_keras.utils.checks import check_number, check_seed, check_sizes

MCNEMAR, RANDOMIZATION = "McNemar", "approximate randomization"
METRICS = (None, "accuracy", "macro_f1")


class PairedTest(NamedTuple):
    """How two classifiers differ.

    Attributes:
        difference: The measure of the first less that of the second.
        low: Lower end of its bootstrap interval.
        high: Upper end.
        p_value: The share of differences as large as this or larger, if the two were alike; two-sided.
        method: "McNemar", or "approximate randomization".
        only_first: Texts that the first alone has right; None where values are not right or wrong.
        only_second: Texts that the second alone has right.
    """

    difference: float
    low: float
    high: float
    p_value: float
    method: str
    only_first: int | None = None
    only_second: int | None = None

    def __str__(self) -> str:
        ends = f"interval {self.low:+.4f} to {self.high:+.4f}"
        return f"difference {self.difference:+.4f} ({ends}), p = {self.p_value:.3g} by {self.method}"


def paired_test(
    a: ArrayLike,
    b: ArrayLike,
    y: ArrayLike | None = None,
    metric: str | Callable[[np.ndarray, np.ndarray], float] | None = None,
    *,
    level: float = 0.95,
    resamples: int = 5000,
    seed: int = 0,
) -> PairedTest:
    """Compares two classifiers on the same texts.

    Right and wrong answers are compared by McNemar's exact test: of the texts that one of the two alone has right,
    as many should be the first's as the second's. Other values and measures are compared by approximate randomization
    (Noreen 1989): the two answers to a text are swapped by chance, and p is the share of such swaps that differ as
    much. The interval is the paired bootstrap's: texts are drawn anew, with both answers.

    Args:
        a: Of the first, a value for each text [N]: True or False (1 or 0) for right or wrong, or numbers such as a
            loss. With `y`: its answers.
        b: The same of the second.
        y: The classes of the texts, where a and b are answers.
        metric: With `y`: "accuracy" (None is the same), "macro_f1", or a function of (y, answers) that returns a
            number, which is called four times for each resample.
        level: Of the interval.
        resamples: Of the interval, and swaps of approximate randomization.
        seed: Of both.

    Returns:
        A `PairedTest`.

    Raises:
        InputError: For no texts, other numbers of them, or a metric that is not known.

    Example:

    ```python
    first, second = ([found.label for found in classifier.classify(test.texts)] for classifier in (cnn, lstm))
    print(lk.tasks.paired_test(first, second, [test.classes[place] for place in test.labels]))
    ```
    """
    check_number("level", level, above=0, below=1)
    check_sizes(resamples=resamples)
    arrays = [np.asarray(part) for part in (a, b, *(() if y is None else (y,)))]
    _check_rows(arrays)
    rng = np.random.default_rng(check_seed(seed))
    if not callable(metric) and metric not in METRICS:
        raise InputError(f"metric is {metric!r:.40}; give 'accuracy', 'macro_f1' or a function of (y, answers)")
    if y is None:
        if metric is not None:
            raise InputError("a metric compares answers with y; give y, or leave metric out for values of texts")
        return _of_values(*arrays, level, resamples, rng)
    if not callable(metric):
        _check_answers(*arrays)
    if metric in (None, "accuracy"):
        right = [_rows_equal(part, arrays[2]) for part in arrays[:2]]
        return _of_values(*right, level, resamples, rng)
    if metric == "macro_f1":
        return _of_macro_f1(*arrays, level, resamples, rng)
    return _of_metric(*arrays, metric, level, resamples, rng)


def paired_sums(
    a: np.ndarray,
    b: np.ndarray,
    measure: Callable[[np.ndarray], np.ndarray],
    *,
    level: float = 0.95,
    resamples: int = 5000,
    seed: int = 0,
) -> PairedTest:
    """Compares two systems by a measure of sums, such as BLEU, which is made of counts of n-grams.

    The interval is the paired bootstrap's (Koehn 2004), p that of approximate randomization (Riezler and Maxwell
    2005, who find that it takes fewer differences for real that are none).

    Args:
        a: What each text counts in the first, [N, K].
        b: In the second.
        measure: A function of sums of such rows [R, K] that returns the measure of each, [R].
        level: Of the interval.
        resamples: Of the interval, and swaps of approximate randomization.
        seed: Of both.

    Returns:
        A `PairedTest`.
    """
    check_number("level", level, above=0, below=1)
    check_sizes(resamples=resamples)
    arrays = [np.asarray(part, "float64") for part in (a, b)]
    _check_rows(arrays)
    kinds, counts = np.unique(np.concatenate(arrays, 1), axis=0, return_counts=True)
    rng = np.random.default_rng(check_seed(seed))
    return _of_sums(*np.split(kinds, 2, 1), counts, measure, level, resamples, rng)


def _check_rows(arrays):
    if any(part.ndim == 0 or not len(part) for part in arrays):
        raise InputError("there are no texts to compare on; give a value of each of at least one text")
    if len({len(part) for part in arrays}) > 1:
        lengths = ", ".join(str(len(part)) for part in arrays)
        raise InputError(f"there are {lengths} values; give as many of both classifiers, and of y")
    if len({part.shape for part in arrays}) > 1:
        raise InputError(
            f"the values have the shapes {', '.join(str(list(part.shape)) for part in arrays)}; give one"
        )


def _check_answers(a, b, y):
    """InputError unless answers and classes are of one kind: else none would be right, and the two alike."""
    named = {isinstance(one, str) for part in (a, b, y) for one in part.ravel().tolist()}
    if len(named) > 1:
        raise InputError(
            "the answers and y are names and numbers; give names for both, or places of classes for both"
        )
    for part in (a, b):
        wrong = part.dtype.kind == "f" and (part != np.floor(part)).any()
        if wrong or (part.ndim > 1 and not np.isin(part, (0, 1)).all()):
            raise InputError(
                "with y the two are answers, as y is, got probabilities or other numbers; give their argmax(1), or "
                "p >= 0.5 where a text may have several classes"
            )


def _rows_equal(answers, y):
    equal = answers == y
    return equal.reshape(len(equal), -1).all(1)


def _of_values(a, b, level, resamples, rng):
    """Of right and wrong, or of numbers: the difference of the means."""
    if a.ndim != 1 or any(part.dtype.kind not in "biuf" or not np.isfinite(part).all() for part in (a, b)):
        raise InputError("values are finite numbers [N], one for each text; for answers give y too")
    apart = a.astype("float64") - b.astype("float64")
    seed = int(rng.integers(2**32))
    ends = bootstrap_interval(apart, level=level, resamples=resamples, seed=seed)
    if all(np.isin(part, (0, 1)).all() for part in (a, b)):
        from scipy.stats import binomtest

        first, second = int((apart > 0).sum()), int((apart < 0).sum())
        p_value = float(binomtest(first, first + second, 0.5).pvalue) if first + second else 1.0
        return PairedTest(float(apart.mean()), *ends, p_value, MCNEMAR, first, second)
    sizes, counts = np.unique(np.abs(apart), return_counts=True)
    swapped = _swaps(counts, resamples, rng, lambda kept: (2 * kept - counts) @ sizes / len(apart))
    return PairedTest(float(apart.mean()), *ends, _share(swapped, apart.mean()), RANDOMIZATION)


def _of_macro_f1(a, b, y, level, resamples, rng):
    """Macro F1 from counts, which is as fast as the accuracy."""
    if y.ndim == 1:
        known = np.unique(np.concatenate([y, a, b]))
        y, a, b = (part[:, None] == known for part in (y, a, b))
    else:
        y, a, b = (part.astype(bool) for part in (y, a, b))
    counts, (first, second) = grouped(y, a, b)
    return _of_sums(first, second, counts, lambda sums: counted(sums, len(y)).macro_f1, level, resamples, rng)


def _of_sums(first, second, counts, measure, level, resamples, rng):
    """A measure of sums [R, K] of what a text of each kind counts in the first and in the second, [U, K] each."""

    def apart(one, other):
        return measure(one) - measure(other)

    all_first, all_second, change = counts @ first, counts @ second, first - second
    value = float(apart(all_first[None], all_second[None])[0])
    drawn = np.concatenate([apart(w @ first, w @ second) for w in draws(counts, resamples, rng)])
    left_out = apart(all_first - first, all_second - second) if counts.sum() > 1 else None
    ends = interval_of(value, drawn, left_out, counts, level)
    swapped = _swaps(
        counts, resamples, rng, lambda kept: apart(all_second + kept @ change, all_first - kept @ change)
    )
    return PairedTest(value, *ends, _share(swapped, value), RANDOMIZATION)


def _of_metric(a, b, y, metric, level, resamples, rng):
    """Any measure, one resample after another."""

    def apart(y, a, b):
        return float(metric(y, a)) - float(metric(y, b))

    value, swapped = apart(y, a, b), []
    seed = int(rng.integers(2**32))
    options = {"level": level, "resamples": resamples, "method": "percentile", "seed": seed}
    ends = bootstrap_interval((y, a, b), apart, **options)
    for _ in range(resamples):
        kept = (rng.random(len(y)) < 0.5).reshape(-1, *[1] * (a.ndim - 1))
        swapped.append(apart(y, np.where(kept, a, b), np.where(kept, b, a)))
    return PairedTest(value, *ends, _share(np.array(swapped), value), RANDOMIZATION)


def _swaps(counts, resamples, rng, measure):
    """`measure` of how many rows of each kind keep their order, [n, U], for all swaps: [resamples]."""
    at_once = max(1, (1 << 22) // len(counts))
    sizes = [min(at_once, resamples - start) for start in range(0, resamples, at_once)]
    return np.concatenate(
        [measure(rng.binomial(counts, 0.5, (size, len(counts))).astype("float64")) for size in sizes]
    )


def _share(swapped, value):
    """The p-value: the observed order is one of the swaps."""
    return float((1 + (np.abs(swapped) >= abs(value) - 1e-12).sum()) / (1 + len(swapped)))
