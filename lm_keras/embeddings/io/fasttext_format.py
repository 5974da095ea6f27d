"""The binary format of fastText (.bin): settings, words, vectors of words and of n-grams of characters."""

import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from gensim.models.fasttext import FastTextKeyedVectors

from lm_keras.embeddings.io.streams import BLOCK
from lm_keras.embeddings.io.table import check_dim
from lm_keras.errors import InputError

if TYPE_CHECKING:
    from gensim.models import KeyedVectors


MAGIC = struct.pack("<i", 793712314)
# Of Args::save: dim, ws, epoch, minCount, neg, wordNgrams, loss, model, bucket, minn, maxn, lrUpdateRate, t.
_SETTINGS = "<12id"
_SEEN_AND_KIND = 9  # bytes, after the zero byte that ends a word
_LONGEST_WORD = 1 << 16
_MOST_NGRAMS = 100  # for each byte of the words; with the usual 3 to 6 characters there are fewer than 4
_SUPERVISED = 3  # of `model` among the settings
_QUANTIZED = "a quantized or pruned model (.ftz); give the .bin file that it was made from"
EOS = "</s>"  # the end of a line, which fastText gives no n-grams


def read_fasttext(
    stream: BinaryIO, name: str, path: Path | None, wanted: set[bytes] | None = None
) -> "SubwordVectors":
    """Returns the SubwordVectors of a stream; `path` of the file, None if it is compressed.

    The n-grams of a file that is not compressed stay in it (they are mapped, and read where they are needed): with a
    set of `wanted` words, bytes, gigabytes cost megabytes. Labels are left out. Raises InputError for a file that is
    cut off or of another version, and for quantized models.
    """
    source = _Bytes(stream, name)
    head, version = source.take(4), *source.unpack("<i")
    if head != MAGIC or version not in (11, 12):
        raise InputError(
            f"{name}: not a fastText model of version 11 or 12; write it again with fastText 0.2 or later"
        )
    settings = source.unpack(_SETTINGS)
    dim, kind, bucket, min_n, max_n = settings[0], *settings[7:11]
    check_dim(dim, name)
    if min(bucket, min_n, max_n) < 0:
        said = f"{bucket} buckets for n-grams of {min_n} to {max_n} characters are not possible"
        raise InputError(f"{name}: {said}; the file is damaged")
    if (version, kind) == (11, _SUPERVISED):
        max_n = 0
    words = _words(source)
    quantized, rows, columns = source.unpack("<?2q")
    if quantized:
        raise InputError(f"{name}: {_QUANTIZED}")
    if (rows, columns) != (len(words) + bucket, dim):
        due = f"{len(words) + bucket:,} x {dim}"
        raise InputError(f"{name}: {rows:,} x {columns:,} numbers where {due} are due; the file is damaged")
    matrix = source.matrix(path, rows, dim)
    kept, spelled = _kept(words, name, wanted)
    names = [spelled.get(words[i]) or words[i].decode() for i in kept]
    _check_work([words[i] for i in kept], min_n, max_n, name)
    ngrams = matrix[len(words) :] if 0 < max_n >= min_n else matrix[:0]
    vectors = subword_vectors(
        names, matrix[kept], ngrams, min_n, max_n, {name: word for word, name in spelled.items()}
    )
    if not np.isfinite(vectors.vectors).all():
        raise InputError(f"{name}: its vectors hold nan or infinity; the file is damaged")
    return vectors


def _kept(words, name, wanted):
    """The rows of the words that are wanted, and {word: its name} of those of them that are not UTF-8."""
    kept, spelled = [], {}
    for i, word in enumerate(words):
        valid = word.decode(errors="backslashreplace").encode()
        if wanted is None or valid in wanted:
            kept.append(i)
            if valid != word:
                spelled[word] = valid.decode()
    if spelled:
        first = next(iter(spelled.values()))
        warnings.warn(f"{name}: {len(spelled)} words are not UTF-8, the first is read as {first!r}", stacklevel=4)
        names = set(spelled.values())
        if len(names) < len(spelled) or any(words[i] not in spelled and words[i].decode() in names for i in kept):
            raise InputError(f"{name}: a word is the escaped spelling of another one; the file is damaged")
    return kept, spelled


def _check_work(words, min_n, max_n, name):
    """InputError where n-grams of any length of words of any length would take hours."""
    lengths = np.fromiter(map(len, words), np.int64, len(words))
    work = int((lengths * np.minimum(lengths, max(0, max_n - min_n + 1))).sum())
    if work > 1 << 20 and work > _MOST_NGRAMS * int(lengths.sum()):
        said = f"n-grams of {min_n} to {max_n} characters of words of up to {lengths.max():,} bytes"
        raise InputError(f"{name}: {said} are too many; the file is damaged")


