"""Bayes' rule over contexts: from log p(text | context) to log p(context | text)."""

from collections.abc import Mapping, Sequence, Sized

import numpy as np

from lm_keras.errors import InputError
from lm_keras.utils.checks import check_number


def log_posteriors(log_likelihoods: np.ndarray, log_prior: np.ndarray) -> np.ndarray:
    """log p(c | text) = log p(text | c) + log p(c) - log Σ_c' p(text | c') p(c').

    Args:
        log_likelihoods: log p(text | c), [N, C].
        log_prior: log p(c), [C].

    Returns:
        float64 [N, C].
    """
    joint = np.asarray(log_likelihoods, np.float64) + log_prior
    return joint - np.logaddexp.reduce(joint, axis=1, keepdims=True)


def log_prior_of(prior: str | Mapping[str, float] | None, names: Sequence[str]) -> np.ndarray:
    """log p(c) [C] of shares by name, normalized; uniform for None and "uniform".

    Raises:
        InputError: For other names, and shares that are not above 0.
    """
    if prior is None or isinstance(prior, str) and prior == "uniform":
        return np.full(len(names), -np.log(len(names)))
    if not isinstance(prior, Mapping):
        raise InputError(f'the prior is {prior!r:.40}; give "uniform", or a share for each context')
    if set(prior) != set(names):
        odd = sorted(map(str, set(prior) ^ set(names)))
        raise InputError(f"the prior and the contexts differ in {odd[0]!r:.40}; give a share for each context")
    shares = [check_number(f"the prior of {name!r:.40}", prior[name], above=0) for name in names]
    return np.log(shares) - np.log(np.sum(shares))


def counts_of(contexts: Mapping[str, Sequence[str] | int]) -> dict[str, float]:
    """The number of texts of each context, of a mapping of names to texts or to their numbers.

    Raises:
        InputError: For what is neither.
    """
    found = {}
    for name, texts in contexts.items():
        if isinstance(texts, (str, bytes)) or not isinstance(texts, (Sized, int, float)):
            kind = type(texts).__name__
            raise InputError(f"the texts of {name!r:.40} are a {kind}; give a list of strings, or their number")
        found[name] = len(texts) if isinstance(texts, Sized) else texts
    return found
