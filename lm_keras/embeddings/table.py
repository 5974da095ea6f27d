"""Vectors as they are read, row by row of a file, until they are a KeyedVectors."""

import warnings

import numpy as np

from lm_keras.embeddings.words import EncodedWords, WordIndex, WordSequence
from lm_keras.errors import InputError

_STEP = 4 << 20  # bytes: the least by which the matrix grows


class Table:
    """Grows by `add`; `vectors` makes the KeyedVectors, of the words in the order of the file.

    A word that comes again is left out, the first stays. Bytes of a word that are no UTF-8 are written `\\xe9`.
    Both are told with one warning each.
    """

    def __init__(self, dim):
        self.dim, self.rows = dim, 0
        self._matrix = np.empty((0, dim), np.float32)
        self._text, self._lengths, self._hashes = bytearray(), [], []
        self._undecodable = []

    def add(self, words, numbers):
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

    def vectors(self, name):
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


def check_dim(dim, name):
    if not 1 <= dim <= 100_000:
        raise InputError(f"{name}: vectors of {dim} numbers are not possible; not a file of word vectors")
