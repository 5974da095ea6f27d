"""How sure a measure is: the standard error of a mean, and the interval of a share of hits (Wilson 1927)."""

import math
import statistics
from collections.abc import Sequence

import numpy as np

from lm_keras.errors import InputError
from lm_keras.utils.checks import check_number, check_sizes


def wilson(hits: int, total: int, level: float = 0.95) -> tuple[float, float]:
    """Returns the ends of Wilson's interval of a share, such as an accuracy.

    With z the quantile of the normal distribution, all p with |hits / total - p| <= z sqrt(p (1 - p) / total).
    Unlike hits / total +- z standard errors it stays within 0 and 1, and is no point where all or none are hits.

    Args:
        hits: Whole number.
        total: Whole number of at least 1.
        level: The share of such intervals that hold the true value.

    Returns:
        `(low, high)`.

    Raises:
        InputError: For more hits than `total`, and for a level that is not between 0 and 1.
    """
    check_sizes(total=total)
    check_sizes(least=0, hits=hits)
    check_number("level", level, above=0, below=1)
    if hits > total:
        raise InputError(f"{hits} hits are more than the total, {total}")
    z = statistics.NormalDist().inv_cdf(0.5 + level / 2)
    share, more = hits / total, z * z / total
    middle = (share + more / 2) / (1 + more)
    half = z * math.sqrt(share * (1 - share) / total + more / (4 * total)) / (1 + more)
    # At the ends the formula gives 0 and 1, up to rounding.
    return 0.0 if hits == 0 else middle - half, 1.0 if hits == total else middle + half


def standard_error(values: Sequence[float]) -> float:
    """The standard error of the mean, NaN of a single value."""
    return float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan
