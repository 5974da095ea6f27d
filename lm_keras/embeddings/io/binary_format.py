"""The binary format of word2vec: a line with the two counts; each word, a space, and its numbers as float32."""

import re
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from lm_keras.embeddings.io.streams import BLOCK
from lm_keras.embeddings.io.table import Table, check_dim
from lm_keras.errors import InputError

if TYPE_CHECKING:
    from gensim.models import KeyedVectors

LONGEST_WORD = 10_000  # bytes
_MOST_SPACES = 64  # in a word: to try all of some thousands would take minutes
_REST_OF_A_WORD = re.compile(rb"[^\0-\x20\x7f]* ")  # what numbers begin with where a word was cut at its first space
_CONTROL = re.compile(rb"[\0-\x1f\x7f]")
_SMALLEST, _LARGEST = 1e-10, 1e10  # between them the numbers of vectors lie, and hardly those of other bytes


def read_binary(stream: BinaryIO, name: str, wanted: set[bytes] | None = None) -> "KeyedVectors":
    """Returns the KeyedVectors of a stream of bytes. `wanted`: a set of words, bytes, all others are left out.

    A line feed ends each row, as word2vec writes it, or none does, as gensim has it. A word may hold spaces: it ends
    where the rows that follow are rows. Raises InputError where that is uncertain, and for sizes that do not fit: the
    stream must end after the last of the promised words.
    """
    count, dim = _header(stream.readline(100), name)
    table, rows = Table(dim), _Rows(count, dim, name)
    held, finished = b"", False
    while rows.done < count or not finished:
        block = stream.read(max(BLOCK, rows.ahead))
        finished = not block
        held += block
        words, vectors, position, numbers = [], [], 0, []
        while rows.done < count and (row := rows.next(held, position, finished)):
            word, start, position = row
            if wanted is None or word in wanted:
                words.append(word)
                vectors.append(held[start : start + 4 * dim])
                numbers.append(rows.done)
        held = held[position:]
        if words:
            _add(table, words, b"".join(vectors), numbers, name)
        if finished and rows.done < count:
            end = f"it ends after {rows.done:,}; get it again"
            raise InputError(f"{name}: its first line promises {count:,} words, {end}")
        if rows.done == count and held.removeprefix(b"\n"):
            raise InputError(f"{name}: more bytes than the {count:,} words that its first line promises; damaged")
    return table.vectors(name)


class _Rows:
    """The rows of a file one after another; `done`: how many; `ahead`: bytes that decide where one ends.

    `lines`: whether a line feed ends each row, which the first row shows.
    """

    def __init__(self, count, dim, name):
        self.count, self.size, self.name = count, 4 * dim, name
        self.ahead = 2 * LONGEST_WORD + self.size + 3
        self.done, self.lines = 0, None

    def next(self, held, position, finished):
        """(word, where its numbers begin, where the row ends) of the row at `position`, None if more is needed."""
        start = position + ((self.lines or not self.done) and held[position : position + 1] == b"\n")
        if self.done and self.lines and start == position < len(held):
            raise self._error("does not begin on a new line, as the words before it do")
        if not finished and len(held) - start < self.ahead:
            return None
        space = held.find(b" ", start, start + LONGEST_WORD)
        if space < 0 and len(held) - start >= LONGEST_WORD:
            raise self._error("does not end; not a file of word2vec, or damaged")
        if space < 0 or space + 1 + self.size > len(held):
            return None
        if space == start:
            raise self._error("is empty; the sizes in the first line do not fit, or damaged")
        if not self._ends(held, space) or (
            _REST_OF_A_WORD.match(held, space + 1)
            and not (self._ends_line(held, space) and self._follows(held, space))
        ):
            space = self._right_space(held, start, space)
        if self.lines is None:
            self.lines = self._ends_line(held, space)
        word = held[start:space]
        if self.lines and b"\n" in word:
            raise self._error("holds a line break; damaged")
        self.done += 1
        return word, space + 1, space + 1 + self.size

    def _ends(self, held, space):
        """Whether a row may end after the numbers behind `space`: by what follows them."""
        end = space + 1 + self.size
        if self.done + 1 == self.count:
            return held[end:] in (b"", b"\n")
        return not self.lines or end == len(held) or self._ends_line(held, space)

    def _ends_line(self, held, space):
        end = space + 1 + self.size
        return self.lines is not False and held[end : end + 1] == b"\n"

    def _right_space(self, held, start, first):
        """The space that ends a word which seems to hold more than one; the first one unless another is better."""
        candidates, space = [], first
        while (
            0 <= space <= len(held) - 1 - self.size
            and len(candidates) < _MOST_SPACES
            and _is_clean(held[start:space])
        ):
            candidates.append(space)
            space = held.find(b" ", space + 1, start + LONGEST_WORD)
        good = [space for space in candidates if self._is_row(held, space)]
        if len(good) == 1:
            return good[0]
        if len(good) > 1:
            raise self._error("holds spaces, and it is not certain where it ends; give the vectors as text")
        last = self.done + 1 == self.count  # read_binary says what is wrong after it
        if last or self._ends(held, first) and (self._follows(held, first) or self._sound(held, first)):
            return first
        raise self._error("is not followed by a row: it holds spaces, the sizes do not fit, or damaged")

    def _is_row(self, held, space):
        return self._ends(held, space) and self._follows(held, space) and self._sound(held, space)

    def _follows(self, held, space):
        """Whether what comes after the numbers is a word, or the end."""
        if self.done + 1 == self.count:
            return True
        lines = self._ends_line(held, space)
        start = space + 1 + self.size + lines
        word = held[start : held.find(b" ", start, start + LONGEST_WORD)]
        return b"\n" not in word if lines else bool(word) and _is_clean(word)

    def _sound(self, held, space):
        """Whether the numbers behind `space` are of the size that numbers of vectors have."""
        numbers = np.abs(np.frombuffer(held, "<f4", self.size // 4, space + 1))
        return bool(((numbers == 0) | ((numbers > _SMALLEST) & (numbers < _LARGEST))).all())

    def _error(self, what):
        return InputError(f"{self.name}: word {self.done + 1} {what}")


def _is_clean(word):
    """Whether bytes are text without control characters."""
    try:
        word.decode()
    except UnicodeDecodeError:
        return False
    return not _CONTROL.search(word)


def _header(line, name):
    pieces = line.split()
    if len(pieces) != 2 or not all(piece.isdigit() for piece in pieces) or not line.endswith(b"\n"):
        raise InputError(f"{name}: it does not begin with the number of words and that of numbers; not of word2vec")
    count, dim = map(int, pieces)
    check_dim(dim, name)
    return count, dim


def _add(table, words, vectors, numbers, name):
    try:
        table.add(words, np.frombuffer(vectors, "<f4"))
    except OverflowError as error:
        raise InputError(f"{name}: word {numbers[error.args[0]]} holds nan or infinity; damaged") from None
