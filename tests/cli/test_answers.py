"""`lm-keras train-task answer`, `predict` and `evaluate`: answers that stand in a text."""

import json

import pytest
from commands import refused, run
from small_tasks import encoder, word_pieces

import lm_keras as lk

FACTS = [(animal, place) for animal in ("cat", "dog", "owl") for place in ("Rome", "Paris", "Oslo")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made, rows = tmp_path_factory.mktemp("answers"), []
    for animal, place in FACTS:
        context = f"The {animal} sleeps in {place}."
        for question, answer in (("what sleeps", animal), ("where", place), ("who wrote it", "")):
            given = [{"text": answer, "start": context.index(answer)}] if answer else []
            rows.append({"question": question, "context": context, "answers": given})
    (made / "x.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    pieces = word_pieces([text for row in rows for text in (row["question"], row["context"])])
    lk.tasks.TextEmbedder(encoder(pieces), pieces).save(made / "encoder")
    return made


@pytest.fixture
def inside(folder, monkeypatch):
    monkeypatch.chdir(folder)


def test_a_file_of_questions_becomes_a_run_that_answers(folder, inside, capsys):
    quick = ("--epochs", 30, "--batch-size", 9, "--learning-rate", 0.01, "--encoder", "encoder")
    run(capsys, "train-task", "answer", "--data", "x.jsonl", "--valid", "x.jsonl", *quick, "--out", "run")
    assert json.loads((folder / "run" / "run.json").read_text())["task"] == "answer"
    assert json.loads((folder / "run" / "result.json").read_text())["validation"]["f1"] == 1
    context = ("--pair", "The owl sleeps in Rome.")
    asked = ("--text", "where", *context, "--text", "who wrote it", *context)
    (first, second) = run(capsys, "predict", "run", *asked).splitlines()
    assert first.split("\t")[::2] == ["Rome", "where"] and second.split("\t")[::2] == ["-", "who wrote it"]
    lines = [json.loads(line) for line in run(capsys, "predict", "run", "--data", "x.jsonl", "--json").splitlines()]
    assert len(lines) == 27 and [line["answer"] for line in lines[:3]] == ["cat", "Rome", ""]
    assert [line["answered"] for line in lines[:3]] == [True, True, False] and lines[0]["start"] == 4
    assert "F1 100.0 %" in run(capsys, "evaluate", "run", "--data", "x.jsonl", "--report", "report")
    assert json.loads((folder / "report" / "report.json").read_text())["unanswerable"]["num_questions"] == 9
    assert "give a --pair for each --text" in refused(capsys, "predict", "run", "--text", "where")
    assert "--label is for a classifier" in refused(capsys, "evaluate", "run", "--data", "x.jsonl", "--label", "x")


@pytest.mark.parametrize(
    "words, message",
    [
        (("--data", "no.jsonl"), "no.jsonl"),
        (("--data", "nothing"), "neither a file nor a known set"),
        (("--data", ""), "--data is empty"),
        (("--data", "bad.jsonl"), "does not start at character 9"),
        (("--data", "x.jsonl", "--encoder", "nowhere"), "neither a folder nor one of"),
        (("--data", "x.jsonl", "--threshold", "2"), "threshold"),
    ],
)
def test_what_cannot_be_trained_on_leaves_nothing(folder, inside, capsys, words, message):
    bad = {"question": "a", "context": "b c", "answers": [{"text": "c", "start": 9}]}
    (folder / "bad.jsonl").write_text(json.dumps(bad))
    assert message in refused(capsys, "train-task", "answer", *words, "--out", "new")
    assert not (folder / "new").exists()
