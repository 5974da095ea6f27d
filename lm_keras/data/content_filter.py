"""A filter that keeps unwanted texts out of training data: a word list, and a classifier if there is one."""

import os
from typing import NamedTuple

from lm_keras.data.content_classifier import ContentClassifier
from lm_keras.data.units import check_texts
from lm_keras.data.word_list import PACKAGED, WordList, read_word_list
from lm_keras.errors import InputError, naming
from lm_keras.files import read_tensors, write_tensors
from lm_keras.utils.checks import check_text

FORMAT = "lm_keras content filter 1"


class Dropped(NamedTuple):
    """A text that a filter did not keep: its place, the text, and why."""

    index: int
    text: str
    reason: str


class ContentFilter:
    """Drops texts with a word of the list, and those whose score by the classifier reaches the threshold.

    `words`: None for the list in the package (`lm_keras/data/word_list.txt`, which says where it comes from and what
    it cannot do), the path of such a file, {category: [words]}, a list of words, or () for none.
    `classifier`, `threshold`: see `train_content_filter`, which makes both; `measured` is what it found of them.
    A filter that is fit for one kind of text may be useless for another: measure it on texts of your own.
    """

    def __init__(self, words=None, classifier=None, threshold=0.5, measured=None):
        if not 0 < threshold <= 1:
            raise InputError(f"threshold is a probability above 0 and at most 1, got {threshold!r}")
        if words is None or isinstance(words, (str, os.PathLike)):
            words = read_word_list(PACKAGED if words is None else words)
        elif not isinstance(words, dict):
            words = {"unwanted": list(words)}
        self.words = WordList(words)
        self.classifier, self.threshold, self.measured = classifier, threshold, measured

    def reason(self, text):
        """Why a text is dropped, such as "word list: profanity" or "classifier: 0.98"; None where it is kept."""
        check_text(text)
        if category := self.words.find(text):
            return f"word list: {category}"
        score = self.classifier.score(text) if self.classifier else 0.0
        return f"classifier: {score:.2f}" if self.classifier and score >= self.threshold else None

    def filter(self, texts, dropped=None):
        """Yields the texts that are kept; each of the others is appended to the list `dropped`, as a `Dropped`."""
        check_texts(texts)
        for index, text in enumerate(texts):
            reason = self.reason(text)
            if reason is None:
                yield text
            elif dropped is not None:
                dropped.append(Dropped(index, text, reason))

    def save(self, path):
        """Writes words, classifier and threshold to one safetensors file."""
        told = {"format": FORMAT, "words": self.words.categories, "threshold": self.threshold}
        told |= {"measured": self.measured, "classifier": None}
        tensors = {}
        if self.classifier:
            told["classifier"] = {"vocabulary": self.classifier.vocabulary, "bias": self.classifier.bias}
            tensors = {"idf": self.classifier.idf, "weights": self.classifier.weights}
        write_tensors(path, tensors, told)

    @classmethod
    def load(cls, path):
        """The filter of a file that `save` wrote; InputError for any other file."""
        tensors, told = read_tensors(path)
        with naming(path):
            if not isinstance(told, dict) or told.get("format") != FORMAT:
                raise InputError("it is no content filter; give a file that ContentFilter.save wrote")
            try:
                parts = told["classifier"]
                classifier = parts and ContentClassifier(
                    parts["vocabulary"], tensors["idf"], tensors["weights"], parts["bias"]
                )
                return cls(dict(told["words"]), classifier, told["threshold"], told["measured"])
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(f"a part is missing or wrong ({error}); the file is damaged") from error
