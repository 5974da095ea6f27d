"""`tasks.metrics`: measures against scikit-learn and by hand, intervals against rows that are drawn one by one."""

import json

import numpy as np
import pytest
from sklearn import metrics as scores

import lm_keras as lk
from lm_keras.tasks import classification_report
from lm_keras.tasks.class_counts import bootstrap

CLASSES = ["sport", "war", "weather", "wealth"]


def answers(count=300, right=0.7, seed=0, classes=4):
    """Labels and answers of uneven classes, of which about `right` are right."""
    rng = np.random.default_rng(seed)
    share = np.arange(1, classes + 1) / np.arange(1, classes + 1).sum()
    y, other = rng.choice(classes, count, p=share), rng.integers(0, classes, count)
    return y, np.where(rng.random(count) < right, y, other)


def several(count=250, seed=1):
    """Labels and answers of texts with any number of four classes."""
    rng = np.random.default_rng(seed)
    y = rng.random((count, 4)) < (0.1, 0.3, 0.5, 0.7)
    return y.astype(int), (y ^ (rng.random((count, 4)) < 0.15)).astype(int)


def test_measures_by_hand():
    # war: found 3 times, 2 of which are right; 2 of its 4 texts were found.
    y = ["war", "war", "war", "war", "sport", "sport"]
    found = ["war", "war", "sport", "sport", "sport", "war"]
    report = classification_report(y, found, ["sport", "war"])
    assert report.accuracy == report.micro_f1 == report.exact_match == 0.5
    assert report.per_class[1] == ("war", pytest.approx(2 / 3), 0.5, pytest.approx(4 / 7), 4)
    assert report.per_class[0] == ("sport", pytest.approx(1 / 3), 0.5, pytest.approx(0.4), 2)
    assert report.macro_f1 == pytest.approx((4 / 7 + 0.4) / 2)
    assert report.weighted_f1 == pytest.approx((4 * 4 / 7 + 2 * 0.4) / 6)
    assert report.confusion.tolist() == [[1, 1], [2, 2]] and report.log_loss is None


def test_classes_that_do_not_occur_are_no_part_of_a_mean():
    y, found = answers()
    plain, more = classification_report(y, found, CLASSES), classification_report(y, found, [*CLASSES, "never"])
    assert more.per_class[-1] == ("never", 0, 0, 0, 0)
    names = ("macro_precision", "macro_recall", "macro_f1", "weighted_f1", "intervals")
    assert all(getattr(plain, name) == getattr(more, name) for name in names)
    assert plain.macro_f1 == pytest.approx(scores.f1_score(y, found, average="macro"))
    # A class that is an answer and no label counts, as in scikit-learn.
    wrong = classification_report([0, 0, 0], [0, 0, 3], CLASSES)
    assert wrong.macro_f1 == pytest.approx(scores.f1_score([0, 0, 0], [0, 0, 3], average="macro")) == 0.4


def test_several_classes_a_text():
    y, found = several()
    report = classification_report(y, found, CLASSES)
    assert report.multi_label and report.accuracy == np.mean((y == found).all(1))
    for average in ("macro", "micro", "weighted"):
        expected = scores.f1_score(y, found, average=average)
        assert getattr(report, f"{average}_f1") == pytest.approx(expected)
    assert [each.f1 for each in report.per_class] == pytest.approx(scores.f1_score(y, found, average=None))
    assert [each.support for each in report.per_class] == y.sum(0).tolist()
    assert report.confusion.shape == (4, 2, 2) and report.confusion[2, 1, 1] == (y & found)[:, 2].sum()
    axes = report.plot_confusion().axes[0]
    drawn = [[bar.get_width() for bar in bars] for bars in axes.containers]
    assert drawn == [part.sum(0).tolist() for part in (y & found, y & (1 - found), (1 - y) & found)]


def test_where_no_class_occurs_nothing_is_nan():
    """As in the measures of an epoch: F1 is 0 where there is nothing to find, and the answers are right."""
    report = classification_report(np.zeros((3, 2), int), np.zeros((3, 2), int), ["a", "b"])
    assert (report.accuracy, report.macro_f1, report.macro_precision, report.macro_recall) == (1, 0, 0, 0)
    json.dumps(report.as_dict(), allow_nan=False)


def test_the_number_of_texts_is_whole_where_no_answer_is_right():
    report = classification_report([0, 0], [1, 1], ["a", "b"])
    assert [repr(each.support) for each in report.per_class] == ["2", "0"]


def test_classes_that_are_called_by_their_places():
    assert classification_report([0, 1], [0, 1], ["0", "1"]).accuracy == 1
    assert classification_report(["1", "2"], ["1", "3"], ["1", "2", "3"]).confusion.tolist()[1] == [0, 0, 1]


