"""What a set of texts is like: lengths, vocabulary, languages, scripts, faults."""

import functools
import random
import re
import unicodedata
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from lm_keras.data.quality.duplicates import check_text_stream, normalize, units
from lm_keras.errors import InputError
from lm_keras.utils.checks import check_text, check_whole
from lm_keras.utils.optional import library

SEGMENT = 1_000  # words of which the share of different ones is averaged
STEPS = 1.25  # from one point of the vocabulary's growth to the next


class Lengths(NamedTuple):
    """The distribution of a length over the texts."""

    mean: float
    min: int
    p5: float
    p25: float
    median: float
    p75: float
    p95: float
    p99: float
    max: int


@dataclass(frozen=True)
class Statistics:
    """What `statistics` found; shares are between 0 and 1, "texts" are counted unless it says otherwise."""

    num_texts: int
    num_empty: int  # nothing but white space
    num_repeated: int  # the same as an earlier one but for white space around it; empty ones are not counted
    num_damaged: int  # with control characters or U+FFFD
    num_mojibake: int  # with "Ã©" and its like: UTF-8 read in another encoding
    num_empty_lines: int  # within texts of several lines
    num_characters: int
    num_words: int
    num_types: int  # different words, case folded
    num_once: int  # types that come once
    segment_ratio: float | None  # types / words within 1,000 words, mean: does not fall as the text grows
    characters: Lengths
    words: Lengths
    languages: dict  # {code: share} of the texts that were looked at and are not empty
    num_identified: int  # so many of them
    scripts: dict  # {script: share of the letters}
    odd_characters: dict  # {kind: number of characters}
    top_words: list  # (word, count), the 20 most frequent
    character_lengths: np.ndarray = field(repr=False)  # uint32 [num_texts]
    word_lengths: np.ndarray = field(repr=False)
    word_counts: np.ndarray = field(repr=False)  # of the types, largest first
    growth: list = field(repr=False)  # (words read, types seen)

    @property
    def type_token_ratio(self) -> float:
        """Types / words; falls as the text grows, so compare it between texts of one size only."""
        return self.num_types / self.num_words if self.num_words else 0.0


def statistics(texts: Iterable[str], *, language_sample: int = 10_000, seed: int = 0) -> Statistics:
    """Reads texts once and counts what they are like.

    A word is a run of letters and digits, case folded; in scripts without spaces (Chinese) each character. Memory:
    the vocabulary, the sample, and 16 bytes a text.

    Args:
        texts: An iterable of str.
        language_sample: Of how many texts, drawn at random, the language is told; 0 for none.
        seed: Of that draw.

    Returns:
        The `Statistics`.

    Raises:
        InputError: Where there is no text.
    """
    check_text_stream(texts)
    check_whole("language_sample", language_sample, least=0)
    seen, sample = _Counts(), Sample(language_sample, seed)
    for text in texts:
        seen.add(text)
        if text.strip():
            sample.add(text)
    if not seen.word_lengths:
        raise InputError("there is no text; give at least one")
    codes = Counter(map(language, sample.texts))
    return seen.result(
        languages={code: count / len(sample.texts) for code, count in codes.most_common()},
        num_identified=len(sample.texts),
    )


class Sample:
    """So many of the texts, each with the same probability (Vitter 1985, algorithm R)."""

    def __init__(self, size: int, seed: int) -> None:
        self.texts, self.seen, self.size, self.random = [], 0, size, random.Random(seed)

    def add(self, text: str) -> None:
        """Takes a text into the sample, or not."""
        self.seen += 1
        if len(self.texts) < self.size:
            self.texts.append(text)
        elif (place := self.random.randrange(self.seen)) < self.size:
            self.texts[place] = text


class _Counts:
    """Everything that is counted while the texts go by."""

    def __init__(self):
        self.characters, self.vocabulary = Counter(), Counter()
        self.character_lengths, self.word_lengths, self.hashes = array("I"), array("I"), array("q")
        self.faults = dict.fromkeys(("num_damaged", "num_mojibake", "num_empty_lines", "num_empty"), 0)
        self.num_words, self.growth, self.segment, self.ratios = 0, [(0, 0)], [], []

    def add(self, text):
        found = units(normalize(text))
        self.characters.update(text)
        self.character_lengths.append(len(text))
        self.word_lengths.append(len(found))
        bare = text.strip()
        if bare:
            self.hashes.append(hash(bare))
        self.faults["num_empty"] += not bare
        self.faults["num_damaged"] += is_damaged(text)
        self.faults["num_mojibake"] += is_mojibake(text)
        if "\n" in text:
            self.faults["num_empty_lines"] += sum(not line.strip() for line in text.removesuffix("\n").split("\n"))
        self._add_words(found)

    def _add_words(self, found):
        self.vocabulary.update(found)
        self.num_words += len(found)
        if self.num_words >= max(100, self.growth[-1][0] * STEPS):
            self.growth.append((self.num_words, len(self.vocabulary)))
        words = self.segment + found
        whole = len(words) - len(words) % SEGMENT
        self.ratios += [len(set(words[start : start + SEGMENT])) / SEGMENT for start in range(0, whole, SEGMENT)]
        self.segment = words[whole:]

    def result(self, **languages):
        counts = np.sort(np.fromiter(self.vocabulary.values(), np.int64, len(self.vocabulary)))[::-1]
        characters, words = np.array(self.character_lengths), np.array(self.word_lengths)
        if self.growth[-1][0] != self.num_words:
            self.growth.append((self.num_words, len(self.vocabulary)))
        return Statistics(
            num_texts=len(words),
            num_repeated=len(self.hashes) - len(np.unique(np.array(self.hashes))),
            **self.faults,
            num_characters=int(characters.sum()),
            num_words=self.num_words,
            num_types=len(self.vocabulary),
            num_once=int((counts == 1).sum()),
            segment_ratio=float(np.mean(self.ratios)) if self.ratios else None,
            characters=_lengths(characters),
            words=_lengths(words),
            **languages,
            scripts=scripts(self.characters),
            odd_characters=odd_characters(self.characters),
            top_words=self.vocabulary.most_common(20),
            character_lengths=characters,
            word_lengths=words,
            word_counts=counts,
            growth=self.growth,
        )


