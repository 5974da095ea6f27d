"""Files of word vectors, read to gensim's KeyedVectors and written from them."""

import codecs
import gzip
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lm_keras.embeddings.io import fasttext_format, text_format
from lm_keras.embeddings.io.binary_format import LONGEST_WORD, read_binary
from lm_keras.embeddings.io.fasttext_format import check_subwords, write_fasttext
from lm_keras.embeddings.io.streams import BOM, opened
from lm_keras.embeddings.io.text_format import LOOKED_AT, read_text, strange
from lm_keras.errors import InputError
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.utils.atomic_files import replacing
from lm_keras.utils.checks import check_choice

if TYPE_CHECKING:
    from gensim.models import KeyedVectors


def load_glove(
    path: str | Path, vocabulary: Iterable[str] | Tokenizer | None = None, member: str | None = None
) -> "KeyedVectors":
    """Reads the text format of GloVe: a word and its numbers a line, plain, .gz or .zip.

    Spaces or tabs stand between the numbers; LF, CRLF or CR ends a line. The word is what stands before the numbers,
    so it may hold spaces inside. Of a word that comes again the first vector is kept, and bytes that are not UTF-8
    are read as `\\xe9`, with a warning each. A first line of two counts may be there.

    Args:
        path: The file.
        vocabulary: The only words to keep, or a tokenizer: then its tokens and their lower case. None: all words.
        member: Which file of a .zip, where it holds several.

    Returns:
        gensim's `KeyedVectors`, the words in the order of the file.

    Raises:
        InputError: For a line that is cut, of another size, empty or not of numbers, with its number, and for other
            layouts (commas, quotes, UTF-16).
    """
    with opened(path, member) as (stream, name, _):
        return read_text(stream, name, _wanted(vocabulary))


def load_word2vec(
    path: str | Path,
    vocabulary: Iterable[str] | Tokenizer | None = None,
    member: str | None = None,
    binary: bool | None = None,
) -> "KeyedVectors":
    """Reads word2vec's format, text or binary, plain, .gz or .zip.

    The first line is the number of words and that of numbers of each. Words with spaces, which gensim writes into
    binary files as they are, are read where it is certain where one ends.

    Args:
        path: The file.
        vocabulary: The only words to keep, as in `load_glove`.
        member: Which file of a .zip, where it holds several.
        binary: Whether the file is binary. None: its first bytes decide. They are text if they are UTF-8 without a
            zero byte, or if the second line ends with numbers.

    Returns:
        gensim's `KeyedVectors`, the words in the order of the file.

    Raises:
        InputError: For a file with more or fewer words than its first line says, a word whose end is uncertain, and
            whatever `load_glove` refuses.
    """
    if binary is None:
        with opened(path, member) as (stream, _, _):
            binary = not is_text(stream.read(1 << 16))
    with opened(path, member) as (stream, name, _):
        if binary:
            return read_binary(stream, name, _wanted(vocabulary))
        return read_text(stream, name, _wanted(vocabulary), header=True)


def load_fasttext(
    path: str | Path, vocabulary: Iterable[str] | Tokenizer | None = None, member: str | None = None
) -> "KeyedVectors":
    """Reads fastText's .vec (word2vec's text format) or .bin (words and their n-grams of characters).

    The vectors are those of the official fastText, also where gensim's differ: `</s>` has no n-grams, and a word that
    is not UTF-8 has those of its bytes. Models of any kind are read, supervised ones without their labels.
    `save_vectors` writes such files, with format="fasttext".

    Args:
        path: The file. The n-grams of a .bin file that is not compressed are not read into memory but mapped, so the
            file must stay where it is.
        vocabulary: The only words to keep, as in `load_glove`.
        member: Which file of a .zip, where it holds several.

    Returns:
        `KeyedVectors` of a .vec file; of a .bin file with n-grams `FastTextKeyedVectors`, with a vector for every
        word.

    Raises:
        InputError: For a quantized model (.ftz), a file that is cut off, and whatever `load_glove` refuses.
    """
    wanted = _wanted(vocabulary)
    with opened(path, member) as (stream, _, _):
        model = stream.read(4) == fasttext_format.MAGIC
    with opened(path, member) as (stream, name, plain):
        if model:
            return fasttext_format.read_fasttext(stream, name, Path(path).expanduser() if plain else None, wanted)
        return read_text(stream, name, wanted, header=True)


