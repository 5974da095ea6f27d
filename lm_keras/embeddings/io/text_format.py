"""The text format of GloVe, word2vec and fastText: a word and its numbers a line, spaces or tabs between them."""

import re
import warnings
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from lm_keras.embeddings.io.streams import line_blocks
from lm_keras.embeddings.io.table import Table, check_dim
from lm_keras.errors import InputError

if TYPE_CHECKING:
    from gensim.models import KeyedVectors


LOOKED_AT = 100  # lines that decide how many numbers a line holds
_LAYOUT = "a line is a word and its numbers, with spaces or tabs between them"
_OTHER_SPACE = re.compile(rb"[\t\v\f]")
# What are taken for words where another layout is read as this one: "w0 0.12 -", '"w0"', "b'w0'", "0.12" of a line
# without a word, and "w0:", "w0,0.12" with a mark after a letter. Words may be megabytes: each expression is linear.
_SPACED, _LETTER = re.compile(r"[ \t\v\f]"), re.compile(r"[^\W\d_]")
_QUOTED = re.compile(r"b?(?:\".+\"|'.+')", re.DOTALL)
_FRACTION = re.compile(r"[+-]?\d*\.\d+(?:[eE][+-]?\d+)?")
_MARK = re.compile(r"[,;:|=\[({]$|[^\w.+-][+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?!\w)")
_TAIL = 100  # characters of a word that are looked at for a mark


def read_text(stream: BinaryIO, name: str, wanted: set[bytes] | None = None, header: bool = False) -> "KeyedVectors":
    """Returns the KeyedVectors of a stream of lines. `wanted`: a set of words, bytes, all others are left out.

    `header`: the first line must be the two counts, of words and of numbers a line; otherwise it may, and without it
    most of the first lines decide on the numbers a line; InputError if most of their words are `strange` then. What
    is before the numbers is the word, spaces inside it and all; but if it ends in a number after a space, the line
    has one too many. Empty lines may end the file. Raises InputError, with the number of the line, for every other
    line; of words that are not wanted, nothing is checked but the first line after a `header`.
    """
    reader, blocks = None, line_blocks(stream, name)
    for lines, cut in blocks:
        if reader is None:
            if len(lines) == 1:  # it may be the two counts, which only the line after it tells
                more, cut = next(blocks, ([], cut))
                lines += more
            counts, dim = _sizes(lines, name, header)
            reader = _Reader(name, dim, wanted, counts)
            lines = lines[1:] if counts else lines
            if header and lines and lines[0]:
                reader.check(lines[0])
        reader.read(lines, cut)
    if reader is None:
        raise InputError(f"{name}: it is empty; give a file of word vectors")
    reader.check_count()
    return reader.table.vectors(name)


def _sizes(lines, name, header):
    """(the two counts of the header or None, how many numbers a line holds)."""
    pieces = lines[0].split()
    counts = tuple(map(int, pieces)) if len(pieces) == 2 and all(map(COUNT.fullmatch, pieces)) else None
    if header:
        if not counts:
            raise InputError(f"{name}, line 1: {_shown(lines[0])} is not the number of words and that of numbers")
        return counts, counts[1]
    if counts and len(lines) > 1 and _dim(lines[1:], name) == counts[1] > 1:
        return counts, counts[1]
    dim = _dim(lines, name)
    looked_at = lines[1 if counts else 0 : LOOKED_AT]
    words = [pieces[0] for pieces in (line.rsplit(None, dim) for line in looked_at) if len(pieces) > dim]
    found = strange(word.decode(errors="backslashreplace") for word in words)
    if found:
        end = "if the words are right, put a line of the two counts, of lines and of numbers a line, before them"
        raise InputError(f"{name}: the words seem to be {_shown(found.encode())} and the like; {_LAYOUT}; {end}")
    return None, dim


def strange(words: Iterable[str]) -> str | None:
    """One of the `words` if more than half of them look as if another layout had been read as this one, or None.

    That is: spaces inside, quotes around it, a mark such as a comma after letters, at the end or before a number, or
    a number with a point.
    """
    words = list(words)
    found = [word for word in words if _is_strange(word.strip())]
    return found[0] if 2 * len(found) > len(words) else None