def _lengths(values):
    quantiles = np.quantile(values, (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)).tolist()
    return Lengths(float(values.mean()), int(values.min()), *quantiles, int(values.max()))


# === Languages ===

UNDETERMINED = "und"  # ISO 639's code for a language that cannot be told
LEAST_BYTES = 20  # of letters in UTF-8: 20 Latin letters, 10 Cyrillic, 7 Chinese characters
LEAST_CONFIDENCE = 0.5
LONGEST = 2_000  # characters that are looked at

_NO_LETTERS = re.compile(r"[\W\d_]+")


def language(text: str) -> str:
    """Returns the ISO 639 code of the language of a text, or "und" where it cannot be told.

    By py3langid, a naive Bayes classifier over byte n-grams for about 100 languages (Lui & Baldwin 2012), on the
    first 2,000 characters.

    Args:
        text: A text.

    Returns:
        Two letters where there are such ("en", "zh"), else three: "yue" Cantonese, "wuu" Wu, "pcm" Nigerian Pidgin,
        "zxx" no language at all (codes, numbers). "und": fewer than 20 bytes of letters (20 Latin letters, 7 Chinese
        characters), where it guesses, or a first choice of less than half of the probability.
    """
    check_text(text)
    text = text[:LONGEST]
    if len(_NO_LETTERS.sub("", text).encode("utf-8", "replace")) < LEAST_BYTES:
        return UNDETERMINED
    code, confidence = _identifier().classify(text.encode("utf-8", "replace").decode())
    return code if confidence >= LEAST_CONFIDENCE else UNDETERMINED


@functools.cache
def _identifier():
    langid = library("py3langid.langid", "telling languages apart", "analysis")
    return langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)


# === Characters: scripts, and what does not belong into a text ===

# The first word of a character's Unicode name is its script; these are the scripts of most of the world's text.
_SCRIPTS = {
    **{name: name.title() for name in ("LATIN", "CYRILLIC", "GREEK", "ARABIC", "HEBREW", "THAI", "HANGUL")},
    **{
        name: name.title()
        for name in ("HIRAGANA", "KATAKANA", "DEVANAGARI", "BENGALI", "TAMIL", "TELUGU", "GURMUKHI")
    },
    **{name: name.title() for name in ("GUJARATI", "KANNADA", "MALAYALAM", "SINHALA", "ARMENIAN", "GEORGIAN")},
    **{name: name.title() for name in ("ETHIOPIC", "KHMER", "LAO", "MYANMAR", "TIBETAN", "MONGOLIAN", "BOPOMOFO")},
    "CJK": "Han",
}
# Unicode categories that running text has no use for; tab and the line ends are controls that it has.
_ODD = {"Cc": "control", "Cf": "invisible", "Co": "private use", "Cn": "unassigned", "Cs": "surrogate"}
_WANTED = "\t\n\r\u200c\u200d"  # the joiners are needed by emoji, Persian and Hindi
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffd]")
# UTF-8 that was read as Latin-1 or cp1252: "Ã©" for "é", "â€™" for an apostrophe.
_MOJIBAKE = re.compile("Ã[\x80-\xbf]|Â[\x80-\xbf]|â€|ï»¿")


def scripts(characters: Counter) -> dict[str, float]:
    """{script: share of the letters} from a Counter of characters, largest first; the rare ones are "other"."""
    found = Counter()
    for character, count in characters.items():
        if character.isalpha():
            first, _, rest = unicodedata.name(character, "").partition(" ")
            if first in ("FULLWIDTH", "HALFWIDTH"):
                first = rest.split(" ")[0]
            found[_SCRIPTS.get(first, "other")] += count
    total = found.total()
    return {script: count / total for script, count in found.most_common()}


def odd_characters(characters: Counter) -> dict[str, int]:
    """{what is wrong with them: number} from a Counter of characters; only what there is.

    "control" (but tab and line ends), "replacement" (U+FFFD, where a decoder gave up), "invisible" (zero-width
    space, byte order mark, soft hyphen, direction marks), "private use", "unassigned", "surrogate".
    """
    found = Counter()
    for character, count in characters.items():
        if character == "\ufffd":
            found["replacement"] += count
        elif character not in _WANTED and unicodedata.category(character) in _ODD:
            found[_ODD[unicodedata.category(character)]] += count
    return dict(found.most_common())


def is_damaged(text: str) -> bool:
    """Whether a text holds control characters or U+FFFD."""
    return _CONTROL.search(text) is not None


def is_mojibake(text: str) -> bool:
    """Whether a text looks like UTF-8 that was read in another encoding."""
    return not text.isascii() and _MOJIBAKE.search(text) is not None
