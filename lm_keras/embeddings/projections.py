"""Vectors to two dimensions, to look at them."""

import numbers

import numpy as np

from lm_keras.errors import InputError
from lm_keras.extra import analysis
from lm_keras.utils.checks import check_seed

METHODS = ("pca", "tsne")


def project(matrix, method="pca", *, perplexity=None, seed=0):
    """float [N, E] -> (points float64 [N, 2], shares).

    "pca": the two directions of the largest variance, and the share of all variance of each [2]; a direction's sign
    is that of its largest coordinate. "tsne": van der Maaten and Hinton 2008, by scikit-learn, with cosine distances;
    `perplexity` default: 30, or a third of the vectors; shares None. At least 2 vectors, for t-SNE 4.
    """
    if method not in METHODS:
        raise InputError(f"method is {method!r}; give one of {', '.join(map(repr, METHODS))}")
    least = {"pca": 2, "tsne": 4}[method]
    if len(matrix) < least:
        raise InputError(f"a picture by {method} needs at least {least} vectors, got {len(matrix)}")
    if not np.isfinite(matrix).all():
        raise InputError("the vectors hold nan or infinity; leave those words out")
    if method == "pca":
        return _pca(np.asarray(matrix, np.float64))
    return _tsne(np.asarray(matrix, np.float32), perplexity, seed), None


def _pca(matrix):
    matrix = matrix - matrix.mean(axis=0)
    _, lengths, directions = np.linalg.svd(matrix, full_matrices=False)
    largest = np.take_along_axis(directions, np.abs(directions).argmax(axis=1)[:, None], axis=1)
    directions = directions * np.where(largest < 0, -1, 1)
    points, shares = np.zeros((len(matrix), 2)), np.zeros(2)
    found = min(2, len(directions))  # vectors of one number have one direction
    points[:, :found] = matrix @ directions[:found].T
    shares[:found] = lengths[:found] ** 2 / max((lengths**2).sum(), np.finfo(float).tiny)
    return points, shares


def _tsne(matrix, perplexity, seed):
    TSNE = analysis("sklearn.manifold", "method='tsne'").TSNE  # noqa: N806
    from threadpoolctl import threadpool_limits  # which scikit-learn needs itself

    perplexity = min(30, len(matrix) / 3) if perplexity is None else perplexity
    if not isinstance(perplexity, numbers.Real) or not 1 <= perplexity < len(matrix):
        raise InputError(f"perplexity is {perplexity!r}; give 1 to {len(matrix) - 1}: less than there are vectors")
    check_seed(seed)
    if matrix.shape[1] < 2:
        raise InputError("a picture by tsne needs vectors of at least 2 numbers, got 1: take pca")
    if (matrix == matrix[0]).all():  # their spread, by which scikit-learn divides, is 0: its C code then crashes
        raise InputError(f"all {len(matrix)} vectors are the same; there is nothing to see")
    tsne = TSNE(2, perplexity=perplexity, metric="cosine", init="pca", random_state=seed)
    # Its thousand small steps wait for each other's threads: on a busy machine one second became forty.
    with threadpool_limits(1):
        return tsne.fit_transform(matrix)
