"""Unwanted text told by its words: TF-IDF and logistic regression, applied without scikit-learn."""

import math
from collections import Counter

import numpy as np

from lm_keras.data.units import normalize, units
from lm_keras.errors import InputError


def features(text):
    """The words of a text (characters, in Chinese) and its pairs of words in a row; long numbers as so many zeros."""
    words = [
        "0" * min(len(word), 12) if len(word) > 2 and word.isdecimal() else word for word in units(normalize(text))
    ]
    return words + [f"{first} {second}" for first, second in zip(words, words[1:], strict=False)]


class ContentClassifier:
    """p(unwanted | text) = sigmoid(bias + weights · x), x the TF-IDF vector of `features(text)` of length 1.

    x_f is (1 + log count) * idf_f, as scikit-learn's TfidfVectorizer(sublinear_tf=True) has it.
    `vocabulary`: list of the F features; `idf`, `weights`: float64 [F]; `bias`: a number.
    Raises InputError for parts that do not fit together.
    """

    def __init__(self, vocabulary, idf, weights, bias):
        self.vocabulary = list(vocabulary)
        self.idf, self.weights = np.asarray(idf, np.float64), np.asarray(weights, np.float64)
        self.bias = float(bias)
        shape = (len(self.vocabulary),)
        fits = self.idf.shape == self.weights.shape == shape
        if not fits or not np.isfinite([*self.idf, *self.weights, self.bias]).all():
            raise InputError(
                f"a classifier of {shape[0]} features needs as many finite idf and weights, got"
                f" {self.idf.shape} and {self.weights.shape}; use another copy"
            )
        weighted = zip(self.idf.tolist(), (self.idf * self.weights).tolist(), strict=True)
        self._table = dict(zip(self.vocabulary, weighted, strict=True))

    def score(self, text):
        """The probability that a text is unwanted, as the training set had it."""
        squares = total = 0.0
        for feature, count in Counter(features(text)).items():
            if feature in self._table:
                idf, weighted = self._table[feature]
                frequency = 1 + math.log(count)
                squares += (frequency * idf) ** 2
                total += frequency * weighted
        logit = self.bias + (total / math.sqrt(squares) if squares else 0.0)
        return 1 / (1 + math.exp(-logit)) if logit > -700 else 0.0
