"""A filter that keeps unwanted texts out of training data: a word list, and a classifier if there is one."""

import math
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lm_keras.data.quality.duplicates import check_text_stream, duplicates, normalize, units
from lm_keras.data.splitting import split_texts
from lm_keras.data.text_files import read_texts
from lm_keras.errors import InputError, naming
from lm_keras.utils.atomic_files import write_tensors
from lm_keras.utils.checks import check_number, check_text
from lm_keras.utils.saved_kinds import CONTENT_FILTER, read_kind


class Dropped(NamedTuple):
    """A text that a filter did not keep: its place, the text, and why."""

    index: int
    text: str
    reason: str


class ContentFilter:
    """Drops texts with a word of a list, and those whose score by a classifier reaches a threshold.

    A filter that is fit for one kind of text may be useless for another: measure it on texts of your own.

    Args:
        words: None for the list in the package (`word_list.txt` beside this file, which says where it comes from and
            what it cannot do), the path of such a file, {category: [words]}, a list of words, or () for none.
        classifier: What `train_content_filter` made.
        threshold: The least score of a text that is dropped.
        measured: What `train_content_filter` found of classifier and threshold.

    Raises:
        InputError: For a threshold that is no probability, and a list that cannot be read.
    """

    def __init__(
        self,
        words: str | os.PathLike | Mapping[str, Iterable[str]] | Iterable[str] | None = None,
        classifier: "ContentClassifier | None" = None,
        threshold: float = 0.5,
        measured: dict | None = None,
    ) -> None:
        check_number("threshold", threshold, above=0, most=1)
        if words is None or isinstance(words, (str, os.PathLike)):
            words = read_word_list(PACKAGED if words is None else words)
        elif not isinstance(words, dict):
            words = {"unwanted": list(words)}
        self.words = WordList(words)
        self.classifier, self.threshold, self.measured = classifier, threshold, measured

    def reason(self, text: str) -> str | None:
        """Why a text is dropped, such as "word list: profanity" or "classifier: 0.98"; None where it is kept."""
        check_text(text)
        if category := self.words.find(text):
            return f"word list: {category}"
        score = self.classifier.score(text) if self.classifier else 0.0
        return f"classifier: {score:.2f}" if self.classifier and score >= self.threshold else None

    def filter(self, texts: Iterable[str], dropped: list | None = None) -> Iterator[str]:
        """Yields the texts that are kept; each of the others is appended to the list `dropped`, as a `Dropped`."""
        check_text_stream(texts)
        for index, text in enumerate(texts):
            reason = self.reason(text)
            if reason is None:
                yield text
            elif dropped is not None:
                dropped.append(Dropped(index, text, reason))

    def save(self, path: str | os.PathLike) -> None:
        """Writes words, classifier and threshold to one safetensors file."""
        told = {"format": CONTENT_FILTER, "words": self.words.categories, "threshold": self.threshold}
        told |= {"measured": self.measured, "classifier": None}
        tensors = {}
        if self.classifier:
            told["classifier"] = {"vocabulary": self.classifier.vocabulary, "bias": self.classifier.bias}
            tensors = {"idf": self.classifier.idf, "weights": self.classifier.weights}
        write_tensors(path, tensors, told)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "ContentFilter":
        """The filter of a file that `save` wrote; InputError for any other file."""
        tensors, told = read_kind(path, "content filter", "ContentFilter.load")
        with naming(path):
            if not isinstance(told, dict) or told.get("format") != CONTENT_FILTER:
                raise InputError("it is no content filter; give a file that ContentFilter.save wrote")
            try:
                parts = told["classifier"]
                classifier = parts and ContentClassifier(
                    parts["vocabulary"], tensors["idf"], tensors["weights"], parts["bias"]
                )
                return cls(dict(told["words"]), classifier, told["threshold"], told["measured"])
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(f"a part is missing or wrong ({error}); the file is damaged") from error


# === Training ===

WEAK_PENALTY = 30.0  # C of scikit-learn; vectors of length 1 need large weights


