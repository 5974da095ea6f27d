"""Questions "a is to b as c is to ?", answered by word vectors (Mikolov et al. 2013; Levy and Goldberg 2014)."""

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lm_keras.embeddings.evaluation.similarity import upper_cased
from lm_keras.errors import InputError
from lm_keras.utils.checks import check_choice, check_positive

if TYPE_CHECKING:
    from gensim.models import KeyedVectors


@dataclass(frozen=True)
class Accuracy:
    """How many analogy questions were answered right.

    Attributes:
        correct: Questions that were answered with the right word.
        questions: Questions whose four words all have vectors.
        missed: The other questions.
    """

    correct: int
    questions: int
    missed: int

    @property
    def accuracy(self) -> float:
        """correct / questions, nan without questions."""
        return self.correct / self.questions if self.questions else float("nan")

    def __add__(self, other: "Accuracy") -> "Accuracy":
        return Accuracy(self.correct + other.correct, self.questions + other.questions, self.missed + other.missed)


@dataclass(frozen=True)
class AnalogyResult:
    """The accuracy of each section of analogy questions, and of all.

    Attributes:
        sections: An `Accuracy` for each section, by name.
        semantic: The sum of the sections that are not syntactic.
        syntactic: The sum of the sections whose names begin with "gram".
        total: The sum of all.
    """

    sections: dict[str, Accuracy]
    semantic: Accuracy
    syntactic: Accuracy
    total: Accuracy


def analogies(
    vectors: "KeyedVectors",
    questions: Iterable[Sequence[str]],
    method: str = "3cosadd",
    restrict_vocab: int | None = 300_000,
    *,
    epsilon: float = 0.001,
) -> AnalogyResult:
    """Counts how often word vectors answer "a is to b as c is to ?" with d.

    To see the answers to one question, say what is to "woman" as "king" is to "man":
    `vectors.most_similar(positive=["king", "woman"], negative=["man"])`.

    Questions and answers are words among the first `restrict_vocab`. The case of letters does not count; of words
    that differ in case the first is taken; a, b and c are no answers.

    Args:
        vectors: gensim's `KeyedVectors`.
        questions: Records `(section, a, b, c, d)` or `(a, b, c, d)`, such as `lk.data.load("word-analogies", "all")`.
        method: "3cosadd": the word with the largest cos(d, b) + cos(d, c) - cos(d, a), with the counts of gensim's
            `evaluate_word_analogies` (Mikolov et al. 2013). "3cosmul": the largest cos(d, b) cos(d, c) / (cos(d, a) +
            epsilon), cosines moved to 0 ... 1 (Levy and Goldberg 2014, equation 4).
        restrict_vocab: How many of the first words are looked at. None: all.
        epsilon: Of "3cosmul" (gensim's `most_similar_cosmul` has 1e-6).

    Returns:
        An `AnalogyResult`.

    Raises:
        InputError: For records of another shape.
    """
    check_choice("method", method, METHODS)
    check_positive(epsilon=epsilon)
    index = upper_cased(vectors, restrict_vocab)
    names, sections, rows = {}, [], []
    for question in questions:
        section, *words = _checked(question)
        sections.append(names.setdefault(section, len(names)))
        rows.append([index.get(word.upper(), -1) for word in words])
    sections, rows = np.array(sections, np.int64), np.array(rows, np.int64).reshape(-1, 4)
    known = (rows >= 0).all(axis=1)
    correct = np.zeros(len(rows), bool)
    correct[known] = _answered(vectors, rows[known], index, restrict_vocab, method, epsilon)
    counts = [np.bincount(sections[which], minlength=len(names)).tolist() for which in (correct, known, ~known)]
    made = {name: Accuracy(*(count[i] for count in counts)) for name, i in names.items()}
    syntactic = [name for name in made if name.startswith("gram")]
    return AnalogyResult(made, _sum(made, made.keys() - syntactic), _sum(made, syntactic), _sum(made, made))


def _sum(sections, names):
    return functools.reduce(Accuracy.__add__, [sections[name] for name in names], Accuracy(0, 0, 0))


def _checked(question):
    if isinstance(question, (tuple, list)) and len(question) in (4, 5) and all(isinstance(p, str) for p in question):
        return question if len(question) == 5 else ("", *question)
    raise InputError(f"a question is (section, a, b, c, d) or (a, b, c, d), strings; got {question!r}")


