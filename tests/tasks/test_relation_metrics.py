"""The measure of SemEval-2010 task 8: by hand, by brute force, and beside what the official scorer printed."""

import numpy as np
import pytest

from lm_keras.errors import InputError
from lm_keras.tasks import relation_report

AB, BA, C12, OTHER = NAMES = ["A-B(e1,e2)", "A-B(e2,e1)", "C(e1,e2)", "Other"]


def test_a_wrong_direction_is_wrong_twice():
    y = [AB, AB, AB, BA, C12, C12, OTHER, OTHER]
    found = [AB, AB, BA, OTHER, C12, AB, OTHER, C12]
    report = relation_report(y, found, NAMES, none=OTHER)
    # A-B: 4 of them, 2 right; 4 answers, one in the wrong direction and one to a C. C: 2 of them, 1 right, 2 answers.
    assert [tuple(row) for row in report.per_relation] == [("A-B", 2 / 4, 2 / 4, 0.5, 4), ("C", 1 / 2, 1 / 2, 0.5, 2)]
    assert report.macro_f1 == 0.5 and report.micro_f1 == 0.5 and report.accuracy == 4 / 8
    y[3] = found[3] = BA
    better = relation_report(y, found, NAMES, none=OTHER)  # now 3 of 4, and 5 answers
    assert better.per_relation[0][1:4] == (3 / 5, 3 / 4, pytest.approx(2 / 3))
    assert better.macro_f1 == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert relation_report([AB], [BA], NAMES, none=OTHER).macro_f1 == 0


def brute_force(y, found, none):
    """The mean F1 of the relations that have a label, counted pair by pair."""
    base = lambda name: name.split("(")[0]  # noqa: E731
    values = []
    for relation in {base(name) for name in y if name != none}:
        right = sum(a == b for a, b in zip(y, found, strict=True) if base(a) == relation)
        missed = sum(base(a) == relation and a != b for a, b in zip(y, found, strict=True))
        false = sum(base(b) == relation and a != b for a, b in zip(y, found, strict=True))
        values.append(2 * right / (2 * right + missed + false))
    return np.mean(values) if values else 0.0


@pytest.mark.parametrize("none", [OTHER, None])
def test_equal_to_brute_force(none):
    rng = np.random.default_rng(0)
    for _ in range(50):
        y, found = (rng.choice(NAMES, rng.integers(1, 9)) for _ in range(2))
        found = rng.permutation(np.resize(found, len(y)))
        report = relation_report(y, found, NAMES, none=none)
        assert report.macro_f1 == pytest.approx(brute_force(y.tolist(), found.tolist(), none))


# A confusion matrix as the official scorer, semeval2010_task8_scorer-v1.2.pl, printed it (of another's system): a row
# a label, answers in the wrong direction last; and the F1 that it printed of each relation.
SHORT = ("C-E", "C-W", "C-C", "E-D", "E-O", "I-A", "M-C", "M-T", "P-P", "Other")
PRINTED = """
300 0 0 0 4 1 0 2 2 12 3
1 235 5 1 1 11 11 6 3 29 8
0 5 160 7 2 0 1 1 1 11 4
0 2 7 264 0 0 0 1 1 16 1
3 1 1 4 226 1 0 1 3 16 1
0 4 1 1 1 118 0 4 5 21 0
0 4 0 0 2 0 206 1 0 19 0
1 5 0 1 2 0 2 229 1 19 1
5 1 2 0 4 9 0 3 177 27 2
16 25 18 23 27 24 29 33 26 231 0
"""
F1 = (91.88, 78.20, 82.05, 88.89, 85.77, 73.98, 85.65, 84.35, 78.49)


def test_equal_to_the_official_scorer():
    rng, names = np.random.default_rng(0), [f"{name}({way})" for name in SHORT[:9] for way in ("e1,e2", "e2,e1")]
    y, found = [], []
    for i, line in enumerate(PRINTED.split("\n")[1:-1]):
        *row, turned = map(int, line.split())
        for j, count in enumerate(row):
            for _ in range(count):
                way = rng.integers(2)
                y.append("Other" if i == 9 else names[2 * i + way])
                # Of another relation in any direction, of the right one in the right one.
                found.append("Other" if j == 9 else names[2 * j + (way if i == j else rng.integers(2))])
        y += names[2 * i : 2 * i + 1] * turned
        found += names[2 * i + 1 : 2 * i + 2] * turned
    report = relation_report(y, found, [*names, "Other"], none="Other")
    assert len(y) == 2706
    assert [round(100 * row.f1, 2) for row in report.per_relation] == list(F1)
    assert [round(100 * value, 2) for value in (report.macro_precision, report.macro_recall)] == [82.24, 84.38]
    assert round(100 * report.macro_f1, 2) == 83.25 and round(100 * report.micro_f1, 2) == 84.01
    assert round(100 * report.accuracy, 2) == 79.31


def test_the_report():
    rng = np.random.default_rng(1)
    y = rng.integers(0, 4, 200)
    found = np.where(rng.random(200) < 0.7, y, rng.integers(0, 4, 200))
    report = relation_report(y, found, NAMES, none=OTHER)
    low, high = report.intervals["macro_f1"]
    assert low < report.macro_f1 < high and high - low < 0.3
    told = report.as_dict()
    assert told["macro_f1"] == report.macro_f1 and told["intervals"]["macro_f1"] == [low, high]
    assert sum(map(sum, told["confusion"])) == 200 and set(told["relations"]) == {"A-B", "C"}
    shown = str(report)
    assert "2 relations, Other left out" in shown and f"macro F1 {100 * report.macro_f1:.1f} %" in shown
    assert relation_report([AB], [AB], NAMES, none=OTHER).intervals["accuracy"].low < 0.5


@pytest.mark.parametrize(
    "arguments, message",
    [
        (([AB], [AB, AB], NAMES), "1 labels and 2 answers"),
        (([], [], NAMES), "y has the shape"),
        (([AB], ["D"], NAMES), "answers has 'D'"),
        (([AB], [AB], [AB, AB]), "a different string for each class"),
        (([AB], [AB], NAMES, "nothing"), "none is 'nothing'"),
    ],
)
def test_bad_input(arguments, message):
    *given, none = arguments if len(arguments) == 4 else (*arguments, None)
    with pytest.raises(InputError, match=message):
        relation_report(*given, none=none)