def test_names_that_differ_in_their_end_alone():
    """NumPy's strings have no NUL at their end."""
    report = classification_report(["a\0", "a", "a"], ["a\0", "a\0", "a"], ["a", "a\0"])
    assert report.confusion.tolist() == [[1, 1], [0, 1]]


def test_probabilities():
    y, _ = answers()
    table = np.random.default_rng(2).dirichlet(np.ones(4), len(y)).astype("float32")
    report = classification_report([CLASSES[i] for i in y], table, CLASSES)
    assert report.accuracy == np.mean(table.argmax(1) == y)
    assert report.log_loss == pytest.approx(-np.log(table[np.arange(len(y)), y]).mean(), rel=1e-6)
    assert report.log_loss == pytest.approx(scores.log_loss(y, table, labels=range(4)), rel=1e-5)
    labels, _ = several()
    table = np.random.default_rng(3).random(labels.shape)
    report = classification_report(labels, table, CLASSES)
    assert report.micro_f1 == pytest.approx(scores.f1_score(labels, table >= 0.5, average="micro"))
    each = -np.log(np.where(labels == 1, table, 1 - table))
    assert report.log_loss == pytest.approx(each.mean())
    assert classification_report([0], np.array([[0.0, 1.0]]), ["a", "b"]).log_loss == pytest.approx(87.34, abs=0.01)


@pytest.mark.parametrize("make", [answers, several])
def test_what_is_resampled_is_what_rows_drawn_one_by_one_give(make):
    """The counts of a resample are those of its rows: the measures of both have the same distribution."""
    y, found = make(80)
    report = classification_report(y, found, CLASSES)
    drawn = bootstrap(report._labels, report._answers, 4000, 0).drawn
    rng, by_hand = np.random.default_rng(9), []
    for _ in range(300):
        rows = rng.integers(0, len(y), len(y))
        macro = scores.f1_score(y[rows], found[rows], average="macro")
        by_hand.append([np.mean((y[rows] == found[rows]).reshape(80, -1).all(1)), macro])
    mine = np.stack([drawn.accuracy, drawn.macro_f1], 1)
    by_hand = np.array(by_hand)
    error = by_hand.std(0) / np.sqrt(len(by_hand))
    np.testing.assert_array_less(np.abs(mine.mean(0) - by_hand.mean(0)), 4 * error)
    np.testing.assert_allclose(mine.std(0), by_hand.std(0), rtol=0.15)


