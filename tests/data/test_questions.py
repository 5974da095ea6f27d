"""Readers of questions with their answers in a text."""

import gzip
import json

import pytest

import lm_keras as lk
from lm_keras.data import QuestionAnswer, ReferenceAnswer
from lm_keras.data.questions import checked_question
from lm_keras.errors import InputError

ROW = {"question": "Who?", "context": "天气 Bo\u2028said", "answers": [{"text": "Bo", "start": 3}], "id": 7}
RECORD = QuestionAnswer("天气 Bo\u2028said", "Who?", (ReferenceAnswer("Bo", 3),))


def squad(**changes):
    asked = {"question": "Who?", "id": "q1", "answers": [{"text": "Bo", "answer_start": 3}], **changes}
    paragraph = {"context": ROW["context"], "qas": [asked, {**asked, "answers": [], "is_impossible": True}]}
    return {"version": "v2.0", "data": [{"title": "Some_One", "paragraphs": [paragraph]}]}


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz", "x.json"])
def test_questions_of_a_file(tmp_path, name):
    rows = [ROW, {**ROW, "answers": []}]
    content = json.dumps(rows) if name == "x.json" else "\n".join(map(json.dumps, rows))
    content = gzip.compress(content.encode()) if name.endswith("gz") else content.encode()
    (tmp_path / name).write_bytes(content)
    assert lk.data.read_questions(tmp_path / name) == [RECORD, RECORD._replace(answers=(), is_impossible=True)]


def test_a_file_of_the_form_of_squad(tmp_path):
    (tmp_path / "dev.json").write_text(json.dumps(squad()))
    named = RECORD._replace(title="Some One", id="q1")
    found = lk.data.read_questions(tmp_path / "dev.json")
    assert found == [named, named._replace(answers=(), is_impossible=True)]


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("x.jsonl", '{"question": "a", "context": "b"}', "line 1: no 'answers'"),
        ("x.jsonl", json.dumps({**ROW, "answers": "Bo"}), "line 1: answers is 'Bo'"),
        ("x.jsonl", json.dumps({**ROW, "answers": [{"text": "Bo"}]}), "answers is .*give a list of"),
        (
            "x.jsonl",
            json.dumps({**ROW, "answers": [{"text": "Bo", "start": 4}]}),
            "'Bo' does not start at character 4",
        ),
        (
            "x.jsonl",
            json.dumps({**ROW, "answers": [{"text": "Bo", "start": "3"}]}),
            "does not start at character '3'",
        ),
        ("x.jsonl", json.dumps({**ROW, "answers": [{"text": " ", "start": 2}]}), "the answer is ' '; give words"),
        ("x.jsonl", json.dumps({**ROW, "answers": [{"text": 3, "start": 2}]}), "the answer is 3; give words"),
        ("x.jsonl", json.dumps({**ROW, "context": " "}), "the context is ' '; give a text"),
        ("x.jsonl", json.dumps({**ROW, "question": None}), "the question is None; give a text"),
        ("x.jsonl", "\n", "it holds no question"),
        ("x.json", "{", "not JSON"),
        ("x.json", json.dumps({"data": [{"paragraphs": 3}]}), "no file of SQuAD's form, at question 0"),
        ("x.json", json.dumps(squad(answers=[{"text": "Bo"}])), "no file of SQuAD's form, at question 1"),
        ("x.json", json.dumps({"rows": []}), "no file of SQuAD's form"),
    ],
)
def test_bad_files(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message) as error:
        lk.data.read_questions(tmp_path / name)
    assert str(error.value).startswith(str(tmp_path / name)) and "\n" not in str(error.value)


def test_bad_records():
    with pytest.raises(InputError, match="question 3 is a tuple; give lk.data.QuestionAnswer"):
        checked_question(("a", "b", ()), "question 3")
    with pytest.raises(InputError, match="'Bo' starts at -2; give a place from 0 on"):
        checked_question(QuestionAnswer("Bo", "Who?", (ReferenceAnswer("Bo", -2),)), "question 3")
    half = QuestionAnswer("a \ud800 Bo", "Who\udfff?", (ReferenceAnswer("\ud800 Bo", 2),))
    assert checked_question(half, "q").answers == (ReferenceAnswer("\ufffd Bo", 2),)
