"""Text files as a stream of texts."""

import codecs
import gzip
import zlib
from pathlib import Path

from lm_keras.errors import InputError

SUFFIXES = (".txt", ".text", ".md")
TABLES = (".csv", ".tsv", ".json", ".jsonl")
BLOCK = 1 << 16  # bytes read at a time, and so about the size of a chunk
CHECKED = 1 << 20  # characters decoded before read_texts returns
LONGEST_CHUNK = 1 << 20  # a chunk without any newline is cut here
BINARY = (
    *(b"\x89PNG", b"\xff\xd8\xff", b"GIF87a", b"GIF89a"),  # PNG, JPEG, GIF
    *(b"PK\x03\x04", b"BZh9", b"\xfd7zXZ"),  # zip, bzip2, xz
    *(b"%PDF-", b"\x7fELF"),
)


def read_texts(path, unit="line"):
    """Streams the texts of a UTF-8 file, plain or gzip, or of a folder of such files.

    `unit="line"`: one text a line, without its newline; blank lines are left out.
    `unit="chunk"`: blocks of whole lines, about 64 KB each, whose concatenation is the file.
    A folder is read recursively and sorted: *.txt, *.text, *.md and *.gz of them, no hidden files.
    A byte order mark is dropped and CRLF becomes LF. CSV, TSV and JSON are refused: they hold records.

    Returns an object that can be iterated again and again and holds one block (or line) at a time.
    Raises InputError: at once for a path that is wrong, no text, or what the first MB shows; while
    iterating for a fault further on.
    """
    if unit not in ("line", "chunk"):
        raise InputError(f'unit is "line" or "chunk", got {unit!r}')
    if path == "":  # which Path takes for the folder that we are in
        raise InputError("the path is empty; give a text file or a folder")
    try:
        path = Path(path).expanduser()
    except TypeError:
        raise InputError(f"expected the path of a text file or folder, got {type(path).__name__}") from None
    except RuntimeError:  # ~name of nobody
        raise InputError(f"{path}: there is no such user; check the path") from None
    texts = TextFiles(path, _find_files(path), unit)
    texts.check()
    return texts


class TextFiles:
    """The re-iterable that `read_texts` returns: `path`, `files` and `unit` say what it reads."""

    def __init__(self, path, files, unit):
        self.path, self.files, self.unit = path, files, unit

    def __iter__(self):
        split = _lines if self.unit == "line" else _chunks
        for file in self.files:
            yield from split(_decoded_blocks(file))

    def __getitem__(self, places):
        raise InputError(
            f"texts[{_shown(places)}]: texts are read one after the other and have no index; take "
            f"list(texts)[{_shown(places)}], or itertools.islice for the first of many"
        )

    def __repr__(self):
        return f"read_texts({str(self.path)!r}, unit={self.unit!r})"

    def check(self):
        seen, blank = 0, True
        for file in self.files:
            for block in _decoded_blocks(file):
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
                    f"{path}: no text files in this folder; expected *.txt, *.text, *.md or *.gz of them"
                )
            return files
        if not path.exists():
            raise InputError(f"{path}: no such file or folder; check the path")
        if not path.is_file():
            raise InputError(f"{path}: neither a file nor a folder; give a UTF-8 text file or a folder of them")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from error
    if path.name.lower().removesuffix(".gz").endswith(TABLES):  # as lines, quotes and other columns would be text
        raise InputError(f"{path}: a table of records, no running text; write its texts to a .txt file, one a line")
    return [path]


def _is_text_name(relative):
    hidden = any(part.startswith(".") for part in relative.parts)
    return not hidden and relative.name.lower().removesuffix(".gz").endswith(SUFFIXES)


def _open(path):
    """Opens for bytes; gzip is recognised by its first bytes, so that a wrong name is no obstacle."""
    with path.open("rb") as stream:
        head = stream.read(2)
    if head == b"\x1f\x8b":
        return gzip.open(path)
    if head and path.name.lower().endswith(".gz"):
        raise InputError(f"{path}: named .gz but not gzip data; rename it or compress it again")
    return path.open("rb")


def _decoded_blocks(path):
    """Yields str blocks of one file, LF line ends; every fault of the file becomes an InputError."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    offset, held = 0, ""  # held: a "\r" at the end of a block may be half of a CRLF
    try:
        with _open(path) as stream:
            block = stream.read(BLOCK)
            _refuse_binary(path, block)
            block = block.removeprefix(codecs.BOM_UTF8)
            offset = stream.tell() - len(block)
            while block:
                if b"\x00" in block:
                    where = offset + block.index(b"\x00")
                    raise InputError(f"{path}: not a text file (NUL at byte {where}); give UTF-8 text")
                start = offset - len(decoder.getstate()[0])
                text = held + decoder.decode(block)
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
            f"{path}: not UTF-8 at byte {start + error.start}; convert it, for example with iconv"
        ) from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: the gzip data is cut off or damaged ({error}); get the file again") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); check its permissions") from error


def _refuse_binary(path, head):
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InputError(f"{path}: looks like UTF-16; convert it to UTF-8, for example with iconv -f UTF-16 -t UTF-8")
    if head.startswith(BINARY):
        raise InputError(f"{path}: not a text file (it begins like an image, archive or program); give UTF-8 text")


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