@pytest.mark.parametrize("make", [answers, several])
def test_what_is_left_out_is_one_text(make):
    y, found = make(40)
    report = classification_report(y, found, CLASSES)
    made = bootstrap(report._labels, report._answers, 10, 0)
    mine = np.repeat(np.stack([made.left_out.accuracy, made.left_out.macro_f1], 1), made.kinds, 0)
    rows = [np.delete(np.arange(40), i) for i in range(40)]
    expected = [
        [scores.accuracy_score(y[some], found[some]), scores.f1_score(y[some], found[some], average="macro")]
        for some in rows
    ]
    np.testing.assert_allclose(np.sort(mine, 0), np.sort(expected, 0))


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Labels and answers of a known confusion matrix: of 95 % intervals about 95 hold its accuracy and macro F1."""
    cells = np.array([[0.32, 0.05, 0.03], [0.04, 0.25, 0.06], [0.02, 0.03, 0.20]])
    hits, both = np.diag(cells), cells.sum(0) + cells.sum(1)
    truth = (hits.sum(), np.mean(2 * hits / both))  # accuracy and macro F1
    rng, one, held = np.random.default_rng(4), np.eye(3, dtype=bool), []
    for seed in range(300):
        y, found = np.divmod(rng.choice(9, 150, p=cells.ravel()), 3)
        made = bootstrap(one[y], one[found], 600, seed)
        ends = [made.interval(measure, 0.95) for measure in (lambda c: c.accuracy, lambda c: c.macro_f1)]
        held.append([low <= value <= high for (low, high), value in zip(ends, truth, strict=True)])
    assert np.mean(held, 0) == pytest.approx([0.95, 0.95], abs=0.04)


def test_intervals_are_the_same_with_a_seed_and_narrower_with_a_lower_level():
    y, found = answers()
    one = classification_report(y, found, CLASSES).intervals
    assert one == classification_report(y, found, CLASSES).intervals
    assert one != classification_report(y, found, CLASSES, seed=1).intervals
    narrow = classification_report(y, found, CLASSES, level=0.5).intervals
    for name, (low, high) in one.items():
        assert low < narrow[name].low < narrow[name].high < high, name


def test_where_all_is_right_the_interval_of_the_accuracy_is_wilsons():
    report = classification_report([0, 1, 1, 0], [0, 1, 1, 0], ["a", "b"])
    assert report.intervals["accuracy"] == lk.tasks.wilson(4, 4) and report.intervals["macro_f1"] == (1, 1)
    assert classification_report([0], [1], ["a", "b"]).intervals["accuracy"] == lk.tasks.wilson(0, 1)


# === For people and for files ===
def test_the_table():
    y, found = answers()
    table = np.eye(4)[found] * 0.9 + 0.025
    report = classification_report(y, table, CLASSES)
    lines = str(report).split("\n")
    assert lines[0] == "300 texts, 4 classes" and lines[1].split() == ["precision", "recall", "F1", "texts"]
    for line, each in zip(lines[2:6], report.per_class, strict=True):
        shares = [f"{100 * value:.1f}" for value in each[1:4]]
        assert line.split() == [each.name, *shares, str(each.support)]
    low, high = report.intervals["accuracy"]
    assert f"accuracy {100 * report.accuracy:.1f} % (95% interval {100 * low:.1f} to {100 * high:.1f})" in lines
    assert lines[-1] == f"log loss {report.log_loss:.3f} nats"


def test_the_table_of_many_classes_has_the_worst():
    y, found = answers(2000, classes=60)
    report = classification_report(y, found, [f"class {i}" for i in range(60)])
    lines = str(report).split("\n")
    assert lines[0].endswith("60 classes; the 30 of the lowest F1")
    worst = sorted(report.per_class, key=lambda each: each.f1)[:30]
    assert [line.split("  ")[0] for line in lines[2:32]] == [each.name for each in worst]


@pytest.mark.parametrize("make", [answers, several])
def test_as_dict_is_json(make):
    report = classification_report(*make(), CLASSES)
    read = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert read == report.as_dict()
    assert read["accuracy"] == report.accuracy and read["intervals"]["macro_f1"] == list(report.intervals["macro_f1"])
    assert read["classes"]["war"]["recall"] == report.per_class[1].recall
    low, high = read["classes"]["war"]["f1_interval"]
    assert low < report.per_class[1].f1 < high


def test_the_picture_of_the_confusion(tmp_path):
    report = classification_report(*answers(), CLASSES)
    figure = report.plot_confusion()
    axes = figure.axes[0]
    shown = np.asarray(axes.images[0].get_array())
    np.testing.assert_allclose(shown, report.confusion / report.confusion.sum(1, keepdims=True))
    assert [label.get_text() for label in axes.get_yticklabels()] == CLASSES
    assert sum(int(text.get_text()) for text in axes.texts) == 300
    figure.savefig(tmp_path / "confusion.png")
    assert (tmp_path / "confusion.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (([], [], CLASSES), "at least one text"),
        (([0, 1], [0], CLASSES), "one answer for each text"),
        (([0, 4], [0, 1], CLASSES), "places from 0 to 3"),
        (([0, -1], [0, 1], CLASSES), "places from 0 to 3"),
        ((["war", "peace"], ["war", "war"], CLASSES), "'peace', which is none of the classes"),
        (([0], [[0.5, 0.5]], CLASSES), "probabilities have the shape"),
        (([0], [[0.5, 0.1]], ["a", "b"]), "do not sum to 1"),
        (([0], [[-3.0, 4.0]], ["a", "b"]), "not logits"),
        (([0], [[np.nan, 1.0]], ["a", "b"]), "not logits"),
        (([[0, 1]], [1], ["a", "b"]), "one answer for each text"),
        (([[0, 2]], [[0, 1]], ["a", "b"]), "give 0 or 1"),
        (([0], [0], ["a", "a"]), "different string"),
        (
            ([1, 2], [0, 1], ["1", "2", "3"]),
            "y are numbers, and classes are called by numbers, '1', '2', '3'; give names",
        ),
        (([0], [0], "ab"), "different string"),
        ((["", "war"], ["war", "war"], CLASSES), "'', which is none of the classes"),
        ((["war", None], ["war", "war"], CLASSES), "None, which is none of the classes"),
        ((["war", 0], ["war", "war"], CLASSES), "0, which is none of the classes"),
        (([["war"], {}], ["war", "war"], CLASSES), "which is none of the classes"),
        (([["war"], ["war", "sport"]], [["war"], []], CLASSES), "for several classes a text give 0 or 1"),
        (([0, 1], [["war"], ["war", "sport"]], CLASSES), "for several classes a text give 0 or 1"),
    ],
)
def test_what_is_refused(arguments, says):
    with pytest.raises(lk.InputError, match=says):
        classification_report(*arguments)
