"""Rows of a file of vectors to gensim's KeyedVectors, whose words take a tenth of the memory of a list and a dict.

400,000 words of GloVe are 55 MB as Python strings and numbers, more than two thirds of their vectors of 50
dimensions; here they are 12 MB. Who changes the words (`add_vectors`) gets a true list and dict inside.
"""

import warnings
from collections.abc import Iterable, Iterator, MutableMapping, MutableSequence, Sequence
from operator import index as as_index
from typing import TYPE_CHECKING

import numpy as np

from lm_keras.errors import InputError

if TYPE_CHECKING:
    from gensim.models import KeyedVectors


class EncodedWords:
    """The words that were read, which never change: their UTF-8 bytes in a row, and int64 [N] where each ends."""

    def __init__(self, text: bytes | bytearray, ends: np.ndarray) -> None:
        self._text, self._ends = bytes(text), ends

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, i: int) -> bytes:
        return self._text[self._ends.item(i - 1) if i else 0 : self._ends.item(i)]

    def __iter__(self) -> Iterator[bytes]:
        start = 0
        for end in self._ends.tolist():
            yield self._text[start:end]
            start = end


class WordSequence(MutableSequence):
    """`index_to_key`: reads, changes, compares and adds like a list of strings.

    It is no `list`: `isinstance(words, list)` is False, and what needs one, such as `json.dumps`, takes
    `list(words)`. Of the methods of a list, `copy` and `sort` are not there.
    """

    def __init__(self, encoded: EncodedWords) -> None:
        self._encoded, self._list = encoded, None

    def __len__(self):
        return len(self._encoded if self._list is None else self._list)

    def __getitem__(self, i):
        if self._list is not None:
            return self._list[i]
        if isinstance(i, slice):
            return [self._encoded[j].decode() for j in range(*i.indices(len(self)))]
        i = as_index(i)
        if not -len(self) <= i < len(self):
            raise IndexError("list index out of range")
        return self._encoded[i % len(self)].decode()

    def __iter__(self):
        return map(bytes.decode, self._encoded) if self._list is None else iter(self._list)

    def __eq__(self, other):
        if not isinstance(other, (WordSequence, list)):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    def __add__(self, other):
        return [*self, *other] if isinstance(other, (WordSequence, list)) else NotImplemented

    def __radd__(self, other):
        return [*other, *self] if isinstance(other, list) else NotImplemented

    def __repr__(self):
        return repr(list(self))

    def _changing(self):
        if self._list is None:
            self._list = list(self)
        return self._list

    def __setitem__(self, i, word):
        self._changing()[i] = word

    def __delitem__(self, i):
        del self._changing()[i]

    def insert(self, i: int, word: str) -> None:
        """Inserts a word before the one of that place."""
        self._changing().insert(i, word)


class WordIndex(MutableMapping):
    """`key_to_index`: behaves like a dict from different words to 0, 1, ...: a hash table in one array.

    It is no `dict`: what needs one, such as `json.dumps`, takes `dict(index)`. It has no `copy` and no `|`.
    `hashes`: int64 [N], those of the `encoded` words, if they are known already.
    """

    def __init__(self, encoded: EncodedWords, hashes: np.ndarray | None = None) -> None:
        self._encoded, self._dict = encoded, None
        count = len(encoded)
        if hashes is None:
            hashes = np.fromiter(map(hash, encoded), np.int64, count)
        self._mask = (1 << (2 * count).bit_length()) - 1
        self._slots = slots = np.full(self._mask + 1, -1, np.int32)
        # All words at once go to their slot; who finds it taken goes on to the next one (linear probing).
        left, slot = np.arange(count, dtype=np.int32), (hashes & self._mask).astype(np.int32)
        while len(left):
            free = slots[slot] < 0
            slots[slot[free]] = left[free]
            homeless = slots[slot] != left
            left, slot = left[homeless], (slot[homeless] + 1) & self._mask

    def __getitem__(self, word):
        if self._dict is not None:
            return self._dict[word]
        if isinstance(word, str):
            key = word.encode(errors="surrogatepass")
            slot = hash(key) & self._mask
            while (i := self._slots.item(slot)) >= 0:
                if self._encoded[i] == key:
                    return i
                slot = (slot + 1) & self._mask
        hash(word)  # a list is a TypeError, as in a dict
        raise KeyError(word)

    def __iter__(self):
        return map(bytes.decode, self._encoded) if self._dict is None else iter(self._dict)

    def __len__(self):
        return len(self._encoded if self._dict is None else self._dict)

    def __repr__(self):
        return repr(dict(self.items()))

    def _changing(self):
        if self._dict is None:
            self._dict = {word: i for i, word in enumerate(self)}
        return self._dict

    def __setitem__(self, word, i):
        self._changing()[word] = i

    def __delitem__(self, word):
        del self._changing()[word]

    def __reduce__(self):  # the hash of a string is another one in every process
        return (WordIndex, (self._encoded,)) if self._dict is None else (dict, (self._dict,))


# === Vectors as they are read, row by row, until they are a KeyedVectors ===

