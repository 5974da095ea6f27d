"""Checks of what a training of word vectors is told."""

import numbers

import numpy as np

from lm_keras.errors import InputError


def check_whole(least=1, below=1 << 31, **values):
    """Raises InputError for a value that is no whole number of at least `least`; gensim's are 32 bits."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise InputError(f"{name} is {value!r}; it must be a whole number of at least {least}")
        if value >= below:
            raise InputError(f"{name} is {value}; it must be less than 2**{below.bit_length() - 1}")


def check_positive(**values):
    """Raises InputError for a value that is no finite number above 0."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 < value < float("inf"):
            raise InputError(f"{name} is {value!r}; it must be a number above 0")


def check_seed(seed):
    check_whole(0, 1 << 32, seed=seed)


def check_share(**values):
    """Raises InputError for a value that is neither None nor between 0 and 1."""
    for name, value in values.items():
        if value is not None and (not isinstance(value, numbers.Real) or not 0 < value < 1):
            raise InputError(f"{name} is {value!r}; it must be between 0 and 1, or None")