def write_fasttext(file: BinaryIO, vectors: "FastTextKeyedVectors", words: list[bytes]) -> None:
    """Writes FastTextKeyedVectors, checked by `check_subwords`, and their `words`, bytes, as a model of version 12.

    Settings of the training that the vectors do not know are fastText's defaults, and the output layer is zero, as at
    the start of a training.
    """
    spelled = vectors.spelled if isinstance(vectors, SubwordVectors) else {}
    words = [spelled.get(word.decode(), word) for word in words]
    count, dim = len(words), vectors.vector_size
    seen = [max(1, int(n)) for n in vectors.expandos.get("count", np.ones(count))]
    min_n, max_n = (vectors.min_n, vectors.max_n) if vectors.bucket else (0, 0)  # else fastText divides by zero
    settings = (dim, 5, 5, 1, 5, 1, 2, 2, vectors.bucket, min_n, max_n, 100, 1e-4)
    file.write(MAGIC + struct.pack("<i", 12) + struct.pack(_SETTINGS, *settings))
    file.write(struct.pack("<3i2q", count, count, 0, sum(seen), -1))
    file.writelines(word + b"\0" + struct.pack("<qb", n, 0) for word, n in zip(words, seen, strict=True))
    zeros = np.broadcast_to(np.float32(0), (count, dim))
    for tables in ((vectors.vectors_vocab, vectors.vectors_ngrams), (zeros,)):
        file.write(struct.pack("<?2q", False, sum(map(len, tables)), dim))
        for table in tables:
            file.writelines(table[i : i + 4096].astype("<f4").tobytes() for i in range(0, len(table), 4096))


def check_subwords(vectors: "KeyedVectors") -> None:
    """InputError for vectors that a file of fastText's cannot hold: it has no place for those of whole words.

    For a </s> with the vector that gensim gives it there is a warning: read again it has that of fastText.
    """
    from gensim.models.fasttext import FastTextKeyedVectors

    if not isinstance(vectors, FastTextKeyedVectors):
        told = f"{type(vectors).__name__} has no subwords; give those of train_fasttext or load_fasttext"
        raise InputError(f'{told}, or format="word2vec"')
    own, ngrams, words = vectors.vectors_vocab, vectors.vectors_ngrams, list(vectors.index_to_key)
    if len(own) == len(words):
        spelled = vectors.spelled if isinstance(vectors, SubwordVectors) else {}
        again = subword_vectors(words, own, ngrams, vectors.min_n, vectors.max_n, spelled)
        same = (again.vectors == vectors.vectors).all(axis=1)
        if [words[i] for i in np.flatnonzero(~same)] == [EOS]:
            said = "its vector is another one when it is read again"
            warnings.warn(f"fastText gives {EOS!r} no n-grams, unlike gensim: {said}", stacklevel=3)
            return
        if same.all():
            return
    told = "some vectors are not those that their n-grams give, as they were added or changed"
    raise InputError(f'{told}; give format="word2vec", which keeps words alone')


def _words(source):
    """The words, bytes, without the labels that may follow them."""
    size, count, labels, _, pruned = source.unpack("<3i2q")
    if pruned != -1:
        raise InputError(f"{source.name}: {_QUANTIZED}")
    if min(count, labels) < 0 or size != count + labels:
        raise InputError(f"{source.name}: {count} words and {labels} labels are not {size}; the file is damaged")
    words = {}  # as a dict, to see at once when one comes again
    for i in range(size):
        word = source.until_zero()
        label = source.take(_SEEN_AND_KIND)[-1]
        if label != (i >= count):
            raise InputError(f"{source.name}: a label among the words; the file is damaged")
        if word in words:
            raise InputError(f"{source.name}: a word is there twice; the file is damaged")
        words[word] = i
    if not count:
        raise InputError(f"{source.name}: a model without words")
    return list(words)[:count]


def subword_vectors(
    words: list[str], own: np.ndarray, ngrams: np.ndarray, min_n: int, max_n: int, spelled: Mapping[str, bytes] = ()
) -> "SubwordVectors":
    """SubwordVectors: a word's vector is the mean of its `own` and those of its n-grams.

    `spelled`: {word: its bytes} of words whose n-grams are of other bytes, as they are not UTF-8.
    """

    vectors = SubwordVectors(own.shape[1], min_n, max_n, len(ngrams))
    vectors.index_to_key, vectors.next_index = words, len(words)
    vectors.key_to_index = {word: i for i, word in enumerate(words)}
    vectors.vectors_vocab, vectors.vectors_ngrams = np.array(own), ngrams
    vectors.spelled = dict(spelled)
    vectors.recalc_char_ngram_buckets()
    vectors.adjust_vectors()
    return vectors


