"""The words nearest to b + c - a, many questions at a time.

One matrix product scores a batch of questions against all words. Its sums round otherwise than those of gensim, which
asks one question at a time, so two words that are equally good within rounding may change places: such questions are
asked again as gensim does, and the counts are the very same.
"""

import numpy as np

METHODS = ("3cosadd", "3cosmul")
_NUMBERS = 1 << 21  # scores in one batch: 8 MB
_CANDIDATES = 5  # as many as gensim looks at
_ROUNDING = 1e-5  # far more than float32 loses in a cosine


def nearest_five(vectors, rows, count, method, epsilon):
    """Yields (slice of the questions, rows of their five best answers int64 [B, 5], the best first; -1: no more).

    `rows` int64 [Q, 3]: a, b and c of each question; answers are among the first `count` words, without these three.
    """
    vectors.fill_norms()
    table, norms = vectors.vectors[:count], vectors.norms[:count]
    norms = np.where(norms > 0, norms, 1).astype(norms.dtype)
    empty = np.flatnonzero(vectors.norms[:count] == 0)  # no direction, so no answer
    size = max(1, _NUMBERS // max(count, 1))
    for start in range(0, len(rows), size):
        part = slice(start, start + size)
        asked = rows[part]
        scores = _scores(table, norms, *(table[row] / norms[row, None] for row in asked.T), method, epsilon)
        scores[:, empty] = -np.inf
        np.put_along_axis(scores, asked, -np.inf, axis=1)
        best, doubtful = _best(scores)
        for i in doubtful:
            best[i] = _as_gensim(vectors, asked[i], count, method, epsilon)
        yield part, best


def _scores(table, norms, a, b, c, method, epsilon):
    """[B, N] of the unit vectors [B, E] of a, b and c."""
    if method == "3cosadd":
        target = b + c - a
        length = np.linalg.norm(target, axis=1, keepdims=True)
        scores = (target / np.where(length > 0, length, 1)) @ table.T
        scores /= norms
        return scores
    scores = _shifted(b, table, norms)
    scores *= _shifted(c, table, norms)
    below = _shifted(a, table, norms)
    below += epsilon
    scores /= below
    return scores


def _shifted(unit, table, norms):
    """Cosines, moved from -1 ... 1 to 0 ... 1."""
    cosines = unit @ table.T
    cosines /= norms
    cosines += 1
    cosines /= 2
    return cosines


def _best(scores):
    """(the five best of each row int64 [B, 5], indices of the rows whose order rounding may have changed)."""
    rows = np.arange(len(scores))
    best = np.empty((len(scores), _CANDIDATES + 1), np.int64)
    values = np.empty(best.shape, scores.dtype)
    for i in range(_CANDIDATES + 1):
        best[:, i] = scores.argmax(axis=1)
        values[:, i] = scores[rows, best[:, i]]
        scores[rows, best[:, i]] = -np.inf
    best[values == -np.inf] = -1
    with np.errstate(invalid="ignore"):  # -inf - -inf, of a vocabulary of a few words
        apart = values[:, :-1] - values[:, 1:] > _ROUNDING * np.maximum(1, np.abs(values[:, :-1]))
    return best[:, :_CANDIDATES], np.flatnonzero(~apart.all(axis=1))


def _as_gensim(vectors, asked, count, method, epsilon):
    """The five best answers to one question [3], -1 for those that are not there, with gensim's own arithmetic."""
    from gensim import matutils

    a, b, c = (vectors.index_to_key[row] for row in asked)
    with np.errstate(invalid="ignore"):  # 0 / 0 of an empty vector
        if method == "3cosadd":
            scores = vectors.most_similar(positive=[b, c], negative=[a], topn=None, restrict_vocab=count)
        else:
            table, norms = vectors.vectors, vectors.norms
            a, b, c = ((1 + table @ vectors.get_vector(word, norm=True) / norms) / 2 for word in (a, b, c))
            scores = (b * c / (a + epsilon))[:count]
    order = matutils.argsort(scores, topn=_CANDIDATES + len(asked), reverse=True)
    best = [row for row in order if row not in asked and np.isfinite(scores[row])][:_CANDIDATES]
    return best + [-1] * (_CANDIDATES - len(best))
