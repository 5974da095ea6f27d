"""Checks of what a caller passes: one spelling of "a whole number of at least N", all of them InputError.

Each names the argument, quotes the value and says what is possible. A bool is no number; NumPy's integers and floats
are numbers. `same_definition` compares classes that users register.
"""

import math
import numbers
from collections.abc import Collection, Iterable

from lm_keras.errors import InputError

MAX_INT32 = 2**31 - 1  # positions, ids and sizes are int32 in TensorFlow
MAX_SEED = 2**32 - 1


def check_whole(name: str, value: object, least: int | None = 1, most: int | None = None) -> int:
    """Checks a whole number.

    Args:
        name: The argument's name, for the message.
        value: What was passed.
        least: The smallest number that is possible; None: any.
        most: The largest number that is possible; None: any.

    Returns:
        The number as an int.

    Raises:
        InputError: If `value` is no whole number, or outside of the range.
    """
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if whole and (least is None or value >= least) and (most is None or value <= most):
        return int(value)
    if most == MAX_INT32 and not (whole and value > most):
        most = None  # a limit that few have to know
    what = "a whole number" + _range(least, None, most, None)
    raise InputError(f"{name} is {value!r:.40}; it must be {what}{', what an int32 holds' * (most == MAX_INT32)}")


def check_sizes(least: int = 1, most: int = MAX_INT32, **sizes: object) -> None:
    """Checks several whole numbers at once, each given by its name: `check_sizes(window=5, epochs=1)`."""
    for name, value in sizes.items():
        check_whole(name, value, least, most)


def check_number(
    name: str,
    value: object,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
) -> float:
    """Checks a finite number.

    Args:
        name: The argument's name, for the message.
        value: What was passed.
        least: The smallest number that is possible.
        above: A number that it must be greater than.
        most: The largest number that is possible.
        below: A number that it must be less than.

    Returns:
        The number as a float.

    Raises:
        InputError: If `value` is no number, not finite, or outside of the range.
    """
    number = _finite(value)
    if (
        number is not None
        and (least is None or number >= least)
        and (above is None or number > above)
        and (most is None or number <= most)
        and (below is None or number < below)
    ):
        return number
    what = "a number" if (least, above, most, below) != (None,) * 4 else "a finite number"
    raise InputError(f"{name} is {value!r:.40}; it must be {what}{_range(least, above, most, below)}")


def check_positive(**values: object) -> None:
    """Checks that each value, given by its name, is a finite number above 0."""
    for name, value in values.items():
        check_number(name, value, above=0)


def check_choice(name: str, value: object, choices: Collection) -> object:
    """Checks that `value` is one of `choices`, in whose order the message lists them.

    Returns:
        `value`.

    Raises:
        InputError: If it is none of them.
    """
    if any(isinstance(value, type(choice)) and value == choice for choice in choices):
        return value
    raise InputError(f"{name} is {value!r:.40}; it must be one of {', '.join(map(str, choices))}")


def check_seed(seed: object, name: str = "seed") -> int:
    """Checks the seed of a random generator: a whole number from 0 to 2**32 - 1."""
    return check_whole(name, seed, 0, MAX_SEED)


def check_text(text: object) -> None:
    """Checks that `text` is a str."""
    if not isinstance(text, str):
        raise InputError(f"every text must be a str, got {type(text).__name__}: {str(text)[:40]!r}")


def check_texts(texts: object, name: str = "texts") -> list[str]:
    """Checks a string, or several.

    Args:
        texts: A str or an iterable of str.
        name: The argument's name, for the message.

    Returns:
        A list of str; of one element for one str.

    Raises:
        InputError: For anything else.
    """
    if isinstance(texts, bytes) or not isinstance(texts, Iterable):
        raise InputError(f"{name} is {texts!r:.40}; give a string or a list of strings")
    texts = [texts] if isinstance(texts, str) else list(texts)
    for text in texts:
        if not isinstance(text, str):
            raise InputError(f"a text is a {type(text).__name__}; give strings")
    return texts


def check_no_record(text: object, name: str) -> None:
    """Checks that `text` is no record of `lk.data`: a named tuple, whose fields would be taken for words."""
    if isinstance(text, tuple) and hasattr(text, "_fields"):
        raise InputError(f"{name} is a {type(text).__name__}; give its text, one of {', '.join(text._fields)}")


def check_list(words: object, name: str) -> list:
    """Checks an iterable that is no text, whose characters would be taken for words.

    Returns:
        A list of its elements.
    """
    if isinstance(words, (str, bytes)):
        raise InputError(f"{name} takes a list of words, not a text: give lk.text.words(text)")
    try:
        return list(words)
    except TypeError:
        raise InputError(f"{name} takes a list of words, got {words!r:.40}") from None


def check_words(words: object, name: str) -> list[str]:
    """Checks an iterable of str that is no text.

    Returns:
        A list of its elements.
    """
    words = check_list(words, name)
    for word in words:
        if not isinstance(word, str):
            raise InputError(f"{name} takes a list of words, each a str, got {word!r:.40}")
    return words


def same_definition(one: type | None, other: type) -> bool:
    """Whether two classes are one definition: a cell of a notebook that is run again makes the class anew."""
    return one is not None and (one.__module__, one.__qualname__) == (other.__module__, other.__qualname__)


def _finite(value):
    """`value` as a finite float, or None for what is none."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _range(least, above, most, below):
    """ " of at least 1 and at most 4", " above 0 and below 1", or "" for any number."""
    limits = (("at least", least), ("above", above), ("at most", most), ("below", below))
    parts = [f"{words} {_shown(limit)}" for words, limit in limits if limit is not None]
    return (" of " if parts and parts[0].startswith("at") else " " * bool(parts)) + " and ".join(parts)


def _shown(limit):
    return f"{limit:,}" if isinstance(limit, int) and limit >= 10**6 else f"{limit}"
