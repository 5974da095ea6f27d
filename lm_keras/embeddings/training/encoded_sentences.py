"""Sentences as the ids of their words, read once: training goes over them many times."""

import itertools
import os
import reprlib
import tempfile
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from tqdm import tqdm

from lm_keras.data.windows import IN_MEMORY, IdsInFile
from lm_keras.errors import InputError
from lm_keras.text.segmentation import check_language
from lm_keras.text.segmentation import words as split_words
from lm_keras.text.unicode import valid
from lm_keras.utils.checks import check_no_record

END = -1  # the mark after each sentence
CHUNK = 1 << 18  # ids that are worked on at a time
LONGEST = 10_000  # words: gensim silently forgets what a sentence has more


class EncodedSentences:
    """Sentences of an iterable that is read once, so that it may be an iterator; strings are split into words.

    Kept are ids, 4 bytes a word, in memory or, if there are many, in a file without a name (in $TMPDIR).

    Args:
        sentences: An iterable of strings, or of lists of words.
        language: Of the strings; None: they are split at white space.
        progress: Whether a progress bar is shown while they are read.

    Attributes:
        words: The types, in the order in which they first occur.
        counts: int64 [V], how often each occurs.
        num_words: Of all sentences.

    Raises:
        InputError: For one string or path, records of `lk.data`, no words, and words that are no strings, empty, or
            cannot be UTF-8.
    """

    def __init__(
        self, sentences: Iterable[str | Sequence[str]], language: str | None = "en", progress: bool = False
    ) -> None:
        check_language(language)
        if isinstance(sentences, (str, bytes, os.PathLike)):
            instead = "give lk.data.read_texts(path), a list of texts, or of lists of words"
            raise InputError(f"sentences is {reprlib.repr(sentences)}; {instead}")
        check_no_record(sentences, "sentences")
        if not isinstance(sentences, Iterable):
            raise InputError(f"sentences takes an iterable of sentences, got a {type(sentences).__name__}")
        index = defaultdict()
        index.default_factory = index.__len__
        pieces, size, file, self._bounds = [], 0, None, [0]
        bar = tqdm(sentences, desc="reading", unit=" sentences", disable=not progress, leave=False)
        for piece in _encoded(bar, language, index):
            pieces.append(piece)
            size += len(piece)
            self._bounds.append(size)
            if size > IN_MEMORY:
                file = file or tempfile.TemporaryFile()  # noqa: SIM115
                file.writelines(pieces)
                pieces = []
        self.words = list(index)
        _check_words(self.words)
        if file is None:
            self._ids = np.concatenate(pieces)
        else:
            file.flush()
            self._ids = IdsInFile(file, np.int32, size)
        self.counts = sum(np.bincount(ids + 1, minlength=len(index) + 1)[1:] for ids in self.chunks())
        self.num_words = int(self.counts.sum())

    def chunks(self) -> Iterator[np.ndarray]:
        """Arrays of ids, int32, of whole sentences each; END follows each sentence."""
        for start, end in itertools.pairwise(self._bounds):
            yield self._ids[start:end]

    def __iter__(self) -> Iterator[list[str]]:
        """The sentences as lists of words, long ones in parts of 10,000 words."""
        words = np.array([*self.words, None], object)
        for ids in self.chunks():
            start, chunk = 0, words[ids].tolist()
            for end in np.flatnonzero(ids == END).tolist():
                for first in range(start, end, LONGEST):
                    yield chunk[first : min(first + LONGEST, end)]
                start = end + 1

    def frequent(self, min_count: int) -> np.ndarray:
        """The ids of the words that occur `min_count` times, the most frequent first; InputError if there is none."""
        kept = np.flatnonzero(self.counts >= min_count)
        if not len(kept):
            raise InputError(
                f"no word of the sentences occurs {min_count} times, the most frequent {self.counts.max()} times: "
                "give more text or a smaller min_count"
            )
        return kept[np.argsort(-self.counts[kept], kind="stable")]


def _encoded(sentences, language, index):
    """Arrays of ids, of about CHUNK each and of whole sentences; new words are added to `index`."""
    ids = array("i")
    for sentence in sentences:
        check_no_record(sentence, "a sentence")
        if isinstance(sentence, str):
            sentence = split_words(valid(sentence), language)
        try:
            row = list(map(index.__getitem__, sentence))
        except TypeError:
            shown = repr(sentence)[:40]
            raise InputError(f"a sentence is a list of words or a string, got {shown}") from None
        if row:
            ids.extend(row)
            ids.append(END)
        if len(ids) >= CHUNK:
            yield np.array(ids, np.int32)
            ids = array("i")
    if ids:
        yield np.array(ids, np.int32)


def _check_words(words):
    if not words:
        raise InputError("there are no words in the sentences; give at least one that is not empty")
    for word in words:
        if not isinstance(word, str) or not word:
            raise InputError(f"a word of a sentence is {word!r}; words are strings that are not empty")
    try:
        "".join(words).encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"a word holds half of a character ({error.object[error.start]!r}): clean the text"
        ) from None
