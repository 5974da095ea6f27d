"""Translations, summaries, transcripts: the libraries' numbers, a few by hand, and what intervals and tests are."""

import itertools
import json
import logging
from pathlib import Path

import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st

import lm_keras as lk
from lm_keras.tasks import (
    bootstrap_interval,
    compare_texts,
    distinct_n,
    recognition_report,
    repetition,
    summary_report,
    translation_report,
)
from lm_keras.tasks.text_sums import bleu_and_chrf, errors, rouge

# What sacrebleu 2.6, rouge-score 0.1.2 and jiwer 4.0 give; a version that gives other numbers is to be seen.
GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "text_metrics.json").read_text("utf-8"))
NEWS = [[text, row[0]] for text, row in GOLDEN["translations"]]


def columns(rows):
    return [list(column) for column in zip(*rows, strict=True)]


# === Numbers ===
def test_translations_are_measured_as_by_sacrebleu():
    predictions, references = columns(GOLDEN["translations"])
    first = [row[0] for row in references]
    found = {
        "one": translation_report(predictions, first),
        "two": translation_report(predictions, references),
        "lower": translation_report(predictions, first, tokenize="none", lowercase=True),
    }
    for name, report in found.items():
        assert report.bleu == pytest.approx(GOLDEN["bleu"][name]), name
    for name in ("one", "two"):
        assert found[name].chrf == pytest.approx(GOLDEN["chrf"][name]), name
    for tokenize in ("zh", "char"):
        report = translation_report(*columns(GOLDEN["chinese"]), tokenize=tokenize)
        assert report.bleu == pytest.approx(GOLDEN["bleu"][tokenize])
    version = sacrebleu.__version__
    assert found["two"].bleu_signature == f"nrefs:2|case:mixed|eff:no|tok:13a|smooth:exp|version:{version}"
    assert found["lower"].bleu_signature == f"nrefs:1|case:lc|eff:no|tok:none|smooth:exp|version:{version}"
    assert found["lower"].chrf_signature == f"nrefs:1|case:lc|eff:yes|nc:6|nw:0|space:no|version:{version}"
    some = translation_report(predictions, [references[0], *first[1:]])
    assert some.bleu_signature.startswith("nrefs:var|")


def test_a_translation_by_hand():
    report = translation_report(["the cat sat down"], ["the cat sat on"])
    # 3 of 4 words, 2 of 3 pairs, 1 of 2 triples, none of 1: half a hit (Chen and Cherry 2014, 3).
    assert report.bleu == pytest.approx(100 * (3 / 4 * 2 / 3 * 1 / 2 * 1 / 2) ** (1 / 4))
    assert report.bleu_interval == pytest.approx((report.bleu, report.bleu)) and report.length_ratio == 1
    short = translation_report(["a b c d"], ["a b c d e f"])
    assert short.bleu == pytest.approx(100 * np.exp(1 - 6 / 4)) and short.length_ratio == pytest.approx(2 / 3)
    # Of 1 and 2 characters, the orders that there are: precision and recall 1/2 and 0, so both 1/4 on average.
    assert translation_report(["ab"], ["ac"]).chrf == pytest.approx(25)


@pytest.mark.parametrize("count", [1, 2])
def test_summaries_are_measured_as_by_rouge_score(count):
    predictions, references = columns(GOLDEN["summaries"])
    for stemmer, name in ((True, "stems"), (False, "words")):
        report = summary_report(predictions, [row[:count] for row in references], stemmer=stemmer)
        for kind, expected in GOLDEN["rouge"][f"{name} {count}"].items():
            assert getattr(report, kind) == pytest.approx(expected), kind


def test_a_summary_by_hand():
    report = summary_report(["Rates rise again"], ["Bank raises rates again"])
    # "rate" and "again" of 3 and 4 words, in this order; no pair.
    assert [report.rouge1, report.rouge2, report.rougeL] == pytest.approx([100 * 2 * 2 / 7, 0, 100 * 2 * 2 / 7])
    chinese = summary_report(["银行再次加息"], ["银行昨天加息"], language="zh")
    assert [chinese.rouge1, chinese.rouge2] == pytest.approx([100 * 4 / 6, 100 * 2 / 5])
    assert summary_report(["iPhone在2024年"], ["2024年的iphone"], language="zh").rouge1 == pytest.approx(100 * 3 / 4)
    assert summary_report(["银行"], ["银行"]).rouge1 == 0, "rouge-score's words are ASCII"