def _is_strange(word):
    letter = _LETTER.search(word)
    marked = letter and _MARK.search(word[letter.end() :][-_TAIL:])
    return bool(marked or _SPACED.search(word) or _QUOTED.fullmatch(word) or _FRACTION.fullmatch(word))


def _dim(lines, name):
    """How many numbers end most of the first lines, not counting their first word."""
    numbers, plain = Counter(), Counter()  # of all lines; of those that are one word and numbers
    for line in lines[:LOOKED_AT]:
        pieces = line.split()
        last = len(pieces)
        while last > 1 and NUMBER.fullmatch(pieces[last - 1]):
            last -= 1
        numbers[len(pieces) - last] += 1
        plain[len(pieces) - last] += last == 1
    del numbers[0]
    if not numbers:
        said = "it seems to be UTF-16, convert it to UTF-8" if lines and b"\0" in lines[0] else _LAYOUT
        shown = _shown(lines[0] if lines else b"")
        raise InputError(f"{name}: no word vectors: {said}, and here it is {shown}")
    return max(numbers, key=lambda size: (numbers[size], plain[size]))


class _Reader:
    """Lines to rows of a table; knows on which line it is."""

    def __init__(self, name, dim, wanted, counts):
        check_dim(dim, name)
        self.name, self.dim, self.wanted, self.count = name, dim, wanted, counts and counts[0]
        self.first = 2 if counts else 1  # the number of the first of the lines to be read
        self.empty = None
        self.table, self.lines = Table(dim), 0
        self.beginnings = wanted and {_first(word) for word in wanted}
        self.spaced = wanted and any(len(word.split()) > 1 for word in wanted)

    def read(self, lines, cut):
        """`cut`: nothing ends the last line."""
        numbers = range(self.first, self.first + len(lines))
        self.first += len(lines)
        if self.empty or b"" in lines:
            lines, numbers = self._without_empty(lines, numbers)
        self.lines += len(lines)
        if self.wanted is not None:
            chosen = [i for i, line in enumerate(lines) if _first(line) in self.beginnings]
            cut = cut and len(lines) - 1 in chosen
            lines, numbers = [lines[i] for i in chosen], [numbers[i] for i in chosen]
        if not lines:
            return
        parts = [line.partition(b" ") for line in lines]
        words = [part[0] for part in parts]
        if (
            self.spaced
            or _OTHER_SPACE.search(b"".join(words))
            or not self._add(words, [part[2] for part in parts], numbers)
        ):
            parts = [self._parts(*place, cut) for place in zip(lines, numbers, strict=True)]
            if self.wanted is not None:
                parts = [part for part in parts if part[0] in self.wanted]
            if parts:
                self._add(*zip(*parts, strict=True), sure=True)
        if cut:
            warnings.warn(f"{self.name}: nothing ends the last line; its last number may be cut", stacklevel=4)

    def check(self, line):
        """InputError for the first line in another layout, of which no word might be among those that are wanted."""
        _, numbers, row = self._parts(line, self.first, cut=False)
        try:
            parse_numbers(numbers)
        except NotANumberError as error:
            raise self._error(row, f"{_shown(error.field)} where a number is expected") from None

    def _add(self, words, rests, numbers, sure=False):
        """Adds the rows, or returns False if one is not as it should be; InputError if `sure` of their sizes."""
        try:
            values, ends = parse_numbers(b" ".join(rests))
        except NotANumberError as error:
            if not sure:
                return False
            row, field = numbers[error.index // self.dim], _shown(error.field)
            raise self._error(row, f"{field} where a number is expected") from None
        due = np.cumsum(np.fromiter(map(len, rests), np.int64, len(rests)) + 1) - 1
        if not sure and (b"" in words or not np.array_equal(ends[self.dim - 1 :: self.dim], due)):
            return False
        try:
            self.table.add(words, values)
        except OverflowError as error:
            raise self._error(numbers[error.args[0]], "a number that float32 cannot hold") from None
        return True

    def _parts(self, line, number, cut):
        """(word, numbers, number of the line) of one line, looked at with care."""
        word, *rest = line.rsplit(None, self.dim) or [b""]
        if len(rest) < self.dim:
            end = "; the file is cut off here" if cut and number == self.first - 1 else ""
            raise self._error(number, f"{len(rest)} numbers where {self.dim} are expected{end}: {_shown(line)}")
        word = word.lstrip()
        if NUMERIC.fullmatch(word.rsplit(None, 1)[-1]) and len(word.split()) > 1:
            raise self._error(number, f"more than the {self.dim} numbers that are expected: {_shown(line)}")
        return word, b" ".join(rest), number

    def _without_empty(self, lines, numbers):
        kept = [i for i, line in enumerate(lines) if line]
        empty = [i for i, line in enumerate(lines) if not line]
        if kept and (self.empty or empty and empty[0] < kept[-1]):
            raise self._error(self.empty or numbers[empty[0]], "an empty line among the vectors")
        self.empty = self.empty or numbers[empty[0]]
        return lines[: len(kept)], numbers[: len(kept)]

    def check_count(self):
        if self.count is not None and self.lines != self.count:
            raise InputError(
                f"{self.name}: its first line promises {self.count:,} words, it holds {self.lines:,}; "
                "cut off, or two files in one: get it again"
            )

    def _error(self, number, what):
        return InputError(f"{self.name}, line {number}: {what}")


def _first(line):
    """The first word of a line, b"" if there is none."""
    return (line.split(None, 1) or [b""])[0]


def _shown(text):
    text = text.decode(errors="backslashreplace")
    return repr(text if len(text) <= 60 else text[:57] + "...")


# === Decimal numbers, thousands at a time: one core does what strtod does, several times as fast ===

# Eight digits are one machine word: three multiplications join neighbors, then pairs, then fours. A number of up
# to 15 digits or so is then (digits before and after the point) / 10^f, two exact numbers and one correctly rounded
# division, so the result is that of strtod (Clinger 1990, "How to read floating point numbers accurately").

NUMBER = re.compile(rb"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
NUMERIC = re.compile(rb"%s|[+-]?(?i:nan|inf|infinity)" % NUMBER.pattern)  # also those that no vector may hold
COUNT = re.compile(rb"\d{1,18}")  # a whole number that 64 bits hold
_SPACE, _POINT, _MINUS, _DIGIT, _OTHER = range(5)
_KINDS = bytearray([_OTHER] * 256)
_KINDS[ord(" ")], _KINDS[ord(".")], _KINDS[ord("-")] = _SPACE, _POINT, _MINUS
_KINDS[ord("0") : ord("9") + 1] = bytes([_DIGIT] * 10)
_KINDS = bytes(_KINDS)
_LONGEST = 16  # digits after the point that the fast way takes
_EXACT = float(2**53)
_POWERS = 10.0 ** np.arange(_LONGEST + 1)


class NotANumberError(ValueError):
    """`index` of the field and `field`, its bytes."""

    def __init__(self, index: int, field: bytes) -> None:
        super().__init__(index, field)
        self.index, self.field = index, field


def parse_numbers(text: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Returns the numbers float64 [N] of the N - 1 single spaces in `text` (bytes), and where they end, int64 [N].

    A number is what NUMBER matches, so neither nan nor inf. Raises NotANumberError for the first field that is none.
    """
    kinds = np.frombuffer(bytearray(text.translate(_KINDS)) + bytes([_SPACE]), np.uint8)
    hidden = _hide_others(text, kinds)
    marks = np.flatnonzero(kinds < _MINUS)  # a point, the end of the number, a point, ...
    odd = ()
    if not _plain(kinds, marks):
        odd, marks = _odd_fields(kinds)
    points, ends = marks[::2], marks[1::2]
    starts = np.empty_like(ends)
    starts[0], starts[1:] = 0, ends[:-1] + 1
    negative = kinds[starts] == _MINUS
    values, slow = _values(text, points - starts - negative, points, ends)
    values *= 1.0 - 2.0 * negative
    for i in sorted({*odd, *slow, *np.searchsorted(ends, hidden).tolist()}):  # "6.2e-05", "7": one at a time
        field = text[starts[i] : ends[i]]
        if not NUMBER.fullmatch(field):
            raise NotANumberError(i, field)
        values[i] = float(field)
    return values, ends


def _hide_others(text, kinds):
    """Makes fields that hold other characters look plain in `kinds`; returns a place in each of them."""
    places = np.flatnonzero(kinds == _OTHER).tolist()
    for place in places:
        start, end = text.rfind(b" ", 0, place) + 1, text.find(b" ", place)
        end = end if end >= 0 else len(text)
        kinds[start:end] = _DIGIT
        kinds[(start + end) // 2] = _POINT
    return places


def _plain(kinds, marks):
    """Whether all fields are digits around one point, with or without a minus before them."""
    alternate = len(marks) % 2 == 0 and (kinds[marks[::2]] == _POINT).all() and (kinds[marks[1::2]] == _SPACE).all()
    if not alternate:
        return False
    first = np.count_nonzero(kinds[marks[1:-1:2] + 1] == _MINUS) + int(kinds[0] == _MINUS)
    return np.count_nonzero(kinds == _MINUS) == first


def _odd_fields(kinds):
    """The indices of the fields that are not plain, and marks as if each of them began with its point."""
    ends = np.flatnonzero(kinds == _SPACE)
    points, minus = np.flatnonzero(kinds == _POINT), np.flatnonzero(kinds == _MINUS)
    inside = minus[(minus > 0) & (kinds[minus - 1] != _SPACE)]
    odd = np.zeros(len(ends), bool)
    odd[np.searchsorted(ends, inside)] = True
    fields = np.searchsorted(ends, points)
    odd |= np.bincount(fields, minlength=len(ends)) != 1
    marks = np.empty(2 * len(ends), np.int64)
    marks[0], marks[2::2], marks[1::2] = 0, ends[:-1] + 1, ends
    marks[2 * fields[~odd[fields]]] = points[~odd[fields]]
    return np.flatnonzero(odd).tolist(), marks


def _values(text, before, points, ends):
    """Numbers without their signs, of `before` digits before the point, and the indices of those to be done again."""
    after = ends - points - 1  # how many digits
    # Word i is the eight bytes that end before byte i of the text.
    words = np.ndarray(len(text) + 1, "<u8", b"0" * 8 + text, strides=(1,))
    values = _digits(words[ends], after).astype(np.float64)
    longest = after.max()
    if longest > 8:
        values += _digits(words[np.maximum(ends - 8, 0)], np.clip(after - 8, 0, 8)) * 1e8
        power = _POWERS[np.minimum(after, _LONGEST)]
    else:
        power = _POWERS[after]
    values += _digits(words[points], before) * power
    slow = ()
    if longest > _LONGEST or before.max() > 8 or before.min() < 1 or values.max() >= _EXACT:
        slow = np.flatnonzero((values >= _EXACT) | (before > 8) | (after > _LONGEST) | (before + after < 1)).tolist()
    values /= power
    return values, slow


def _digits(words, count):
    """The number that the last `count` of the eight digits in each word make (more than eight: all eight)."""
    unused = (np.maximum(8 - count, 0) << 3).view(np.uint64)
    words = ((words >> unused) << unused) & np.uint64(0x0F0F0F0F0F0F0F0F)  # a shift by all 64 bits gives 0
    words = ((words * np.uint64(10 << 8 | 1)) >> np.uint64(8)) & np.uint64(0x00FF00FF00FF00FF)
    words = ((words * np.uint64(100 << 16 | 1)) >> np.uint64(16)) & np.uint64(0x0000FFFF0000FFFF)
    return (words * np.uint64(10_000 << 32 | 1)) >> np.uint64(32)
