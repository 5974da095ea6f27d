"""`lm-keras train-task retrieve`, `predict` and `evaluate`: answers of a knowledge base, and refusals."""

import json

import pytest
from commands import refused
from small_tasks import encoder, word_pieces

from lm_keras import tasks
from lm_keras.cli.parser import main

BASE = """question,answer
Where is the office?,"Room 5, left"
When is lunch served?,At noon.
How do I reset my password?,Click.
"""
ASKED = """question,answer
where's the office,"Room 5, left"
lunch is when,At noon.
who won the cup,
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kb.csv").write_text(BASE, encoding="utf-8")
    (tmp_path / "asked.csv").write_text(ASKED, encoding="utf-8")
    return tmp_path


def run(capsys, *words):
    assert main([*map(str, words)]) in (0, None)
    return capsys.readouterr()


def test_a_knowledge_base(folder, capsys):
    words = ("--data", "kb.csv", "--valid", "asked.csv", "--method", "bm25", "--unknown", "Ask Ann.")
    told = run(capsys, "train-task", "retrieve", *words, "--out", "run").out
    assert "3 questions, bm25, threshold" in told and "(chosen); validation: 100.0% answered rightly" in told
    settings = json.loads((folder / "run" / "run.json").read_text())
    assert settings["task"] == "retrieve" and settings["method"] == "bm25"
    assert json.loads((folder / "run" / "result.json").read_text())["validation"]["refused_rightly"] == 1
    rows = run(
        capsys, "predict", "run", "--text", "the office", "--text", "what is love", "--text", "???"
    ).out.splitlines()
    known, love, empty = (row.split("\t") for row in rows)
    assert (
        known[0] == "Room 5, left" and known[2:] == ["Where is the office?", "the office"] and float(known[1]) > 0.4
    )
    assert love[0] == "[does not know] Ask Ann." and love[3] == "what is love"
    assert empty == ["[does not know] Ask Ann.", "0.0000", "", "???"]
    lines = run(capsys, "predict", "run", "--data", "asked.csv", "--json").out.splitlines()
    found = [json.loads(line) for line in lines]
    assert [row["answered"] for row in found] == [True, True, False] and found[1]["answer"] == "At noon."
    assert list(found[0]) == ["question", "answer", "score", "answered", "matched"]
    shown = run(capsys, "evaluate", "run", "--data", "asked.csv", "--report", "report").out
    assert "2 questions with an answer, 1 out of scope" in shown
    assert json.loads((folder / "report" / "report.json").read_text())["balanced"] == 1
    (folder / "other.tsv").write_text("q\ta\nwhere office?\tRoom 5, left\n", encoding="utf-8")
    columns = ("--question", "q", "--answer", "a", "--json")
    found = json.loads(run(capsys, "evaluate", "run", "--data", "other.tsv", *columns).out)
    assert found["answered_rightly"] == 1 and found["refused_rightly"] is None  # no question of this kind
    for words, message in (
        (("evaluate", "run", "--data", "asked.csv", "--label", "x"), "--label is for a classifier,"),
        (("evaluate", "run", "--data", "asked.csv", "--split", "test"), "--split test is for known sets"),
        (("evaluate", "run", "--data", "other.tsv"), "no column 'question'"),
        (("predict", "run", "--text", "a", "--pair", "b"), "leave --pair out"),
        (("evaluate", "run", "--data", "asked.csv", "--report", "report"), "--report report is not empty"),
    ):
        error = refused(capsys, *words)
        assert message in error and error.count("\n") == 1


def test_an_encoder_of_a_folder(folder, news, capsys):
    pieces = word_pieces(news)
    tasks.TextEmbedder(encoder(pieces), pieces).save("embedder")
    words = ("--method", "embedder", "--encoder", "embedder", "--threshold", 0.999)
    told = run(capsys, "train-task", "retrieve", "--data", "kb.csv", *words, "--out", "run").out
    assert "threshold 0.9990 (given)" in told and not (folder / "run" / "result.json").exists()
    assert run(capsys, "predict", "run", "--text", "When is lunch served?").out.startswith("At noon.\t1.0000\t")


@pytest.mark.parametrize(
    "words, message",
    [
        (("--encoder", "x"), "--encoder is for --method embedder, not for tfidf"),
        (("--k1", "2"), "--k1 is for --method bm25, not for tfidf"),
        (("--method", "embedder", "--encoder", "no-such-folder"), "neither a folder nor one of"),
        (("--valid", "kb.csv"), "no question out of scope"),
        (("--valid", "none.csv"), "none.csv"),
        (("--answer", "reply"), "no column 'reply'"),
        (("--threshold", "2"), "'2' is not a number of at least 0"),
        (("--method", "words"), "invalid choice: 'words'"),
        (("--data", "broken.csv"), "broken.csv, line 2: the answer is empty"),
    ],
)
def test_what_is_wrong_is_one_line_and_makes_nothing(folder, capsys, words, message):
    (folder / "broken.csv").write_text("question,answer\nWhere?,\n", encoding="utf-8")
    data = () if "--data" in words else ("--data", "kb.csv")
    error = refused(capsys, "train-task", "retrieve", *data, *words, "--out", "new")
    assert message in error and not (folder / "new" / "run.json").exists()
    assert "Traceback" not in error


def test_a_folder_that_is_there_stays(folder, capsys):
    (folder / "new").mkdir()
    (folder / "new" / "mine.txt").write_text("mine")
    assert "not empty" in refused(capsys, "train-task", "retrieve", "--data", "kb.csv", "--out", "new")
    assert (folder / "new" / "mine.txt").read_text() == "mine"
