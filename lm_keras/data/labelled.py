"""Texts with labels: read from CSV, TSV and JSON, and made into the batches that a classifier trains on."""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lm_keras.data.text_files import as_path, check_encoding, check_file, decoded_blocks, plain_name
from lm_keras.errors import InputError
from lm_keras.text import unicode

DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
JSON_LINES = (".jsonl", ".ndjson")
LONGEST_FIELD = 1 << 27  # characters; csv's own limit of 131,072 is less than a book
_INTEGER = re.compile(r"[+-]?(?:0|[1-9][0-9]{0,99})")  # "007" is a name
_FLOAT = re.compile(r"[+-]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_NO_NUMBER = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)  # what programs write among floats


class LabelledTexts(NamedTuple):
    """Texts with their labels, as `texts, labels, classes = read_labelled(...)`.

    Attributes:
        texts: A list of str; of pairs (str, str), where two columns were read.
        labels: NumPy array, one number a text. int32: where the file has names, the place of each in `classes`; where
            it has whole numbers, those. float32, for a regression: where it has other numbers. int32 [N, C] of 0 and
            1, where a text may have several classes.
        classes: Tuple of the names, () where the file has numbers.
    """

    texts: list[str] | list[tuple[str, str]]
    labels: np.ndarray
    classes: tuple[str, ...]

    def counts(self) -> Counter:
        """Returns the number of texts of each class by its name (or number); nothing for a regression."""
        if self.labels.dtype.kind == "f":
            return Counter()
        if self.labels.ndim == 2:
            return Counter(dict(zip(self.classes, self.labels.sum(0).tolist(), strict=True)))
        names = self.classes or [str(label) for label in self.labels.tolist()]
        places = self.labels.tolist() if self.classes else range(len(names))
        return Counter(names[place] for place in places)


def read_labelled(
    path: str | Path,
    text: str | int = "text",
    label: str | int = "label",
    *,
    pair: str | int | None = None,
    separator: str | None = None,
    classes: Sequence[str] | None = None,
    encoding: str = "utf-8",
    delimiter: str | None = None,
    quotes: bool = True,
) -> LabelledTexts:
    """Reads texts and labels from a .csv, .tsv, .jsonl or .json file, plain or compressed (.gz, .bz2, .xz).

    CSV and TSV: a field may stand in double quotes and then hold line ends and the delimiter; two quotes in it are
    one. The delimiter is the suffix's and never guessed. JSON lines: an object a line. JSON: a list of objects.

    Names as labels become numbers, each the place in `classes`: those that the file holds, sorted by code point, or
    those of the argument. Spaces around a name are no part of it. Labels that are all whole numbers stay what they
    are; so do other numbers, as floats. In JSON a string is a name, true and false are too; half a surrogate pair,
    which UTF-8 cannot hold, becomes U+FFFD.

    Args:
        path: The file.
        text: Name of the column (or key) with the texts. A whole number, for a file without a line of names: the
            place of the column, from 0 on.
        label: The same for the labels.
        pair: The same for the second text of each row, where a row has two: `texts` are pairs then.
        separator: What stands between the names of a row's classes, such as ";", where it may have several: `labels`
            are 0 and 1 then, [N, C]. An empty field is a text of no class. In JSON the names may be a list, too.
        classes: List or tuple of all names, in the order of their numbers. For a test set: `classes` of the training
            set, which is () where its labels are numbers: then these must be numbers, too.
        encoding: Name of a Python text encoding, as in `read_texts`.
        delimiter: One character between two columns, for another suffix or a CSV with ";".
        quotes: False: a double quote is a character like any other (many TSV files).

    Returns:
        `LabelledTexts(texts, labels, classes)`.

    Raises:
        InputError: For a column that is not there, a row with more or fewer fields than the first, an empty label, a
            name that is not in `classes`, and whatever `read_texts` refuses; with the number of the line.

    Example:

    ```python
    train = lk.data.read_labelled("train.csv", text="review", label="sentiment")
    test = lk.data.read_labelled("test.csv", text="review", label="sentiment", classes=train.classes)
    batches = lk.data.labelled(train, tokenizer=tokenizer, batch_size=32)
    ```
    """
    path, columns = as_path(path), (text, label) if pair is None else (text, label, pair)
    classes = _checked_classes(classes)
    if len(set(columns)) < len(columns) or not (_are(columns, str) or _are(columns, int)):
        what = "text and label are names of two columns" if pair is None else "text, label and pair are three columns"
        raise InputError(f"{what}, or places from 0 on, got {', '.join(map(repr, columns[:-1]))} and {columns[-1]!r}")
    if separator is not None and (not isinstance(separator, str) or not separator.strip()):
        raise InputError(f'separator is {separator!r}; give what stands between two labels of a text, such as ";"')
    rows, is_table = _rows(path, columns, encoding, delimiter, quotes)
    places, texts, labels = [], [], []
    for place, value, name, *second in rows:
        for part in (value, *second):
            if not isinstance(part, str):
                raise InputError(f"{path}, {place}: the text is {_shown(part)}, no string")
        name = _label(name) if separator is None else _several(path, place, name, separator)
        if name is None or name == "":
            raise InputError(f"{path}, {place}: the label is empty; give every text a label, or leave the row out")
        places.append(place), texts.append((value, *second) if second else value), labels.append(name)
    if not texts:
        raise InputError(f"{path}: it holds no rows; give a file with texts and labels")
    if separator is not None:
        return LabelledTexts(texts, *_indicators(path, places, labels, classes))
    _check_labels(path, places, labels)
    numbers = labels
    if isinstance(labels[0], str):
        numbers = _parsed_numbers(labels) if is_table and not classes else None
        if numbers is None and classes != ():
            return LabelledTexts(texts, *_ids(path, places, labels, classes))
        if numbers is None:
            at = next(at for at, name in enumerate(labels) if not (is_table and _FLOAT.fullmatch(name)))
            raise InputError(
                f"{path}, {places[at]}: the label {_shown(labels[at])} is a name; give numbers, or names as classes"
            )
    elif classes:
        raise InputError(f"{path}: its labels are numbers, such as {labels[0]}; leave classes out")
    return LabelledTexts(texts, _numbers(path, places, numbers), ())


def read_columns(
    path: str | Path,
    columns: Sequence[str | int],
    *,
    encoding: str = "utf-8",
    delimiter: str | None = None,
    quotes: bool = True,
) -> list[list[str]]:
    """Reads texts without labels from the columns of a file, as `read_labelled` reads them.

    Args:
        path: A .csv, .tsv, .jsonl or .json file, plain or compressed.
        columns: Names of the columns; or their places from 0 on.
        encoding: Name of a Python text encoding.
        delimiter: As in `read_labelled`.
        quotes: The same.

    Returns:
        A list of str for each row, one a column.

    Raises:
        InputError: As `read_labelled`.
    """
    path, found = as_path(path), []
    for place, *texts in _rows(path, tuple(columns), encoding, delimiter, quotes)[0]:
        for text in texts:
            if not isinstance(text, str):
                raise InputError(f"{path}, {place}: the text is {_shown(text)}, no string")
        found.append(texts)
    return found


def rows_of(
    path: Path, columns: Sequence[str | int], encoding: str, delimiter: str | None, quotes: bool
) -> Iterator[tuple]:
    """Yields where each row of a file stands, such as "line 3", and its values of the columns, of any type in JSON.

    The arguments are those of `read_columns`; what it refuses is refused.
    """
    return _rows(path, tuple(columns), encoding, delimiter, quotes)[0]


def is_table_name(path: str | Path) -> bool:
    """Returns whether a file is one of columns by its name, which `read_labelled` reads."""
    return Path(plain_name(as_path(path))).suffix in (*DELIMITERS, *JSON_LINES, ".json")


def is_json_name(path: str | Path) -> bool:
    """Returns whether a file is one of JSON by its name, which has neither a delimiter nor quotes of its own."""
    return Path(plain_name(as_path(path))).suffix in (*JSON_LINES, ".json")


def _rows(path, columns, encoding, delimiter, quotes):
    """`((where it stands, value of each column), ...)`, and whether the file is a table, whose values are strings."""
    check_encoding(encoding)
    check_file(path)
    suffix = Path(plain_name(path)).suffix
    if delimiter is not None or suffix in DELIMITERS:
        return _table(
            path, columns, encoding, DELIMITERS.get(suffix) if delimiter is None else delimiter, quotes
        ), True
    if suffix in (*JSON_LINES, ".json"):
        return json_objects(path, columns, encoding, suffix), False
    raise InputError(f'{path}: neither .csv, .tsv, .jsonl nor .json; give its delimiter=, such as "," or "\\t"')


def _checked_classes(classes):
    """The classes as a tuple, or None. A set has no order, so that its names would have other numbers each time."""
    if classes is None:
        return None
    found = classes.tolist() if isinstance(classes, np.ndarray) else classes
    names = isinstance(found, (list, tuple)) and all(isinstance(name, str) for name in found)
    if not names or len(set(found)) < len(found):
        raise InputError(f"classes are a list of different names, got {_shown(classes)}")
    return tuple(found)


def _are(columns, kind):
    return all(isinstance(column, kind) and not isinstance(column, bool) for column in columns)


def _label(value):
    if isinstance(value, str):
        return value.strip()
    return str(value).lower() if isinstance(value, bool) else value


def _several(path, place, value, separator):
    """The names of a row's classes, each once."""
    names = value.split(separator) if isinstance(value, str) else [] if value is None else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{path}, {place}: the label is {_shown(value)}; give the names of its classes")
    return list(dict.fromkeys(name.strip() for name in names if name.strip()))


def _shown(value):
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{shown[:40]}..."


# === Rows of a file: (where it stands, text, label) ===
def _table(path, columns, encoding, delimiter, quotes):
    if not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '\r\n"':
        raise InputError(f'delimiter is one character, such as ",", ";" or "\\t", got {delimiter!r}')
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_FIELD))
    quoting = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
    reader = csv.reader(text_lines(path, encoding), delimiter=delimiter, quoting=quoting, strict=True)
    width, found, line = None, columns, 1
    try:
        for row in reader:
            if row:  # no blank line
                if width is None:
                    width, header = len(row), isinstance(columns[0], str)
                    found = _places(path, row, columns, delimiter)
                    if header:
                        line = reader.line_num + 1
                        continue
                if len(row) != width:
                    hint = "" if quotes else "; quotes=False: a field cannot hold the delimiter"
                    raise InputError(f"{path}, line {line}: {len(row)} fields, but the first line has {width}{hint}")
                yield f"line {line}", *(row[at] for at in found)
            line = reader.line_num + 1
    except csv.Error as error:
        hint = (
            "; if quotes are characters like any other in this file, give quotes=False (--no-quotes)"
            if quotes
            else ""
        )
        raise InputError(f"{path}, line {line}: no valid row ({error}){hint}") from error


