"""GloVe (Pennington et al. 2014) in NumPy: vectors whose products are the logarithms of co-occurrence counts.

A word's row holds its vector and its bias, so that one product gives w . c + b + b~:
words [V, E + 2] = (w | b | 1), contexts [V, E + 2] = (c | 1 | b~), where c is what the paper writes w~.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from lm_keras.embeddings.io.table import keyed_vectors
from lm_keras.embeddings.training.encoded_sentences import CHUNK, END, EncodedSentences
from lm_keras.errors import InputError
from lm_keras.utils.checks import check_positive, check_seed, check_sizes

if TYPE_CHECKING:
    from gensim.models import KeyedVectors
    from scipy.sparse import csr_array


LARGEST_BATCH = 1 << 15  # counts; one of a small text has a 64th of them all


def train_glove(
    sentences: Iterable[str | Sequence[str]],
    embedding_dim: int = 50,
    window: int = 10,
    min_count: int = 5,
    x_max: float = 100,
    alpha: float = 0.75,
    epochs: int = 50,
    learning_rate: float = 0.05,
    seed: int = 0,
    progress: bool = True,
    *,
    language: str | None = "en",
) -> "KeyedVectors":
    """Trains GloVe (Pennington et al. 2014).

    AdaGrad on equation 8, with the weights of equation 9, over the co-occurrence counts in random order, all of them,
    X[i, j] and X[j, i], in each epoch. A word's vector is w + w~ (section 4.2). The progress bar shows the objective
    of the epoch before. The same seed gives the same vectors on the same machine.

    Args:
        sentences: As for `train_word2vec`.
        embedding_dim: Numbers of a vector.
        window: The largest distance of two words that are counted together, see `cooccurrences`.
        min_count: Words that occur less often are left out.
        x_max: The count from which on all weigh the same.
        alpha: The power by which smaller counts weigh less.
        epochs: How often the counts are gone through.
        learning_rate: Of AdaGrad.
        seed: Of the random numbers.
        progress: Whether a progress bar is shown.
        language: Of sentences that are strings.

    Returns:
        gensim's `KeyedVectors`, the most frequent word first.

    Raises:
        InputError: For empty input, one string or path, no word that is frequent enough, no two words that are near
            each other, and impossible sizes.
    """
    check_sizes(embedding_dim=embedding_dim, window=window, min_count=min_count, epochs=epochs)
    check_positive(x_max=x_max, alpha=alpha, learning_rate=learning_rate)
    check_seed(seed)
    corpus = EncodedSentences(sentences, language, progress)
    kept = corpus.frequent(min_count)
    counts = count_pairs(corpus, kept, window).tocoo()
    if not counts.nnz:
        raise InputError("no two words of the sentences stand in one window: give longer sentences")
    with tqdm(total=epochs * counts.nnz, desc="GloVe", unit=" counts", unit_scale=True, disable=not progress) as bar:
        words, contexts = _descend(counts, embedding_dim, x_max, alpha, epochs, learning_rate, seed, bar)
    vectors = words[:, :embedding_dim] + contexts[:, :embedding_dim]
    if not np.isfinite(vectors).all():
        raise InputError(f"the vectors grew beyond all bounds: give a learning_rate below {learning_rate}")
    return keyed_vectors([corpus.words[i] for i in kept], vectors, corpus.counts[kept])


def weighting(counts: np.ndarray, x_max: float = 100, alpha: float = 0.75) -> np.ndarray:
    """Equation 9: f(x) = (x / x_max)^alpha, 1 from x_max on."""
    return np.minimum(np.asarray(counts) / x_max, 1) ** alpha


def glove_objective(
    counts: np.ndarray,
    words: np.ndarray,
    contexts: np.ndarray,
    biases: np.ndarray,
    context_biases: np.ndarray,
    x_max: float = 100,
    alpha: float = 0.75,
) -> tuple[float, tuple[np.ndarray, ...]]:
    """Computes GloVe's objective, equation 8, and its gradients.

    J is the sum, over all i, j, of f(X_ij) (w_i . w~_j + b_i + b~_j - log X_ij)^2, with f of equation 9.

    Args:
        counts: X [V, V], a scipy.sparse array or an array. Its zeros do not count, for f(0) = 0.
        words: w [V, E].
        contexts: w~ [V, E].
        biases: b [V].
        context_biases: b~ [V].
        x_max: The count from which on all weigh the same.
        alpha: The power by which smaller counts weigh less.

    Returns:
        J and its gradients for words, contexts, biases and context_biases.
    """
    from scipy.sparse import csr_array

    counts = csr_array(counts, copy=True)  # an entry that is there twice becomes one, its sum
    counts.eliminate_zeros()
    counts, ones = counts.tocoo(), np.ones((counts.shape[0], 1))
    left = np.concatenate([words, biases[:, None], ones], axis=1)
    right = np.concatenate([contexts, ones, context_biases[:, None]], axis=1)
    entries = (counts.row, counts.col, np.log(counts.data), weighting(counts.data, x_max, alpha))
    loss, (d_left, d_right), _ = batch_gradients(left, right, *entries)
    return loss, (d_left[:, :-2], d_right[:, :-2], d_left[:, -2], d_right[:, -1])


def batch_gradients(
    left: np.ndarray,
    right: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    log_counts: np.ndarray,
    weights: np.ndarray,
) -> tuple[float, tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Of the entries (row, column) of X [N], different ones: J, its gradients for left and right, and their squares.

    The squares [V, E + 2] are sums of the squared gradients of the single entries, which is what AdaGrad would have
    summed had it gone entry by entry as the paper does.
    """
    from scipy.sparse import csr_array

    differences = np.einsum("ne,ne->n", left[rows], right[columns]) - log_counts
    slopes = 2 * weights * differences
    # An entry's gradient is slope * right[column] for its row and slope * left[row] for its column: sparse products.
    first = csr_array((slopes, (rows, columns)), shape=(len(left), len(right)))
    second = csr_array((first.data**2, first.indices, first.indptr), shape=first.shape)
    gradients, squares = (first @ right, first.T @ left), (second @ right**2, second.T @ left**2)
    for d_left, d_right in (gradients, squares):
        d_left[:, -1] = d_right[:, -2] = 0  # the ones stay ones
    return float(np.sum(weights * differences**2, dtype=np.float64)), gradients, squares


