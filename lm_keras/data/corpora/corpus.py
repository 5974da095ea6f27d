"""Files out of a .zip or .tar.gz from elsewhere: named members only, all of them or none."""

import contextlib
import gzip
import hashlib
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from lm_keras.errors import InputError
from lm_keras.files import replacing

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


def unpack(path, members, folder, sha256):
    """Writes each file of `members` (file → its name in the archive at `path`) to `folder`, checked by its `sha256`.

    A member's name says only which bytes are taken, never where they go. Refused, with nothing written: an archive
    in which any name climbs out of its folder ("../", "/etc", "C:"), a member that is missing, a link, a folder,
    encrypted, damaged, or not the expected one, and more than MAX_SIZE bytes in all (of a .tar.gz: of the archive
    unpacked, for it can only be read from its start). Raises InputError, one line.
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
