"""The binary format of fastText (.bin): settings, words, vectors of words and of n-grams of characters."""

import struct

import numpy as np

from lm_keras.embeddings.streams import BLOCK
from lm_keras.embeddings.table import check_dim
from lm_keras.errors import InputError

MAGIC = struct.pack("<i", 793712314)
# Of Args::save: dim, ws, epoch, minCount, neg, wordNgrams, loss, model, bucket, minn, maxn, lrUpdateRate, t.
_SETTINGS = "<12id"
_SEEN_AND_KIND = 9  # bytes, after the zero byte that ends a word
_LONGEST_WORD = 1 << 16


def read_fasttext(stream, name, path, wanted=None):
    """Returns the FastTextKeyedVectors of a stream; `path` of the file, None if it is compressed.

    The n-grams of a file that is not compressed stay in it (they are mapped, and read where they are needed): with a
    set of `wanted` words, bytes, gigabytes cost megabytes. Raises InputError for a file that is cut off or of another
    version, and for quantized and supervised models.
    """
    source = _Bytes(stream, name)
    head, version = source.take(4), *source.unpack("<i")
    if head != MAGIC or version not in (11, 12):
        raise InputError(
            f"{name}: not a fastText model of version 11 or 12; write it again with fastText 0.2 or later"
        )
    settings = source.unpack(_SETTINGS)
    dim, bucket, min_n, max_n = settings[0], *settings[8:11]
    check_dim(dim, name)
    if min_n < 0 or max_n < 0:
        raise InputError(f"{name}: n-grams of {min_n} to {max_n} characters are not possible; the file is damaged")
    words = _words(source)
    quantized, rows, columns = source.unpack("<?2q")
    if quantized:
        raise InputError(f"{name}: a quantized model (.ftz); give the .bin file that it was made from")
    if (rows, columns) != (len(words) + bucket, dim):
        due = f"{len(words) + bucket:,} x {dim}"
        raise InputError(f"{name}: {rows:,} x {columns:,} numbers where {due} are due; the file is damaged")
    matrix = source.matrix(path, rows, dim)
    kept = [i for i, word in enumerate(words) if wanted is None or word in wanted]
    vectors = made([words[i].decode() for i in kept], matrix[kept], matrix[len(words) :], min_n, max_n)
    if not np.isfinite(vectors.vectors).all():
        raise InputError(f"{name}: its vectors hold nan or infinity; the file is damaged")
    return vectors


def write_fasttext(file, vectors, words):
    """Writes FastTextKeyedVectors, checked by `check_subwords`, and their `words`, bytes, as a model of version 12.

    Settings of the training that the vectors do not know are fastText's defaults, and the output layer is zero, as at
    the start of a training.
    """
    count, dim = len(words), vectors.vector_size
    seen = [max(1, int(n)) for n in vectors.expandos.get("count", np.ones(count))]
    settings = (dim, 5, 5, 1, 5, 1, 2, 2, vectors.bucket, vectors.min_n, vectors.max_n, 100, 1e-4)
    file.write(MAGIC + struct.pack("<i", 12) + struct.pack(_SETTINGS, *settings))
    file.write(struct.pack("<3i2q", count, count, 0, sum(seen), -1))
    file.writelines(word + b"\0" + struct.pack("<qb", n, 0) for word, n in zip(words, seen, strict=True))
    zeros = np.broadcast_to(np.float32(0), (count, dim))
    for tables in ((vectors.vectors_vocab, vectors.vectors_ngrams), (zeros,)):
        file.write(struct.pack("<?2q", False, sum(map(len, tables)), dim))
        for table in tables:
            file.writelines(table[i : i + 4096].astype("<f4").tobytes() for i in range(0, len(table), 4096))


def check_subwords(vectors):
    """InputError for vectors that a file of fastText's cannot hold: it has no place for those of whole words."""
    from gensim.models.fasttext import FastTextKeyedVectors

    if not isinstance(vectors, FastTextKeyedVectors):
        told = f"{type(vectors).__name__} has no subwords; give those of train_fasttext or load_fasttext"
        raise InputError(f'{told}, or format="word2vec"')
    own, ngrams = vectors.vectors_vocab, vectors.vectors_ngrams
    if len(own) == len(vectors.index_to_key):
        again = made(list(vectors.index_to_key), own, ngrams, vectors.min_n, vectors.max_n)
        if np.array_equal(again.vectors, vectors.vectors):
            return
    told = "some vectors are not those that their n-grams give, as they were added or changed"
    raise InputError(f'{told}; give format="word2vec", which keeps words alone')


def _words(source):
    """The words, UTF-8 bytes; bytes of them that are not valid are written with backslashes."""
    size, count, labels, _, pruned = source.unpack("<3i2q")
    if labels or pruned > 0 or size != count:
        raise InputError(f"{source.name}: a supervised or pruned model; give one of plain word vectors")
    words = []
    for _ in range(count):
        words.append(source.until_zero().decode(errors="backslashreplace").encode())
        source.take(_SEEN_AND_KIND)
    if len(set(words)) < count:
        raise InputError(f"{source.name}: a word is there twice; the file is damaged")
    return words


def made(words, own, ngrams, min_n, max_n):
    """FastTextKeyedVectors: a word's vector is the mean of its `own` and those of its n-grams."""
    from gensim.models.fasttext import FastTextKeyedVectors

    vectors = FastTextKeyedVectors(own.shape[1], min_n, max_n, len(ngrams))
    vectors.index_to_key, vectors.next_index = words, len(words)
    vectors.key_to_index = {word: i for i, word in enumerate(words)}
    vectors.vectors_vocab, vectors.vectors_ngrams = np.array(own), ngrams
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
