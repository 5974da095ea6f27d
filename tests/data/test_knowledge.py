"""The reader of questions and answers: tables and JSON lines, plain and compressed; what it refuses, with the row."""

import gzip
import json

import pytest

import lm_keras as lk
from lm_keras.data import KnowledgeEntry, read_knowledge
from lm_keras.errors import InputError

ENTRIES = [KnowledgeEntry("Where, please?", "Room 5."), KnowledgeEntry("何时？", "At\nnoon.")]


def test_forms_of_a_file(tmp_path):
    table = 'question,answer\n"Where, please?",Room 5. \n何时？,"At\nnoon."\n'
    rows = [
        {"question": "Where, please?", "answer": "Room 5."},
        {"question": "何时？", "answer": "At\nnoon.", "n": 1},
    ]
    lines = "\n".join(map(json.dumps, rows))
    (tmp_path / "x.csv").write_text(table, encoding="utf-8")
    (tmp_path / "x.tsv").write_text(
        table.replace(",answer", "\tanswer").replace('?",', '?"\t').replace("？,", "？\t"), encoding="utf-8"
    )
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(table.encode()))
    (tmp_path / "x.jsonl").write_text(lines, encoding="utf-8")
    (tmp_path / "x.json").write_text(json.dumps(rows), encoding="utf-8")
    for name in ("x.csv", "x.tsv", "x.csv.gz", "x.jsonl", "x.json"):
        assert read_knowledge(tmp_path / name) == ENTRIES
    (tmp_path / "y.csv").write_text("How?;id;So.\nWhy?;id;'No'.\n", encoding="utf-16")
    found = read_knowledge(tmp_path / "y.csv", 0, 2, delimiter=";", encoding="utf-16", quotes=False)
    assert found == [("How?", "So."), ("Why?", "'No'.")]


def test_several_questions_of_an_answer(tmp_path):
    (tmp_path / "x.csv").write_text("q,a\nWhere? | What place?,Here.\nWho?,Ann.\n", encoding="utf-8")
    found = read_knowledge(tmp_path / "x.csv", "q", "a", separator="|")
    assert found == [("Where?", "Here."), ("What place?", "Here."), ("Who?", "Ann.")]
    (tmp_path / "x.jsonl").write_text('{"question": ["a", "b"], "answer": "c"}\n{"question": "d", "answer": "e"}\n')
    assert read_knowledge(tmp_path / "x.jsonl") == [("a", "c"), ("b", "c"), ("d", "e")]


def test_questions_out_of_scope(tmp_path):
    (tmp_path / "x.csv").write_text("question,answer\nWhere?,Here.\nWhy?, \n", encoding="utf-8")
    assert read_knowledge(tmp_path / "x.csv", unanswered=True)[1] == ("Why?", None)
    with pytest.raises(InputError, match=r"x.csv, line 3: the answer is empty"):
        read_knowledge(tmp_path / "x.csv")
    (tmp_path / "x.jsonl").write_text('{"question": "a", "answer": null}\n')
    assert read_knowledge(tmp_path / "x.jsonl", unanswered=True) == [("a", None)]
    with pytest.raises(InputError, match=r"x.jsonl, line 1: the answer is None, no string"):
        read_knowledge(tmp_path / "x.jsonl")


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("x.csv", "question,answer\n,b\n", "line 2: the question is empty"),
        ("x.csv", "question,answer\na,b,c\n", "line 2: 3 fields, but the first line has 2"),
        ("x.csv", "question,reply\na,b\n", "no column 'answer'; .* 'question', 'reply'; .*--answer category"),
        ("x.csv", "question,answer\n", "it holds no rows; give a file with questions and answers"),
        ("x.jsonl", '{"question": 3, "answer": "b"}', "line 1: the question is 3, no string"),
        ("x.jsonl", '{"question": [], "answer": "b"}', "line 1: the question is an empty list"),
        ("x.jsonl", '{"question": ["a", 1], "answer": "b"}', "line 1: the question is 1, no string"),
        ("x.jsonl", '{"question": "a"}', "line 1: no 'answer'"),
        ("x.jsonl", "[]", "line 1: expected a JSON object"),
        ("x.jsonl", '{"question": {}, "answer": "b"}', "line 1: the question is {}, no string"),
        ("x.jsonl", '{"question": ["', "not JSON"),
        ("x.txt", "a", "neither .csv"),
    ],
)  # fmt: skip
def test_refused_files(tmp_path, name, content, message):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message) as raised:
        read_knowledge(tmp_path / name)
    assert "\n" not in str(raised.value) and name in str(raised.value)


def test_refused_arguments(tmp_path):
    for arguments, message in (
        ({"question": 0, "answer": "b"}, "names of two columns"),
        ({"question": "a", "answer": "a"}, "names of two columns"),
        ({"separator": " "}, "separator is ' '"),
    ):
        with pytest.raises(InputError, match=message):
            read_knowledge(tmp_path / "x.csv", **arguments)
    with pytest.raises(InputError, match="no such file|not there|does not exist|neither"):
        lk.data.read_knowledge(tmp_path / "none.csv")


def test_half_characters_become_whole_ones(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"question": "a \\ud800?", "answer": "b\\udc00"}\n')
    assert read_knowledge(tmp_path / "x.jsonl") == [("a \ufffd?", "b\ufffd")]