class _Bytes:
    """A stream, a block at a time, that knows where it is; a stream that ends too early is an InputError."""

    def __init__(self, stream, name):
        self.stream, self.name = stream, name
        self._held, self._at, self._before = b"", 0, 0  # what is read, how much of it is used; bytes before it

    def _more(self):
        block = self.stream.read(BLOCK)
        if not block:
            raise InputError(f"{self.name}: the file is cut off; get it again")
        self._before += self._at
        self._held, self._at = self._held[self._at :] + block, 0

    def take(self, size):
        while len(self._held) < self._at + size:
            self._more()
        self._at += size
        return self._held[self._at - size : self._at]

    def unpack(self, kind):
        return struct.unpack(kind, self.take(struct.calcsize(kind)))

    def until_zero(self):
        while (end := self._held.find(b"\0", self._at)) < 0:
            if len(self._held) - self._at > _LONGEST_WORD:
                raise InputError(f"{self.name}: a word does not end; the file is damaged")
            self._more()
        start, self._at = self._at, end + 1
        return self._held[start:end]

    def matrix(self, path, rows, columns):
        """float32 [rows, columns], the next bytes: of a file that is `path` mapped, not read."""
        if path is not None:
            start, size = self._before + self._at, 4 * rows * columns
            if path.stat().st_size < start + size:
                raise InputError(f"{self.name}: the file is cut off; get it again")
            return np.memmap(path, "<f4", "c", start, (rows, columns))
        values, done = bytearray(self._held[self._at :][: 4 * rows * columns]), 0
        try:
            matrix = np.empty((rows, columns), "<f4")
        except MemoryError:
            raise InputError(
                f"{self.name}: {rows:,} x {columns:,} numbers are more than memory holds; unpack the file, then its "
                "n-grams stay in it"
            ) from None
        into = memoryview(matrix).cast("B")
        into[: len(values)], done = values, len(values)
        while done < len(into):
            read = self.stream.readinto(into[done : done + (1 << 24)])
            if not read:
                raise InputError(f"{self.name}: the file is cut off; get it again")
            done += read
        return matrix


# === Vectors of words and their n-grams, as the official fastText makes them ===


class SubwordVectors(FastTextKeyedVectors):
    """gensim's FastTextKeyedVectors with the vectors of fastText where the two differ.

    </s>, the end of a line, has no n-grams; a word that is not UTF-8, whose name is an escaped spelling, has those of
    its bytes (`spelled`: {name: bytes}).
    """

    spelled = {}

    def recalc_char_ngram_buckets(self) -> None:
        """Computes the buckets of the n-grams of all words, where fastText's differ from gensim's too."""
        super().recalc_char_ngram_buckets()
        if not self.bucket:
            return
        others = {**self.spelled, EOS: None}
        for word in others.keys() & self.key_to_index.keys():
            buckets = [] if word == EOS else ngram_buckets(others[word], self.min_n, self.max_n, self.bucket)
            self.buckets_word[self.key_to_index[word]] = np.array(buckets, np.uint32)

    def get_vector(self, word: str, norm: bool = False) -> np.ndarray:
        """The vector of a word, of any word where there are n-grams; InputError where the file's are damaged."""
        if word == EOS and self.bucket and word not in self.key_to_index:
            return np.zeros(self.vector_size, np.float32)
        vector = super().get_vector(word, norm=norm)
        if not np.isfinite(vector).all() and not np.isfinite(super().get_vector(word)).all():  # 0 / 0 is no damage
            raise InputError(f"the n-grams of {word!r} hold nan or infinity; the file of the vectors is damaged")
        return vector


def ngram_buckets(word: bytes, min_n: int, max_n: int, buckets: int) -> list[int]:
    """The buckets of the n-grams of a word, bytes, with < and > around it, in the order of fastText.

    A character is a byte and the bytes 10xxxxxx after it. The hash is FNV-1a, but of signed bytes.
    """
    word = b"<" + word + b">"
    starts = [i for i, byte in enumerate(word) if byte & 0xC0 != 0x80]
    ends = [*starts[1:], len(word)]
    found = []
    for first, start in enumerate(starts):
        for n, end in enumerate(ends[first : first + max_n], 1):
            if n >= min_n and not (n == 1 and (start == 0 or end == len(word))):
                found.append(_hash(word[start:end]) % buckets)
    return found


def _hash(ngram):
    value = 2166136261
    for byte in ngram:
        value = (value ^ (byte | 0xFFFFFF00 if byte > 127 else byte)) * 16777619 & 0xFFFFFFFF
    return value
