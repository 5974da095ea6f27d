"""What is known of one named corpus, and what the readers of its files share."""

import csv
import io
import json
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import TypeVar

from lm_keras.data.archives import Archive
from lm_keras.data.split import split_texts

OURS = ("train", "validation", "all")
Record = TypeVar("Record")


@dataclass(frozen=True)
class Corpus:
    """One named corpus: what it is, where its files are, and how they become records.

    Attributes:
        name: The name that `lk.data.load` knows.
        description: One line on what it holds.
        licence: The licence, or the terms, of the set.
        source: Where it comes from.
        splits: The splits that `load` knows.
        read: From the contents of the split's files (of an archive: a dict from the name of each member to its
            content) and the split to the list of texts or records. None for files that hold no texts.
        folder: The folder of its files in $LM_KERAS_DATA and in the cache.
        files: Split -> the name of its file, or of its files. A file may be packed once more, as .gz.
        sha256: Of each file, as it is named.
        url: Of the file; of the folder of the files, with a "/" at its end; or of the `archive` that holds them.
        archive: The archive at `url`.
        embedded: The file inside of gensim's package, for a set that needs no download.
        encoding: Of the text in its files.
        classes: The names of its labels, in their order.
        read_by: The call that reads files which hold no texts.
        why: Why there is no `url`, where the licence is not the reason.
    """

    name: str
    description: str
    licence: str
    source: str
    splits: tuple[str, ...]
    read: Callable[..., list] | None = None
    folder: str = ""
    files: dict[str, str | tuple[str, ...]] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)
    url: str = ""
    archive: Archive | None = None
    embedded: str = ""
    encoding: str = "utf-8-sig"
    classes: tuple[str, ...] = ()
    read_by: str = ""
    why: str = ""


def one_file(file: str, sha256: str, splits: tuple[str, ...] = OURS) -> dict:
    """The arguments of a `Corpus` whose splits are all read from one file."""
    return {"splits": splits, "files": dict.fromkeys(splits, file), "sha256": {file: sha256}}


def part(
    records: list[Record], split: str, text: Callable[[Record], Hashable] = lambda record: record
) -> list[Record]:
    """One split of a set that has no official ones.

    Args:
        records: All records of the set.
        split: One of `OURS`. "validation" is one record in ten.
        text: What two records that are copies have in common; copies of a record of "train" are in "train" too.

    Returns:
        The records of the split, in their order.
    """
    if split == "all":
        return records
    train, validation = (set(side) for side in split_texts(list(range(len(records))), validation=0.1, seed=0))
    known = {text(records[i]) for i in train}
    validation = {i for i in validation if text(records[i]) not in known}
    return [record for i, record in enumerate(records) if (i in validation) == (split == "validation")]


def lines(content: str) -> list[str]:
    """The lines that are not empty, without the white space around them."""
    return [line.strip() for line in content.split("\n") if line.strip()]


def parallel_lines(*contents: str) -> list[tuple[str, ...]]:
    """The lines of several files side by side, without the white space around them; empty ones stay."""
    sides = (content.removesuffix("\n").split("\n") for content in contents)
    return [tuple(line.strip() for line in row) for row in zip(*sides, strict=True)]


def csv_rows(content: str) -> list[list[str]]:
    """The rows of a CSV file."""
    return list(csv.reader(io.StringIO(content)))


def json_lines(content: str) -> list[dict]:
    """The objects of a file that has one on each line."""
    return [json.loads(line) for line in lines(content)]


def mended(content: str) -> str:
    """The text with the characters that bytes of Windows-1252 stand for, undecoded or taken for Latin-1."""
    return content.translate(_WINDOWS)


_WINDOWS = {}
for _code in range(0x80, 0x100):
    _WINDOWS[0xDC00 + _code] = bytes([_code]).decode("cp1252", "replace")  # as "surrogateescape" decodes it
    if _code < 0xA0:  # control characters, which no text holds
        _WINDOWS[_code] = _WINDOWS[0xDC00 + _code]
