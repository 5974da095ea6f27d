"""Text files as a stream of texts."""

import bz2
import codecs
import gzip
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path

from lm_keras.errors import InputError

SUFFIXES = (".txt", ".text", ".md")
TABLES = (".csv", ".tsv", ".tab", ".json", ".jsonl", ".ndjson")
# A block, or the end of an empty file, after the size of the blocks
BZIP2 = tuple(b"BZh%d%s" % (size, mark) for size in range(1, 10) for mark in (b"1AY&SY", b"\x17rE8P\x90"))
COMPRESSED = {  # by suffix: its name, the first bytes, and what opens it
    ".gz": ("gzip", (b"\x1f\x8b",), gzip.open),
    ".bz2": ("bzip2", BZIP2, bz2.open),
    ".xz": ("xz", (b"\xfd7zXZ\x00",), lzma.open),
}
XZ_MEMORY = 1 << 28  # bytes
BLOCK = 1 << 16  # bytes read at a time, and so about the size of a chunk
CHECKED = 1 << 20  # characters decoded before read_texts returns
LONGEST_CHUNK = 1 << 20  # a chunk without any newline is cut here
BINARY = (
    *(b"\x89PNG", b"\xff\xd8\xff", b"GIF87a", b"GIF89a"),  # PNG, JPEG, GIF
    *(b"PK\x03\x04", b"7z\xbc\xaf"),  # zip, 7z
    *(first for _, every, _ in COMPRESSED.values() for first in every),  # compressed twice
    *(b"%PDF-", b"\x7fELF"),
)
WIDE = {  # of two and four bytes a character, by their byte order mark; the longer ones first
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_texts(path: str | Path, unit: str = "line", encoding: str = "utf-8") -> "TextFiles":
    """Streams the texts of a text file, plain or compressed (gzip, bzip2, xz), or of a folder of such files.

    A folder is read recursively and sorted: *.txt, *.text, *.md and *.gz, *.bz2, *.xz of them, no hidden files.
    A byte order mark is dropped and CRLF becomes LF. CSV, TSV and JSON are refused: they hold records, which
    `read_labelled` reads.

    Args:
        path: A file or a folder.
        unit: "line": one text a line, without its newline; blank lines are left out. "chunk": blocks of whole lines,
            about 64 KB each, whose concatenation is the file.
        encoding: Name of a Python text encoding, such as "utf-16", "latin-1", "gb18030". It is never guessed: a file
            that is not in this encoding is refused with the place of the first wrong byte.

    Returns:
        An object that can be iterated again and again and holds one block (or line) at a time.

    Raises:
        InputError: At once for a path that is wrong, no text, or what the first MB shows; while iterating for a
            fault further on.
    """
    if unit not in ("line", "chunk"):
        raise InputError(f'unit is "line" or "chunk", got {unit!r}')
    check_encoding(encoding)
    path = as_path(path)
    texts = TextFiles(path, _find_files(path), unit, encoding)
    texts.check()
    return texts


def as_path(path: str | Path) -> Path:
    """A str or Path as a Path, ~ expanded; InputError for what is none."""
    if path == "":  # which Path takes for the folder that we are in
        raise InputError("the path is empty; give a text file or a folder")
    try:
        return Path(path).expanduser()
    except TypeError:
        raise InputError(f"expected the path of a text file or folder, got {type(path).__name__}") from None
    except RuntimeError:  # ~name of nobody
        raise InputError(f"{path}: there is no such user; check the path") from None


def check_encoding(encoding: str) -> None:
    """Raises InputError for what is no name of a text encoding."""
    try:
        "".encode(encoding)
    except (LookupError, TypeError, ValueError):  # unknown; no str; no text encoding, or a NUL in the name
        raise InputError(
            f'encoding {encoding!r} is not known; give one such as "utf-8", "utf-16", "latin-1", "gb18030"'
        ) from None


class TextFiles:
    """The re-iterable that `read_texts` returns: `path`, `files`, `unit` and `encoding` say what it reads."""

    def __init__(self, path: Path, files: list[Path], unit: str, encoding: str = "utf-8") -> None:
        self.path, self.files, self.unit, self.encoding = path, files, unit, encoding

    def __iter__(self) -> Iterator[str]:
        split = _lines if self.unit == "line" else _chunks
        for file in self.files:
            yield from split(decoded_blocks(file, self.encoding))

    def __getitem__(self, places):
        raise InputError(
            f"texts[{_shown(places)}]: texts are read one after the other and have no index; take "
            f"list(texts)[{_shown(places)}], or itertools.islice for the first of many"
        )

    def __repr__(self):
        return f"read_texts({str(self.path)!r}, unit={self.unit!r}, encoding={self.encoding!r})"

    def check(self) -> None:
        """Raises InputError for what the first MB of the files shows: no text, or only white space."""
        seen, blank = 0, True
        for file in self.files:
            for block in decoded_blocks(file, self.encoding):
                seen, blank = seen + len(block), blank and not block.strip()
                if seen >= CHECKED and not blank:
                    return
        if blank:
            raise InputError(f"{self.path}: it holds no text (empty or only white space); give a file with text")


def _shown(places):
    """An index or slice as it was written."""
    if not isinstance(places, slice):
        return repr(places)
    parts = [places.start, places.stop, *([] if places.step is None else [places.step])]
    return ":".join("" if part is None else repr(part) for part in parts)


def _find_files(path):
    try:
        if path.is_dir():
            files = sorted(f for f in path.rglob("*") if _is_text_name(f.relative_to(path)) and f.is_file())
            if not files:
                raise InputError(
                    f"{path}: no text files in this folder; expected *.txt, *.text, *.md or *.gz, *.bz2, *.xz of them"
                )
            return files
    except OSError as error:
        raise _unreadable(path, error) from error
    check_file(path)
    if plain_name(path).endswith(TABLES):  # as lines, quotes and other columns would be text
        raise InputError(
            f"{path}: a table of records, no running text; read texts and labels by lk.data.read_labelled(path, "
            "text=..., label=...), or write its texts to a .txt file, one a line"
        )
    return [path]


def check_file(path: Path) -> None:
    """Raises InputError where there is no file, or where that cannot be seen."""
    try:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder; check the path")
        if not path.is_file():
            kind = "a folder" if path.is_dir() else "neither a file nor a folder"
            raise InputError(f"{path}: {kind}, where a file is expected; check the path")
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path, error):
    return InputError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions")


