"""The n-best lists of a speech recognizer: a reader of JSON lines, and its checks."""

import math
from collections.abc import Iterable
from pathlib import Path

from lm_keras.data.corpora.records import Hypotheses
from lm_keras.data.labelled import json_records
from lm_keras.data.text_files import as_path, check_encoding, check_file, plain_name
from lm_keras.errors import InputError
from lm_keras.text.unicode import valid

KEYS = {"hypotheses": ("hypotheses", "hyps"), "scores": ("scores", "am_score"), "reference": ("reference", "ref")}


def read_hypotheses(path: str | Path, *, references: bool = True, encoding: str = "utf-8") -> list[Hypotheses]:
    """Reads n-best lists from JSON lines (or a .json list of objects), plain or compressed.

    An object is {"hypotheses": ["best guess", "second", ...], "scores": [-1.2, -1.5, ...], "reference": "what was
    said", "id": "utt1"}; "scores" and "id" may be missing. The names that HyPoradise has, "hyps", "am_score" and
    "ref", are read, too. What else an object holds is left out.

    Args:
        path: The file.
        references: Whether an object says what was said; False: that is not looked at.
        encoding: Name of a Python text encoding, as in `read_texts`.

    Returns:
        A list of `Hypotheses`, whose `reference` is None without references.

    Raises:
        InputError: For what is no such object, no hypothesis at all, hypotheses that are no texts, scores that are
            no finite numbers or not as many; with the number of the line.

    Example:

    ```python
    lists = lk.data.read_hypotheses("nbest.jsonl")
    rescorer = lk.tasks.Rescorer.train(lists, lm)
    ```
    """
    path = as_path(path)
    check_encoding(encoding)
    check_file(path)
    found = []
    for place, row in json_records(path, encoding, Path(plain_name(path)).suffix):
        place = f"{path}, {place}"
        given = {field: next((row[key] for key in keys if key in row), None) for field, keys in KEYS.items()}
        if given["hypotheses"] is None:
            raise InputError(f"{place}: no 'hypotheses'; it has {', '.join(map(repr, row)) or 'nothing':.200}")
        if references and given["reference"] is None:
            raise InputError(f"{place}: no 'reference', which says what was said; it is needed here")
        for field in ("hypotheses", "scores"):
            if not isinstance(given[field] if given[field] is not None else [], list):
                raise InputError(f"{place}: {field} is {given[field]!r:.60}; give a list")
        record = Hypotheses(
            given["reference"] if references else None,
            tuple(given["hypotheses"]),
            tuple(given["scores"] or ()),
            str(row.get("id", "")),
        )
        found.append(checked_hypotheses(record, place))
    if not found:
        raise InputError(f"{path}: it holds no list of hypotheses; give a file with at least one")
    return found


def checked_hypotheses(record: Hypotheses, place: str) -> Hypotheses:
    """Returns an n-best list with valid text.

    Args:
        record: The list.
        place: What it is called in messages, such as "list 3".

    Raises:
        InputError: For what is none, no hypothesis, one that is no text, and scores that are not one finite number
            for each hypothesis.
    """
    if not isinstance(record, Hypotheses):
        raise InputError(
            f"{place} is a {type(record).__name__}; give lk.data.Hypotheses(reference, hypotheses, scores)"
        )
    texts = record.hypotheses
    if isinstance(texts, str) or not isinstance(texts, Iterable) or not (texts := tuple(texts)):
        raise InputError(f"{place}: the hypotheses are {record.hypotheses!r:.60}; give a list of at least one text")
    for text in (*texts, *([] if record.reference is None else [record.reference])):
        if not isinstance(text, str):
            raise InputError(f"{place}: it holds {text!r:.60} in place of a text")
    scores = checked_scores(record.scores, len(texts), place)
    reference = None if record.reference is None else valid(record.reference)
    return record._replace(reference=reference, hypotheses=tuple(map(valid, texts)), scores=scores)


def checked_scores(scores: Iterable[float], count: int, place: str) -> tuple[float, ...]:
    """Returns the scores of a list of so many hypotheses, or () where it has none.

    Args:
        scores: Numbers.
        count: How many hypotheses there are.
        place: What the list is called in messages.

    Raises:
        InputError: They are not one finite number for each hypothesis.
    """
    scores = tuple(scores)
    for score in scores:
        number = isinstance(score, (int, float)) and not isinstance(score, bool)
        if not number or not abs(score) <= 1e30 or not math.isfinite(score):
            raise InputError(f"{place}: the score {score!r:.40} is no finite number")
    if len(scores) not in (0, count):
        raise InputError(
            f"{place}: there are {count} hypotheses and {len(scores)} scores; give one for each, or none"
        )
    return tuple(map(float, scores))


def checked_lists(lists: Iterable[Hypotheses], *, references: bool = True) -> list[Hypotheses]:
    """Returns n-best lists, each checked.

    Args:
        lists: The records.
        references: Whether each must say what was said.

    Raises:
        InputError: For no list, and as of `checked_hypotheses`.
    """
    if isinstance(lists, (str, bytes, Hypotheses)) or not isinstance(lists, Iterable):
        raise InputError(f"lists is a {type(lists).__name__}; give a list of lk.data.Hypotheses")
    found = [checked_hypotheses(record, f"list {i}") for i, record in enumerate(lists)]
    if not found:
        raise InputError("there is no list of hypotheses; give at least one")
    if references and (none := next((i for i, one in enumerate(found) if one.reference is None), None)) is not None:
        raise InputError(f"list {none} does not say what was said; give lk.data.Hypotheses with a reference")
    return found
