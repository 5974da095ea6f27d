"""KeyedVectors to files."""

import gzip
from pathlib import Path

import numpy as np

from lm_keras.embeddings import decimals
from lm_keras.embeddings.binary_format import LONGEST_WORD
from lm_keras.embeddings.streams import BOM
from lm_keras.errors import InputError
from lm_keras.files import replacing

FORMATS = ("glove", "word2vec", "word2vec-binary")


def save_vectors(vectors, path, format="word2vec"):  # noqa: A002
    """Writes KeyedVectors as "glove" or "word2vec" (text; fastText's .vec is the same), or "word2vec-binary".

    The function of that format reads the same words and bits back; binary files of very few numbers a word may look
    like text, so give `binary=` where you know it. A path that ends in .gz is compressed. Raises InputError, before
    anything is written, for numbers that are not finite and a word that the format cannot hold: an empty one, one of
    10,000 bytes or more, one with a line break, in binary one with a space, in text one that ends in a number after a
    space, and U+FEFF at the start of a glove file, which would be its byte order mark; and where none can be written.
    """
    if format not in FORMATS:
        raise InputError(f"format is {format!r}; give one of {', '.join(map(repr, FORMATS))}")
    binary, table = format == "word2vec-binary", np.asarray(vectors.vectors, np.float32)
    words = [str(word).encode() if _writable(str(word), binary) else _refuse(word) for word in vectors.index_to_key]
    if format == "glove" and words and words[0].startswith(BOM):
        _refuse(vectors.index_to_key[0])
    if not np.isfinite(table).all():
        raise InputError("the vectors hold nan or infinity; a file of vectors cannot")
    path = Path(path).expanduser()
    try:
        with replacing(path) as temporary, (gzip.open if path.suffix == ".gz" else open)(temporary, "wb") as file:
            if format != "glove":
                file.write(b"%d %d\n" % table.shape)
            line = b"%s " + b" ".join([b"%.9g"] * table.shape[1]) + b"\n"
            for word, row in zip(words, table, strict=True):
                file.write(word + b" " + row.astype("<f4").tobytes() if binary else line % (word, *row.tolist()))
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror or error})") from error


def _writable(word, binary):
    if not word or any("\ud800" <= char <= "\udfff" for char in word) or len(word.encode()) >= LONGEST_WORD:
        return False
    if binary:
        return " " not in word and word[0] != "\n"
    before, space, last = word.rpartition(" ")
    return "\n" not in word and not (space and decimals.NUMBER.fullmatch(last.encode()))


def _refuse(word):
    word = str(word)
    shown = repr(word if len(word) <= 60 else word[:57] + "...")
    raise InputError(f"the word {shown} cannot be written in this format: take it out first")
