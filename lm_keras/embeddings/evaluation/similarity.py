"""How far the cosines of word vectors follow people's judgement of similarity (WordSim-353, SimLex-999)."""

import math
from dataclasses import dataclass

from lm_keras.embeddings.word_lookup import upper_cased
from lm_keras.errors import InputError


@dataclass(frozen=True)
class WordSimilarity:
    """`spearman`, `pearson`: correlation of the cosines and the scores, nan where there is none.

    `pairs`: how many pairs have vectors for both words, and so are correlated; `missed`: how many have not.
    """

    spearman: float
    pearson: float
    pairs: int
    missed: int

    def __str__(self):
        covered = f"{self.pairs:,} of {self.pairs + self.missed:,} pairs"
        return f"Spearman {self.spearman:.4f}, Pearson {self.pearson:.4f}, {covered}"


def word_similarity(vectors, pairs, restrict_vocab=300_000):
    """Correlates the cosines of `vectors`, KeyedVectors, with the scores of `pairs`, records (first, second, score).

    Equal to gensim's `evaluate_word_pairs`: the case of letters does not count, of words that differ in case the
    first is taken; a pair is left out, and `missed`, if one of its words is not among the first `restrict_vocab`
    (None: all). Fewer than two pairs, or all cosines or all scores the same: nan. Returns a WordSimilarity; raises
    InputError for records of another shape.
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
