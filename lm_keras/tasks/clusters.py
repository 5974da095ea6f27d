"""Documents in groups that nobody named before."""

from typing import NamedTuple

import numpy as np

from lm_keras.errors import InputError
from lm_keras.extra import analysis
from lm_keras.tasks.documents import train_doc2vec, unit_rows
from lm_keras.tasks.terms import term_lists

METHODS, FEATURES = ("kmeans", "agglomerative"), ("lsa", "tfidf", "doc2vec")
DIRECTIONS = 50  # with 100, two sources of text were told apart at some seeds only
_MOST_PAIRS = 5_000  # documents of the silhouette, which compares each with each


class Clusters(NamedTuple):
    """`labels` int [N]: the cluster of each document; `top_words`: what marks each cluster ([] without texts).

    `silhouette`: between -1 and 1, near 0 where clusters touch (Rousseeuw 1987); `vectors` [N, D], dense or sparse:
    what was clustered, rows of length 1.
    """

    labels: np.ndarray
    top_words: list[list[str]]
    silhouette: float
    vectors: np.ndarray


def cluster_documents(
    documents, num_clusters, method="kmeans", features="lsa", *, language="en", num_words=8, min_count=2, seed=0
):
    """Puts documents into `num_clusters` groups with scikit-learn.

    `documents`: texts (strings, or lists of words), or vectors [N, D] of your own. `features` of texts: "tfidf",
    their words weighted; "lsa", that in its first 50 directions (Deerwester et al. 1990); "doc2vec"; or vectors
    [N, D], as of `TextEmbedder.embed`. `method`: "kmeans", or "agglomerative" (Ward). Words in fewer than `min_count`
    texts do not count. The same seed gives the same clusters.
    """
    if method not in METHODS or (isinstance(features, str) and features not in FEATURES):
        raise InputError(
            f"method={method!r}, features={features!r}: give {' or '.join(METHODS)}; {', '.join(FEATURES)}"
        )
    sklearn()
    weights = names = None
    if isinstance(documents, np.ndarray) and documents.ndim == 2:
        vectors = unit_rows(documents)
    else:
        documents = documents if isinstance(documents, str) else list(documents)
        lists = term_lists(documents, language)
        weights, names = _tf_idf(lists, min_count)
        vectors = _vectors(documents, weights, features, language, seed)
    count = vectors.shape[0]
    if not 2 <= num_clusters < count:
        raise InputError(f"{num_clusters} clusters of {count} documents: give 2 or more, and fewer than documents")
    labels = _labels(vectors, num_clusters, method, seed)
    from sklearn.metrics import silhouette_score

    size = _MOST_PAIRS if count > _MOST_PAIRS else None
    silhouette = silhouette_score(vectors, labels, sample_size=size, random_state=seed)
    top_words = [] if weights is None else _top_words(weights, names, labels, num_clusters, num_words)
    return Clusters(labels, top_words, float(silhouette), vectors)


def sklearn():
    """InputError when scikit-learn, which is an extra, is not installed."""
    analysis("sklearn", "clustering, and a picture of it,")


def reduced(vectors, size, seed):
    """The rows of a matrix, dense or sparse, in its first `size` directions: float [N, size], or fewer."""
    from sklearn.decomposition import TruncatedSVD

    if vectors.shape[1] <= size:
        return vectors if isinstance(vectors, np.ndarray) else vectors.toarray()
    return TruncatedSVD(size, random_state=seed).fit_transform(vectors)


def _tf_idf(lists, min_count):
    """Sparse tf-idf [N, V], rows of length 1, and the V words. Of a count 1 + ln (Manning et al. 2008, 6.4)."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    try:
        vectorizer = TfidfVectorizer(analyzer=list, min_df=min_count, sublinear_tf=True)
        weights = vectorizer.fit_transform(lists)
    except ValueError:  # an empty vocabulary
        told = f"no word is in {min_count} of the {len(lists)} texts; give more texts or min_count=1"
        raise InputError(told) from None
    return weights, vectorizer.get_feature_names_out()


def _vectors(documents, weights, features, language, seed):
    if not isinstance(features, str):
        features = np.asarray(features)
        if features.ndim != 2 or len(features) != weights.shape[0]:
            raise InputError(f"vectors of shape {features.shape} for {weights.shape[0]} texts; give one row a text")
        return unit_rows(features)
    if features == "tfidf":
        return weights
    if features == "lsa":
        return unit_rows(reduced(weights, DIRECTIONS, seed))
    return unit_rows(train_doc2vec(documents, language=language, seed=seed).vectors)


def _labels(vectors, num_clusters, method, seed):
    from sklearn.cluster import AgglomerativeClustering, KMeans

    if method == "kmeans":
        return KMeans(num_clusters, n_init=10, random_state=seed).fit_predict(vectors)
    dense = vectors if isinstance(vectors, np.ndarray) else vectors.toarray()
    return AgglomerativeClustering(num_clusters).fit_predict(dense)


def _top_words(weights, names, labels, num_clusters, num_words):
    """For each cluster the words whose mean tf-idf is the most above that of all documents."""
    overall = np.asarray(weights.mean(0)).ravel()
    above = [np.asarray(weights[labels == k].mean(0)).ravel() - overall for k in range(num_clusters)]
    return [names[np.argsort(-row, kind="stable")[:num_words]].tolist() for row in above]
