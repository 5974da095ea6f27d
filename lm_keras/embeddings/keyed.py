"""Words and a matrix to KeyedVectors."""

import numpy as np


def keyed_vectors(words, matrix, counts=None):
    """KeyedVectors of `words`, all different, and `matrix` [N, E]; `counts`: how often each word occurs, if known."""
    from gensim.models import KeyedVectors

    made = KeyedVectors(matrix.shape[1])
    made.add_vectors(list(words), np.asarray(matrix, np.float32))
    if counts is not None:
        made.allocate_vecattrs(["count"], [int])
        made.expandos["count"][:] = counts
    return made