def test_transcripts_are_measured_as_by_jiwer():
    report = recognition_report(*columns(GOLDEN["transcripts"]))
    assert [report.wer, report.substitutions, report.deletions, report.insertions] == GOLDEN["wer"]
    assert report.cer == pytest.approx(GOLDEN["cer"])
    lower = recognition_report(*columns(GOLDEN["transcripts"]), normalize=lambda text: text.lower().strip("."))
    assert lower.substitutions == report.substitutions - 1


def test_a_transcript_by_hand():
    report = recognition_report(["the cat sat", "uh"], ["the\tcat\n sat down", " "])
    assert (report.wer, report.words, report.deletions, report.insertions) == (2 / 4, 4, 1, 1)
    assert report.cer == pytest.approx((5 + 2) / 16) and report.empty_references == 1


def test_variety_by_hand():
    assert distinct_n(["a b a b", "c"], 1) == 3 / 5 and distinct_n(["a b a b", "c"]) == 2 / 3
    assert repetition(["to be or not to be", "a b c"], 2) == pytest.approx((1 - 4 / 5) / 2)
    assert distinct_n(["好好"], 1, words=list) == 1 / 2
    with pytest.raises(lk.InputError, match="no text has 4 words"):
        repetition(["a b c", ""])


# === Of any text ===
TEXT = st.text(st.one_of(st.sampled_from(" abcdeA.,\n好的\0\ud800"), st.characters()), max_size=30)
ROWS = st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=5)


@given(ROWS)
@settings(max_examples=60, deadline=None)
def test_any_text_is_measured_as_by_sacrebleu(rows):
    predictions, references = columns(rows)
    for of, library in (("bleu", sacrebleu.corpus_bleu), ("chrf", sacrebleu.corpus_chrf)):
        sums = bleu_and_chrf(predictions, [[text] for text in references], of=of)[0]
        assert sums.value == pytest.approx(library(predictions, [references]).score)


@given(ROWS, st.randoms())
@settings(max_examples=10, deadline=None)
def test_the_order_of_rows_does_not_matter(rows, random):
    other = random.sample(rows, len(rows))
    for report in (translation_report, summary_report, recognition_report):
        if report is recognition_report and not any(text.split() for _, text in rows):
            continue
        one, two = (report(*columns(some)).as_dict() for some in (rows, other))
        for name, value in one.items():
            assert two[name] == (value if isinstance(value, str) else pytest.approx(value))


@given(st.lists(TEXT, min_size=1, max_size=4))
@settings(max_examples=30, deadline=None)
def test_equal_texts_have_no_error(texts):
    texts = [f"one two three four {text}" for text in texts]
    references = [[text] for text in texts]
    assert all(bleu_and_chrf(texts, references, of=of)[0].value == pytest.approx(100) for of in ("bleu", "chrf"))
    for language in ("en", "zh"):
        assert all(values == pytest.approx(100) for values in rouge(texts, references, language=language).values())
    assert errors(texts, texts).value == errors(texts, texts, "characters").value == 0


# === How sure they are ===
def many(count, seed=0):
    """Translations of which some words are wrong, and their references."""
    rng = np.random.default_rng(seed)
    references = [rng.choice(list("abcdefgh"), rng.integers(5, 15)) for _ in range(count)]
    predictions = [np.where(rng.random(len(row)) < rng.random() / 2, "x", row) for row in references]
    return [" ".join(row) for row in predictions], [" ".join(row) for row in references]


def test_an_interval_is_that_of_the_measure_of_resampled_texts():
    predictions, references = map(np.array, many(30))

    def bleu(predictions, references):
        return sacrebleu.corpus_bleu(predictions.tolist(), [references.tolist()]).score

    report = translation_report(predictions, references)
    expected = bootstrap_interval((predictions, references), bleu, resamples=300)
    assert report.bleu_interval == pytest.approx(expected, abs=2)
    low, high = report.bleu_interval
    assert low < report.bleu < high and high - low > 5
    wider = translation_report(predictions, references, level=0.99)
    assert wider.chrf_interval.low < report.chrf_interval.low < report.chrf < report.chrf_interval.high


