"""From questions to the model that scores them: an inverted index of their words, or a vector of each."""

import unicodedata
from collections.abc import Sequence
from itertools import chain

import keras
import numpy as np

from lm_keras.errors import InputError
from lm_keras.layers.retrieval import SCHEMES, Cosines, Postings, idf
from lm_keras.tasks.embedding import TextEmbedder
from lm_keras.tasks.encoders import is_chinese
from lm_keras.tasks.inputs import input_of
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.utils.checks import check_choice, check_number, check_whole

METHODS = (*SCHEMES, "embedder")
MAX_ENTRIES = 200_000  # 256 questions, a group of an export, have as many scores each: 205 MB
# Known as marks, though no question of the knowledge base may have them: as words they would be unknown ones.
MARKS = " ".join("?!.,;:()[]{}\"'`-_/\\*@#%&") + " ... -- 。，、；：？！（）「」『』《》“”‘’…—·"


def word_tokenizer(questions: Sequence[str]) -> Tokenizer:
    """Returns a tokenizer of all words of questions, in lower case; of Chinese ones, of all characters.

    Args:
        questions: The questions.
    """
    from lm_keras import text

    if is_chinese(questions):
        return text.CharTokenizer.train([*questions, MARKS], lowercase=True, language="zh")
    return text.WordTokenizer.train([*questions, MARKS], lowercase=True)


def is_mark(token: str) -> bool:
    """Returns whether a token is of punctuation marks and white space alone, which no question is found by.

    Args:
        token: A token of a tokenizer, with the marks of its kind (##).
    """
    return all(char == "`" or unicodedata.category(char)[0] in "PZC" for char in token)


def words_model(
    questions: Sequence[str], tokenizer: Tokenizer, method: str, *, k1: float = 1.2, b: float = 0.75
) -> keras.Model:
    """Returns the model of the words of questions: ids int32 [B, T], below 0: none -> scores [B, N].

    Args:
        questions: N questions.
        tokenizer: What cuts them into words.
        method: "tfidf" or "bm25".
        k1: Of bm25: how soon more of the same word counts no more.
        b: Of bm25: how much the length of a question of the index counts, from 0 to 1.

    Raises:
        InputError: For impossible numbers, too many questions, and questions without any word.
    """
    check_choice("method", method, SCHEMES)
    check_number("k1", k1, least=0)
    check_number("b", b, least=0, most=1)
    n, vocab_size = check_whole("the number of entries", len(questions), 1, MAX_ENTRIES), tokenizer.vocab_size
    rows = tokenizer.encode_batch(list(questions))
    lengths = np.array(list(map(len, rows)))
    ids = np.fromiter(chain.from_iterable(rows), np.int64, lengths.sum())
    entries = np.repeat(np.arange(n), lengths)
    marks = np.array([is_mark(token) for token in tokenizer.tokens])
    ids, entries = ids[~marks[ids]], entries[~marks[ids]]
    lengths = np.bincount(entries, minlength=n)  # without marks

    unknown = tokenizer.unk_id if tokenizer.unk_id is not None else -1
    strange = np.bincount(entries[ids == unknown], minlength=n)
    known = ids != unknown
    # A pair of a word and an entry that has it: by word, then by entry.
    pairs, counts = np.unique(ids[known] * n + entries[known], return_counts=True)
    if not len(pairs):
        raise InputError("the questions of the entries hold no word at all; give questions of words")
    words, places = pairs // n, pairs % n
    frequencies = np.bincount(words, minlength=vocab_size)
    weights = np.array([idf(method, n, count) for count in range(n + 1)])[frequencies]
    weights[marks] = 0.0
    if unknown >= 0:
        weights[unknown] = 0.0
    if method == "tfidf":
        values = counts * weights[words]
        squares = np.bincount(places, values**2, n) + strange * idf(method, n, 0) ** 2
        values = values / np.sqrt(squares)[places]
    else:
        more = k1 * (1 - b + b * lengths / lengths.mean())
        values = weights[words] * counts * (k1 + 1) / (counts + more[places])
    splits = np.concatenate([[0], np.cumsum(frequencies)])

    sizes = {"num_entries": n, "vocab_size": vocab_size, "num_postings": len(pairs)}
    options = {"scheme": method, "unknown_id": tokenizer.unk_id, "mean_length": float(lengths.mean())}
    index = Postings(**sizes, **options, k1=float(k1), b=float(b), name="index")
    ids = keras.Input((None,), dtype="int32", name="words")
    model = keras.Model(ids, index(ids), name=method)
    index.set_weights([splits.astype("int32"), places.astype("int32"), values, weights])
    return model


def vectors_model(questions: Sequence[str], embedder: TextEmbedder) -> keras.Model:
    """Returns the model of the vectors of questions: the embedder's inputs -> cosines [B, N].

    Args:
        questions: N questions.
        embedder: What makes the vectors.

    Raises:
        InputError: For too many questions.
    """
    size = check_whole("the number of entries", len(questions), 1, MAX_ENTRIES)
    given = {name: keras.Input(x.shape[1:], dtype=x.dtype, name=name) for name, x in input_of(embedder.model).items()}
    index = Cosines(size, name="index")
    cosines = index(embedder.model(given)["sequence_output"], given["padding_mask"])
    model = keras.Model(given, cosines, name="embedder")
    index.set_weights([embedder.embed(list(questions))])
    return model
