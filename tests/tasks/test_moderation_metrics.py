"""Measures of moderation: against scikit-learn and counts by hand."""

import json

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score, recall_score

from lm_keras.data import FunctionalCase
from lm_keras.errors import InputError
from lm_keras.tasks import Moderation, hatecheck_report, moderation_report, paired_templates


def test_both_shares_are_recalls():
    rng = np.random.default_rng(0)
    y = rng.choice(["hate", "offensive", "neither"], 300, p=[0.1, 0.3, 0.6]).tolist()
    allowed = rng.random(300) < np.where(np.array(y) == "neither", 0.9, 0.2)
    report = moderation_report(y, allowed.tolist())
    wanted, refused = np.array(y) != "neither", ~allowed
    assert report.refused_right == recall_score(wanted, refused)
    assert report.harmless_right == recall_score(~wanted, ~refused)
    assert report.accuracy == accuracy_score(wanted, refused)
    assert report.macro_f1 == pytest.approx(f1_score(wanted, refused, average="macro"))
    for name, hits, total in (
        ("refused_right", (wanted & refused).sum(), wanted.sum()),
        ("harmless_right", (~wanted & allowed).sum(), (~wanted).sum()),
        ("accuracy", (wanted == refused).sum(), 300),
    ):
        ends = stats.binomtest(int(hits), int(total)).proportion_ci(method="wilson")
        assert report.intervals[name] == pytest.approx((ends.low, ends.high))
    low, high = report.intervals["macro_f1"]
    assert low < report.macro_f1 < high
    shares = {one.name: one.share for one in report.by_class}
    assert shares == {name: refused[np.array(y) == name].mean() for name in ("hate", "neither", "offensive")}
    shown = str(report)
    assert "to refuse, and refused" in shown and "harmless, and allowed" in shown
    assert json.loads(json.dumps(report.as_dict()))["intervals"]["accuracy"] == list(report.intervals["accuracy"])


def test_several_classes_and_a_side_that_is_not_there():
    answers = [Moderation(False, ["x"], [], 0.9), Moderation(True, [], [], 0.1)]
    report = moderation_report([["rude", "old"], ["old"]], answers, refused=["rude"])
    assert (report.refused_right, report.harmless_right) == (1, 1)
    assert [(one.name, one.share) for one in report.by_class] == [("old", 0.5), ("rude", 1)]
    report = moderation_report(["fine", []], [True, False], refused=["rude"])
    assert np.isnan(report.refused_right) and report.harmless_right == 0.5
    assert "to refuse, and refused - % (95% interval - to -)" in str(report)


@pytest.mark.parametrize(
    "y, answers, message",
    [
        ([], [], "0 texts and 0 answers"),
        (["a"], [True, False], "1 texts and 2 answers"),
        (["a"], ["yes"], "answers have 'yes'"),
        ([[1]], [True], "y has 1; give the names"),
    ],
)
def test_bad_answers(y, answers, message):
    with pytest.raises(InputError, match=message):
        moderation_report(y, answers)


CASES = [
    FunctionalCase("I hate women.", 0, "derog", "women", "I hate [..]."),
    FunctionalCase("I hate men.", 0, "derog", "men", "I hate [..]."),
    FunctionalCase("I love women.", 1, "positive", "women", "I love [..]."),
    FunctionalCase("I love men.", 1, "positive", "men", "I love [..]."),
    FunctionalCase("I hate soup.", 1, "object"),
    FunctionalCase("I hate old women.", 0, "object", "women", "I hate old [..]."),
]


def test_functions_and_groups():
    report = hatecheck_report(CASES, [False, True, False, True, True, False])
    found = [(one.name, one.share, one.count) for one in report.functions]
    assert found == [("derog", 0.5, 2), ("positive", 0.5, 2), ("object", 1, 2)]
    assert report.kinds == {"derog": "hateful", "positive": "harmless", "object": "both"}
    assert report.refused_right == pytest.approx(2 / 3) and report.harmless_right == pytest.approx(2 / 3)
    assert [(one.name, one.share) for one in report.false_positives] == [("men", 0), ("women", 1)]
    told = json.loads(json.dumps(report.as_dict()))
    assert told["functions"]["derog"]["kind"] == "hateful" and told["false_positives"]["women"]["texts"] == 1
    shown = str(report)
    assert "derog (hateful)" in shown and "harmless, of group" in shown and "hateful, and refused 66.7 %" in shown
    with pytest.raises(InputError, match="there is no case"):
        hatecheck_report([], [])
    with pytest.raises(InputError, match="cases have 'x'"):
        hatecheck_report(["x"], [True])


def test_the_same_text_of_two_groups():
    scores = (0.9, 0.4, 0.7, 0.1, 0.0, 1.0)
    answers = [Moderation(score < 0.5, [], [], score) for score in scores]
    found = paired_templates(CASES, answers, "women", "men")
    assert (found.pairs, found.first_only, found.second_only) == (2, 2, 0), "one template has no text of men"
    assert found.score == pytest.approx(np.mean([0.5, 0.6])) and found.refused == 1
    assert found.score_interval.low <= found.score <= found.score_interval.high
    turned = paired_templates(CASES, answers, "men", "women")
    assert (turned.score, turned.refused, turned.second_only) == (pytest.approx(-found.score), -1, 2)
    assert "women against men, 2 pairs: score +0.550" in str(found)
    twice = [*CASES, CASES[0]._replace(text="I hate all women.")]
    assert paired_templates(twice, [*answers, answers[0]], "women", "men").pairs == 1, "which text would be the pair?"
    for first, second in (("women", "women"), ("women", "cats")):
        with pytest.raises(InputError, match="no template has one text"):
            paired_templates(CASES, answers, first, second)
    with pytest.raises(InputError, match="the Moderation of each case"):
        paired_templates(CASES, [True] * 6, "women", "men")
