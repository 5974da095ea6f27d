"""From questions with answers to a model that answers: windows and labels, what is learnt, the threshold."""

import numpy as np
import pytest
from small_tasks import encoder, word_pieces

import lm_keras as lk
from lm_keras.data import QuestionAnswer, ReferenceAnswer
from lm_keras.tasks.qa_training import best_threshold, features
from lm_keras.text.word_offsets import word_places

ANIMALS, PLACES = ["cat", "dog", "owl"], ["Rome", "Paris", "Oslo"]


def asked(context, question, answer):
    given = (ReferenceAnswer(answer, context.index(answer)),) if answer else ()
    return QuestionAnswer(context, question, given, not given)


def questions():
    """What sleeps and where, each answered by its place; and who, which no text says."""
    found = []
    for animal in ANIMALS:
        for place in PLACES:
            for context in (f"The {animal} sleeps in {place}.", f"In {place} sleeps the {animal}."):
                found.append(asked(context, "what sleeps", animal))
                found.append(asked(context, "where", place))
                found.append(asked(context, "who wrote it", ""))
    return found


def small(records):
    model = encoder(pieces := word_pieces([text for record in records for text in record.texts()]))
    model.tokenizer = pieces
    return model


@pytest.fixture(scope="module")
def answerer():
    records = questions()
    quick = {"epochs": 30, "batch_size": 9, "learning_rate": 0.01}
    return lk.tasks.QuestionAnswerer.train(records, encoder=small(records), validation=records[:18], **quick)


def test_answers_are_learnt_and_their_absence(answerer):
    context = "In Oslo sleeps the cat."
    found = answerer.answer(["what sleeps", "where", "who wrote it"], [context] * 3)
    assert [answer.text for answer in found] == ["cat", "Oslo", ""]
    assert found[2][2:] == (0, 0) and found[2].score < answerer.threshold < min(found[0].score, found[1].score)
    report = answerer.evaluate(questions())
    assert (report.exact_match, report.f1, report.num_answered) == (1, 1, 36)
    assert answerer.history["val_exact_match"][-1] == 1


def test_the_threshold_is_saved(answerer, tmp_path):
    answerer.save(tmp_path)
    loaded = lk.tasks.QuestionAnswerer.load(tmp_path)
    assert loaded.threshold == answerer.threshold > 0
    every = lk.tasks.QuestionAnswerer(answerer.model, answerer.tokenizer)
    assert every.answer("who wrote it", "In Oslo sleeps the cat.")[0].text


def test_labels_are_the_tokens_of_the_words_that_the_answer_touches():
    contexts = ["one two-three four, five six seven eight nine ten", "Ünder the sea, the café sleeps at $5.50 today"]
    records = [
        asked(context, "where is it", context[start:end])
        for context in contexts
        for start, end in [(0, 3), (4, 7), (8, 13), (14, 24), (30, 45)]
    ]
    model = lk.models.answer_span(small(records))
    pieces = model.layers and word_pieces([text for record in records for text in record.texts()])
    answerer = lk.tasks.QuestionAnswerer(model, pieces, max_length=24)
    made, row = features(answerer, records), 0
    for record in records:
        question = pieces.encode(record.question)
        tokens = [
            (i, id)
            for i, (a, b) in enumerate(word_places(record.context))
            for id in pieces.encode(record.context[a:b])
        ]
        answer = record.answers[0]
        words = [
            i
            for i, (start, end) in enumerate(word_places(record.context))
            if start < answer.start + len(answer.text) and answer.start < end
        ]
        room, start, seen = 24 - 3 - len(question), 0, 0
        while True:
            window = tokens[start : start + room]
            ids = [pieces.cls_id, *question, pieces.sep_id, *(id for _, id in window), pieces.sep_id]
            np.testing.assert_array_equal(made.ids[row], ids)
            inside = [n for n, (word, _) in enumerate(window) if word in words]
            if len(inside) == sum(word in words for word, _ in tokens):
                assert (made.start[row], made.end[row]) == (
                    inside[0] + len(question) + 2,
                    inside[-1] + len(question) + 2,
                )
                seen += 1
            else:
                assert made.start[row] == made.end[row] == 0
            assert made.asked[row] == len(question) + 2
            row += 1
            if start + room >= len(tokens):
                break
            start += room // 2
        assert seen
    assert row == len(made.ids)


def test_the_answer_that_most_people_gave_is_learnt():
    context = "a b c d"
    votes = tuple(ReferenceAnswer(text, context.index(text)) for text in ("a", "b c", "b c", "d"))
    record = QuestionAnswer(context, "what", votes)
    model = small([record])
    answerer = lk.tasks.QuestionAnswerer(lk.models.answer_span(model), model.tokenizer)
    made = features(answerer, [record])
    before = len(model.tokenizer.encode("what")) + 2
    assert (made.start[0], made.end[0]) == (before + 1, before + 2)


class Answers:
    """Answers with given scores."""

    def __init__(self, answers):
        self.answers = answers

    def answer(self, questions, contexts):
        return [lk.tasks.Answer(*self.answers[question], 0, 0) for question in questions]


@pytest.mark.parametrize("seed", range(8))
def test_the_threshold_is_the_best_of_all(seed):
    rng = np.random.default_rng(seed)
    records = [asked("x y", f"q{i}", "x" if rng.random() < 0.6 else "") for i in range(12)]
    answers = {record.question: (rng.choice(["x", "y"]), round(0.9 * rng.random(), 1)) for record in records}
    found = best_threshold(Answers(answers), records)

    def measured(threshold):
        given = [
            answers[record.question][0] if answers[record.question][1] >= threshold else "" for record in records
        ]
        return lk.tasks.answer_report(given, [[a.text for a in record.answers] for record in records]).f1

    assert measured(found) == pytest.approx(max(map(measured, np.linspace(0, 1.05, 22))))
    assert 0 <= found <= 1


@pytest.mark.parametrize(
    "given, options, message",
    [
        ("a file", {}, "questions is one string"),
        ([], {}, "there is no question"),
        (questions()[2:3] * 4, {"validation": questions()[:1]}, "no question to train on has an answer"),
        (questions()[:2], {}, "all questions are on one context"),
        (questions(), {"encoder": "bilstm"}, "encoder is 'bilstm', neither a folder nor one of"),
        (questions(), {"hidden_dim": 3}, "has no option hidden_dim"),
        (questions(), {"threshold": 2}, "threshold is 2"),
        (questions(), {"validation": []}, "there is no validation question"),
    ],
)
def test_what_cannot_be_trained_on_is_an_error(given, options, message):
    options = {"encoder": small(questions())} | options
    with pytest.raises(lk.InputError, match=message):
        lk.tasks.QuestionAnswerer.train(given, **options)
