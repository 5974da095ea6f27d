"""The neighbours of words."""

from lm_keras.embeddings.word_lookup import check_known
from lm_keras.errors import InputError


def nearest_words(vectors, words, n=10):
    """The `n` words with the largest cosine to each of `words` -> {word: [(neighbour, cosine), ...]}, nearest first.

    `words`: a list, or one word. Raises InputError for a word without a vector, which names words of about the same
    spelling; vectors of n-grams (fastText's .bin) have one for every word.
    """
    if n < 1:
        raise InputError(f"n is {n}; give the number of neighbours, at least 1")
    words = [words] if isinstance(words, str) else list(words)
    check_known(vectors, words)
    return {word: vectors.most_similar(word, topn=n) for word in words}