def train_content_filter(
    texts: Iterable[str],
    labels: Iterable,
    *,
    words: str | os.PathLike | Mapping[str, Iterable[str]] | Iterable[str] | None = None,
    precision: float = 0.95,
    validation: float = 0.2,
    max_features: int = 50_000,
    seed: int = 0,
) -> ContentFilter:
    """Trains the classifier of a content filter: TF-IDF and logistic regression, by scikit-learn.

    The threshold is the one of highest recall on the validation share for which at least `precision` of what it drops
    is unwanted; what it reaches there is in `filter.measured`, a little better than on new text, as the threshold was
    chosen by it. Texts of that share that repeat another one (`duplicates`) are left out: the classifier would know
    them by heart.

    Args:
        texts: An iterable of str.
        labels: 1 or True for an unwanted text, 0 or False for the others.
        words: As for `ContentFilter`.
        precision: The least share of unwanted texts among those that are dropped.
        validation: The share of the texts that the threshold is chosen on.
        max_features: How many words and pairs of words that come in two texts or more are kept, the most frequent.
        seed: Of the split.

    Returns:
        A `ContentFilter`.

    Raises:
        InputError: For labels that do not fit, a class that is missing on a side, and a precision that no threshold
            reaches.
    """
    check_text_stream(texts)
    texts, labels = list(texts), _labels(labels)
    if len(texts) != len(labels) or not len(texts):
        raise InputError(f"got {len(texts)} texts and {len(labels)} labels; give one label for each, at least one")
    check_number("precision", precision, above=0, most=1)
    train, valid = split_texts(list(range(len(texts))), validation, seed)
    repeated = {pair.index - len(train) for pair in duplicates([texts[place] for place in train + valid])}
    valid = [place for index, place in enumerate(valid) if index not in repeated]
    for name, side in {"training": train, "validation": valid}.items():
        if len(set(labels[side])) < 2:
            raise InputError(
                f"the {name} part has not texts of both classes; give more, that do not repeat each other"
            )
    classifier = _fit([texts[place] for place in train], labels[train], max_features)
    scores = np.array([classifier.score(texts[place]) for place in valid])
    threshold, measured = _threshold(scores, labels[valid], precision)
    return ContentFilter(words, classifier, threshold, measured)


def _labels(labels):
    labels = np.asarray(list(labels))
    if labels.ndim != 1 or not np.isin(labels, (0, 1)).all():
        raise InputError("labels are 1 (or True) for an unwanted text and 0 (or False) for the others")
    return labels.astype(bool)


def _fit(texts, labels, max_features):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    vectorizer = TfidfVectorizer(analyzer=features, sublinear_tf=True, min_df=2, max_features=max_features)
    try:
        vectors = vectorizer.fit_transform(texts)
    except ValueError as error:  # no feature is left
        raise InputError("no word comes in two of the texts; give more texts") from error
    fitted = LogisticRegression(C=WEAK_PENALTY, max_iter=1000).fit(vectors, labels)
    return ContentClassifier(
        vectorizer.get_feature_names_out().tolist(), vectorizer.idf_, fitted.coef_[0], fitted.intercept_[0]
    )


def _threshold(scores, unwanted, precision):
    """The lowest score from which on at least `precision` of the texts are unwanted, and what that gives."""
    order = np.argsort(-scores, kind="stable")
    scores, unwanted = scores[order], unwanted[order]
    hits = np.cumsum(unwanted)
    reached = hits / np.arange(1, len(hits) + 1)
    last_of_its_score = np.append(scores[1:] != scores[:-1], True)
    good = np.flatnonzero(last_of_its_score & (reached >= precision))
    if not len(good):
        best = reached[last_of_its_score].max()
        raise InputError(
            f"no threshold drops texts of which {precision:.0%} are unwanted, the best is {best:.1%}; ask for a lower"
            " precision, or give more texts"
        )
    place = good[-1]
    measured = {
        "precision": float(reached[place]),
        "recall": float(hits[place] / hits[-1]),
        "num_texts": len(scores),
        "num_unwanted": int(hits[-1]),
    }
    return float(scores[place]), measured


# === The word list ===

PACKAGED = Path(__file__).with_name("word_list.txt")

_LOOK_ALIKES = str.maketrans("013457@$!|", "oieastasil")
_TOKEN = re.compile(r"[\w@$!|*']+")
_EDGES = "@$!|*'_"  # what is punctuation where it stands at the end of a word
_SPELLED = re.compile(r"(?<!\w)[^\W\d_](?:([ .\-_*])[^\W\d_])(?:\1[^\W\d_])+(?!\w)")
_LONG = re.compile(r"(.)\1{2,}")
_NO_SPACES = re.compile("[\u3040-\u30ff\u3400-\u9fff]")


def read_word_list(path: str | Path = PACKAGED) -> dict[str, list[str]]:
    """{category: [word or phrase]} of a UTF-8 file: one a line, `[category]` lines, comments after "#"."""
    categories, words = {}, None
    for line in read_texts(path):
        line = line.partition("#")[0].strip()
        if line.startswith("["):
            if not line.endswith("]") or not line[1:-1].strip():
                raise InputError(f"{path}: {line!r} is no category; write [name]")
            words = categories.setdefault(line[1:-1].strip(), [])
        elif line:
            if words is None:
                words = categories.setdefault("unwanted", [])
            words.append(line)
    return categories


