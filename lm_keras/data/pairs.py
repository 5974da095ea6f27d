"""Pairs of a source and a target text: read from files, and made into the batches of an encoder-decoder."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lm_keras.data.corpora.records import TextPair
from lm_keras.data.labelled import read_columns, text_lines
from lm_keras.data.labelled_batches import dataset_by_length, ragged_rows
from lm_keras.data.text_files import as_path, check_encoding, check_file
from lm_keras.errors import InputError
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.utils.checks import check_sizes

if TYPE_CHECKING:
    from lm_keras.data.text_dataset import TextDataset

WIDTHS = 4  # of which a width is a multiple: a model prepares itself anew for each pair of widths


# === Files ===


def read_pairs(
    path: str | Path,
    source: str | int = "source",
    target: str | int = "target",
    *,
    encoding: str = "utf-8",
    delimiter: str | None = None,
    quotes: bool = True,
    skip_empty: bool = False,
) -> list[TextPair]:
    """Reads pairs from a .tsv, .csv, .jsonl or .json file, plain or compressed (.gz, .bz2, .xz).

    Args:
        path: The file.
        source: Name of the column (or key) with the sources. A whole number, for a file without a line of names: the
            place of the column, from 0 on.
        target: The same for the targets.
        encoding: Name of a Python text encoding, as in `read_texts`.
        delimiter: One character between two columns, for another suffix or a CSV with ";".
        quotes: False: a double quote is a character like any other (many TSV files).
        skip_empty: Whether a row with an empty side is left out; else it is an error.

    Returns:
        A list of `TextPair`; spaces at the ends of a text are no part of it.

    Raises:
        InputError: For a column that is not there, an empty side, and whatever `read_labelled` refuses; with the
            number of the line.

    Example:

    ```python
    pairs = lk.data.read_pairs("cmn.txt", source=0, target=1, delimiter="\\t", quotes=False)
    translator = lk.tasks.TextToText.train(pairs)
    ```
    """
    columns = (source, target)
    if source == target or type(source) is not type(target) or not isinstance(source, (str, int)):
        raise InputError(
            f"source and target are names of two columns, or places from 0 on, got {source!r} and {target!r}"
        )
    rows = read_columns(path, columns, encoding=encoding, delimiter=delimiter, quotes=quotes)
    return _checked_rows(path, rows, "row", skip_empty)


def read_parallel(
    source: str | Path, target: str | Path, *, encoding: str = "utf-8", skip_empty: bool = False
) -> list[TextPair]:
    """Reads pairs from two files: line n of the one belongs to line n of the other.

    Args:
        source: The file of the sources, plain or compressed (.gz, .bz2, .xz).
        target: The file of the targets.
        encoding: Name of a Python text encoding, as in `read_texts`.
        skip_empty: Whether lines of which a side is empty are left out; else they are an error.

    Returns:
        A list of `TextPair`; spaces at the ends of a line are no part of it.

    Raises:
        InputError: For files of another number of lines, an empty line, and what cannot be read.

    Example:

    ```python
    pairs = lk.data.read_parallel("train.de", "train.en")
    ```
    """
    source, target = as_path(source), as_path(target)
    check_encoding(encoding)
    for path in (source, target):
        check_file(path)
    sides = (text_lines(path, encoding) for path in (source, target))
    rows = []
    for first, second in itertools.zip_longest(*sides):
        if first is None or second is None:
            longer, shorter = (target, source) if first is None else (source, target)
            raise InputError(
                f"{longer} has more than the {len(rows):,} lines of {shorter}; give files whose lines belong together"
            )
        rows.append((first, second))
    return _checked_rows(source, rows, "line", skip_empty)


def _checked_rows(path, rows, name, skip_empty):
    found = []
    for number, row in enumerate(rows, 1):
        pair = TextPair(*(text.strip() for text in row))
        if all(pair):
            found.append(pair)
        elif not skip_empty:
            side = "target" if pair.source else "source"
            raise InputError(
                f"{path}, {name} {number}: the {side} is empty; fill it, or leave such rows out with skip_empty=True "
                "(--skip-empty)"
            )
    if not found:
        raise InputError(f"{path}: it holds no pairs; give a file with sources and targets")
    return found


def as_pairs(
    sources: Iterable[str] | Iterable[TextPair], targets: Iterable[str] | None = None, name: str = "source"
) -> list[TextPair]:
    """Returns the pairs that were given, as pairs or as two lists; InputError for what are none.

    Args:
        sources: Strings; or pairs (source, target), without targets.
        targets: As many strings.
        name: What a source is called in messages.
    """
    if isinstance(sources, (str, bytes)) or isinstance(targets, (str, bytes)):
        raise InputError("sources and targets are lists of strings, got one string; of a file use lk.data.read_pairs")
    sources = list(sources)
    if targets is not None:
        targets = list(targets)
        if len(sources) != len(targets):
            raise InputError(f"got {len(sources)} sources and {len(targets)} targets; give one for each")
        sources = list(zip(sources, targets, strict=True))
    for i, pair in enumerate(sources):
        sides = pair if isinstance(pair, (tuple, list)) and len(pair) == 2 else ()
        if not sides or not all(isinstance(side, str) for side in sides):
            hint = "give its target, too: sources and targets, or pairs of both" if isinstance(pair, str) else ""
            raise InputError(f"{name} {i} is {pair!r:.60}; {hint or 'give a str with a str as its target'}")
    if not sources:
        raise InputError(f"there is no {name}; give at least one with its target")
    return [TextPair(*pair) for pair in sources]


# === Batches ===


def pairs(
    sources: Iterable[str] | Iterable[TextPair],
    targets: Iterable[str] | None = None,
    source_tokenizer: Tokenizer | None = None,
    target_tokenizer: Tokenizer | None = None,
    batch_size: int = 64,
    *,
    max_source_tokens: int | None = None,
    max_target_tokens: int | None = None,
    shuffle: bool = True,
    seed: int = 0,
    encode: Callable[[Sequence[TextPair]], tuple[list[list[int]], list[list[int]]]] | None = None,
) -> "TextDataset":
    """Returns batches of sources and targets for a `Seq2SeqLM`: teacher forcing.

    x is {"source_ids" int32 [B, S], "target_ids" int32 [B, T]}, y is int32 [B, T]. A target w1 w2 is read as
    <begin> w1 w2 and its labels are w1 w2 <end>; -1 is padding, which neither counts nor is seen. Pairs whose
    targets, and then whose sources, are of like length stand in a batch together (50 batches are sorted at a time);
    its widths are multiples of 4.

    Args:
        sources: Strings; or pairs (source, target), without `targets`, as `read_pairs` returns them.
        targets: As many strings.
        source_tokenizer: The tokenizer of the sources.
        target_tokenizer: The tokenizer of the targets, which has a begin and an end mark; None: the same one.
        batch_size: Pairs of a batch, B.
        max_source_tokens: The most tokens of a source; longer ones are cut at their end.
        max_target_tokens: The most tokens of a target; longer ones are cut, and then have no end mark to be learned.
        shuffle: A new order every epoch, which `seed` decides; else from the shortest to the longest.
        seed: Of that order.
        encode: A function of the pairs that returns the ids of their sources and targets, without marks, in place of
            the tokenizers' `encode_batch`.

    Returns:
        A `TextDataset`.

    Raises:
        InputError: For no pair, another number of targets than sources, or a tokenizer without marks.

    Example:

    ```python
    batches = lk.data.pairs(["ein Hund", "eine Katze"], ["a dog", "a cat"], tokenizer, batch_size=2)
    lk.fit(lk.models.build_seq2seq_lstm(tokenizer.vocab_size), batches)
    ```
    """
    import tensorflow as tf

    found = as_pairs(sources, targets)
    if source_tokenizer is None:
        raise InputError(
            "pairs needs a tokenizer; give the one of the sources, and that of the targets if it is another"
        )
    target_tokenizer = target_tokenizer or source_tokenizer
    begin, end = target_tokenizer.bos_id, target_tokenizer.eos_id
    if begin is None or end is None:
        raise InputError(
            f"this {type(target_tokenizer).__name__} has no begin or end mark, which targets need; give a "
            "BPETokenizer, a WordTokenizer or a CharTokenizer"
        )
    limits = {"max_source_tokens": max_source_tokens, "max_target_tokens": max_target_tokens}
    check_sizes(batch_size=batch_size, **{name: 1 if limit is None else limit for name, limit in limits.items()})
    if encode is None:
        sides = zip(*found, strict=True)
        encoders = (source_tokenizer, target_tokenizer)
        encoded = [tokenizer.encode_batch(side) for tokenizer, side in zip(encoders, sides, strict=True)]
    else:
        encoded = encode(found)
    read = [ids[:max_source_tokens] for ids in encoded[0]]
    written = [
        [begin, *ids, end][: None if max_target_tokens is None else max_target_tokens + 1] for ids in encoded[1]
    ]
    parts = {
        "source_ids": read,
        "target_ids": [ids[:-1] for ids in written],
        "": [ids[1:] for ids in written],
    }
    with tf.device("CPU"):
        rows = {name: ragged_rows(part) for name, part in parts.items()}

    def batch(items):
        made = {name: _dense(tf.gather(part, items)) for name, part in rows.items()}
        y = made.pop("")
        return made, y

    longest = max(map(len, read)) + 1
    lengths = np.array([len(out) * longest + len(ids) for ids, out in zip(read, written, strict=True)], np.int64)
    return dataset_by_length(lengths, batch, batch_size, shuffle, seed)


def _dense(rows):
    """[B, (n)] -> [B, width], filled up with -1 to the next multiple of `WIDTHS`, at least one."""
    import tensorflow as tf

    wide = -(-tf.maximum(rows.bounding_shape()[1], 1) // WIDTHS) * WIDTHS
    return tf.ensure_shape(rows.to_tensor(-1, shape=tf.stack([-1, tf.cast(wide, tf.int64)])), [None, None])
