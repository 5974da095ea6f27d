"""Analogies: the very same counts as gensim's evaluation, and brute force for 3CosMul."""

import math

import numpy as np
import pytest
from word_tests import half_right, made, read_questions, write_questions

import lm_keras as lk
from lm_keras import InputError
from lm_keras.embeddings.evaluation import analogies

pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated `init_sims`")  # gensim calls its own
QUESTIONS = read_questions(each=40)


@pytest.fixture(scope="module")
def vectors():
    return half_right(QUESTIONS)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write_questions(tmp_path_factory.mktemp("analogies") / "questions.txt", QUESTIONS)


def by_gensim(vectors, file, cosmul=False, **options):
    """{section: (correct, questions)} of gensim; with `cosmul` of its evaluation with most_similar_cosmul."""
    if cosmul:
        vectors.most_similar = vectors.most_similar_cosmul
    try:
        _, sections = vectors.evaluate_word_analogies(file, **options)
    finally:
        vars(vectors).pop("most_similar", None)
    counts = {told["section"]: (len(told["correct"]), len(told["correct"] + told["incorrect"])) for told in sections}
    total = counts.pop("Total accuracy")
    return counts, total


def counted(result):
    return {name: (part.correct, part.questions) for name, part in result.sections.items()}


@pytest.mark.parametrize("restrict_vocab", [300_000, 700])
def test_equal_to_gensim(vectors, file, restrict_vocab):
    ours = lk.embeddings.analogies(vectors, QUESTIONS, restrict_vocab=restrict_vocab)
    sections, total = by_gensim(vectors, file, restrict_vocab=restrict_vocab)
    assert counted(ours) == sections and len(sections) == 14
    assert (ours.total.correct, ours.total.questions) == total
    assert 0.1 < ours.total.accuracy < 0.9 and ours.total.missed > 10
    assert ours.total.questions + ours.total.missed == len(QUESTIONS)


def test_equal_to_gensim_where_many_words_are_equally_good(file):
    words = sorted({word for _, *asked in QUESTIONS for word in asked})
    table = np.random.default_rng(0).integers(-1, 2, (len(words), 4))
    table[~table.any(axis=1)] = 1
    same = made(words, table)  # of 80 different vectors
    ours = lk.embeddings.analogies(same, QUESTIONS)
    assert counted(ours) == by_gensim(same, file)[0]
    assert ours.total.correct > 0


def test_equal_to_gensim_where_the_best_words_are_those_of_the_question(tmp_path):
    """Other spellings of "king" and "woman" are nearest: gensim looks at five, and the last of them is its answer."""
    rng = np.random.default_rng(0)
    spellings = ["King", "KIng", "KINg", "Woman", "WOman", "WOMan"]
    words = ["man", "woman", "king", "queen", *spellings, *(f"other{i}" for i in range(30))]
    table = rng.normal(size=(len(words), 8))
    man, woman, king = (row / np.linalg.norm(row) for row in table[:3])
    table[4:10] = king + woman - man + np.arange(1, 7)[:, None] * rng.normal(0, 0.02, 8)
    vectors = made(words, table)
    questions = [(d, "man", "king", "woman", d) for d in ("queen", "king", "woman")]
    expected = {"queen": (0, 1), "king": (0, 1), "woman": (1, 1)}
    assert by_gensim(vectors, write_questions(tmp_path / "q.txt", questions))[0] == expected
    assert counted(lk.embeddings.analogies(vectors, questions)) == expected
    few = made(words[:4], table[:4])  # one possible answer
    assert counted(lk.embeddings.analogies(few, questions))["queen"] == (1, 1)


def cosmul(vectors, question, epsilon):
    """The best answer by equation 4 of Levy and Goldberg, word by word."""
    words = {}
    for word in vectors.index_to_key:
        words.setdefault(word.upper(), word)
    a, b, c, d = (words.get(word.upper()) for word in question[1:])
    if None in (a, b, c, d):
        return None
    unit = vectors.vectors.astype(float)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    to = {word: (1 + unit @ unit[vectors.key_to_index[word]]) / 2 for word in (a, b, c)}
    scores = to[b] * to[c] / (to[a] + epsilon)
    asked = {word.upper() for word in (a, b, c)}
    best = max(
        (i for i, word in enumerate(vectors.index_to_key) if word.upper() not in asked), key=scores.__getitem__
    )
    return vectors.index_to_key[best].upper() == d.upper()


