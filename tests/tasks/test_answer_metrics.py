"""Exact match and F1 of answers: as SQuAD's own script counts them, and how sure they are."""

import json
from pathlib import Path

import pytest

import lm_keras as lk
from lm_keras.tasks.answer_metrics import exact_match, token_f1

# [answer, right ones, exact match, F1] as the functions of SQuAD 2.0's evaluation script give them.
GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "squad_metrics.json").read_text("utf-8"))


def test_answers_are_measured_as_by_the_script_of_squad():
    report = lk.tasks.answer_report([row[0] for row in GOLDEN], [row[1] for row in GOLDEN])
    assert report.exact_match == pytest.approx(sum(row[2] for row in GOLDEN) / len(GOLDEN))
    assert report.f1 == pytest.approx(sum(row[3] for row in GOLDEN) / len(GOLDEN))
    for found, golds, exact, f1 in GOLDEN:
        golds = [gold for gold in golds if gold.strip(".")]
        assert exact_match(found, golds) == exact
        assert token_f1(found, golds) == pytest.approx(f1)


def test_questions_without_an_answer_count_apart():
    found, golds = ["Rome", "", "Rome", ""], [["Rome"], ["Rome"], [], []]
    report = lk.tasks.answer_report(found, golds)
    assert (report.exact_match, report.f1, report.num_answered) == (0.5, 0.5, 2)
    assert report.answerable == (2, 0.5, 0.5) and report.unanswerable == (2, 0.5, 0.5)
    low, high = report.intervals["f1"]
    assert 0 <= low < 0.5 < high <= 1
    assert "4 questions, 2 of them answered" in str(report) and "without one: 2" in str(report)
    assert json.loads(json.dumps(report.as_dict()))["unanswerable"]["exact_match"] == 0.5


@pytest.mark.parametrize(
    ("found", "golds", "message"),
    [
        (["a"], [], "1 answers to 0 questions"),
        ([], [], "no question"),
        (["a", None], [["b"], ["c"]], "question 1 has the answer None"),
        (["a"], [[3]], "question 0 has the answer 3"),
    ],
)
def test_what_cannot_be_measured_is_an_error(found, golds, message):
    with pytest.raises(lk.InputError, match=message):
        lk.tasks.answer_report(found, golds)