def _places(path, row, columns, delimiter):
    """The places of the two columns in a row, from the first line."""
    if not isinstance(columns[0], str):
        for column in columns:
            if not 0 <= column < len(row):
                raise InputError(f"{path}: no column {column}; the first line has {len(row)}, from 0 on")
        return columns
    names = [name.strip() for name in row]
    for column in columns:
        if names.count(column) != 1:
            what = f"no column {column!r}" if column not in names else f"two columns are named {column!r}"
            flag = column if column in ("question", "answer", "source", "target") else "label"
            hint = f"; say which column it is, such as {flag}='category' (--{flag} category)"
            if len(names) == 1:
                hint = f"; if these are several, {delimiter!r} does not separate them: give delimiter= (--delimiter)"
            shown = ", ".join(map(_shown, names[:20])) + (", ..." if len(names) > 20 else "")
            raise InputError(f"{path}: {what}; its first line names {shown}{hint}")
    return [names.index(column) for column in columns]


def json_objects(path: Path, columns: Sequence[str], encoding: str, suffix: str) -> Iterator[tuple]:
    """Yields where each object of a JSON or JSON lines file stands, and its value of each column."""
    if not isinstance(columns[0], str):
        raise InputError(f"{path}: in JSON columns are names, got {' and '.join(map(repr, columns))}")
    for place, record in json_records(path, encoding, suffix):
        for column in columns:
            if column not in record:
                raise InputError(
                    f"{path}, {place}: no {column!r}; it has {', '.join(map(_shown, record)) or 'nothing'}"
                )
        values = (record[column] for column in columns)
        yield place, *(unicode.valid(value) if isinstance(value, str) else value for value in values)


