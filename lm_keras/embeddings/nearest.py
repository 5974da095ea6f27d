"""The neighbours of words."""

import numpy as np

from lm_keras.embeddings.word_lookup import check_known
from lm_keras.utils.checks import check_sizes


def nearest_words(vectors, words, n=10):
    """The `n` words with the largest cosine to each of `words` -> {word: [(neighbour, cosine), ...]}, nearest first.

    `words`: a list, or one word. Raises InputError for a word without a vector, which names words of about the same
    spelling; vectors of n-grams (fastText's .bin) have one for every word. An empty vector, of zeros, is near none.
    """
    check_sizes(n=n)
    words = [words] if isinstance(words, str) else list(words)
    check_known(vectors, words)
    with np.errstate(invalid="ignore"):  # 0 / 0 of an empty vector
        found = {word: vectors.most_similar(word, topn=n) for word in words}
    return {word: [pair for pair in pairs if not np.isnan(pair[1])] for word, pairs in found.items()}
