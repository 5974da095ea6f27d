"""Files of vectors, plain, .gz or .zip, as streams of bytes and of whole lines."""

import codecs
import contextlib
import gzip
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from lm_keras.errors import InputError

BLOCK = 1 << 17  # bytes: what is made of them stays in the processor's cache
_LONGEST_LINE = 1 << 24
_EXPANSION, _SMALL = 200, 1 << 24  # numbers expand three times; what stays below _SMALL bytes may do as it likes
_ZIP = b"PK\x03\x04"
_DAMAGE = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, zipfile.BadZipFile, struct.error)
BOM = b"\xef\xbb\xbf"  # the byte order mark, U+FEFF, that some programs of Windows begin a text with


@contextlib.contextmanager
def opened(path: str | Path, member: str | None = None) -> Iterator[tuple[BinaryIO, str, bool]]:
    """Yields (binary stream, name of what is read, whether it is a plain file); faults become InputError.

    Compression is seen from the first bytes, not from the name. `member`: which file of a .zip, if it holds several.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "is no file" if path.exists() else "does not exist"
        raise InputError(f"{path} {kind}; give a file of word vectors")
    try:
        with path.open("rb") as file:
            head = file.read(4)
            file.seek(0)
            if member is not None and head != _ZIP:
                raise InputError(f"{path} is no .zip: it has no member {member!r}")
            if head[:2] == b"\x1f\x8b":
                with gzip.open(file) as stream:
                    yield _Unpacked(stream, path, path.stat().st_size), str(path), False
            elif head == _ZIP:
                info, packed = _member(path, file, member)
                with packed as stream:
                    size = min(info.compress_size, path.stat().st_size)  # which the file itself says
                    yield _Unpacked(stream, path, size), f"{path}, {info.filename}", False
            else:
                yield file, str(path), True
    except _DAMAGE as error:
        raise InputError(f"{path}: cut off or damaged ({_line(error)}); get the file again") from error
    except (NotImplementedError, RuntimeError) as error:  # a password, a rare compression
        raise InputError(f"{path}: the archive cannot be read ({_line(error)}); unpack it first") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from error


def _member(path, file, member):
    """(ZipInfo, stream) of the member of a .zip, or of the only one."""
    try:
        archive = zipfile.ZipFile(file)
        infos = {info.filename: info for info in archive.infolist() if not info.filename.endswith("/")}
        if member in infos or (member is None and len(infos) == 1):
            info = infos[member] if member is not None else next(iter(infos.values()))
            return info, archive.open(info)
    except (ValueError, IndexError, OverflowError) as error:  # of sizes and names that are not possible
        raise InputError(f"{path}: cut off or damaged ({_line(error)}); get the file again") from error
    said = "" if member is None else f"holds no {member!r}, "
    held = ", ".join(map(repr, list(infos)[:8])) or "no file"
    raise InputError(f"{path}: {said}holds {held}: name one as member= (on the command line: --member)")


def _line(error):
    return " ".join(str(error).split())[:200] or type(error).__name__


def line_blocks(stream: BinaryIO, name: str) -> Iterator[tuple[list[bytes], bool]]:
    """Yields lists of whole lines, bytes without their ends, and whether the last one had no end: (lines, cut).

    LF, CRLF or CR ends a line; one space before it is left out: word2vec and fastText write one after each number.
    """
    held = b""
    for block in _text_blocks(stream, name):
        cut = block.rfind(b"\n") + 1
        if cut:
            whole, held = held + block[:cut], block[cut:]
            yield _lines(whole[:-1]), False
            continue
        held += block
        if len(held) > _LONGEST_LINE:
            raise InputError(f"{name}: no line ends within {_LONGEST_LINE >> 20} MiB; not a text file of vectors")
    if held:
        yield _lines(held), True


def _text_blocks(stream, name):
    """Yields blocks of bytes, without the byte order mark, in which LF alone ends a line."""
    held = stream.read(4).removeprefix(BOM)
    if held.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # that of UTF-32 begins with it
        raise InputError(f"{name}: it is UTF-16; convert it to UTF-8, for example with iconv -f UTF-16 -t UTF-8")
    more = True
    while more:
        block = stream.read(BLOCK)
        more = bool(block)
        block = held + block
        end = len(block) - (more and block.endswith(b"\r"))  # it may be half of a CRLF
        block, held = block[:end], block[end:]
        if b"\r" in block:
            block = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if block:
            yield block


def _lines(block):
    if b" \n" in block or block.endswith(b" "):
        block = (block + b"\n").replace(b" \n", b"\n")[:-1]
    return block.split(b"\n")


class _Unpacked:
    """A compressed stream; InputError where it expands as no file of vectors does."""

    def __init__(self, stream, name, packed):
        self._stream, self._name, self._left = stream, name, max(_SMALL, _EXPANSION * packed)

    def _counted(self, size):
        self._left -= size
        if self._left < 0:
            raise InputError(f"{self._name}: it expands without end; no file of word vectors")

    def read(self, size):
        data = self._stream.read(size)
        self._counted(len(data))
        return data

    def readline(self, size):
        data = self._stream.readline(size)
        self._counted(len(data))
        return data

    def readinto(self, buffer):
        size = self._stream.readinto(buffer)
        self._counted(size)
        return size
