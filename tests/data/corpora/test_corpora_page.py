"""The table of docs/corpora.md against the code and, where they are at hand, the sets themselves."""

import itertools
import os
import re
from collections import Counter

import pytest
from paths import ROOT

from lm_keras.data import classes, load
from lm_keras.data.corpora.registry import CORPORA

PAGE = ROOT / "docs" / "corpora.md"


def rows():
    text = PAGE.read_text(encoding="utf-8")
    section = text[text.index("## Sets\n") : text.index("## Sets that cannot")]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return {name.strip("` "): rest for name, *rest in cells}


def sizes(cell):
    """{split: number of records} of "train 8,000; test 7,600"."""
    pairs = (part.split(" ", 1) for part in cell.split("; "))
    return {split: int(re.match(r"[\d,]+", size)[0].replace(",", "")) for split, size in pairs}


def test_every_set_has_its_row():
    table = rows()
    assert list(table) == list(CORPORA)
    for name, (what, records, splits, licence, source) in table.items():
        corpus = CORPORA[name]
        assert (what, licence, source) == (corpus.description, corpus.licence, corpus.source)
        if corpus.read_by:
            assert (records, splits) == ("path", "-")
        else:
            assert tuple(sizes(splits)) == corpus.splits


def text_of(record):
    """A record without its labels."""
    if hasattr(record, "context"):
        return record.title, record.context, record.question
    fields = [
        name
        for name in ("text", "words", "turns", "document", "en", "reference", "question", "good")
        if hasattr(record, name)
    ]
    return getattr(record, fields[0]) if fields else record


def test_the_sets_that_cannot_be_fetched():
    text = PAGE.read_text(encoding="utf-8")
    section = text[text.index("## Sets that cannot be fetched") : text.index("## What is in two parts")]
    named = {name for name in re.findall(r"`([^`]+)`", section) if name in CORPORA}
    assert named == {name for name, corpus in CORPORA.items() if not corpus.url and not corpus.embedded}


real = pytest.mark.skipif(not os.environ.get("LM_KERAS_DATA"), reason="needs the sets in $LM_KERAS_DATA")


@real
@pytest.mark.parametrize("name", [name for name, corpus in CORPORA.items() if not corpus.read_by])
def test_the_sizes_of_every_split(name):
    _, records, splits, *_ = rows()[name]
    loaded = {split: load(name, split) for split in CORPORA[name].splits}
    assert {split: len(found) for split, found in loaded.items()} == sizes(splits)
    assert {type(record).__name__ for found in loaded.values() for record in found} == {records.strip("`")}
    if "all" in splits and "train" in splits:
        joined = Counter(loaded["train"]) + Counter(loaded["validation"])
        assert len(loaded["all"]) == 1 or joined == Counter(loaded["all"])
        assert not set(map(text_of, loaded["train"])) & set(map(text_of, loaded["validation"])), "no copies"
    if records == "`Labelled`" or records == "`Relation`":
        labels = {record.label for found in loaded.values() for record in found}
        assert labels == set(range(len(classes(name))))
    if records == "`TaggedSentence`":
        assert {tag for found in loaded.values() for record in found for tag in record.tags} <= set(classes(name))


@real
def test_what_the_publications_count():
    conll = [load("conll2003", split) for split in ("train", "validation", "test")]
    assert [sum(len(sentence.words) for sentence in part) for part in conll] == [203_621, 51_362, 46_435]
    entities = Counter(tag[2:] for sentence in conll[0] for tag in sentence.tags if tag.startswith("B-"))
    assert entities == {"LOC": 7140, "MISC": 3438, "ORG": 6321, "PER": 6600}, "Tjong Kim Sang & De Meulder, table 2"
    chinese = load("msra-ner", "all")
    assert sum(len(sentence.words) for sentence in chinese) == 2_342_480
    for sentence in chinese + conll[0]:
        steps = zip(("O", *sentence.tags), sentence.tags, strict=False)
        assert all(before[2:] == tag[2:] for before, tag in steps if tag.startswith("I-"))
    assert sum(review.label for review in load("chnsenticorp-hotel", "all")) == 5322
    assert [sum(len(talk.turns) for talk in load("dailydialog", split)) for split in ("validation", "test")] == [
        8069,
        7740,
    ]
    tasks = Counter(record.title for split in ("train", "test") for record in load("babi", split))
    assert len(tasks) == 20 and set(tasks.values()) == {2000}
    assert sum((summary.score >= 3) for summary in load("lcsts-part3", "test")) == 725
    assert sum(len(question.answers) for question in load("cmu-qa", "all")) == 1474 + 725 + 1222
    news = [load("ag-news", split) for split in ("train", "test")]
    assert len({item.text for item in news[0]} & {item.text for item in news[1]}) == 16
    languages = Counter(talk.language for talk in load("chatterbot-corpus", "all"))
    assert languages == {"en": 2025, "zh": 467, "de": 113, "fr": 89}


@real
@pytest.mark.parametrize("name, split", [("squad2-cs224n-dev", "validation"), ("xquad", "en"), ("xquad", "zh")])
def test_answers_stand_where_they_are_said_to(name, split):
    records = load(name, split)
    for record in records:
        for text, start in record.answers:
            assert record.context[start : start + len(text)] == text
    assert sum(not record.is_impossible for record in records) == (2910 if name.startswith("squad") else 1190)
    assert all(bool(record.answers) != record.is_impossible for record in records)


@real
def test_what_is_in_two_parts():
    text = PAGE.read_text(encoding="utf-8")
    said = re.findall(r"^\| `([^`]+)` \| (\S+) \| ([\d,]+) \| (\S+) \|$", text, re.MULTILINE)
    order = ("train-10k", "train", "validation", "test", "test-2017", "test-ls-clean")
    found = set()
    for name, corpus in CORPORA.items():
        splits = [split for split in order if split in corpus.splits and "all" not in corpus.splits]
        texts = {split: list(map(text_of, load(name, split))) for split in splits}
        for first, second in itertools.combinations(splits, 2):
            if number := sum(map(set(texts[first]).__contains__, texts[second])):
                found.add((name, second, f"{number:,}", first))
    assert set(said) == found
