"""The inputs of a request: one column of equally many values an input, of the type that the signature names."""

import collections
import contextlib
import math
import numbers
import reprlib
from collections.abc import Iterable, Sequence

import numpy as np

from lm_keras.errors import InputError
from lm_keras.serving.client.results import Tensor, kind_of
from lm_keras.text.unicode import valid


def as_columns(inputs: dict[str, object], tensors: dict[str, Tensor]) -> tuple[dict[str, list], int]:
    """`{name: value or values}` as ({name: list}, number of rows); a single value stands in every row.

    `tensors` are the signature's inputs, a Tensor each. Strings stay str or bytes, numbers become int and float.
    """
    lists = {name: as_list(value) for name, value in inputs.items()}
    lengths = {name: len(values) for name, values in lists.items() if values is not None}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise InputError(f"the inputs have different numbers of rows ({told}); give one value for all, or as many")
    rows = next(iter(lengths.values()), 1)
    columns = {}
    for name, values in lists.items():
        dtype, shape = tensors[name]
        if kind_of(dtype) is None:
            raise InputError(f"{name} of this model is of type {dtype}, which this client does not send")
        if shape == []:
            raise InputError(f"{name} of this model is one value for all rows, which this client does not send")
        rank = None if shape is None else len(shape) - 1
        if values is None:
            columns[name] = [_typed(name, inputs[name], dtype, rank)] * rows
        else:
            columns[name] = [_typed(name, value, dtype, rank) for value in values]
    return columns, rows


def as_list(value: object) -> list | None:
    """A list of the values, or None for a single value."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return list(value) if isinstance(value, Iterable) and not isinstance(value, (str, bytes)) else None


def ends_of(spans: object, name: str) -> tuple[int | list[int], int | list[int]]:
    """The starts and the ends of `(start, end)`, or of a list of them; InputError for anything else."""
    rows = as_list(spans)
    if rows is not None and len(rows) == 2 and not any(isinstance(row, (tuple, list)) for row in rows):
        return rows[0], rows[1]
    for row in [spans] if rows is None else rows:
        if not isinstance(row, (tuple, list)) or len(row) != 2:
            raise InputError(f"{name} has {row!r:.60}; give (start, end) in characters, or one for each text")
    return [row[0] for row in rows], [row[1] for row in rows]


HYPOTHESIS = "\x1e"  # between the hypotheses of an utterance: the separator of records, which ASCII has for this
LARGEST = 1e9  # of a recognizer's score; larger ones count as it


def nbest_lists(hypotheses: object, scores: object = None) -> list[tuple[list[str], list[float]]]:
    """The hypotheses and scores (or none) of each utterance, of one or of several; without the separator in a text.

    Args:
        hypotheses: A list of strings, or a list of such lists.
        scores: Numbers of the same form; None: no scores. That of one utterance may be empty or None, too.

    Raises:
        InputError: For what is no such list, and for scores that are not one finite number for each hypothesis.
    """
    if isinstance(hypotheses, (str, bytes)) or not isinstance(hypotheses, Iterable):
        raise InputError(f"hypotheses is {reprlib.repr(hypotheses)}; give a list of strings for each utterance")
    rows = list(hypotheses)
    if rows and isinstance(rows[0], str):
        rows, scores = [rows], None if scores is None else [scores]
    given = [None] * len(rows) if scores is None else list(scores)
    if len(given) != len(rows):
        raise InputError(f"there are {len(rows)} lists of hypotheses and {len(given)} of scores; give one for each")
    return [_nbest(*row) for row in zip(rows, given, strict=True)]


def _nbest(row, scores):
    texts, found = as_list(row), [] if scores is None else as_list(scores)
    if texts is None or not all(isinstance(text, str) for text in texts):
        raise InputError(f"the hypotheses of an utterance are {reprlib.repr(row)}; give a list of strings")
    if found is None or not all(
        isinstance(score, numbers.Real) and not isinstance(score, bool) and math.isfinite(score) for score in found
    ):
        raise InputError(f"the scores of an utterance are {reprlib.repr(scores)}; give a list of finite numbers")
    if found and len(found) != len(texts):
        raise InputError(
            f"an utterance has {len(texts)} hypotheses and {len(found)} scores; give one for each, or none"
        )
    cut = [min(max(float(score), -LARGEST), LARGEST) for score in found]
    return [valid(text).replace(HYPOTHESIS, "") for text in texts], cut


def joined_lists(hypotheses: object, scores: object = None) -> tuple[list[str], list[str]]:
    """The hypotheses of each utterance as one string, and its scores as another one, in decimals; "" for none.

    Args:
        hypotheses: As of `nbest_lists`.
        scores: As of `nbest_lists`.

    Raises:
        InputError: As of `nbest_lists`.
    """
    lists = nbest_lists(hypotheses, scores)
    # An exponent has two digits at most there.
    decimals = [[repr(score) if abs(score) > 1e-90 else "0.0" for score in row] for _, row in lists]
    return [HYPOTHESIS.join(row) for row, _ in lists], list(map(HYPOTHESIS.join, decimals))


def row_seeds(prompts: Sequence, seed: int) -> list[int]:
    """A seed a row: the k-th repeat of a prompt takes seed + k, as in `LanguageModel.generate`."""
    repeats, seeds = collections.Counter(), []
    for prompt in prompts:
        text = prompt if isinstance(prompt, (str, bytes)) else None  # another value is refused when it is typed
        seeds.append(seed + repeats[text])
        repeats[text] += 1
    return seeds


def _typed(name, value, dtype, rank):
    """A value of the wanted type, or with `rank` > 0 a list of such; None: of any rank."""
    values = as_list(value)
    if values is not None and rank != 0:
        return [_typed(name, each, dtype, rank and rank - 1) for each in values]
    if values is not None or rank:
        pass
    elif dtype == "string":
        if isinstance(value, str):
            return valid(value)  # as in Python: half a character is U+FFFD
        if isinstance(value, bytes):
            return value
    elif dtype == "bool":
        if isinstance(value, (bool, np.bool_)):
            return bool(value)
    elif isinstance(value, numbers.Real) and not isinstance(value, bool):
        if kind_of(dtype) == "float":
            with contextlib.suppress(OverflowError):  # a whole number beyond all floats
                if not math.isfinite(value) or abs(value) <= float(np.finfo(dtype).max):
                    return float(value)
        elif isinstance(value, numbers.Integral) and np.iinfo(dtype).min <= value <= np.iinfo(dtype).max:
            return int(value)
    raise InputError(f"{name} is {reprlib.repr(value)}; the model takes {dtype}{' lists' if rank else ''} there")
