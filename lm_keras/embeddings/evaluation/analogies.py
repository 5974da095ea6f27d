"""Questions "a is to b as c is to ?", answered by word vectors (Mikolov et al. 2013; Levy and Goldberg 2014)."""

import functools
from dataclasses import dataclass

import numpy as np

from lm_keras.embeddings.analogy_answers import METHODS, nearest_five
from lm_keras.embeddings.word_lookup import upper_cased
from lm_keras.errors import InputError
from lm_keras.utils.checks import check_choice, check_positive


@dataclass(frozen=True)
class Accuracy:
    """`correct` of the `questions` whose four words all have vectors; `missed`: the other questions."""

    correct: int
    questions: int
    missed: int

    @property
    def accuracy(self):
        """correct / questions, nan without questions."""
        return self.correct / self.questions if self.questions else float("nan")

    def __add__(self, other):
        return Accuracy(self.correct + other.correct, self.questions + other.questions, self.missed + other.missed)


@dataclass(frozen=True)
class AnalogyResult:
    """An Accuracy for each of the `sections`, by name, and for their sums.

    `syntactic`: the sections whose names begin with "gram"; `semantic`: the others; `total`: all.
    """

    sections: dict[str, Accuracy]
    semantic: Accuracy
    syntactic: Accuracy
    total: Accuracy


def analogies(vectors, questions, method="3cosadd", restrict_vocab=300_000, *, epsilon=0.001):
    """Which word is to c as b is to a? Asks `questions`, (section, a, b, c, d) or (a, b, c, d) -> AnalogyResult.

    That counts how often the answer was d. To see the answers to one question, say what is to "woman" as "king" is
    to "man": `vectors.most_similar(positive=["king", "woman"], negative=["man"])`.
    "3cosadd": the word with the largest cos(d, b) + cos(d, c) - cos(d, a); the counts are those of gensim's
    `evaluate_word_analogies`. "3cosmul": the largest cos(d, b) cos(d, c) / (cos(d, a) + epsilon), cosines moved to
    0 ... 1 (Levy and Goldberg 2014, equation 4; gensim's `most_similar_cosmul` has an epsilon of 1e-6).
    Questions and answers are words among the first `restrict_vocab` (None: all); the case of letters does not count,
    of words that differ in case the first is taken; a, b and c are no answers. InputError: records of another shape.
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
