"""Texts with labels: read from CSV, TSV and JSON, and made into the batches that a classifier trains on."""

import csv
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lm_keras.data.text_files import as_path, check_encoding, check_file, decoded_blocks, plain_name
from lm_keras.data.windows import shuffled_batches
from lm_keras.errors import InputError
from lm_keras.text import unicode
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.utils.checks import check_sizes

DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
JSON_LINES = (".jsonl", ".ndjson")
LONGEST_FIELD = 1 << 27  # characters; csv's own limit of 131,072 is less than a book
_INTEGER = re.compile(r"[+-]?(?:0|[1-9][0-9]{0,99})")  # "007" is a name
_FLOAT = re.compile(r"[+-]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_NO_NUMBER = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)  # what programs write among floats


class LabelledTexts(NamedTuple):
    """Texts with their labels, as `texts, labels, classes = read_labelled(...)`.

    Attributes:
        texts: A list of str.
        labels: NumPy array, one number a text. int32: where the file has names, the place of each in `classes`; where
            it has whole numbers, those. float32, for a regression: where it has other numbers.
        classes: Tuple of the names, () where the file has numbers.
    """

    texts: list[str]
    labels: np.ndarray
    classes: tuple[str, ...]

    def counts(self) -> Counter:
        """Returns the number of texts of each class by its name (or number); nothing for a regression."""
        if self.labels.dtype.kind == "f":
            return Counter()
        names = self.classes or [str(label) for label in self.labels.tolist()]
        places = self.labels.tolist() if self.classes else range(len(names))
        return Counter(names[place] for place in places)


def read_labelled(
    path: str | Path,
    text: str | int = "text",
    label: str | int = "label",
    *,
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
    path, columns = as_path(path), (text, label)
    check_encoding(encoding)
    check_file(path)
    classes = _checked_classes(classes)
    if text == label or not (_are(columns, str) or _are(columns, int)):
        raise InputError(f"text and label are names of two columns, or places from 0 on, got {text!r} and {label!r}")
    suffix = Path(plain_name(path)).suffix
    is_table = delimiter is not None or suffix in DELIMITERS
    if is_table:
        rows = _table(path, columns, encoding, DELIMITERS.get(suffix) if delimiter is None else delimiter, quotes)
    elif suffix in (*JSON_LINES, ".json"):
        rows = _objects(path, columns, encoding, suffix)
    else:
        raise InputError(f'{path}: neither .csv, .tsv, .jsonl nor .json; give its delimiter=, such as "," or "\\t"')
    places, texts, labels = [], [], []
    for place, value, name in rows:
        if not isinstance(value, str):
            raise InputError(f"{path}, {place}: the text is {_shown(value)}, no string")
        name = _label(name)
        if name is None or name == "":
            raise InputError(f"{path}, {place}: the label is empty; give every text a label, or leave the row out")
        places.append(place), texts.append(value), labels.append(name)
    if not texts:
        raise InputError(f"{path}: it holds no rows; give a file with texts and labels")
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


def _shown(value):
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{shown[:40]}..."


# === Rows of a file: (where it stands, text, label) ===
def _table(path, columns, encoding, delimiter, quotes):
    if not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '\r\n"':
        raise InputError(f'delimiter is one character, such as ",", ";" or "\\t", got {delimiter!r}')
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_FIELD))
    quoting = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
    reader = csv.reader(_lines(path, encoding), delimiter=delimiter, quoting=quoting, strict=True)
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
                yield f"line {line}", row[found[0]], row[found[1]]
            line = reader.line_num + 1
    except csv.Error as error:
        hint = "; if quotes are characters like any other in this file, give quotes=False" if quotes else ""
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
            hint = ""
            if len(names) == 1:
                hint = f"; if it holds more than one, the delimiter is not {delimiter!r}: give delimiter="
            shown = ", ".join(map(_shown, names[:20])) + (", ..." if len(names) > 20 else "")
            raise InputError(f"{path}: {what}; its first line names {shown}{hint}")
    return [names.index(column) for column in columns]


