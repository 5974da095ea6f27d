"""Readers of relations, and marks in the text."""

import gzip
import json

import pytest

import lm_keras as lk
from lm_keras.data import RelatedText, Relation, relation_of_marks
from lm_keras.data.corpora import related
from lm_keras.data.relations import pairs_of, related_pairs
from lm_keras.errors import InputError

MARKED = "The <e1>author</e1> of a 天气 uses a <e2>disassembler</e2>."


def write(path, rows):
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    content = lines.encode("utf-8")
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def test_marks_become_places_and_places_marks():
    record = relation_of_marks(MARKED)
    assert record.text == "The author of a 天气 uses a disassembler."
    assert [record.text[slice(*place)] for place in (record.first, record.second)] == ["author", "disassembler"]
    assert record.marked() == MARKED and record.label is None
    turned = "<e2>A ridge</e2><e1>.</e1>"  # the second first, side by side
    assert relation_of_marks(turned).marked() == turned
    nested = "a <e1>b <e2>c</e2></e1> d"
    assert relation_of_marks(nested).marked() == nested


@pytest.mark.parametrize(
    "text, message",
    [
        ("no <e1>mark</e1> here", "lacks <e2>"),
        ("<e1>a</e1> <e2>b</e2> <e1>c</e1>", "has <e1> twice"),
        ("<e1></e1>a <e2>b</e2>", r"first, \(0, 0\), is not within the text"),
        ("a</e1> <e1>b <e2>c</e2>", "is not within"),
        ("<e1>a</e1> <e2> </e2>", "second, .* is white space"),
    ],
)
def test_bad_marks(text, message):
    with pytest.raises(InputError, match=message):
        relation_of_marks(text)


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz", "x.json"])
def test_relations_of_a_file(tmp_path, name):
    rows = [{"text": "a b\u2028c", "first": [0, 1], "second": [4, 5], "label": " R ", "id": 3}]
    path = tmp_path / name
    if name == "x.json":
        path.write_text(json.dumps(rows))
    else:
        write(path, rows)
    assert lk.data.read_relations(path) == [Relation("a b\u2028c", (0, 1), (4, 5), "R")]


@pytest.mark.parametrize(
    "row, message",
    [
        ({"text": "a b", "first": [0, 1], "second": [2, 3]}, "line 2: no 'label'"),
        ({"text": "a b", "first": [0, 1], "second": [2, 3], "label": ""}, "line 2: the label is ''"),
        ({"text": 7, "first": [0, 1], "second": [2, 3], "label": "R"}, "line 2: the text is 7"),
        ({"text": "a b", "first": [0, 9], "second": [2, 3], "label": "R"}, r"line 2: first, \(0, 9\), is not within"),
        ({"text": "a b", "first": [0, True], "second": [2, 3], "label": "R"}, "line 2: first is"),
        (
            {"text": "a b", "first": [0, 1], "second": [1, 2], "label": "R"},
            r"line 2: second, \(1, 2\), is white space",
        ),
        (
            {"text": "a b", "first": [0, 1], "second": "b", "label": "R"},
            r"line 2: second is 'b'; give \(start, end\)",
        ),
    ],
)
def test_bad_relations(tmp_path, row, message):
    good = {"text": "a b", "first": [0, 1], "second": [2, 3], "label": "R"}
    with pytest.raises(InputError, match=message):
        lk.data.read_relations(write(tmp_path / "x.jsonl", [good, row]))


def test_texts_with_entities_and_relations(tmp_path):
    spans = [{"start": 9, "end": 14, "label": "Loc"}, {"start": 0, "end": 3, "label": "Peop"}]
    rows = [
        {"text": "Ann is in Paris", "spans": spans[:0], "relations": []},
        {"text": "Ann is in Paris", "spans": spans, "relations": [{"first": 1, "second": 0, "label": "Live_In"}]},
    ]
    spans[0].update(start=10, end=15)
    empty, full = lk.data.read_related(write(tmp_path / "x.jsonl", rows))
    assert empty == ("Ann is in Paris", (), ())
    assert full == RelatedText("Ann is in Paris", ((0, 3, "Peop"), (10, 15, "Loc")), ((0, 1, "Live_In"),))


@pytest.mark.parametrize(
    "relations, message",
    [
        ([(0, 2, "R")], "is not between two of 2 entities"),
        ([(0, 0, "R")], "is of an entity with itself"),
        ([(0, 1, "R"), (0, 1, "S")], "is beside 'R' of the same pair"),
        ([(0, 1)], "the relation is"),
    ],
)
def test_bad_relations_of_entities(relations, message):
    with pytest.raises(InputError, match=f"text 0: .*{message}"):
        related_pairs([RelatedText("a b", ((0, 1, "x"), (2, 3, "y")), relations)], "none", 3)


def test_pairs_of_entities():
    assert pairs_of(3, 1) == [(0, 1), (1, 0), (1, 2), (2, 1)]
    assert pairs_of(3, 9) == [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)]
    assert pairs_of(0, 9) == pairs_of(1, 9) == []
    text = RelatedText("a b c", ((0, 1, "x"), (2, 3, "x"), (4, 5, "y")), ((1, 0, "R"), (0, 2, "far")))
    found = [(pair.first, pair.second, pair.label) for pair in related_pairs([text], "none", 1)]
    assert found == [
        ((0, 1), (2, 3), "none"),
        ((2, 3), (0, 1), "R"),
        ((2, 3), (4, 5), "none"),
        ((4, 5), (2, 3), "none"),
    ]


def test_the_words_of_conll04():
    content = (
        "#doc 7\n0\tJohn\tB-Peop\t['N']\t[0]\n1\tB.\tI-Peop\t['Live_In', 'Work_For']\t[3, 4]\n2\tof\tO\t['N']\t[2]\n"
        "3\tParis\tB-Loc\t['N']\t[3]\n4\tAP\tB-Org\t['N']\t[4]\n#doc 8\n0\tNo\tO\t['Kill']\t[0]\n"
    )
    first, second = related.read_related_words(content, "train")
    assert first.text == "John B. of Paris AP" and second == ("No", (), ())
    assert [(first.text[start:end], label) for start, end, label in first.spans] == [
        ("John B.", "Peop"),
        ("Paris", "Loc"),
        ("AP", "Org"),
    ]
    assert first.relations == ((0, 1, "Live_In"), (0, 2, "Work_For"))
