"""Reports of taggers: seqeval's figures by hand-made goldens, and the library's own counts by seqeval."""

import numpy as np
import pytest
from seqeval.metrics import f1_score, precision_score, recall_score

import lm_keras as lk
from lm_keras.tasks import tagging_report

# From the published example of seqeval: one of two names right.
GOLD = [["O", "O", "O", "B-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
FOUND = [["O", "O", "B-MISC", "I-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]


def test_a_span_is_right_only_as_a_whole():
    report = tagging_report(GOLD, FOUND)
    assert (report.precision, report.recall, report.f1) == (0.5, 0.5, 0.5)
    assert [(each.name, each.f1, each.support) for each in report.per_label] == [("MISC", 0.0, 1), ("PER", 1.0, 1)]
    assert report.token_accuracy == 0.8 and report.macro_f1 == 0.5 and report.num_texts == 2


@pytest.mark.parametrize(
    "gold, found, precision, recall",
    [
        ("B-A I-A O B-A B-B O", "B-A I-A B-A B-A B-B B-B", 3 / 5, 1.0),  # 3 phrases, 5 found, 3 correct
        ("B-A I-A O B-B O O", "I-A I-A O I-B I-B O", 0.5, 0.5),  # I- begins a phrase; B is too long
        ("I-A I-A B-A O", "B-A I-A B-A O", 1.0, 1.0),  # IOB1 and BIO say the same
        ("S-A O B-B E-B", "B-A O B-B I-B", 1.0, 1.0),
        ("O O", "B-A O", 0.0, 0.0),
        ("O O", "O O", 0.0, 0.0),
    ],
)
def test_phrases_are_counted_as_conlleval_does(gold, found, precision, recall):
    report = tagging_report([gold.split()], [found.split()])
    assert (report.precision, report.recall) == pytest.approx((precision, recall))
    assert str(report) and report.as_dict()["f1"] == report.f1


def drawn(rng, size):
    tags = rng.choice(["O", "B-A", "I-A", "B-x-y", "I-x-y"], size=size).tolist()
    return [tags[i : i + 7] for i in range(0, size, 7)]


def test_its_own_counts_are_seqevals():
    rng = np.random.default_rng(0)
    gold, found = drawn(rng, 700), drawn(rng, 700)
    found = [some if i % 3 else gold[i] for i, some in enumerate(found)]
    report = tagging_report(gold, found)
    expected = [measure(gold, found) for measure in (precision_score, recall_score, f1_score)]
    assert [report.precision, report.recall, report.f1] == pytest.approx(expected)
    hits, answers, labels = report._counts.sum((0, 1))
    assert [hits / answers, hits / labels, 2 * hits / (answers + labels)] == pytest.approx(expected)
    by_label = report._counts.sum(0)
    for each, (hits, answers, labels) in zip(report.per_label, by_label, strict=True):
        assert each.f1 == pytest.approx(2 * hits / (answers + labels)) and each.support == labels


def test_intervals_are_those_of_resampled_sentences():
    rng = np.random.default_rng(1)
    gold, found = drawn(rng, 350), drawn(rng, 350)
    found = [some if i % 2 else gold[i] for i, some in enumerate(found)]
    report = tagging_report(gold, found, seed=3)
    low, high = report.intervals["f1"]
    draws = [rng.integers(0, len(gold), len(gold)) for _ in range(300)]
    resampled = [f1_score([gold[i] for i in some], [found[i] for i in some]) for some in draws]
    assert low < report.f1 < high
    assert (low, high) == pytest.approx(np.quantile(resampled, [0.025, 0.975]), abs=0.03)
    assert set(report.label_intervals) == {"A", "x-y"}
    assert tagging_report(gold, gold).intervals["f1"] == (1.0, 1.0)


@pytest.mark.parametrize(
    "gold, found, said",
    [
        ([["O"]], [["O"], ["O"]], "1 sentences and answers to 2"),
        ([["O"], ["O", "O"]], [["O"], ["O"]], "sentence 1 has 2 tags and the answer 1"),
        ([[]], [[]], "no word to measure"),
    ],
)
def test_what_cannot_be_measured(gold, found, said):
    with pytest.raises(lk.InputError, match=said):
        tagging_report(gold, found)
