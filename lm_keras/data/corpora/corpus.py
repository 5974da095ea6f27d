"""What is known of one named corpus, what the readers of its files share, and files out of archives."""

import contextlib
import csv
import gzip
import hashlib
import io
import json
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from lm_keras.data.splitting import split_texts
from lm_keras.errors import InputError
from lm_keras.utils.atomic_files import replacing

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
        embedded: The file inside of gensim's package, or of this one ("lm_keras/..."), for a set that needs no
            download.
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
    archive: "Archive | None" = None
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


# === Archives: named members of a .zip or .tar.gz from elsewhere, all of them or none ===

MAX_SIZE = 2**30  # bytes of all that is unpacked: an archive that expands without end stops here
_CHUNK = 2**16
# What damaged archives lead to; RuntimeError: encrypted; ValueError: InputError too; OSError: the disk too.
_REFUSALS = (
    *(OSError, EOFError, RuntimeError, ValueError),
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, struct.error),
)


@dataclass(frozen=True)
class Archive:
    """A .zip or .tar.gz that holds the files of a corpus. `members`: file → its full name in the archive."""

    sha256: str
    members: dict[str, str] = field(default_factory=dict)


def unpack(path: str | Path, members: Mapping[str, str], folder: str | Path, sha256: Mapping[str, str]) -> None:
    """Writes files of an archive to a folder, all of them or none.

    A member's name says only which bytes are taken, never where they go.

    Args:
        path: The .zip or .tar.gz.
        members: The name of each file in the folder -> its name in the archive.
        folder: Where the files go.
        sha256: Of each file.

    Raises:
        InputError: With nothing written, for an archive in which any name climbs out of its folder ("../", "/etc",
            "C:"), a member that is missing, a link, a folder, encrypted, damaged, or not the expected one, and for
            more than MAX_SIZE bytes in all (of a .tar.gz: of the archive unpacked, for it can only be read from its
            start).
    """
    path, missing = Path(path), {name: file for file, name in members.items()}
    try:
        with contextlib.ExitStack() as whole, _opened(path) as entries:
            left = MAX_SIZE
            for name, is_file, open_member in entries:
                _check_name(name)
                file = missing.pop(name, None)
                if file is None:
                    continue
                if not is_file:
                    raise InputError(f"{name!r} is a link or a folder, not a file")
                target = whole.enter_context(replacing(Path(folder) / file))
                with open_member() as source:
                    size, found = _copy(source, target, left)
                left -= size
                if found != sha256[file]:
                    raise InputError(f"its {name!r} has sha256 {found[:12]}..., not {sha256[file][:12]}...")
            if missing:
                raise InputError(f"it holds no {next(iter(missing))!r}")
    except _REFUSALS as error:
        raise InputError(f"{path.name} cannot be unpacked ({' '.join(str(error).split())[:300]})") from error


@contextlib.contextmanager
def _opened(path):
    """Yields an iterator over `(name, whether it is a plain file, a function that opens it)` of all members."""
    with path.open("rb") as file:
        kind = file.read(2)
    if kind == b"PK":
        with zipfile.ZipFile(path) as archive:
            yield ((one.filename, _is_plain(one), partial(_open, archive, one)) for one in archive.infolist())
    elif kind == b"\x1f\x8b":
        with gzip.open(path) as stream, tarfile.open(fileobj=_Limited(stream), mode="r|") as archive:
            yield ((one.name, one.isreg(), partial(archive.extractfile, one)) for one in archive)
    else:
        raise InputError("it is neither a .zip nor a .tar.gz")


def _open(archive, info):
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(f"{info.filename!r} is compressed by another method than deflate")
    return archive.open(info)


class _Limited:
    """A stream that may be read up to MAX_SIZE bytes."""

    def __init__(self, stream):
        self._stream, self._left = stream, MAX_SIZE

    def read(self, size):
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise InputError(f"it expands to more than {MAX_SIZE:,} bytes")
        return data


def _is_plain(info):
    kind = stat.S_IFMT(info.external_attr >> 16)  # 0 where the archive was not made on Unix
    return not info.filename.endswith("/") and kind in (0, stat.S_IFREG)


def _check_name(name):
    if re.match(r"[/\\]|[A-Za-z]:", name) or ".." in re.split(r"[/\\]", name):
        raise InputError(f"it holds {name!r}, which climbs out of its folder")


def _copy(source, target, limit):
    """Copies at most `limit` bytes; returns how many there were, and their sha256."""
    digest, size = hashlib.sha256(), 0
    target.unlink(missing_ok=True)
    with target.open("xb") as file:  # not through a link that somebody put there
        while data := source.read(_CHUNK):
            size += len(data)
            if size > limit:
                raise InputError(f"it expands to more than {MAX_SIZE:,} bytes")
            digest.update(data)
            file.write(data)
    return size, digest.hexdigest()
