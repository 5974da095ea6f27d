"""`lm-keras train-task extract-summary`, `predict` and `evaluate`: the best sentences of documents."""

import json

import pytest
from commands import refused, run

from lm_keras import tasks

WORDS = ("apples", "trains", "rivers", "music", "stones", "games")
COLUMNS = ("--source", "article", "--target", "abstract")
QUICK = ("--epochs", 8, "--batch-size", 8, "--learning-rate", 0.02)


def rows(count):
    """The sentence that is as the summary stands first in one half of the documents, last in the other."""
    for i in range(count):
        a, b = WORDS[i % 6], WORDS[(i + 1 + i // 6 % 4) % 6]
        key, rest = f"This report is on {a} and {b} in short.", f"Some say {a}. Others say {b}."
        yield f"{key} {rest}" if i % 2 else f"{rest} {key}", f"{a} and {b} in short"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, count in (("train", 40), ("test", 12)):
        lines = [json.dumps({"article": document, "abstract": summary}) for document, summary in rows(count)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path


def test_a_summarizer(folder, capsys):
    told = run(capsys, "train-task", "extract-summary", "--data", "train.jsonl", *COLUMNS, *QUICK, "--out", "run")
    assert "36 documents to train on and 4 to measure by" in told and "ROUGE-1" in told
    settings = json.loads((folder / "run" / "run.json").read_text())
    assert (settings["task"], settings["source"], settings["learn"]) == ("extract-summary", "article", "rouge")
    assert json.loads((folder / "run" / "result.json").read_text())["validation"]["rouge1"] > 60
    lines = run(capsys, "predict", "run", "--data", "test.jsonl").splitlines()
    expected = tasks.load(folder / "run").summarize([document for document, _ in rows(12)])
    assert lines == [one.text for one in expected] and sum(line.startswith("This report") for line in lines) >= 11
    (line,) = run(capsys, "predict", "run", "--text", "Alone\nit is.", "--json").splitlines()
    assert json.loads(line).keys() == {"document", "summary", "score", "places"}
    shown = run(capsys, "evaluate", "run", "--data", "test.jsonl", "--report", "report")
    assert "12 summaries, F in per cent" in shown
    assert json.loads((folder / "report" / "report.json").read_text())["texts"] == 12
    (folder / "a.txt").write_text("One sentence. Two apples here.\n" * 3)
    (folder / "b.txt").write_text("Two apples\n" * 3)
    words = ("--data", "a.txt", "--targets", "b.txt", "--report", "third")
    assert "3 summaries" in run(capsys, "evaluate", "run", *words)


@pytest.mark.parametrize(
    "words, said",
    [
        (["--data", "none.jsonl"], "none.jsonl"),
        (["--data", "train.jsonl"], "source"),
        (["--data", "lee-news"], "holds other records"),
        (["--data", "train.jsonl", "--valid-targets", "x"], "belongs to --valid"),
        (["--data", "train.jsonl", "--num-sentences", "0"], "num-sentences"),
        (["--data", "train.jsonl", *COLUMNS, "--encoder", "xx"], "neither a folder"),
    ],
)
def test_what_is_refused(folder, capsys, words, said):
    assert said in refused(capsys, "train-task", "extract-summary", *words, "--out", "run")
    assert not (folder / "run").exists() or not any((folder / "run").iterdir())
