"""The binary format of word2vec: a line with the two counts; each word, a space, and its numbers as float32."""

import numpy as np

from lm_keras.embeddings.streams import BLOCK
from lm_keras.embeddings.table import Table, check_dim
from lm_keras.errors import InputError

LONGEST_WORD = 10_000  # bytes


def read_binary(stream, name, wanted=None):
    """Returns the KeyedVectors of a stream of bytes. `wanted`: a set of words, bytes, all others are left out.

    A line break may stand before a word, as word2vec writes it; gensim writes none. Raises InputError for sizes that
    do not fit: the stream must end after the last of the promised words.
    """
    count, dim = _header(stream.readline(100), name)
    table, size = Table(dim), 4 * dim
    held, done, finished = b"", 0, False
    while done < count or not finished:
        block = stream.read(max(BLOCK, 2 * size))
        finished = not block
        held += block
        words, vectors, position, numbers = [], [], 0, []
        while done < count:
            start = position + (held[position : position + 1] == b"\n")
            space = held.find(b" ", start, start + LONGEST_WORD)
            end = space + 1 + size
            if space < 0 and len(held) - start >= LONGEST_WORD:
                raise InputError(f"{name}: word {done + 1} does not end; not a file of word2vec, or damaged")
            if space < 0 or end > len(held):
                break
            word = held[start:space]
            if not word:
                raise InputError(
                    f"{name}: word {done + 1} is empty; the sizes in the first line do not fit, or damaged"
                )
            done, position = done + 1, end
            if wanted is None or word in wanted:
                words.append(word)
                vectors.append(held[space + 1 : end])
                numbers.append(done)
        held = held[position:]
        if words:
            _add(table, words, b"".join(vectors), numbers, name)
        if finished and done < count:
            raise InputError(f"{name}: its first line promises {count:,} words, it ends after {done:,}; get it again")
        if done == count and held.removeprefix(b"\n"):
            raise InputError(f"{name}: more bytes than the {count:,} words that its first line promises; damaged")
    return table.vectors(name)


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
