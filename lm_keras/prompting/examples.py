"""Which labelled texts stand in a prompt as examples, and in which order: random, balanced, or near to the text."""

import zlib
from collections.abc import Callable, Sequence

import numpy as np

from lm_keras.errors import InputError
from lm_keras.tasks.embedding import TextEmbedder
from lm_keras.text.unicode import HAN_OR_WORD
from lm_keras.utils.checks import check_choice, check_seed, check_sizes, check_texts

SELECTIONS = ("random", "balanced", "nearest")
ORDERS = ("random", "given", "nearest last")
_QUERIES = 256  # texts compared with all examples at a time


def select_examples(
    labels: Sequence[int], k: int, select: str = "balanced", *, order: str = "random", seed: int = 0
) -> list[int]:
    """Chooses k of some labelled texts, the same for every text that is to be classified.

    Args:
        labels: The class of each text.
        k: How many in all.
        select: "random": each k as likely as any other. "balanced": as many of each class, and where k is no multiple
            of the number of classes, one more of some. A class that has too few gives all, and the others fill up.
        order: "random", or "given": that of the texts.
        seed: Of choice and order.

    Returns:
        k places in `labels`, in the order in which they stand in the prompt.

    Raises:
        InputError: For fewer texts than k.
    """
    check_sizes(least=0, k=k)
    check_choice("select", select, SELECTIONS[:2])
    check_choice("order", order, ORDERS[:2])
    labels = np.asarray(labels)
    if k > len(labels):
        raise InputError(f"k is {k} and there are {len(labels)} labelled texts; give more of them or a smaller k")
    rng = np.random.default_rng([check_seed(seed), k])
    shuffled = rng.permutation(len(labels))
    if select == "random":
        chosen = shuffled[:k]
    else:
        # The first of each class in turn, the second of each, ...; which class is first is drawn.
        rank, places = (
            np.empty(len(labels), int),
            {name: i for i, name in enumerate(rng.permutation(_classes(labels)))},
        )
        for name in places:
            own = shuffled[labels[shuffled] == name]
            rank[own] = np.arange(len(own))
        chosen = np.lexsort(([places[name] for name in labels.tolist()], rank))[:k]
        chosen = rng.permutation(chosen)
    return (np.sort(chosen) if order == "given" else chosen).tolist()


def _classes(labels):
    return np.array(sorted(set(labels.tolist())), labels.dtype)


def ordered(nearest: np.ndarray, texts: Sequence[str], order: str | None = None, seed: int = 0) -> np.ndarray:
    """The rows of `nearest`, most similar first, in the order in which they stand in the prompts of `texts`.

    Args:
        nearest: int [Q, k], what `NearestExamples` gives.
        texts: The Q texts.
        order: "nearest last" (None too), so that the most similar one stands beside the text; "given": that of the
            labelled texts; "random", which the text and `seed` decide, so that no other text has a part in it.
        seed: Of "random".
    """
    check_choice("order", order or "nearest last", ORDERS)
    if order == "given":
        return np.sort(nearest, 1)
    if order == "random":
        keys = [[seed, zlib.crc32(text.encode("utf-8", "surrogatepass"))] for text in texts]
        rows = zip(nearest, keys, strict=True)
        return np.array([np.random.default_rng(key).permutation(row) for row, key in rows], int).reshape(
            nearest.shape
        )
    return nearest[:, ::-1]


class NearestExamples:
    """Finds the labelled texts that are most similar to a text, by the cosine of their vectors.

    Args:
        texts: The labelled texts, N of them.
        embedder: A `TextEmbedder`, such as one of all-MiniLM-L6-v2; or a function of texts that returns float [N, D];
            None: TF-IDF of words and pairs of words by scikit-learn, learned from `texts`.

    Raises:
        InputError: For no text.
    """

    def __init__(self, texts: Sequence[str], embedder: TextEmbedder | Callable | None = None):
        self.texts, self.embedder = check_texts(texts), embedder
        if not self.texts:
            raise InputError("there are no labelled texts to choose examples from; give at least one")
        if embedder is None:
            self._embed = _tfidf(self.texts)
        elif isinstance(embedder, TextEmbedder):
            self._embed = embedder.embed
        elif callable(embedder):
            self._embed = lambda some: _unit(embedder(some), len(some))
        else:
            raise InputError(
                f"embedder is a {type(embedder).__name__}; give a TextEmbedder, a function of texts, or None (TF-IDF)"
            )
        self.vectors = self._embed(self.texts)

    def __call__(self, texts: Sequence[str], k: int) -> np.ndarray:
        """The k most similar labelled texts of each text.

        Args:
            texts: Q texts.
            k: How many, at most N.

        Returns:
            int [Q, k], places in the labelled texts, the most similar first; of equal ones the first.
        """
        check_sizes(k=k)
        if k > len(self.texts):
            raise InputError(f"k is {k} and there are {len(self.texts)} labelled texts; give more or a smaller k")
        found = [np.zeros([0, k], int)]
        for start in range(0, len(texts), _QUERIES):
            similar = self._embed(list(texts[start : start + _QUERIES])) @ self.vectors.T
            similar = np.asarray(similar.todense() if hasattr(similar, "todense") else similar)
            found.append(np.argsort(-similar, axis=1, kind="stable")[:, :k])
        return np.concatenate(found)


def _unit(vectors, count):
    vectors = np.asarray(vectors, "float32")
    if vectors.ndim != 2 or len(vectors) != count:
        raise InputError(
            f"embedder gives an array of shape {vectors.shape} for {count} texts; it must be [{count}, D]"
        )
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _tfidf(texts):
    """A function of texts -> sparse rows of length 1, whose words and their rarity are those of `texts`."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(token_pattern=HAN_OR_WORD, ngram_range=(1, 2), sublinear_tf=True)
    try:
        vectorizer.fit(texts)
    except ValueError:  # no word at all
        raise InputError("the labelled texts have no word to compare; give texts, or an embedder") from None
    return vectorizer.transform
