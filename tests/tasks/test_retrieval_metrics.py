"""The measures of retrieval, counted by hand; the threshold beside trying all of them."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lm_keras.errors import InputError
from lm_keras.tasks import choose_threshold, retrieval_report, wilson

ROW = st.tuples(st.sampled_from([0.1, 0.25, 0.5, 0.75, 0.9]), st.booleans(), st.booleans())
ROWS = st.lists(ROW, min_size=2).filter(lambda rows: len({known for _, _, known in rows}) == 2)


@given(ROWS, st.sampled_from([(1, 1), (1, 3), (5, 1)]))
def test_no_threshold_is_better_than_the_chosen_one(rows, weights):
    scores, right, known = map(np.array, zip(*rows, strict=True))

    def measured(threshold):
        answered = scores >= threshold
        hits, refused = (answered & right)[known].mean(), (~answered)[~known].mean()
        return hits, refused, (weights[0] * hits + weights[1] * refused) / sum(weights)

    found = choose_threshold(scores, right, known, weights=weights)
    assert found[1:] == pytest.approx(measured(found.threshold))
    assert found.balanced == pytest.approx(max(measured(threshold)[2] for threshold in np.linspace(0, 1, 41)))


def test_the_middle_between_both_kinds():
    assert choose_threshold([0.9, 0.8, 0.4, 0.3], [1, 1, 0, 0], [1, 1, 0, 0]) == (pytest.approx(0.6), 1, 1, 1)
    wrong = choose_threshold([0.9, 0.8], [False, False], [True, False])  # nothing is ever right: refuse all
    assert wrong.threshold > 0.8 and wrong.refused_rightly == 1


@pytest.mark.parametrize(
    "arguments, message",
    [
        (([0.5], [True], [True]), "no question out of scope"),
        (([0.5], [True], [False]), "no question with an answer"),
        (([0.5, 0.1], [True], [False, True]), "are of 2, 1, 2 questions"),
        (([], [], []), "are of 0, 0, 0 questions"),
        (([math.nan, 0.1], [True, True], [False, True]), "not finite"),
        (([0.5, 0.1], [True, True], [False, True], (1,)), "weights is"),
        (([0.5, 0.1], [True, True], [False, True], (1, 0)), "weight of refusals is 0"),
    ],
)
def test_refusals(arguments, message):
    *rows, weights = arguments if len(arguments) == 4 else (*arguments, (1, 1))
    with pytest.raises(InputError, match=message):
        choose_threshold(*rows, weights=weights)


def test_counts_by_hand():
    answers = ["a", "a", "b", "b", "c", None, None, None]
    ranks = [1, 1, 3, 1, 0, 0, 0, 0]
    answered = [True, True, True, False, False, True, False, False]
    report = retrieval_report(answers, ranks, answered, threshold=0.5)
    assert report.counts == {
        "answered_rightly": 2, "answered_wrongly": 1, "refused_wrongly": 2, "refused_rightly": 2,
        "answered_out_of_scope": 1,
    }  # fmt: skip
    assert report.shares["answered_rightly"] == 0.4 and report.shares["refused_rightly"] == pytest.approx(2 / 3)
    assert report.balanced == pytest.approx((0.4 + 2 / 3) / 2)
    assert report.intervals["answered_rightly"] == wilson(2, 5) and report.intervals["refused_rightly"] == wilson(
        2, 3
    )
    assert report.mean_reciprocal_rank == pytest.approx((1 + 1 + 1 / 3 + 1) / 5)
    assert report.recall_at == {1: 0.6, 5: 0.8, 10: 0.8}
    low, high = report.rank_intervals["mean_reciprocal_rank"]
    assert low < report.mean_reciprocal_rank < high
    assert json.loads(json.dumps(report.as_dict()))["counts"] == report.counts
    shown = str(report).splitlines()
    assert shown[0].startswith("5 questions with an answer, 3 out of scope; threshold 0.5000")
    assert shown[1].split()[:4] == ["answered", "rightly", "2", "40.0"] and "mean of rightly" in shown[-1]
    assert "answered_rightly 0.4000" in repr(report)


def test_one_kind_alone():
    known = retrieval_report(["a", "b"], [1, 2], [True, True])
    assert math.isnan(known.balanced) and "out of scope" not in str(known).split("\n", 1)[1]
    other = retrieval_report([None], [0], [False])
    assert (
        other.shares["refused_rightly"] == 1 and math.isnan(other.mean_reciprocal_rank) and "recall" not in str(other)
    )
    with pytest.raises(InputError, match="are of 1, 2, 1 questions"):
        retrieval_report(["a"], [1, 1], [True])