_STEP = 4 << 20  # bytes: the least by which the matrix grows


class Table:
    """Grows by `add`; `vectors` makes the KeyedVectors, of the words in the order of the file.

    A word that comes again is left out, the first stays. Bytes of a word that are no UTF-8 are written `\\xe9`.
    Both are told with one warning each.
    """

    def __init__(self, dim: int) -> None:
        self.dim, self.rows = dim, 0
        self._matrix = np.empty((0, dim), np.float32)
        self._text, self._lengths, self._hashes = bytearray(), [], []
        self._undecodable = []

    def add(self, words: Sequence[bytes], numbers: np.ndarray) -> None:
        """`words`: bytes each; `numbers`: float [N, dim] or flat. Raises OverflowError for those float32 cannot hold.

        Its argument is the first such row.
        """
        try:
            b"\n".join(words).decode()  # with something between them: halves of a character must not join to one
        except UnicodeDecodeError:
            words = [self._valid(word) for word in words]
        end = self.rows + len(words)
        if end > len(self._matrix):
            # realloc moves pages, not bytes: the matrix is never there twice
            more = max(_STEP // (4 * self.dim), len(self._matrix) // 16, len(words))
            self._matrix.resize((len(self._matrix) + more, self.dim), refcheck=False)
        with np.errstate(over="ignore"):
            self._matrix[self.rows : end] = np.reshape(numbers, (-1, self.dim))
        finite = np.isfinite(self._matrix[self.rows : end])
        if not finite.all():
            raise OverflowError(int(np.argmin(finite.all(axis=1))))
        self._text += b"".join(words)
        self._lengths.append(np.fromiter(map(len, words), np.int64, len(words)))
        self._hashes.append(np.fromiter(map(hash, words), np.int64, len(words)))
        self.rows = end

    def _valid(self, word):
        valid = word.decode(errors="backslashreplace").encode()
        if valid != word:
            self._undecodable.append(valid.decode())
        return valid

    def vectors(self, name: str) -> "KeyedVectors":
        """The KeyedVectors; `name` of the file for warnings. The table is empty afterwards."""
        from gensim.models import KeyedVectors

        if self._undecodable:
            words, first = len(self._undecodable), self._undecodable[0]
            warnings.warn(f"{name}: {words} words are not UTF-8, the first is read as {first!r}", stacklevel=4)
        empty = np.empty(0, np.int64)
        ends = np.cumsum(np.concatenate([*self._lengths, empty]))
        hashes = np.concatenate([*self._hashes, empty])
        encoded = EncodedWords(self._text, ends)
        self._text, self._lengths, self._hashes = bytearray(), [], []
        again = _repeated(encoded, hashes)
        if again:
            word = encoded[again[0]].decode()
            warnings.warn(
                f"{name}: {len(again)} words come again, the first is {word!r} in row {again[0] + 1}; "
                "the first vector of each is kept",
                stacklevel=4,
            )
            kept = np.delete(np.arange(self.rows), again)
            encoded, hashes = _chosen(encoded, kept), hashes[kept]
            for start in range(0, len(kept), 1024):  # in place
                rows = kept[start : start + 1024]
                self._matrix[start : start + len(rows)] = self._matrix[rows]
            self.rows = len(kept)
        matrix, self._matrix = self._matrix, np.empty((0, self.dim), np.float32)
        matrix.resize((self.rows, self.dim), refcheck=False)
        made = KeyedVectors(self.dim)
        made.vectors, made.next_index = matrix, self.rows
        made.index_to_key, made.key_to_index = WordSequence(encoded), WordIndex(encoded, hashes)
        return made


def _repeated(encoded, hashes):
    """Indices of the words that have been there before, in rising order."""
    order = np.argsort(hashes, kind="stable")
    same = hashes[order[1:]] == hashes[order[:-1]]
    suspects = np.unique(np.concatenate([order[1:][same], order[:-1][same]]))
    seen, again = set(), []
    for i in suspects.tolist():
        if encoded[i] in seen:
            again.append(i)
        seen.add(encoded[i])
    return again


def _chosen(encoded, rows):
    words = [encoded[i] for i in rows.tolist()]
    return EncodedWords(b"".join(words), np.cumsum(np.fromiter(map(len, words), np.int64, len(words))))


def check_dim(dim: int, name: str) -> None:
    """Raises InputError for vectors of a size that no file has."""
    if not 1 <= dim <= 100_000:
        raise InputError(f"{name}: vectors of {dim} numbers are not possible; not a file of word vectors")


# === Words and a matrix to KeyedVectors ===


def keyed_vectors(words: Iterable[str], matrix: np.ndarray, counts: np.ndarray | None = None) -> "KeyedVectors":
    """KeyedVectors of `words`, all different, and `matrix` [N, E]; `counts`: how often each word occurs, if known."""
    from gensim.models import KeyedVectors

    made = KeyedVectors(matrix.shape[1])
    made.add_vectors(list(words), np.asarray(matrix, np.float32))
    if counts is not None:
        made.allocate_vecattrs(["count"], [int])
        made.expandos["count"][:] = counts
    return made