def plain_name(path: Path) -> str:
    """The name of a file in lower case, without the suffix of its compression."""
    name = path.name.lower()
    return name.removesuffix(path.suffix.lower()) if path.suffix.lower() in COMPRESSED else name


def _is_text_name(relative):
    hidden = any(part.startswith(".") for part in relative.parts)
    return not hidden and plain_name(relative).endswith(SUFFIXES)


def _open(path):
    """Opens for bytes; compression is recognized by its first bytes, so that a wrong name is no obstacle."""
    with path.open("rb") as stream:
        head = stream.read(4096)
    for _, first, opened in COMPRESSED.values():
        if head.startswith(first):
            if opened is lzma.open:  # the file says how much memory it takes, up to 4 GiB; xz -9 takes 65 MiB
                lzma.LZMADecompressor(memlimit=XZ_MEMORY).decompress(head, max_length=1)
            return opened(path)
    suffix = path.suffix.lower()
    if head and suffix in COMPRESSED:
        raise InputError(
            f"{path}: named {suffix} but not {COMPRESSED[suffix][0]} data; rename it or compress it again"
        )
    return path.open("rb")


def decoded_blocks(path: Path, encoding: str) -> Iterator[str]:
    """Yields str blocks of one file, LF line ends; every fault of the file becomes an InputError."""
    codec = codecs.lookup(encoding)
    decoder = codec.incrementaldecoder()
    offset, held = 0, ""  # held: a "\r" at the end of a block may be half of a CRLF
    try:
        with _open(path) as stream:
            block = stream.read(BLOCK)
            _refuse_binary(path, block, codec.name)
            first = True
            while block:
                start = offset - len(decoder.getstate()[0])
                decoded = decoder.decode(block)
                if first and decoded:
                    decoded, first = decoded.removeprefix("\ufeff"), False
                if "\x00" in decoded:
                    where = (
                        f" at byte {offset + block.index(0)}" if b"\x00" in block and _ascii_bytes(codec.name) else ""
                    )
                    raise InputError(f"{path}: not a text file (NUL{where}); give text, and its encoding=")
                text = held + decoded
                held = "\r" if text.endswith("\r") else ""
                yield text.removesuffix("\r").replace("\r\n", "\n")
                offset += len(block)
                block = stream.read(BLOCK)
            start = offset - len(decoder.getstate()[0])
            decoder.decode(b"", final=True)
            if held:
                yield held
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not {codec.name.upper()} at byte {start + error.start}; give its encoding=, such as "
            '"latin-1" or "gb18030" (--encoding on the command line), or convert it with iconv'
        ) from error
    except UnicodeError as error:  # UTF-16 and UTF-32 know their order of bytes by a mark
        raise InputError(
            f'{path}: no {codec.name.upper()} byte order mark; give encoding="{codec.name}-le" or "{codec.name}-be"'
        ) from error
    except (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # bzip2's have none, nor gzip's
            raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
        raise InputError(
            f"{path}: the compressed data is cut off or damaged ({error}); get the file again"
        ) from error


def _ascii_bytes(name):
    return not name.startswith(("utf-16", "utf-32"))


def _refuse_binary(path, head, name):
    if head.startswith(BINARY):
        raise InputError(
            f"{path}: not a text file (it begins like an image, archive, spreadsheet or program); "
            "give text, of Excel what it saves as CSV"
        )
    if not _ascii_bytes(name):
        return
    for mark, wide in WIDE.items():
        if head.startswith(mark):
            raise InputError(
                f'{path}: looks like {wide.upper()}; give encoding="{wide}" (--encoding {wide} on the command line)'
            )


def _lines(blocks):
    # Only "\n" ends a line: str.splitlines would also cut at form feeds and U+2028. The parts of a
    # line are joined once, so that a file of a single line costs no quadratic time.
    parts = []
    for block in blocks:
        head, newline, rest = block.partition("\n")
        parts.append(head)
        if newline:
            first, (*lines, last) = "".join(parts), rest.split("\n")
            yield from (line for line in (first, *lines) if line.strip())
            parts = [last]
    line = "".join(parts)
    if line.strip():
        yield line


def _chunks(blocks):
    buffer = ""
    for block in blocks:
        buffer += block
        end = buffer.rfind("\n") + 1
        if not end and len(buffer) >= LONGEST_CHUNK:
            end = len(buffer)
        if end:
            yield buffer[:end]
            buffer = buffer[end:]
    if buffer:
        yield buffer