def test_a_report_is_printed_and_kept():
    report = translation_report(*many(30))
    assert f"BLEU {report.bleu:.1f} (95% interval {report.bleu_interval.low:.1f} to" in str(report)
    assert "|tok:13a|" in str(report) and str(report).startswith("30 translations")
    kept = json.loads(json.dumps(report.as_dict()))
    assert kept["bleu_interval"] == list(report.bleu_interval) and kept["level"] == 0.95
    assert "ROUGE-L 57.1 (95% interval" in str(summary_report(["Rates rise again"], ["Bank raises rates again"]))
    spoken = str(recognition_report(["the cat sat"], ["the cat sat down"]))
    assert "1 utterances of 4 words: 0 substitutions, 1 deletions" in spoken and "word error rate 25.0 %" in spoken


@pytest.mark.parametrize("metric", ["bleu", "wer"])
def test_two_systems_by_all_swaps(metric):
    a, references = many(8)
    b = [text.replace("x", "y") if i % 3 else "x " * 6 for i, text in enumerate(a)]

    def measured(texts):
        if metric == "bleu":
            return sacrebleu.corpus_bleu(texts, [references]).score
        return errors(texts, references).value

    value = measured(a) - measured(b)
    rows = list(zip(a, b, strict=True))
    swapped = []
    for kept in itertools.product([0, 1], repeat=len(a)):
        one, two = ([row[(k + side) % 2] for row, k in zip(rows, kept, strict=True)] for side in (0, 1))
        swapped.append(measured(one) - measured(two))
    expected = np.mean(np.abs(swapped) >= abs(value) - 1e-9)
    found = compare_texts(a, b, references, metric, resamples=10_000)
    assert found.difference == pytest.approx(value) and found.low < value < found.high
    assert found.p_value == pytest.approx(expected, abs=0.015) and 0.01 < expected < 0.9


def test_systems_that_are_alike_do_not_differ():
    a, references = many(20)
    for metric in ("bleu", "chrf", "rouge2", "rougeL", "wer", "cer"):
        found = compare_texts(a, a, references, metric, resamples=50)
        assert (found.difference, found.low, found.high, found.p_value) == (0, 0, 0, 1)
        better = compare_texts(references, a, references, metric, resamples=200)
        assert (better.difference > 0) == (metric not in ("wer", "cer")) and better.p_value < 0.05


# === Refusals ===
@pytest.mark.parametrize("report", [translation_report, summary_report, recognition_report])
@pytest.mark.parametrize(
    ("predictions", "references", "message"),
    [
        ([], [], "no texts"),
        (["a"], ["a", "b"], "1 predictions and references of 2"),
        ("a", ["a"], "is one string"),
        ([None], ["a"], "NoneType"),
        (["a"], [None], "the reference of text 0 is None"),
        (["a"], [[]], "the reference of text 0 is"),
        (["a"], [["a", 3]], "the reference of text 0 is"),
        (["a"], 3, "references is 3"),
    ],
)
def test_what_cannot_be_measured_is_an_error(report, predictions, references, message):
    with pytest.raises(lk.InputError, match=message):
        report(predictions, references)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: translation_report(["a"], ["a"], tokenize="spm"), "tokenize is 'spm'; it must be one of 13a, intl"),
        (lambda: translation_report(["a"], ["a"], level=95), "level is 95"),
        (lambda: summary_report(["a"], ["a"], language="de"), "language is 'de'"),
        (lambda: recognition_report(["a"], [""]), "the references have no word"),
        (lambda: recognition_report(["a"], [["a", "b"]]), "utterance 0 has 2 references"),
        (lambda: recognition_report(["a"], ["a"], normalize=len), "normalize gives a int"),
        (lambda: compare_texts(["a"], ["b"], ["c"], "meteor"), "metric is 'meteor'"),
        (lambda: compare_texts(["a"], ["b", "c"], ["c"]), "2 predictions and references of 1"),
        (lambda: distinct_n(["a"], 0), "n is 0"),
    ],
)
def test_what_there_is_not_is_named(call, message):
    with pytest.raises(lk.InputError, match=message):
        call()


def test_tokenized_texts_bring_no_warning_where_they_are_said_to_be(caplog):
    rows = ["a man walks his dog ."] * 120
    with caplog.at_level(logging.WARNING):
        translation_report(rows, rows, tokenize="none")
        assert not caplog.records
        translation_report(rows, rows)
        assert "forgot to detokenize" in caplog.text
