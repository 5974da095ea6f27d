"""Word vectors as the start of a model's embedding: one row a token, and how many tokens have one."""

from dataclasses import dataclass

import numpy as np

from lm_keras.errors import InputError
from lm_keras.text.char_tokenizer import BYTES
from lm_keras.utils.checks import check_seed

UNKNOWN = ("random", "mean", "zero", "subword")
_SHOWN = 20  # missed words in a report


@dataclass(frozen=True)
class Coverage:
    """How many words of a tokenizer have a vector.

    `types`: its tokens that are words, without special tokens, bytes and pieces inside of words; `found` of them
    have a vector, `lowercased` of these only in lower case. `tokens`: how many tokens the texts have, <unk> and
    pieces among them, `tokens_found` of them a vector; None without texts. `missed`: up to 20 words without a
    vector, the most frequent first.
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


def embedding_matrix(tokenizer, vectors, unknown="random", lowercase_fallback=True, *, texts=None, seed=None):
    """Returns (matrix float32 [V, E], Coverage): the `vectors`, KeyedVectors, in the order of the tokenizer's ids.

    For `embedding_matrix=` of a builder. A word without a vector takes that of its lower case with
    `lowercase_fallback`; a token without one is, by `unknown`: "random", uniform with the variance of the vectors
    found; "mean", their mean; "zero"; "subword", made from its n-grams (fastText's .bin; special tokens: the mean).
    The padding is zero. Pieces inside of words have no vector. `texts` (a list): what `tokens` of the Coverage
    counts. Raises InputError if no token has a vector at all, and for vectors without n-grams.
    """
    _check_kinds(tokenizer, vectors)
    if unknown not in UNKNOWN:
        raise InputError(f"unknown is {unknown!r}; give one of {', '.join(map(repr, UNKNOWN))}")
    if unknown == "subword" and not getattr(vectors, "bucket", 0):
        raise InputError(
            'unknown="subword" needs vectors of n-grams: those that load_fasttext reads from a .bin file'
        )
    if isinstance(texts, (str, bytes)):
        raise InputError("texts takes a list of texts, got one string: put it into a list")
    if seed is not None:
        check_seed(seed)
    words, special = token_words(tokenizer), special_ids(tokenizer)
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
    if hasattr(tokenizer, "key_to_index"):
        kind = type(tokenizer).__name__
        raise InputError(f"tokenizer is a {kind}; give the tokenizer first, then the vectors")
    if not (hasattr(tokenizer, "tokens") and hasattr(tokenizer, "kind")):
        instead = "give a tokenizer, such as lk.text.WordTokenizer.train(texts)"
        raise InputError(f"tokenizer is a {type(tokenizer).__name__}; {instead}")
    if not hasattr(vectors, "key_to_index"):
        instead = "give KeyedVectors, as lk.embeddings.load_glove reads them (of a gensim model its .wv)"
        raise InputError(f"vectors is a {type(vectors).__name__}; {instead}")


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


def special_ids(tokenizer):
    names = ("pad_id", "unk_id", "bos_id", "eos_id", "cls_id", "sep_id", "mask_id")
    more = getattr(tokenizer, "special_tokens", {})
    return {getattr(tokenizer, name, None) for name in names} - {None} | set(dict(more).values())


def token_words(tokenizer):
    """The word that each token is, None for a byte or a piece inside of a word; special tokens as they are."""
    tokens, special = tokenizer.tokens, special_ids(tokenizer)
    if tokenizer.kind == "wordpiece":
        return [None if token.startswith("##") and i not in special else token for i, token in enumerate(tokens)]
    if tokenizer.kind == "char":
        return [None if token in BYTES else token for token in tokens]
    if tokenizer.kind != "bpe":
        return list(tokens)
    return [token if i in special else _after_space(token) for i, token in enumerate(tokens)]


def _after_space(token):
    """The word of a BPE token that begins with a space; others may stand inside of a word."""
    from lm_keras.text.bpe_pipeline import surface

    try:
        text = surface(token).decode()
    except UnicodeDecodeError:
        return None
    return text[1:] if text.startswith(" ") and len(text) > 1 else None