def _answered(vectors, rows, index, restrict_vocab, method, epsilon):
    """Whether each of the questions, rows [Q, 4] of a, b, c and d, is answered with d: bool [Q]."""
    words = vectors.index_to_key[:restrict_vocab]
    # Words that differ in case only count as one: as the first of them, which `index` knows.
    first = np.fromiter((index[str(word).upper()] for word in words), np.int64, len(words))
    correct = np.zeros(len(rows), bool)
    for part, answers in nearest_five(vectors, rows[:, :3], len(words), method, epsilon):
        asked, given = rows[part], answers >= 0
        answers = first[answers]
        open_ = given & (answers[:, :, None] != asked[:, None, :3]).all(axis=2)
        # If all five are the words of the question in other cases, gensim takes the last one.
        choice = np.where(open_.any(axis=1), open_.argmax(axis=1), np.maximum(given.sum(axis=1) - 1, 0))
        predicted = np.take_along_axis(answers, choice[:, None], axis=1)[:, 0]
        correct[part] = (predicted == asked[:, 3]) & given.any(axis=1)
    return correct


# === The words nearest to b + c - a, many questions at a time ===

# One matrix product scores a batch of questions against all words. Its sums round otherwise than those of gensim,
# which asks one question at a time, so two words that are equally good within rounding may change places: such
# questions are asked again as gensim does, and the counts are the very same.

METHODS = ("3cosadd", "3cosmul")
_NUMBERS = 1 << 21  # scores in one batch: 8 MB
_CANDIDATES = 5  # as many as gensim looks at
_ROUNDING = 1e-5  # far more than float32 loses in a cosine


def nearest_five(
    vectors: "KeyedVectors", rows: np.ndarray, count: int, method: str, epsilon: float
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yields (slice of the questions, rows of their five best answers int64 [B, 5], the best first; -1: no more).

    `rows` int64 [Q, 3]: a, b and c of each question; answers are among the first `count` words, without these three.
    """
    vectors.fill_norms()
    table, norms = vectors.vectors[:count], vectors.norms[:count]
    norms = np.where(norms > 0, norms, 1).astype(norms.dtype)
    empty = np.flatnonzero(vectors.norms[:count] == 0)  # no direction, so no answer
    size = max(1, _NUMBERS // max(count, 1))
    for start in range(0, len(rows), size):
        part = slice(start, start + size)
        asked = rows[part]
        scores = _scores(table, norms, *(table[row] / norms[row, None] for row in asked.T), method, epsilon)
        scores[:, empty] = -np.inf
        np.put_along_axis(scores, asked, -np.inf, axis=1)
        best, doubtful = _best(scores)
        for i in doubtful:
            best[i] = _as_gensim(vectors, asked[i], count, method, epsilon)
        yield part, best


def _scores(table, norms, a, b, c, method, epsilon):
    """[B, N] of the unit vectors [B, E] of a, b and c."""
    if method == "3cosadd":
        target = b + c - a
        length = np.linalg.norm(target, axis=1, keepdims=True)
        scores = (target / np.where(length > 0, length, 1)) @ table.T
        scores /= norms
        return scores
    scores = _shifted(b, table, norms)
    scores *= _shifted(c, table, norms)
    below = _shifted(a, table, norms)
    below += epsilon
    scores /= below
    return scores


def _shifted(unit, table, norms):
    """Cosines, moved from -1 ... 1 to 0 ... 1."""
    cosines = unit @ table.T
    cosines /= norms
    cosines += 1
    cosines /= 2
    return cosines


def _best(scores):
    """(the five best of each row int64 [B, 5], indices of the rows whose order rounding may have changed)."""
    rows = np.arange(len(scores))
    best = np.empty((len(scores), _CANDIDATES + 1), np.int64)
    values = np.empty(best.shape, scores.dtype)
    for i in range(_CANDIDATES + 1):
        best[:, i] = scores.argmax(axis=1)
        values[:, i] = scores[rows, best[:, i]]
        scores[rows, best[:, i]] = -np.inf
    best[values == -np.inf] = -1
    with np.errstate(invalid="ignore"):  # -inf - -inf, of a vocabulary of a few words
        apart = values[:, :-1] - values[:, 1:] > _ROUNDING * np.maximum(1, np.abs(values[:, :-1]))
    return best[:, :_CANDIDATES], np.flatnonzero(~apart.all(axis=1))


def _as_gensim(vectors, asked, count, method, epsilon):
    """The five best answers to one question [3], -1 for those that are not there, with gensim's own arithmetic."""
    from gensim import matutils

    a, b, c = (vectors.index_to_key[row] for row in asked)
    with np.errstate(invalid="ignore"):  # 0 / 0 of an empty vector
        if method == "3cosadd":
            scores = vectors.most_similar(positive=[b, c], negative=[a], topn=None, restrict_vocab=count)
        else:
            table, norms = vectors.vectors, vectors.norms
            a, b, c = ((1 + table @ vectors.get_vector(word, norm=True) / norms) / 2 for word in (a, b, c))
            scores = (b * c / (a + epsilon))[:count]
    order = matutils.argsort(scores, topn=_CANDIDATES + len(asked), reverse=True)
    best = [row for row in order if row not in asked and np.isfinite(scores[row])][:_CANDIDATES]
    return best + [-1] * (_CANDIDATES - len(best))