def json_records(path: Path, encoding: str, suffix: str) -> Iterator[tuple[str, dict]]:
    """Yields where each object of a JSON (`suffix` ".json") or JSON lines file stands, and the object."""
    if suffix == ".json":
        objects = _parsed(path, "".join(decoded_blocks(path, encoding)), "")
        if not isinstance(objects, list):
            raise InputError(
                f"{path}: a JSON {type(objects).__name__}; expected a list of objects with text and label"
            )
        objects = ((f"record {i}", record) for i, record in enumerate(objects, 1))
    else:
        lines = ((f"line {i}", line) for i, line in enumerate(text_lines(path, encoding), 1) if line.strip())
        objects = ((place, _parsed(path, line, f", {place}")) for place, line in lines)
    for place, record in objects:
        if not isinstance(record, dict):
            raise InputError(f"{path}, {place}: expected a JSON object, got {_shown(record)}")
        yield place, record


def _parsed(path, text, place):
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}{place}: not JSON ({error})") from error


def text_lines(path: Path, encoding: str) -> Iterator[str]:
    """The lines of a file with "\\n" at the end of each; a lone "\\r" ends a line too."""
    parts, size = [], 0  # of a line; joined once, so that a file of a single line costs no quadratic time
    for block in decoded_blocks(path, encoding):
        first, *rest = block.replace("\r", "\n").split("\n")
        parts.append(first)
        size += len(first)
        if size > LONGEST_FIELD:  # a compressed file may expand without end
            raise InputError(f"{path}: a line of more than {LONGEST_FIELD:,} characters; no file of texts and labels")
        if rest:
            yield "".join(parts) + "\n"
            yield from (line + "\n" for line in rest[:-1])
            parts, size = rest[-1:], len(rest[-1])
    if any(parts):
        yield "".join(parts)