@pytest.mark.parametrize("epsilon", [0.001, 0.5])
def test_cosmul_by_brute_force(vectors, epsilon):
    questions = QUESTIONS[::6]
    ours = lk.embeddings.analogies(vectors, questions, "3cosmul", epsilon=epsilon)
    expected = [cosmul(vectors, question, epsilon) for question in questions]
    assert ours.total == lk.embeddings.Accuracy(
        expected.count(True), len(expected) - expected.count(None), expected.count(None)
    )
    assert 0 < ours.total.correct < ours.total.questions


def test_cosmul_equal_to_gensim(vectors, file):
    ours = lk.embeddings.analogies(vectors, QUESTIONS, "3cosmul", epsilon=1e-6)
    assert counted(ours) == by_gensim(vectors, file, cosmul=True)[0]
    assert counted(ours) != counted(lk.embeddings.analogies(vectors, QUESTIONS, "3cosadd"))


@pytest.mark.parametrize("method", ["3cosadd", "3cosmul"])
def test_batches_and_doubts_change_nothing(vectors, method, monkeypatch):
    at_once = lk.embeddings.analogies(vectors, QUESTIONS, method)
    monkeypatch.setattr(analogies, "_NUMBERS", 7 * len(vectors))
    assert lk.embeddings.analogies(vectors, QUESTIONS, method) == at_once
    monkeypatch.setattr(analogies, "_ROUNDING", 10.0)  # every question is asked again, one at a time
    assert lk.embeddings.analogies(vectors, QUESTIONS, method) == at_once


def test_sums_of_sections(vectors):
    found = lk.embeddings.analogies(vectors, QUESTIONS)
    grammar = [part for name, part in found.sections.items() if name.startswith("gram")]
    assert len(grammar) == 9
    for key in ("correct", "questions", "missed"):
        assert getattr(found.syntactic, key) == sum(getattr(part, key) for part in grammar)
        assert getattr(found.semantic, key) + getattr(found.syntactic, key) == getattr(found.total, key)
    assert found.sections["family"].accuracy == found.sections["family"].correct / found.sections["family"].questions


@pytest.mark.parametrize("method", ["3cosadd", "3cosmul"])
def test_empty_vectors_are_no_answer(method):
    vectors = made(["a", "b", "c", "d", "zero"], [*np.eye(4), np.zeros(4)])
    questions = [("s", "a", "b", "c", "d"), ("s", "a", "b", "c", "zero")]
    assert lk.embeddings.analogies(vectors, questions, method).total == lk.embeddings.Accuracy(1, 2, 0)


def test_questions_without_a_section():
    vectors = made(["a", "b", "c", "d"], np.eye(4))
    found = lk.embeddings.analogies(vectors, [("a", "b", "c", "d"), ["s", "a", "b", "c", "d"]])
    assert counted(found) == {"": (1, 1), "s": (1, 1)} and found.semantic.correct == found.total.correct == 2


def test_nothing_to_ask():
    vectors = made(["a", "b"], np.eye(2))
    for questions, missed in [([], 0), ([("s", "a", "b", "c", "d")], 1)]:
        found = lk.embeddings.analogies(vectors, questions)
        assert found.total == lk.embeddings.Accuracy(0, 0, missed) and math.isnan(found.total.accuracy)


def test_bad_input():
    vectors = made(["a", "b"], np.eye(2))
    for question in [("a", "b", "c"), ("a", "b", "c", 4), ("s", "a", "b", "c", 4), "abcde", "abcd", 7]:
        with pytest.raises(InputError, match=r"a question is \(section, a, b, c, d\) or \(a, b, c, d\), strings"):
            lk.embeddings.analogies(vectors, [question])
    with pytest.raises(InputError, match="method is 'add'; it must be one of 3cosadd, 3cosmul"):
        lk.embeddings.analogies(vectors, [], method="add")
    for wrong in ({"restrict_vocab": 0}, {"restrict_vocab": 2.5}, {"epsilon": 0}, {"epsilon": "x"}):
        ((name, value),) = wrong.items()
        with pytest.raises(InputError, match=f"{name} is {value!r}"):
            lk.embeddings.analogies(vectors, [], **wrong)
