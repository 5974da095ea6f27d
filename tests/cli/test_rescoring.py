"""`lm-keras train-task rescore`, `predict` and `evaluate`: weights of language models, rescored files."""

import json

import pytest
from commands import refused, run

from lm_keras import tasks

SAID = ["list all flights", "show me the fares", "all flights to boston", "the first flight to denver"]


def rows(count=20):
    """Lists whose first guess ends in a wrong word."""
    for i in range(count):
        said = f"{SAID[i % 4]} number {i}"
        yield {"hyps": [f"{said} a", said], "am_score": [-1.0, -1.1], "ref": said}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nbest.jsonl").write_text("\n".join(map(json.dumps, rows())), encoding="utf-8")
    (tmp_path / "texts.txt").write_text("\n".join(f"{SAID[i % 4]} number {i}" for i in range(20)), encoding="utf-8")
    return tmp_path


def test_a_rescorer(folder, capsys, char_lm):
    char_lm.save("lm")
    words = ("--data", "nbest.jsonl", "--model", "lm", "--ngrams", "texts.txt", "--order", 2)
    told = run(capsys, "train-task", "rescore", *words, "--out", "run")
    assert "by 16 lists; word error rate of 4 others" in told and "-> 0.00% (oracle 0.00%)" in told
    settings = json.loads((folder / "run" / "run.json").read_text())
    assert settings["task"] == "rescore" and settings["model"] == ["lm"] and settings["order"] == 2
    tried = json.loads((folder / "run" / "history.json").read_text())
    assert tried[0]["weights_lm"] == [0.0, 0.0] and tried[0]["wer"] > 0
    assert json.loads((folder / "run" / "result.json").read_text())["validation"]["wer"] == 0
    assert isinstance(tasks.Rescorer.load("run").language_models[1], tasks.NGramLM)
    (folder / "one.jsonl").write_text(json.dumps({"hypotheses": ["list  all flights a", "list all flights"]}))
    text, score, place = run(capsys, "predict", "run", "--data", "one.jsonl").strip().split("\t")
    assert (text, place) == ("list all flights", "1") and float(score) < 0
    found = json.loads(run(capsys, "predict", "run", "--text", "all flights a", "--text", "all flights", "--json"))
    assert list(found) == ["text", "score", "place", "scores"] and len(found["scores"]) == 2
    shown = run(capsys, "evaluate", "run", "--data", "nbest.jsonl", "--report", "report")
    assert "20 utterances of" in shown and "rescored     0.00" in shown
    assert json.loads((folder / "report" / "report.json").read_text())["changed"] == 20
    tasks.NGramLM.train(SAID).save("counts")
    run(capsys, "train-task", "rescore", "--data", "nbest.jsonl", "--valid", "nbest.jsonl", "--model", "counts",
        "--out", "other")  # fmt: skip
    for words, message in (
        (("evaluate", "run", "--data", "one.jsonl"), "one.jsonl, line 1: no 'reference'"),
        (("evaluate", "run", "--data", "nbest.jsonl", "--label", "x"), "--label is for a classifier,"),
        (("evaluate", "run", "--data", "nbest.jsonl", "--split", "test"), "--split test is for known sets"),
        (("predict", "run", "--text", "a", "--pair", "b"), "--pair is for a classifier"),
        (("predict", "run", "--data", "texts.txt"), "texts.txt, line 1: not JSON"),
    ):
        error = refused(capsys, *words)
        assert message in error and error.count("\n") == 1


def test_what_is_refused(folder, capsys):
    (folder / "same.jsonl").write_text("\n".join([json.dumps(next(rows()))] * 3))
    counts = ("--ngrams", "texts.txt")
    for words, message in (
        (("nbest.jsonl",), "there is no language model; give --model FOLDER"),
        (("nbest.jsonl", "--model", "nothing"), "nothing"),
        (("nbest.jsonl", "--model", "lm", "--order", 2), "--order is of the n-grams"),
        (("nothing.jsonl", *counts), "nothing.jsonl"),
        (("nothing", *counts), "neither a file nor a known set"),
        (("", *counts), "--data is empty"),
        (("same.jsonl", *counts), "lists of one text"),
        (("nbest.jsonl", *counts, "--split", "train"), "--split train is for known sets"),
    ):
        error = refused(capsys, "train-task", "rescore", "--data", *words, "--out", "run")
        assert message in error and error.count("\n") == 1
    assert not (folder / "run").exists()
