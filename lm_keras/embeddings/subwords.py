"""Vectors of words and of their n-grams of characters, as the official fastText makes them."""

import numpy as np
from gensim.models.fasttext import FastTextKeyedVectors

from lm_keras.embeddings.fasttext_format import EOS
from lm_keras.errors import InputError


class SubwordVectors(FastTextKeyedVectors):
    """gensim's FastTextKeyedVectors with the vectors of fastText where the two differ.

    </s>, the end of a line, has no n-grams; a word that is not UTF-8, whose name is an escaped spelling, has those of
    its bytes (`spelled`: {name: bytes}).
    """

    spelled = {}

    def recalc_char_ngram_buckets(self):
        super().recalc_char_ngram_buckets()
        if not self.bucket:
            return
        others = {**self.spelled, EOS: None}
        for word in others.keys() & self.key_to_index.keys():
            buckets = [] if word == EOS else ngram_buckets(others[word], self.min_n, self.max_n, self.bucket)
            self.buckets_word[self.key_to_index[word]] = np.array(buckets, np.uint32)

    def get_vector(self, word, norm=False):
        """The vector of a word, of any word where there are n-grams; InputError where the file's are damaged."""
        if word == EOS and self.bucket and word not in self.key_to_index:
            return np.zeros(self.vector_size, np.float32)
        vector = super().get_vector(word, norm=norm)
        if not np.isfinite(vector).all() and not np.isfinite(super().get_vector(word)).all():  # 0 / 0 is no damage
            raise InputError(f"the n-grams of {word!r} hold nan or infinity; the file of the vectors is damaged")
        return vector


def ngram_buckets(word, min_n, max_n, buckets):
    """The buckets of the n-grams of a word, bytes, with < and > around it, in the order of fastText.

    A character is a byte and the bytes 10xxxxxx after it. The hash is FNV-1a, but of signed bytes.
    """
    word = b"<" + word + b">"
    starts = [i for i, byte in enumerate(word) if byte & 0xC0 != 0x80]
    ends = [*starts[1:], len(word)]
    found = []
    for first, start in enumerate(starts):
        for n, end in enumerate(ends[first : first + max_n], 1):
            if n >= min_n and not (n == 1 and (start == 0 or end == len(word))):
                found.append(_hash(word[start:end]) % buckets)
    return found


def _hash(ngram):
    value = 2166136261
    for byte in ngram:
        value = (value ^ (byte | 0xFFFFFF00 if byte > 127 else byte)) * 16777619 & 0xFFFFFFFF
    return value