# === Labels of a file ===
def _numbers(path, places, labels):
    """The labels as an int32 or float32 array, `places` says where each stands."""
    whole = all(isinstance(label, int) for label in labels)
    largest = 2**31 - 1 if whole else float(np.finfo("float32").max)
    for place, label in zip(places, labels, strict=True):
        if not abs(label) <= largest:  # nan too
            raise InputError(f"{path}, {place}: the label {_shown(label)} is no number of 32 bits")
    return np.asarray(labels, "int32" if whole else "float32")


def _parsed_numbers(names):
    """The numbers that all names of a table are, or None."""
    if all(map(_INTEGER.fullmatch, names)):
        return [int(name) for name in names]
    others = [name for name in names if not _FLOAT.fullmatch(name)]
    if len(others) == len(names) or not all(map(_NO_NUMBER.fullmatch, others)):
        return None
    return [float(name) for name in names]


def _ids(path, places, names, classes):
    """The place of each name in `classes`, int32, and the classes."""
    classes = classes or tuple(sorted(set(names)))
    ids = {name: i for i, name in enumerate(classes)}
    for place, name in zip(places, names, strict=True):
        if name not in ids:
            shown = ", ".join(map(_shown, classes[:20])) + (", ..." if len(classes) > 20 else "")
            raise InputError(f"{path}, {place}: the label {_shown(name)} is none of the classes {shown}")
    return np.asarray([ids[name] for name in names], "int32"), classes


def _indicators(path, places, rows, classes):
    """Rows of names as int32 [N, C] of 0 and 1, and the classes."""
    flat = [(place, name) for place, row in zip(places, rows, strict=True) for name in row]
    if not flat and not classes:
        raise InputError(f"{path}: no row has a label; give texts with the names of their classes")
    columns, classes = _ids(path, *(zip(*flat, strict=True) if flat else ((), ())), classes)
    labels = np.zeros((len(rows), len(classes)), "int32")
    labels[np.repeat(np.arange(len(rows)), [len(row) for row in rows]), columns] = 1
    return labels, classes


def _check_labels(path, places, labels):
    """Raises InputError unless all labels are names, or all are numbers."""
    for place, label in zip(places, labels, strict=True):
        if not isinstance(label, (str, int, float)) or isinstance(label, str) != isinstance(labels[0], str):
            raise InputError(
                f"{path}, {place}: the label is {_shown(label)}; give names alone, or numbers alone (as the first: "
                f"{_shown(labels[0])})"
            )
