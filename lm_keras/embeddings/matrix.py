"""Word vectors as the start of a model's embedding: one row a token, and how many tokens have one."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lm_keras.errors import InputError
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.utils.checks import check_choice, check_seed

if TYPE_CHECKING:
    from gensim.models import KeyedVectors

UNKNOWN = ("random", "mean", "zero", "subword")
_SHOWN = 20  # missed words in a report


@dataclass(frozen=True)
class Coverage:
    """How many words of a tokenizer have a vector.

    Attributes:
        types: How many of its tokens are words: no special tokens, bytes or pieces inside of words.
        found: How many of these have a vector.
        lowercased: How many of the found ones have it only in lower case.
        tokens: How many tokens the texts have, <unk> and pieces among them. None without texts.
        tokens_found: How many of those have a vector. None without texts.
        missed: Up to 20 words without a vector, the most frequent first.
    """

    types: int
    found: int
    lowercased: int
    tokens: int | None
    tokens_found: int | None
    missed: list[str]

    def __str__(self):
        parts = [f"{self.found:,} of {self.types:,} types ({self.found / max(self.types, 1):.1%}) have a vector"]
        parts.append(f"{self.lowercased:,} of them in lower case only")
        if self.tokens:
            share = self.tokens_found / self.tokens
            parts.append(f"{self.tokens_found:,} of {self.tokens:,} tokens ({share:.1%})")
        return ", ".join(parts) + (f"; missed: {' '.join(self.missed)}" if self.missed else "")


def embedding_matrix(
    tokenizer: Tokenizer,
    vectors: "KeyedVectors",
    unknown: str = "random",
    lowercase_fallback: bool = True,
    *,
    texts: Iterable[str] | None = None,
    seed: int | None = None,
) -> tuple[np.ndarray, Coverage]:
    """Returns the start of a model's embedding: the vectors in the order of the tokenizer's ids.

    It is the `embedding_matrix=` of a builder. The row of the padding is zero. Pieces inside of words have no vector.

    Args:
        tokenizer: Its V tokens are the rows.
        vectors: gensim's `KeyedVectors` of E numbers.
        unknown: What a token without a vector gets. "random": uniform numbers with the variance of the vectors found.
            "mean": their mean. "zero". "subword": what its n-grams give (fastText's .bin); special tokens get the
            mean.
        lowercase_fallback: Whether a word without a vector takes that of its lower case.
        texts: Texts whose tokens the `Coverage` counts.
        seed: Of the random numbers.

    Returns:
        The matrix, float32 [V, E], and its `Coverage`.

    Raises:
        InputError: If no token has a vector, and for "subword" with vectors that have no n-grams.
    """
    _check_kinds(tokenizer, vectors)
    check_choice("unknown", unknown, UNKNOWN)
    if unknown == "subword" and not _has_subwords(vectors):
        raise InputError(
            'unknown="subword" needs vectors of n-grams: those that load_fasttext reads from a .bin file'
        )
    if isinstance(texts, (str, bytes)):
        raise InputError("texts takes a list of texts, got one string: put it into a list")
    if seed is not None:
        check_seed(seed)
    words, special = tokenizer.token_words(), tokenizer.special_ids
    index = vectors.key_to_index
    exact = np.array([-1 if word is None else index.get(word, -1) for word in words])
    rows = exact.copy()
    if lowercase_fallback:
        for i in np.flatnonzero(exact < 0):
            if words[i] is not None and i not in special:
                rows[i] = index.get(words[i].lower(), -1)
    found = rows >= 0
    if not found.any():
        raise InputError(
            f"none of the {len(words):,} tokens has a vector: other vectors, or lowercase=True in train?"
        )
    matrix = np.zeros((len(words), vectors.vector_size), np.float32)
    matrix[found] = vectors.vectors[rows[found]]
    _fill(matrix, ~found, words, special, vectors, unknown, seed)
    if tokenizer.pad_id is not None and tokenizer.pad_id not in (tokenizer.unk_id, tokenizer.eos_id):
        matrix[tokenizer.pad_id] = 0
    return matrix, _coverage(tokenizer, words, special, exact >= 0, found, texts)


def _check_kinds(tokenizer, vectors):
    from gensim.models import KeyedVectors

    if not isinstance(tokenizer, Tokenizer):
        instead = "a tokenizer, such as lk.text.WordTokenizer.train(texts)"
        if isinstance(vectors, Tokenizer):
            instead = "the tokenizer first, then the vectors"
        raise InputError(f"tokenizer is a {type(tokenizer).__name__}; give {instead}")
    if not isinstance(vectors, KeyedVectors):
        instead = "give KeyedVectors, as lk.embeddings.load_glove reads them (of a gensim model its .wv)"
        raise InputError(f"vectors is a {type(vectors).__name__}; {instead}")


def _has_subwords(vectors):
    from gensim.models.fasttext import FastTextKeyedVectors

    return isinstance(vectors, FastTextKeyedVectors) and vectors.bucket > 0


def _fill(matrix, empty, words, special, vectors, unknown, seed):
    known = matrix[~empty]
    if unknown == "random":
        bound = np.sqrt(3 * known.var())
        matrix[empty] = np.random.default_rng(seed).uniform(-bound, bound, (empty.sum(), matrix.shape[1]))
    elif unknown in ("mean", "subword"):
        matrix[empty] = known.mean(axis=0)
    if unknown == "subword":
        for i in np.flatnonzero(empty):
            if words[i] is not None and i not in special:
                matrix[i] = vectors.get_vector(words[i])


def _coverage(tokenizer, words, special, exact, found, texts):
    real = np.array([word is not None and i not in special for i, word in enumerate(words)])
    counts = np.zeros(len(words), np.int64)
    for text in () if texts is None else texts:
        counts += np.bincount(tokenizer.encode(text), minlength=len(words))
    missed = np.flatnonzero(real & ~found)
    missed = missed[np.argsort(-counts[missed], kind="stable")]
    return Coverage(
        types=int(real.sum()),
        found=int((real & found).sum()),
        lowercased=int((real & found & ~exact).sum()),
        tokens=None if texts is None else int(counts.sum()),
        tokens_found=None if texts is None else int(counts[real & found].sum()),
        missed=[words[i] for i in missed[:_SHOWN]],
    )