def _wanted(vocabulary):
    """The UTF-8 bytes of the words to keep, or None for all."""
    if vocabulary is None:
        return None
    if isinstance(vocabulary, (str, bytes)):
        raise InputError("vocabulary takes an iterable of words or a tokenizer, got one string: put it into a list")
    if isinstance(vocabulary, Tokenizer):
        words = [word for word in vocabulary.token_words() if word is not None]
        vocabulary = {*words, *(word.lower() for word in words)}
    if not isinstance(vocabulary, Iterable):
        raise InputError(f"vocabulary takes an iterable of words or a tokenizer, got a {type(vocabulary).__name__}")
    words = list(vocabulary)
    if not all(isinstance(word, str) for word in words):
        raise InputError("vocabulary takes an iterable of words (strings) or a tokenizer")
    return {word.encode(errors="surrogatepass") for word in words}


def is_text(head: bytes) -> bool:
    """Whether a file of word2vec that begins with `head` is text: it is UTF-8, or its second line ends in numbers."""
    first, _, rest = head.partition(b"\n")
    counts = first.split()
    if len(counts) != 2 or not text_format.COUNT.fullmatch(counts[1]):
        return True  # which gives the message for a missing header
    if b"\0" not in rest and _is_utf8(rest):  # then the reader of text knows which line is damaged
        return True
    pieces = rest.partition(b"\n")[0].strip(b" \r").rsplit(b" ", int(counts[1]))[1:]
    if b"\n" not in rest and len(head) == 1 << 16:
        pieces = pieces[:-1]  # the last number of a very long line may be cut
    return bool(pieces) and all(text_format.NUMBER.fullmatch(piece) for piece in pieces)


def _is_utf8(text):
    """The last character may be cut."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(text)
    except UnicodeDecodeError:
        return False
    return True


# === Writing ===

FORMATS = ("glove", "word2vec", "word2vec-binary", "fasttext")


def save_vectors(vectors: "KeyedVectors", path: str | Path, format: str = "word2vec") -> None:  # noqa: A002
    """Writes word vectors to a file.

    The function of that format reads the same words and bits back, and so do gensim (but for words with spaces in
    "glove") and the official fastText ("word2vec", "fasttext"). Binary files of very few numbers a word may look like
    text, so give `binary=` to `load_word2vec` there.

    Args:
        vectors: gensim's `KeyedVectors`.
        path: The file. A path that ends in .gz is compressed.
        format: "glove" or "word2vec", which are text (so is fastText's .vec); "word2vec-binary"; or "fasttext",
            fastText's .bin, which keeps the subwords of `FastTextKeyedVectors`. The others keep the vectors of whole
            words alone.

    Raises:
        InputError: Before anything is written, for text in a file named .bin, numbers that are not finite, and a word
            that the format cannot hold: an empty one, one of 10,000 bytes or more; in "word2vec" one with a space, a
            tab or a line break (a no-break space is part of a word); in binary with a space or a line feed; in
            "glove" with a line break, a space at an end or a number after a space; for fastText with a zero byte.
            Also for a glove file that begins with U+FEFF, which would be its byte order mark, or most of whose first
            words look like another layout, such as "a:" or "a b". And where the file cannot be written.
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
    return len(pieces) == 1 or not text_format.NUMERIC.fullmatch(pieces[-1])


def _refuse(word):
    word = str(word)
    shown = repr(word if len(word) <= 60 else word[:57] + "...")
    raise InputError(f"the word {shown} cannot be written in this format: take it out first, or give another format")
