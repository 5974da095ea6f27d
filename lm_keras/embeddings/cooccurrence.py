"""How often words stand near each other: what GloVe learns from."""

import numpy as np

from lm_keras.embeddings.corpus import CHUNK, END, Corpus
from lm_keras.utils.checks import check_sizes

_PART = 2 * CHUNK  # words whose pairs are in memory: a text that is one sentence would need 500 bytes a word


def cooccurrences(sentences, window=10, min_count=5, *, language="en"):
    """Returns (words, counts X): X is a scipy.sparse CSR array float64 [V, V], V the number of words.

    `words`: those that occur `min_count` times, the most frequent first. X[i, j] is the sum, over all places of word
    i and all places of word j that are d <= `window` words before or after it, of 1 / d (Pennington et al. 2014,
    section 4.2); X is symmetric. Other words are taken out before the distance is counted, as GloVe's own program
    does; no window goes beyond its sentence. `sentences`, InputError: as for `train_word2vec`.
    """
    check_sizes(window=window, min_count=min_count)
    corpus = Corpus(sentences, language)
    kept = corpus.frequent(min_count)
    return [corpus.words[i] for i in kept], count_pairs(corpus, kept, window)


def count_pairs(corpus, kept, window):
    """X of the words with the ids `kept`, in their order; `corpus`: a Corpus."""
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