def _objects(path, columns, encoding, suffix):
    if not isinstance(columns[0], str):
        raise InputError(f"{path}: in JSON text and label are names, got {columns[0]!r} and {columns[1]!r}")
    if suffix == ".json":
        objects = _parsed(path, "".join(decoded_blocks(path, encoding)), "")
        if not isinstance(objects, list):
            raise InputError(
                f"{path}: a JSON {type(objects).__name__}; expected a list of objects with text and label"
            )
        objects = ((f"record {i}", record) for i, record in enumerate(objects, 1))
    else:
        lines = ((f"line {i}", line) for i, line in enumerate(_lines(path, encoding), 1) if line.strip())
        objects = ((place, _parsed(path, line, f", {place}")) for place, line in lines)
    for place, record in objects:
        if not isinstance(record, dict):
            raise InputError(f"{path}, {place}: expected a JSON object, got {_shown(record)}")
        for column in columns:
            if column not in record:
                raise InputError(
                    f"{path}, {place}: no {column!r}; it has {', '.join(map(_shown, record)) or 'nothing'}"
                )
        values = (record[column] for column in columns)
        yield place, *(unicode.valid(value) if isinstance(value, str) else value for value in values)


def _parsed(path, text, place):
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}{place}: not JSON ({error})") from error


def _lines(path, encoding):
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


def _check_labels(path, places, labels):
    """Raises InputError unless all labels are names, or all are numbers."""
    for place, label in zip(places, labels, strict=True):
        if not isinstance(label, (str, int, float)) or isinstance(label, str) != isinstance(labels[0], str):
            raise InputError(
                f"{path}, {place}: the label is {_shown(label)}; give names alone, or numbers alone (as the first: "
                f"{_shown(labels[0])})"
            )


# === Batches (x, y) ===

if TYPE_CHECKING:
    from lm_keras.data.text_dataset import TextDataset


def labelled(
    texts: Iterable[str | tuple[str, str]] | LabelledTexts,
    labels: Iterable[float] | None = None,
    tokenizer: Tokenizer | None = None,
    batch_size: int = 32,
    max_length: int | None = None,
    shuffle: bool = True,
    seed: int = 0,
) -> "TextDataset":
    """Returns a `TextDataset` of `x, y`: token ids int32 [B, T] filled up with `tokenizer.pad_id`, and labels [B].

    T is the longest of the batch; with `max_length` every batch is that wide and longer texts are cut. Whole
    numbers are classes, int32; others are values for a regression, float32.
    A tokenizer for encoders (one that `encodes_pairs`: WordPiece) gives x as {"token_ids", "segment_ids",
    "padding_mask"}, int32 [B, T] each, with its marks; there a text may be a pair (first, second).

    Args:
        texts: Strings (or pairs), or what `read_labelled` returns, which has its labels with it:
            `labelled(train, tokenizer=tokenizer)`.
        labels: A number for each text.
        tokenizer: A tokenizer with a padding token.
        batch_size: Texts of a batch.
        max_length: Ids of a text.
        shuffle: A new order every iteration, which `seed` and the number of the iteration decide.
        seed: Of that order.

    Raises:
        InputError: For no text, labels of another number, or sizes below 1.
    """
    import tensorflow as tf

    from lm_keras.data.text_dataset import TextDataset

    if isinstance(texts, LabelledTexts):
        if labels is not None:
            raise InputError("these texts have labels already; give labelled(texts, tokenizer=..., batch_size=...)")
        texts, labels = texts.texts, texts.labels
    if isinstance(texts, (str, bytes, os.PathLike)):  # whose characters would be taken for texts
        raise InputError("texts are a list of strings, got one; of a file read them by lk.data.read_labelled(path)")
    if labels is None or tokenizer is None:
        raise InputError(f"labelled needs {'labels' if labels is None else 'a tokenizer'}; give one for the texts")
    check_sizes(batch_size=batch_size, max_length=1 if max_length is None else max_length)
    texts, labels = list(texts), _labels(labels)
    if not texts or len(texts) != len(labels):
        raise InputError(
            f"got {len(texts)} texts and {len(labels)} labels; give one label for each, and at least one"
        )
    inputs, fill = _inputs(texts, tokenizer, max_length)
    with tf.device("CPU"):
        inputs, labels = {name: _ragged(rows) for name, rows in inputs.items()}, tf.constant(labels)

    def batch(items):
        x = {name: _dense(tf.gather(rows, items), fill[name], max_length) for name, rows in inputs.items()}
        return x.get("ids", x), tf.gather(labels, items)

    if shuffle:
        order, stream = shuffled_batches(len(texts), int(batch_size), seed)
        batches = lambda step: stream(step).map(batch).prefetch(2)  # noqa: E731
    else:
        order, batches = tf.data.Dataset.range(len(texts)).batch(int(batch_size)), None
    return TextDataset(order.map(batch).prefetch(2), batch_size=int(batch_size), stream=batches)


