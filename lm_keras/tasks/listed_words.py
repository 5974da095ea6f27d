"""Words and phrases of lists, found in texts: in Python and, alike, in the graph.

A listed word is found where it is a whole word of the text: "ass" is not in "class". Words are cut at white space,
punctuation, ASCII symbols and ideographs, and each of these but white space is a word, too
(`text.word_offsets.word_places`). Capital letters, accents in one character or two, full-width letters and characters
that are not seen make no difference (`text.folding`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.serving.client.results import Span
from lm_keras.tasks.tagging import FoundSpans
from lm_keras.text.folding import folded, tf_folded
from lm_keras.text.unicode import valid
from lm_keras.text.word_offsets import tf_word_places, word_places

if TYPE_CHECKING:
    import os

NAME = "words"  # of a list without a name
MOST_WORDS = 16  # of a phrase
_BUCKETS = 2**63 - 1


class ListedWords:
    """Lists of words and phrases that are looked for in texts.

    All phrases make one tree of words (Aho & Corasick 1975's goto function), which is walked from every word of a
    text at once, so that the time grows with the text and the longest phrase, not with the lists.

    Attributes:
        lists: {name: words and phrases}.
        names: The names of the K lists.
        most_words: The number of words of the longest phrase.

    Args:
        lists: {name: words and phrases}, or the words and phrases of one list, whose name is "words" then.

    Raises:
        InputError: There is no word, a phrase is longer than 16 words, or something is no string.
    """

    def __init__(self, lists: Mapping[str, Iterable[str]] | Iterable[str]):
        self.lists = _checked(lists)
        self.names = list(self.lists)
        self._next: list[dict[str, int]] = [{}]  # of each place in the tree, the place after a word
        self._of: list[set[int]] = [set()]  # the lists that have the phrase which ends there
        self.most_words = 0
        for which, phrases in enumerate(self.lists.values()):
            for phrase in phrases:
                self._add(phrase, which)

    def _add(self, phrase, which):
        text, _ = folded(phrase)
        words = [text[start:end] for start, end in word_places(text)]
        if not words or len(words) > MOST_WORDS:
            raise InputError(
                f"list {self.names[which]!r:.40} has {phrase!r:.60}, of {len(words)} words; give 1 to {MOST_WORDS}"
            )
        self.most_words, place = max(self.most_words, len(words)), 0
        for word in words:
            if word not in self._next[place]:
                self._next[place][word] = len(self._next)
                self._next.append({}), self._of.append(set())
            place = self._next[place][word]
        self._of[place].add(which)

    def find(self, text: str) -> tuple[list[Span], list[str]]:
        """Finds the listed words of a text.

        Args:
            text: A string.

        Returns:
            `(spans, names)`: of each place the longest phrase, without those that are inside of another; the label is
            the name of its list (the first one that has it), the score 1. And the names of all lists of which there
            is a word, in their order.
        """
        text = valid(text)
        key, places = folded(text)
        words = word_places(key)
        spans, hit, furthest = [], set(), 0
        for first in range(len(words)):
            place, last, label = 0, 0, 0
            for at in range(first, len(words)):
                place = self._next[place].get(key[slice(*words[at])], -1)
                if place < 0:
                    break
                if self._of[place]:
                    last, label = at + 1, min(self._of[place])
                    hit |= self._of[place]
            if last > furthest:
                furthest = last
                start, end = places[words[first][0]], places[words[last - 1][1] - 1] + 1
                spans.append(Span(start, end, self.names[label], 1.0, text[start:end]))
        return spans, [self.names[which] for which in sorted(hit)]

    def tf_find(self, texts: tf.Tensor) -> tuple[FoundSpans, tf.Tensor]:
        """`find` in the graph.

        Args:
            texts: Strings [B] of valid UTF-8.

        Returns:
            The spans, and bool [B, K]: whether there is a word of a list.
        """
        tree = self._arrays()
        codes, places = tf_folded(texts)
        words, starts, ends = tf_word_places(tf.strings.unicode_encode(codes, "UTF-8"))
        row, flat = words.value_rowids(), words.flat_values
        size = tf.size(row)
        known = _places(tree.hashes, tf.strings.to_hash_bucket_fast(flat, _BUCKETS))
        word = tf.where(tf.gather(tf.constant(tree.words), known) == flat, tf.cast(known, tf.int64), -1)

        at, stop = tf.range(size), tf.cast(tf.gather(words.row_splits, row + 1), tf.int32)
        place, last, label = tf.zeros([size], tf.int32), tf.zeros([size], tf.int32), tf.zeros([size], tf.int32)
        hit = tf.zeros([size, len(self.names)], tf.bool)
        for steps in range(self.most_words):
            here = tf.minimum(at + steps, size - 1)
            step = tf.cast(place, tf.int64) * len(tree.words) + tf.gather(word, here)
            found = _places(tree.steps, step)
            goes_on = (place >= 0) & (at + steps < stop) & (tf.gather(word, here) >= 0)
            place = tf.where(goes_on & (tf.gather(tree.steps, found) == step), tf.gather(tree.places, found), -1)
            there = tf.gather(tree.of, tf.maximum(place, 0)) & (place >= 0)[:, None]
            ends_here = tf.reduce_any(there, -1)
            last = tf.where(ends_here, at + steps + 1, last)
            label = tf.where(ends_here, tf.argmax(tf.cast(there, tf.int32), -1, tf.int32), label)
            hit |= there

        kept = last > 0
        for steps in range(1, self.most_words):  # phrases inside of one that begins before
            kept &= tf.concat([tf.zeros([steps], tf.int32), last], 0)[:size] < last
        first = tf.where(kept)[:, 0]
        row_of, label = tf.gather(row, first), tf.gather(label, first)
        before = tf.gather(codes.row_splits, row_of)  # folded characters of the texts before
        start = before + tf.cast(tf.gather(starts.flat_values, first), tf.int64)
        end = before + tf.cast(tf.gather(ends.flat_values, tf.gather(last, first) - 1), tf.int64)
        start, end = tf.gather(places, start), tf.gather(places, end - 1) + 1
        spans = FoundSpans(row_of, start, end, label, tf.ones_like(start, tf.float32), self.names)
        hits = tf.math.unsorted_segment_max(tf.cast(hit, tf.int32), row, tf.size(texts, tf.int64))
        return spans, hits > 0

    def _arrays(self):
        """The tree as constants of a graph."""
        words = np.array(sorted({word for some in self._next for word in some}), object)
        with tf.init_scope():
            hashes = tf.strings.to_hash_bucket_fast(tf.constant(words.tolist()), _BUCKETS).numpy()
        order = np.argsort(hashes, kind="stable")
        words, hashes = words[order], hashes[order]
        place = {word: at for at, word in enumerate(words)}
        steps = sorted(
            (at * len(words) + place[word], after)
            for at, some in enumerate(self._next)
            for word, after in some.items()
        )
        of = np.zeros([len(self._of), len(self.names)], bool)
        for at, some in enumerate(self._of):
            of[at, list(some)] = True
        keys, places = zip(*steps, strict=True)
        return _Tree(hashes, words.tolist(), np.array(keys, np.int64), np.array(places, np.int32), of)


class _Tree(NamedTuple):
    """Words [V] in the order of their hashes; steps [T], place * V + word, in order, and where each leads.

    And of each place the lists whose phrase ends there, bool [P, K].
    """

    hashes: np.ndarray
    words: list[str]
    steps: np.ndarray
    places: np.ndarray
    of: np.ndarray


def _places(in_order, values):
    """Where values may be in numbers that are in order: int32."""
    return tf.minimum(tf.searchsorted(in_order, values), len(in_order) - 1)


def _checked(lists):
    named = lists if isinstance(lists, Mapping) else {NAME: lists}
    made = {}
    for name, phrases in named.items():
        if not isinstance(name, str) or not name.strip() or valid(name) != name:
            raise InputError(f"a list of words has the name {name!r:.40}; give a string")
        if isinstance(phrases, (str, bytes)) or not isinstance(phrases, Iterable):
            raise InputError(f"list {name!r:.40} is {phrases!r:.40}; give several words, ['one', 'two words']")
        rows = list(phrases)
        if other := next((type(one).__name__ for one in rows if not isinstance(one, str)), None):
            raise InputError(f"list {name!r:.40} has a {other}; give strings")
        made[name] = [valid(one) for one in rows]
    if not any(made.values()):
        raise InputError("the lists hold no word; give at least one, or leave them out")
    return made


def read_words(path: str | os.PathLike, encoding: str = "utf-8") -> list[str]:
    """Reads a list of words and phrases: a text file, each line one of them; empty lines are left out.

    Args:
        path: The file (.gz, .bz2, .xz too).
        encoding: Of the file.

    Raises:
        InputError: The file cannot be read, or holds no word.
    """
    from lm_keras.data.text_files import read_texts

    words = [" ".join(line.split()) for line in read_texts(path, encoding=encoding)]
    if not (words := [word for word in words if word]):
        raise InputError(f"{path} holds no word; give a file with a word or phrase on each line")
    return words