def _descend(counts, dim, x_max, alpha, epochs, learning_rate, seed, bar):
    """AdaGrad (Duchi et al. 2011) from small random vectors; `counts` a COO array -> words, contexts [V, E + 2]."""
    rng, size = np.random.default_rng(seed), counts.shape[0]
    tables = [((rng.random((size, dim + 2)) - 0.5) / dim).astype(np.float32) for _ in range(2)]
    tables[0][:, -1] = tables[1][:, -2] = 1
    sums = [np.ones_like(table) for table in tables]  # 1 at the start, as in GloVe's own program
    logs = np.log(counts.data).astype(np.float32)
    weights = weighting(counts.data, x_max, alpha).astype(np.float32)
    step = min(LARGEST_BATCH, max(256, counts.nnz // 64))
    for _ in range(epochs):
        order, objective = rng.permutation(counts.nnz), 0.0
        for start in range(0, counts.nnz, step):
            entries = order[start : start + step]
            # Only the rows of the words in the batch are touched.
            rows, i = _numbered(counts.row[entries], size)
            columns, j = _numbered(counts.col[entries], size)
            loss, gradients, squares = batch_gradients(
                tables[0][rows], tables[1][columns], i, j, logs[entries], weights[entries]
            )
            for table, total, places, gradient, square in zip(
                tables, sums, (rows, columns), gradients, squares, strict=True
            ):
                total[places] = new = total[places] + square
                table[places] -= learning_rate * gradient / np.sqrt(new)
            objective += loss
            bar.update(len(entries))
        bar.set_postfix(objective=f"{objective:,.0f}", refresh=False)
    return tables


def _numbered(ids, size):
    """The different `ids` in rising order, and for each of the ids its place among them."""
    present = np.zeros(size, bool)
    present[ids] = True
    return np.flatnonzero(present), (np.cumsum(present) - 1)[ids]


# === Co-occurrence counts ===

_PART = 2 * CHUNK  # words whose pairs are in memory: a text that is one sentence would need 500 bytes a word


def cooccurrences(
    sentences: Iterable[str | Sequence[str]], window: int = 10, min_count: int = 5, *, language: str | None = "en"
) -> tuple[list[str], "csr_array"]:
    """Counts how often words stand near each other: what GloVe learns from.

    X[i, j] is the sum, over all places of word i and all places of word j that are d <= `window` words before or
    after it, of 1 / d (Pennington et al. 2014, section 4.2). X is symmetric. Rare words are taken out before the
    distance is counted, as GloVe's own program does; no window goes beyond its sentence.

    Args:
        sentences: As for `train_word2vec`.
        window: The largest distance, in words.
        min_count: Words that occur less often are left out.
        language: Of sentences that are strings.

    Returns:
        The V words, the most frequent first, and X, a scipy.sparse CSR array, float64 [V, V].

    Raises:
        InputError: As `train_word2vec` does.
    """
    check_sizes(window=window, min_count=min_count)
    corpus = EncodedSentences(sentences, language)
    kept = corpus.frequent(min_count)
    return [corpus.words[i] for i in kept], count_pairs(corpus, kept, window)


def count_pairs(corpus: EncodedSentences, kept: np.ndarray, window: int) -> "csr_array":
    """X of the words with the ids `kept`, in their order; `corpus`: an EncodedSentences."""
    from scipy.sparse import coo_array, csr_array

    shape = (len(kept), len(kept))
    number = np.full(len(corpus.words), -1, np.int32)
    number[kept] = np.arange(len(kept))
    after = csr_array(shape)  # of pairs in which the second word stands after the first one
    for ids in corpus.chunks():
        sentence = np.cumsum(ids == END)
        known = ids != END
        known[known] = number[ids[known]] >= 0
        words, sentence = number[ids[known]], sentence[known]
        for start in range(0, len(words), _PART):
            first, second, weights = [], [], []
            for distance in range(1, window + 1):
                later = sentence[start + distance : start + distance + _PART]
                near = start + np.flatnonzero(later == sentence[start : start + len(later)])
                first.append(words[near])
                second.append(words[near + distance])
                weights.append(np.full(len(near), 1 / distance))
            entries = np.concatenate(weights), (np.concatenate(first), np.concatenate(second))
            after = after + coo_array(entries, shape).tocsr()
    return (after + after.T).tocsr()
