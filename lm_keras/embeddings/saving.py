"""KeyedVectors to files."""

import gzip
from pathlib import Path

import numpy as np

from lm_keras.embeddings import decimals
from lm_keras.embeddings.binary_format import LONGEST_WORD
from lm_keras.embeddings.fasttext_format import check_subwords, write_fasttext
from lm_keras.embeddings.streams import BOM
from lm_keras.embeddings.text_format import LOOKED_AT, strange
from lm_keras.errors import InputError
from lm_keras.files import replacing
from lm_keras.utils.checks import check_choice

FORMATS = ("glove", "word2vec", "word2vec-binary", "fasttext")


def save_vectors(vectors, path, format="word2vec"):  # noqa: A002
    """Writes KeyedVectors as "glove" or "word2vec" (text; so is fastText's .vec), "word2vec-binary" or "fasttext".

    "fasttext", for FastTextKeyedVectors, is fastText's .bin, which keeps their subwords; the others keep the vectors
    of whole words alone. The function of that format reads the same words and bits back, and so do gensim (but for
    words with spaces in "glove") and the official fastText ("word2vec", "fasttext"). Binary files of very few
    numbers a word may look like text, so give `binary=` where you know it. A path that ends in .gz is compressed.
    Raises InputError, before anything is written, for text in a file named .bin, numbers that are not finite and a
    word that the format cannot hold: an empty one, one of 10,000 bytes or more; in "word2vec" one with a space, a tab
    or a line break (a no-break space is part of a word), in binary with a space or a line feed, in "glove" with a
    line break, a space at an end or a number after a space; for fastText with a zero byte. The same for a glove file
    that begins with U+FEFF, which would be its byte order mark, or of whose first words most look like another
    layout, such as "a:" or "a b", and where none can be written.
    """
    check_choice("format", format, FORMATS)
    path, table = Path(path).expanduser(), np.asarray(vectors.vectors, np.float32)
    if format in ("glove", "word2vec") and path.name.removesuffix(".gz").endswith(".bin"):
        raise InputError(f'{path} is no name for text; give another, or format="fasttext" or "word2vec-binary"')
    words = [str(word).encode() if _writable(str(word), format) else _refuse(word) for word in vectors.index_to_key]
    if format == "glove":
        if words and words[0].startswith(BOM):
            _refuse(vectors.index_to_key[0])
        found = strange(map(str, vectors.index_to_key[:LOOKED_AT]))
        if found:
            raise InputError(f'most of the words look like {found!r}, which no file of GloVe tells; give "word2vec"')
    if not np.isfinite(table).all():
        raise InputError("the vectors hold nan or infinity; a file of vectors cannot")
    if format == "fasttext":
        check_subwords(vectors)
    try:
        with replacing(path) as temporary, (gzip.open if path.suffix == ".gz" else open)(temporary, "wb") as file:
            if format == "fasttext":
                write_fasttext(file, vectors, words)
            else:
                _write(file, words, table, format)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror or error})") from error


def _write(file, words, table, kind):
    if kind != "glove":
        file.write(b"%d %d\n" % table.shape)
    line = b"%s " + b" ".join([b"%.9g"] * table.shape[1]) + b"\n"
    for word, row in zip(words, table, strict=True):
        text = kind != "word2vec-binary"
        file.write(line % (word, *row.tolist()) if text else word + b" " + row.astype("<f4").tobytes() + b"\n")


def _writable(word, kind):
    if not word or any("\ud800" <= char <= "\udfff" for char in word) or len(word.encode()) >= LONGEST_WORD:
        return False
    if kind == "fasttext":
        return "\0" not in word
    if kind == "word2vec-binary":
        return " " not in word and "\n" not in word
    encoded = word.encode()
    if kind == "word2vec":
        return len(encoded.split()) == 1 and encoded == encoded.strip()
    if b"\n" in encoded or b"\r" in encoded or encoded != encoded.strip():
        return False
    pieces = encoded.split()
    return len(pieces) == 1 or not decimals.NUMERIC.fullmatch(pieces[-1])


def _refuse(word):
    word = str(word)
    shown = repr(word if len(word) <= 60 else word[:57] + "...")
    raise InputError(f"the word {shown} cannot be written in this format: take it out first, or give another format")