def _labels(labels):
    labels = labels if isinstance(labels, np.ndarray) else list(labels)
    try:
        array = np.asarray(labels)
    except ValueError:  # rows of different lengths
        array = np.zeros((0, 0))
    if array.ndim != 1 or array.dtype.kind not in "iufb":
        example = next(iter(labels), None)
        raise InputError(
            f"labels must be one number a text, got {example!r}; give the place of each in a list of names"
        )
    wrong = ~np.isfinite(array) if array.dtype.kind == "f" else (array < 0) | (array >= 2**31)
    if wrong.any():
        raise InputError(
            f"labels are classes, whole numbers from 0 on, or finite floats for a regression, got {array[wrong][0]}"
        )
    return array.astype("float32" if array.dtype.kind == "f" else "int32")


def _inputs(texts, tokenizer, max_length):
    """The rows of ids by the name of the input, and what each input is filled up with."""
    pairs = tokenizer.encodes_pairs
    for text in texts:
        parts = text if pairs and isinstance(text, (tuple, list)) and len(text) == 2 else (text,)
        if not all(isinstance(part, str) for part in parts):
            wanted = "a str, or a pair of them" if pairs else "a str"
            raise InputError(f"every text must be {wanted}, got {type(text).__name__}: {str(text)[:40]!r}")
    if tokenizer.pad_id is None:
        raise InputError(
            f"this {type(tokenizer).__name__} has no padding token, which texts of different lengths need; "
            "give a WordPieceTokenizer, a WordTokenizer or a CharTokenizer"
        )
    if not pairs:
        return {"ids": [ids[:max_length] for ids in tokenizer.encode_batch(texts)]}, {"ids": tokenizer.pad_id}
    both = [(text,) if isinstance(text, str) else text for text in texts]
    ids, segments = zip(*(tokenizer.encode_pair(*parts, max_length=max_length) for parts in both), strict=True)
    inputs = {"token_ids": ids, "segment_ids": segments, "padding_mask": [[1] * len(row) for row in ids]}
    return inputs, {"token_ids": tokenizer.pad_id, "segment_ids": 0, "padding_mask": 0}


def _ragged(rows):
    import tensorflow as tf

    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    ids = np.fromiter(chain.from_iterable(rows), np.int32, lengths.sum())
    return tf.RaggedTensor.from_row_lengths(ids, lengths)


def _dense(ragged, fill, width):
    """[B, (n)] -> [B, width], or as wide as the longest row; at least one column, also when all texts are empty."""
    import tensorflow as tf

    dense = ragged.to_tensor(fill, shape=(None, width))
    if width is None:
        dense = tf.pad(dense, [[0, 0], [0, tf.cast(tf.shape(dense)[1] == 0, tf.int32)]], constant_values=fill)
    return dense
