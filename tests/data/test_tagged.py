"""Files of tags and of spans, and the way between both: rules by example, and there and back of what is drawn."""

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lm_keras as lk
from lm_keras.data.tagged import as_tagged_text, checked_spans, tag_spans, word_places_of, word_tags

SPANS = [("PER", 0, 2), ("PER", 2, 3), ("LOC", 3, 4), ("ORG", 5, 8)]  # first word, and the one after the last
SCHEMES = {
    "BIO": "B-PER I-PER B-PER B-LOC O B-ORG I-ORG I-ORG",
    "IOB1": "I-PER I-PER B-PER I-LOC O I-ORG I-ORG I-ORG",
    "BIOES": "B-PER E-PER S-PER S-LOC O B-ORG I-ORG E-ORG",
    "BILOU": "B-PER L-PER U-PER U-LOC O B-ORG I-ORG L-ORG",
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_says_the_same_spans(scheme):
    assert [(label, first, end) for first, end, label in tag_spans(SCHEMES[scheme].split())] == SPANS


@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from(["O", "PER", "x-y"]))))
def test_tags_of_spans_give_the_spans(runs):
    spans, at = [], 0
    for size, label in runs:
        spans += [] if label == "O" else [(at, at + size, label)]
        at += size
    words = tuple("w" * (1 + i % 3) for i in range(at))
    places = [(i, i + 1) for i in range(at)]
    tags = word_tags(places, spans)
    assert tag_spans(tags) == spans
    record = as_tagged_text(lk.data.TaggedSentence(words, tuple(tags)), "it")
    found = word_places_of(lk.data.TaggedSentence(words, tuple(tags)))
    assert [record.text[a:b] for a, b in found] == list(words)
    assert word_tags(found, record.spans) == tags


def test_a_word_is_of_the_span_of_its_first_character():
    places, spans = [(0, 4), (5, 9), (10, 14)], [(2, 7, "A"), (7, 8, "B"), (10, 12, "C")]
    assert word_tags(places, spans) == ["O", "B-A", "B-C"]
    assert word_tags(places, spans, inside=True) == ["B-A", "I-A", "B-C"]


def test_conll_columns(tmp_path):
    lines = "-DOCSTART- -X- O O\n\nU.N. NNP I-NP I-ORG\nofficial NN I-NP O\n\n\nEkeus NNP I-NP I-PER\n"
    with gzip.open(tmp_path / "a.gz", "wt") as file:
        file.write(lines)
    first, second = lk.data.read_conll(tmp_path / "a.gz")
    assert first.words == ("U.N.", "official") and first.tags == ("I-ORG", "O") and second.words == ("Ekeus",)
    assert as_tagged_text(first, "").spans == [(0, 4, "ORG")]
    (tmp_path / "b.tsv").write_text(
        "#doc 1\n0\tSen. A\tB-Peop\tx\n1\t,\tO\tx\n#doc 2\n0\tb\tO\tx\n", encoding="utf-8"
    )
    found = lk.data.read_conll(tmp_path / "b.tsv", word=1, tag=2, separator="\t", comment="#doc")
    assert [sentence.words for sentence in found] == [("Sen. A", ","), ("b",)]
    characters = as_tagged_text(lk.data.TaggedSentence(tuple("在北京"), ("O", "B-LOC", "I-LOC")), "")
    assert characters == ("在北京", [(1, 3, "LOC")]) and characters.marked() == "在[LOC 北京]"


@pytest.mark.parametrize(
    "content, options, said",
    [
        ("a O\nb x O\n", {}, "line 2: 3 columns, but the first line has 2"),
        ("a O\nb B-\n", {}, "line 2: the tag 'B-' has no label"),
        ("a O\n", {"tag": 2}, "line 1: no column 2; the line has 2"),
        ("a\tO\n\tO\n", {"separator": "\t"}, "line 2: the word is empty"),
        ("\n\n", {}, "holds no word"),
        ("a O\n", {"separator": ""}, "separator is ''"),
    ],
)
def test_columns_that_cannot_be_read(content, options, said, tmp_path):
    (tmp_path / "a.txt").write_text(content, encoding="utf-8")
    with pytest.raises(lk.InputError, match=said):
        lk.data.read_conll(tmp_path / "a.txt", **options)


def span_line(spans, text="Kim met Lee"):
    return json.dumps({"text": text, "spans": spans}) + "\n"


def test_json_lines_of_spans(tmp_path):
    spans = [{"start": 8, "end": 11, "label": "PER"}, {"start": 0, "end": 3, "label": "PER", "by": "me"}]
    (tmp_path / "a.jsonl").write_text(span_line(spans) + "\n" + span_line([], "今"), encoding="utf-8")
    assert lk.data.read_spans(tmp_path / "a.jsonl") == [
        ("Kim met Lee", [(0, 3, "PER"), (8, 11, "PER")]),
        ("今", []),
    ]


@pytest.mark.parametrize(
    "line, said",
    [
        ({"start": 0, "end": 12, "label": "PER"}, r"line 2: the span \(0, 12, 'PER'\) is not within the text of 11"),
        ({"start": 3, "end": 3, "label": "PER"}, "is not within the text"),
        ({"start": 0, "end": 2}, 'line 2: spans is .* give a list of {"start"'),
        ({"start": True, "end": 2, "label": "PER"}, r"give \(start, end, label\)"),
        ({"start": 0, "end": 2, "label": " "}, r"give \(start, end, label\)"),
        ({"start": 4, "end": 9, "label": "X"}, r"line 2: X 'met L' \(4-9\) and PER 'Lee' \(8-11\) share characters"),
        ({"start": 8, "end": 11, "label": "X"}, "share characters"),
    ],
)
def test_spans_that_cannot_be_read(line, said, tmp_path):
    lines = span_line([]) + span_line([line, {"start": 8, "end": 11, "label": "PER"}])
    (tmp_path / "a.jsonl").write_text(lines, encoding="utf-8")
    with pytest.raises(lk.InputError, match=said):
        lk.data.read_spans(tmp_path / "a.jsonl")


def test_what_is_no_sentence_is_named():
    for record, said in [("text", "is a str"), (lk.data.TaggedSentence(("a",), ()), "1 words and 0 tags")]:
        with pytest.raises(lk.InputError, match=said):
            as_tagged_text(record, "sentence 3")
    with pytest.raises(lk.InputError, match="sentence 3: A 'ab' .* share"):
        as_tagged_text(("abc", [(0, 2, "A"), (1, 3, "B")]), "sentence 3")
    assert checked_spans("abc", [[1, 3, " B "], (0, 1, "A")], "") == [(0, 1, "A"), (1, 3, "B")]
