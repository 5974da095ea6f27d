"""How far cosines follow people's judgement (WordSim-353, SimLex-999), and the nearest neighbors of words."""

import difflib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lm_keras.errors import InputError
from lm_keras.utils.checks import check_sizes

if TYPE_CHECKING:
    from gensim.models import KeyedVectors


@dataclass(frozen=True)
class WordSimilarity:
    """How far the cosines of word vectors follow people's scores.

    Attributes:
        spearman: Rank correlation of the cosines and the scores, nan where there is none.
        pearson: Their linear correlation, nan where there is none.
        pairs: How many pairs have vectors for both words, and so are correlated.
        missed: How many have not.
    """

    spearman: float
    pearson: float
    pairs: int
    missed: int

    def __str__(self):
        covered = f"{self.pairs:,} of {self.pairs + self.missed:,} pairs"
        return f"Spearman {self.spearman:.4f}, Pearson {self.pearson:.4f}, {covered}"


def word_similarity(
    vectors: "KeyedVectors", pairs: Iterable[Sequence], restrict_vocab: int | None = 300_000
) -> WordSimilarity:
    """Correlates the cosines of word vectors with people's scores, as gensim's `evaluate_word_pairs` does.

    The case of letters does not count; of words that differ in case the first is taken.

    Args:
        vectors: gensim's `KeyedVectors`.
        pairs: Records `(first, second, score)`, such as `lk.data.load("wordsim353", "all")`.
        restrict_vocab: How many of the first words are looked at; a pair with another word is `missed`. None: all.

    Returns:
        A `WordSimilarity`. Fewer than two pairs, or all cosines or all scores the same, give nan.

    Raises:
        InputError: For records of another shape.
    """
    from scipy import stats

    index, words = upper_cased(vectors, restrict_vocab), vectors.index_to_key
    scores, cosines, missed = [], [], 0
    for pair in pairs:
        first, second, score = _checked(pair)
        rows = index.get(first.upper()), index.get(second.upper())
        if None in rows:
            missed += 1
            continue
        scores.append(score)
        cosines.append(vectors.similarity(words[rows[0]], words[rows[1]]))
    if len(set(scores)) < 2 or len(set(cosines)) < 2:
        return WordSimilarity(float("nan"), float("nan"), len(scores), missed)
    spearman, pearson = stats.spearmanr(scores, cosines)[0], stats.pearsonr(scores, cosines)[0]
    return WordSimilarity(float(spearman), float(pearson), len(scores), missed)


def _checked(pair):
    try:
        first, second, score = pair
        if isinstance(first, str) and isinstance(second, str) and math.isfinite(score := float(score)):
            return first, second, score
    except (TypeError, ValueError):
        pass
    raise InputError(f"a pair is (first, second, score), two words and a number; got {pair!r}")


def nearest_words(
    vectors: "KeyedVectors", words: str | Iterable[str], n: int = 10
) -> dict[str, list[tuple[str, float]]]:
    """Returns the words with the largest cosine to each of `words`, nearest first.

    Args:
        vectors: gensim's `KeyedVectors`. Those of n-grams (fastText's .bin) have one for every word.
        words: One word, or several.
        n: How many neighbors of each.

    Returns:
        A dict from each word to its neighbors, `(word, cosine)`. A vector of zeros is near none.

    Raises:
        InputError: For a word without a vector; the message names words of about the same spelling.
    """
    check_sizes(n=n)
    words = [words] if isinstance(words, str) else list(words)
    check_known(vectors, words)
    with np.errstate(invalid="ignore"):  # 0 / 0 of an empty vector
        found = {word: vectors.most_similar(word, topn=n) for word in words}
    return {word: [pair for pair in pairs if not np.isnan(pair[1])] for word, pairs in found.items()}


# === Looking words up ===

_SEARCHED = 100_000  # words, of the most frequent, that a misspelt one is compared with
_SHOWN = 5


def upper_cased(vectors: "KeyedVectors", restrict_vocab: int | None = None) -> dict[str, int]:
    """{word in capitals: row} of the first `restrict_vocab` words (None: all); of those that differ in case one.

    So the words of the tests, "Athens", find those of lower-cased vectors. The first of several counts, as in gensim.
    """
    if restrict_vocab is not None:
        check_sizes(restrict_vocab=restrict_vocab)
    rows = {}
    for row, word in enumerate(vectors.index_to_key[:restrict_vocab]):
        rows.setdefault(str(word).upper(), row)
    return rows


def check_known(vectors: "KeyedVectors", words: Iterable[str]) -> None:
    """InputError for the first of `words` that has no vector, with words of about the same spelling."""
    unknown = [word for word in words if not isinstance(word, str) or word not in vectors]
    if not unknown:
        return
    near = suggestions(vectors, unknown[0]) if isinstance(unknown[0], str) else []
    others = ", ".join(map(repr, unknown[1 : 1 + _SHOWN]))
    others = f", nor have {others}{' ...' if len(unknown) > 1 + _SHOWN else ''}" if others else ""
    said = f"did you mean {' or '.join(map(repr, near))}?" if near else "give words of their vocabulary"
    raise InputError(f"{unknown[0]!r} has no vector among the {len(vectors.index_to_key):,}{others}; {said}")


def suggestions(vectors: "KeyedVectors", word: str, n: int = 3) -> list[str]:
    """Up to `n` words that have a vector: `word` in another case, then those of about its spelling, nearest first.

    These begin with the same letter, and are among the first 100,000.
    """
    cases = dict.fromkeys((word.strip(), word.lower(), word.capitalize(), word.title(), word.upper()))
    found = [case for case in cases if case != word and case in vectors.key_to_index]
    wanted = word.strip().lower()
    spellings = {}
    for other in vectors.index_to_key[:_SEARCHED]:
        if abs(len(other) - len(wanted)) <= 2 and other[:1].lower() == wanted[:1]:
            spellings.setdefault(other.lower(), other)
    near = difflib.get_close_matches(wanted, spellings, n, cutoff=0.7)
    found += [spellings[spelling] for spelling in near if spellings[spelling] not in (word, *found)]
    return found[:n]
