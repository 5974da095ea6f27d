"""Files of word vectors to gensim's KeyedVectors."""

import codecs
from collections.abc import Iterable
from pathlib import Path

from lm_keras.embeddings import decimals, fasttext_format
from lm_keras.embeddings.binary_format import read_binary
from lm_keras.embeddings.streams import opened
from lm_keras.embeddings.text_format import read_text
from lm_keras.errors import InputError
from lm_keras.text.tokenizers.base import Tokenizer


def load_glove(path, vocabulary=None, member=None):
    """Reads the text format of GloVe, a word and its numbers a line, plain, .gz or .zip -> KeyedVectors.

    `vocabulary`: an iterable of the only words to keep, or a tokenizer, then its tokens and their lower case.
    `member`: which file of a .zip. Spaces or tabs stand between the numbers; LF, CRLF or CR ends a line. The word is
    what stands before the numbers, so it may hold spaces inside. Of a word that comes again the first vector is kept,
    bytes that are not UTF-8 are read as `\\xe9`: a warning each. A first line of two counts may be there. InputError
    names the line that is cut, of another size, empty or not of numbers, and refuses other layouts (commas, quotes,
    UTF-16).
    """
    with opened(path, member) as (stream, name, _):
        return read_text(stream, name, _wanted(vocabulary))


def load_word2vec(path, vocabulary=None, member=None, binary=None):
    """Reads word2vec's format, text or binary, plain, .gz or .zip -> KeyedVectors; all else as in `load_glove`.

    Its first line is the number of words and that of numbers of each; a file that holds more or fewer words is an
    InputError. Words with spaces, which gensim writes into binary files as they are, are read right or, where it is
    uncertain where one ends, an InputError. `binary` None: its first bytes decide, which are text if they are UTF-8
    without a zero byte, or end the second line with numbers.
    """
    if binary is None:
        with opened(path, member) as (stream, _, _):
            binary = not is_text(stream.read(1 << 16))
    with opened(path, member) as (stream, name, _):
        if binary:
            return read_binary(stream, name, _wanted(vocabulary))
        return read_text(stream, name, _wanted(vocabulary), header=True)


def load_fasttext(path, vocabulary=None, member=None):
    """Reads fastText's .vec (word2vec's text format) -> KeyedVectors, or its .bin -> FastTextKeyedVectors.

    Those of a .bin file with n-grams of characters have a vector for every word; the n-grams of a file that is not
    compressed are not read into memory but mapped, so the file must stay where it is. The vectors are those of the
    official fastText, also where gensim's differ: `</s>` has no n-grams, a word that is not UTF-8 those of its bytes.
    Models of any kind are read, supervised ones without their labels; quantized ones (.ftz) are an InputError.
    `save_vectors` writes such files, with format="fasttext". All else: `load_glove`.
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


def is_text(head):
    """Whether a file of word2vec that begins with `head` is text: it is UTF-8, or its second line ends in numbers."""
    first, _, rest = head.partition(b"\n")
    counts = first.split()
    if len(counts) != 2 or not decimals.COUNT.fullmatch(counts[1]):
        return True  # which gives the message for a missing header
    if b"\0" not in rest and _is_utf8(rest):  # then the reader of text knows which line is damaged
        return True
    pieces = rest.partition(b"\n")[0].strip(b" \r").rsplit(b" ", int(counts[1]))[1:]
    if b"\n" not in rest and len(head) == 1 << 16:
        pieces = pieces[:-1]  # the last number of a very long line may be cut
    return bool(pieces) and all(decimals.NUMBER.fullmatch(piece) for piece in pieces)


def _is_utf8(text):
    """The last character may be cut."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(text)
    except UnicodeDecodeError:
        return False
    return True