class WordList:
    """Finds the words and phrases of {category: [word]} in texts: whole words, whatever their case or disguise."""

    def __init__(self, categories: Mapping[str, Iterable[str]]) -> None:
        for category, words in categories.items():
            if isinstance(words, str):
                raise InputError(f"the words of {category!r} are one string, {words!r}; put them into a list")
        self.categories = {category: list(words) for category, words in categories.items()}
        self.words, self.phrases, self.unspaced, self.by_length = {}, {}, {}, {}
        for category, words in self.categories.items():
            for word in words:
                if not isinstance(word, str) or not word.strip():
                    raise InputError(f"the category {category!r} holds {word!r}, which is no word; leave it out")
                self._add(_fold(word), category)

    def _add(self, word, category):
        if _NO_SPACES.search(word):
            self.unspaced[word] = category
            return
        tokens = tuple(token.strip(_EDGES) for token in _TOKEN.findall(word))
        if len(tokens) > 1:
            self.phrases[" " + " ".join(tokens) + " "] = category
        elif tokens != (word,):
            raise InputError(
                f"{word!r} would never be found: words begin and end with a letter or digit; leave it out"
            )
        else:
            self.words[word] = category
            self.by_length.setdefault(len(word), []).append(word)

    def find(self, text: str) -> str | None:
        """The category of the first word of the list in a text, or None."""
        folded = _fold(text)
        tokens = _TOKEN.findall(folded)
        for token in tokens:
            if category := self._of(token):
                return category
        for spelled in _SPELLED.finditer(folded):
            if category := self.words.get(spelled[0].replace(spelled[1], "")):
                return category
        if self.phrases:
            line = " " + " ".join(token.strip(_EDGES) for token in tokens) + " "
            for phrase, category in self.phrases.items():
                if phrase in line:
                    return category
        if self.unspaced and not folded.isascii():
            joined = "".join(folded.split())
            return next((category for word, category in self.unspaced.items() if word in joined), None)
        return None

    def _of(self, token):
        word = token.strip(_EDGES)
        for form in (word, word.removesuffix("'s")):
            if form in self.words:
                return self.words[form]
        if _LONG.search(word):
            for kept in (r"\1", r"\1\1"):
                if category := self.words.get(_LONG.sub(kept, word)):
                    return category
        written = token.rstrip(_EDGES).lstrip("'*_")
        return None if written.isalpha() else self._disguised(written, word)

    def _disguised(self, written, word):
        """Look-alikes, at most half of them digits ("A55" is a road), and asterisks between letters."""
        if sum(map(str.isdigit, written)) * 2 <= len(written):
            for form in (written, word):
                if category := self.words.get(form.translate(_LOOK_ALIKES)):
                    return category
        if "*" in word and word[0].isalpha():
            shape = re.compile(re.escape(word).replace(r"\*", "[a-z]"))
            for listed in self.by_length.get(len(word), ()):
                if shape.fullmatch(listed):
                    return self.words[listed]
        return None


def _fold(text):
    """Case folded, full width made plain; accents and invisible characters off."""
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", text)
        text = "".join(
            "'" if character == "’" else character
            for character in decomposed
            if not unicodedata.combining(character) and unicodedata.category(character) != "Cf"
        )
    return " ".join(text.casefold().split())


# === The classifier: TF-IDF and logistic regression, applied without scikit-learn ===


def features(text: str) -> list[str]:
    """The words of a text (characters, in Chinese) and its pairs of words in a row; long numbers as so many zeros."""
    words = [
        "0" * min(len(word), 12) if len(word) > 2 and word.isdecimal() else word for word in units(normalize(text))
    ]
    return words + [f"{first} {second}" for first, second in zip(words, words[1:], strict=False)]


class ContentClassifier:
    """p(unwanted | text) = sigmoid(bias + weights · x), x the TF-IDF vector of `features(text)` of length 1.

    x_f is (1 + log count) * idf_f, as scikit-learn's TfidfVectorizer(sublinear_tf=True) has it.

    Args:
        vocabulary: The F features.
        idf: Their inverse document frequencies, [F].
        weights: [F].
        bias: A number.

    Raises:
        InputError: For parts that do not fit together.
    """

    def __init__(self, vocabulary: Sequence[str], idf: np.ndarray, weights: np.ndarray, bias: float) -> None:
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

    def score(self, text: str) -> float:
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
