"""Labels as people give them, and as a model and its measures take them: names, numbers, several names a text."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from lm_keras.data.labelled import LabelledTexts
from lm_keras.errors import InputError
from lm_keras.utils.checks import check_number

_WHOLE = re.compile(r"-?[0-9]+")


def texts_and_labels(
    texts: Iterable[Any] | LabelledTexts, labels: Iterable[Any] | None
) -> tuple[list, list | np.ndarray, tuple[str, ...] | None]:
    """Returns `(texts, labels, names)`; `names` of `LabelledTexts` are those that its labels are places in.

    Raises:
        InputError: For no text, another number of labels, or none.
    """
    named = None
    if isinstance(texts, LabelledTexts):
        if labels is not None:
            raise InputError("these texts have labels already; leave labels out")
        texts, labels, named = texts.texts, texts.labels, texts.classes or None
    if isinstance(texts, (str, bytes)) or not isinstance(texts, Iterable):
        raise InputError(f"texts is {texts!r:.40}; give a list of strings, or what lk.data.read_labelled returns")
    if labels is None or isinstance(labels, (str, bytes)) or not isinstance(labels, Iterable):
        raise InputError(f"labels is {labels!r:.40}; give a list, the class of each text")
    texts, labels = list(texts), labels if isinstance(labels, np.ndarray) else list(labels)
    if not texts or len(texts) != len(labels):
        raise InputError(f"got {len(texts)} texts and {len(labels)} labels; give one for each, and at least one")
    return texts, labels, named


def classes_of(
    labels: Sequence[Any] | np.ndarray, multi_label: bool, classes: Sequence[str] | None, named: Sequence[str] | None
) -> list[str]:
    """Returns the names of the classes: those that are given, else those that occur, sorted.

    Args:
        labels: As `texts_and_labels` returns them.
        multi_label: Whether each is a list.
        classes: Those of the caller, or None.
        named: Those of `LabelledTexts`, or None.

    Raises:
        InputError: For fewer than two classes, one twice, and rows of 0 and 1 without names.
    """
    if classes is not None or named is not None:
        if isinstance(classes, str) or not all(isinstance(name, str) for name in classes or ()):
            raise InputError(f"classes is {classes!r:.60}; give a list with a string for each class")
        found = list(named if classes is None else classes)
    elif multi_label and indicators(labels) is not None:
        raise InputError("labels of 0 and 1 have no names; give classes=[...], a name for each column")
    else:
        rows = [label for row in labels for label in _listed(row)] if multi_label else labels
        found = {name_of(label, None) for label in rows}
        found = sorted(found, key=int) if all(map(_WHOLE.fullmatch, found)) else sorted(found)
    if len(found) < 2:
        have = f"all labels are {found[0]!r}" if found else "there is no class"
        raise InputError(f"{have}; a classifier needs two classes or more")
    return found


def places_of(
    labels: Sequence[Any] | np.ndarray, classes: Sequence[str], multi_label: bool, named: Sequence[str] | None = None
) -> np.ndarray:
    """Returns labels as places in `classes`, int32 [N]; with `multi_label` 0 and 1, int32 [N, C].

    Args:
        labels: Names; or whole numbers: places in `named`, else in `classes` unless these are numbers themselves.
        classes: The names of the classes.
        multi_label: Whether a label is a list of names or numbers, or a row [C] of 0 and 1, as all others are.
        named: What the numbers are places in, where that is another list of names.

    Raises:
        InputError: For a label that is none of the classes.
    """
    places, columns = {name: i for i, name in enumerate(classes)}, list(classes if named is None else named)
    named = _numbered(classes) if named is None else named
    if not multi_label:
        return np.array([_place(places, i, label, named) for i, label in enumerate(labels)], "int32")
    if (table := indicators(labels)) is not None:
        if table.shape[1] != len(columns) or not np.isin(table, (0, 1)).all():
            raise InputError(f"labels are {list(table.shape)}; give 0 or 1 for each of {len(columns)} classes")
        labels = [[columns[c] for c in np.flatnonzero(row)] for row in table]
    y = np.zeros((len(labels), len(classes)), "int32")
    for i, row in enumerate(labels):
        y[i, [_place(places, i, label, named) for label in _listed(row)]] = 1
    return y


def indicators(labels: Sequence[Any] | np.ndarray) -> np.ndarray | None:
    """Returns rows of 0 and 1 as an array [N, C], also where they are lists; None for rows of names or of places."""
    if isinstance(labels, np.ndarray):
        return labels if labels.ndim == 2 else None
    rows = [row for row in labels if isinstance(row, (list, tuple, np.ndarray))]
    if len(rows) < len(labels) or len(set(map(len, rows))) != 1 or len(rows[0]) < 2:
        return None
    flags = all(isinstance(flag, (int, np.integer, np.bool_)) and flag in (0, 1) for row in rows for flag in row)
    return np.asarray(rows) if flags else None


def class_weights(
    given: str | Mapping[str, float] | None, y: np.ndarray, classes: Sequence[str], multi_label: bool
) -> np.ndarray | None:
    """Returns the weight of each class, float64 [C], or None.

    Args:
        given: "balanced", `{class: weight}` or None; a class by its name, or by a number as labels have it.
        y: The labels of the training texts, as `places_of` returns them.
        classes: The names of the classes.
        multi_label: Balanced, a class weighs N / (C its texts); with several classes a text, noes / yeses.

    Raises:
        InputError: For anything else.
    """
    if given is None:
        return None
    if isinstance(given, str) and given == "balanced":
        count = y.sum(0) if multi_label else np.bincount(y, minlength=len(classes))
        balance = (len(y) - count) if multi_label else len(y) / len(classes)
        return np.where(count > 0, balance / np.maximum(count, 1), 1.0)
    if not isinstance(given, Mapping):
        raise InputError(f'class_weight is {given!r:.40}; give "balanced", or {{class: weight}}')
    weights, named = np.ones(len(classes)), _numbered(classes)
    for key, weight in given.items():
        name = name_of(key, named)
        if name not in classes:
            raise InputError(f"class_weight has {key!r:.40}, which is none of the classes {shown(classes)}")
        weights[list(classes).index(name)] = check_number(f"class_weight of {name}", weight, least=0)
    return weights


def shown(classes: Sequence[str]) -> str:
    """Returns the names for a message."""
    return ", ".join(map(repr, classes[:20])) + (", ..." if len(classes) > 20 else "")


def name_of(label: Any, named: Sequence[str] | None) -> str:
    """Returns the name of a class for a name or a whole number, which is a place in `named`, or a name without.

    Raises:
        InputError: For anything else, and for a number where `named` is empty.
    """
    if isinstance(label, str):
        return str(label)  # a string of NumPy is one, too
    if isinstance(label, (bool, np.bool_)) or not isinstance(label, (int, np.integer)):
        given = " ".join(repr(label.item() if isinstance(label, np.generic) else label).split())
        raise InputError(f"a label is {given:.40}; give the name of a class, or a whole number")
    if named is None:
        return str(int(label))
    if not len(named):
        raise InputError(
            f"a label is the number {label}, and some classes are called by numbers and others by names, so that it "
            "may be a name or a place; give strings, or read the file with classes=[...]"
        )
    if not 0 <= label < len(named):
        raise InputError(f"a label is {label}, and there are {len(named)} classes, 0 to {len(named) - 1}")
    return named[label]


def is_whole(name: str) -> bool:
    """Returns whether a class is called by a whole number."""
    return _WHOLE.fullmatch(name) is not None


def ambiguous(classes: Sequence[str]) -> bool:
    """Returns whether some names are whole numbers and others are none: a number may be a name, or a place."""
    return len(set(map(is_whole, classes))) > 1


def _numbered(classes):
    """What whole numbers are places in: the classes; None where these are numbers; () where only some of them are."""
    return () if ambiguous(classes) else None if is_whole(classes[0]) else classes


def _place(places, row, label, named):
    name = name_of(label, named)
    if name not in places:
        raise InputError(
            f"the label of text {row + 1} is {name!r:.40}, which is none of the classes {shown(list(places))}; "
            "leave such texts out, or train with them"
        )
    return places[name]


def _listed(row):
    if isinstance(row, (str, bytes)) or not isinstance(row, Iterable):
        raise InputError(f"with multi_label each label is a list of names, got {row!r:.40}")
    return list(row)
