"""Documents in groups that nobody named before."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from lm_keras.analysis.documents import DocumentVectors, train_doc2vec, unit_rows
from lm_keras.analysis.terms import term_lists, vocabulary
from lm_keras.errors import InputError
from lm_keras.utils.checks import check_seed, check_sizes

METHODS, FEATURES = ("kmeans", "agglomerative"), ("lsa", "tfidf", "doc2vec")
DIRECTIONS = 50  # with 100, two sources of text were told apart at some seeds only
_MOST_PAIRS = 5_000  # documents of the silhouette, which compares each with each


class Clusters(NamedTuple):
    """Documents in groups.

    Attributes:
        labels: int [N], the cluster of each document.
        top_words: The words that mark each cluster, [] without texts.
        silhouette: Between -1 and 1, near 0 where clusters touch (Rousseeuw 1987).
        vectors: [N, D], dense or sparse, what was clustered; rows of length 1.
    """

    labels: np.ndarray
    top_words: list[list[str]]
    silhouette: float
    vectors: np.ndarray


def cluster_documents(
    documents: Iterable[str | Sequence[str]] | np.ndarray,
    num_clusters: int,
    method: str = "kmeans",
    features: str | DocumentVectors | np.ndarray = "lsa",
    *,
    language: str | None = "en",
    num_words: int = 8,
    min_count: int = 2,
    seed: int = 0,
    progress: bool = True,
) -> Clusters:
    """Puts documents into groups, with scikit-learn.

    The same seed gives the same clusters.

    Args:
        documents: Texts (strings, or lists of words), or vectors [N, D] of your own.
        num_clusters: How many groups.
        method: "kmeans", or "agglomerative" (Ward).
        features: Of texts. "tfidf": their words weighted. "lsa": that in its first 50 directions (Deerwester et al.
            1990). "doc2vec": as by `train_doc2vec`. Or `DocumentVectors`, or vectors [N, D], as of
            `TextEmbedder.embed`.
        language: Of texts that are strings.
        num_words: Words that mark each cluster.
        min_count: Words in fewer texts do not count.
        seed: Of the random numbers.
        progress: Whether the training of doc2vec shows a progress bar.

    Returns:
        `Clusters`.

    Raises:
        InputError: Where k-means finds fewer than `num_clusters` different documents.
    """
    if method not in METHODS or (isinstance(features, str) and features not in FEATURES):
        raise InputError(
            f"method={method!r}, features={features!r}: give {' or '.join(METHODS)}; {', '.join(FEATURES)}"
        )
    check_sizes(2, num_clusters=num_clusters)
    check_sizes(num_words=num_words, min_count=min_count)
    check_seed(seed)
    weights = names = None
    if isinstance(documents, np.ndarray) and documents.ndim == 2:
        vectors = _directions(documents)
    else:
        documents = list(documents) if isinstance(documents, Iterator) else documents
        lists = term_lists(documents, language)
        weights, names = _tf_idf(lists, min_count)
        vectors = _vectors(documents, weights, features, language, seed, progress)
    count = vectors.shape[0]
    if num_clusters >= count:
        raise InputError(f"{num_clusters} clusters of {count} documents: give fewer clusters than documents")
    labels = _labels(vectors, num_clusters, method, seed)
    silhouette = _silhouette(vectors, labels, seed)
    top_words = [] if weights is None else _top_words(weights, names, labels, num_clusters, num_words)
    return Clusters(labels, top_words, silhouette, vectors)


def reduced(vectors: Any, size: int, seed: int) -> np.ndarray:
    """The rows of a matrix, dense or sparse, in its first `size` directions: float [N, size], or fewer."""
    from sklearn.decomposition import TruncatedSVD

    if vectors.shape[1] <= size:
        return vectors if isinstance(vectors, np.ndarray) else vectors.toarray()
    return TruncatedSVD(size, random_state=seed).fit_transform(vectors)


def _tf_idf(lists, min_count):
    """Sparse tf-idf [N, V], rows of length 1, and the V words. Of a count 1 + ln (Manning et al. 2008, 6.4)."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(analyzer=list, vocabulary=sorted(vocabulary(lists, min_count)), sublinear_tf=True)
    return vectorizer.fit_transform(lists), vectorizer.get_feature_names_out()


def _vectors(documents, weights, features, language, seed, progress):
    if not isinstance(features, str):
        features = np.asarray(features.vectors if isinstance(features, DocumentVectors) else features)
        if features.ndim != 2 or len(features) != weights.shape[0]:
            raise InputError(f"vectors of shape {features.shape} for {weights.shape[0]} texts; give one row a text")
        return _directions(features)
    if features == "tfidf":
        return weights
    if features == "lsa":
        return unit_rows(reduced(weights, DIRECTIONS, seed))
    return unit_rows(train_doc2vec(documents, language=language, seed=seed, progress=progress).vectors)


def _directions(vectors):
    if vectors.dtype.kind not in "biuf" or not np.isfinite(vectors).all():
        raise InputError("the vectors hold something else than finite numbers")
    return unit_rows(vectors)


def _labels(vectors, num_clusters, method, seed):
    from sklearn.cluster import AgglomerativeClustering, KMeans
    from sklearn.exceptions import ConvergenceWarning

    if method == "agglomerative":
        dense = vectors if isinstance(vectors, np.ndarray) else vectors.toarray()
        return AgglomerativeClustering(num_clusters).fit_predict(dense)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of fewer clusters, an error here
        labels = KMeans(num_clusters, n_init=10, random_state=seed).fit_predict(vectors)
    found = len(np.unique(labels))
    if found < num_clusters:
        raise InputError(f"only {found} of the documents differ: they cannot be put into {num_clusters} clusters")
    return labels


def _silhouette(vectors, labels, seed):
    from sklearn.metrics import silhouette_score

    if len(labels) > _MOST_PAIRS:  # some of the documents, of each cluster at least one
        some = np.random.default_rng(seed).choice(len(labels), _MOST_PAIRS, replace=False)
        some = np.union1d(some, np.unique(labels, return_index=True)[1])
        vectors, labels = vectors[some], labels[some]
    return float(silhouette_score(vectors, labels))


def _top_words(weights, names, labels, num_clusters, num_words):
    """For each cluster the words whose mean tf-idf is the most above that of all documents."""
    overall = np.asarray(weights.mean(0)).ravel()
    above = [np.asarray(weights[labels == k].mean(0)).ravel() - overall for k in range(num_clusters)]
    return [names[np.argsort(-row, kind="stable")[:num_words]].tolist() for row in above]
