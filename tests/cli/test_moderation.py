"""`lm-keras train-task moderate`, and `predict` and `evaluate` of a moderator."""

import json
import os

import commands
import pytest
from commands import run

import lm_keras as lk

GOOD, BAD = ("lovely day", "warm soup", "calm sea", "kind word"), ("vile day", "foul soup", "vile sea", "foul word")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [f"{text},{label}" for label, some in (("neither", GOOD), ("hate", BAD)) for text in some]
    (tmp_path / "x.csv").write_text("\n".join(["text,label", *rows * 4]), encoding="utf-8")
    (tmp_path / "scams.txt").write_text("free money\nFree Money Now\n", encoding="utf-8")
    return tmp_path


def refused(capsys, *words):
    error = commands.refused(capsys, *words)
    assert error.count("\n") == 1
    return error


TRAIN = ("train-task", "moderate", "--data", "x.csv", "--valid", "x.csv", "--refuse", "hate", "--epochs", 8)
TRAIN += ("--batch-size", 8, "--learning-rate", 0.02)


def test_from_a_file_to_reports(folder, capsys):
    run(capsys, *TRAIN, "--words", "scams.txt", "--out", "run")
    result = json.loads((folder / "run" / "result.json").read_text())["validation"]
    assert (result["refused_right"], result["harmless_right"]) == (1, 1)
    settings = json.loads((folder / "run" / "run.json").read_text())
    assert settings["task"] == "moderate" and settings["words"] == ["scams.txt"] and settings["refuse"] == ["hate"]

    lines = run(capsys, "predict", "run", "--text", "vile soup", "--text", "warm sea: FREE  money").splitlines()
    (state, score, reasons, text), other = (line.split("\t") for line in lines)
    assert (state, reasons, text) == ("refused", "hate", "vile soup") and 0.5 <= float(score) <= 1
    assert other == ["refused", "1.0000", "word list: scams", "warm sea: [scams FREE money]"]
    (found,) = map(json.loads, run(capsys, "predict", "run", "--text", "warm sea", "--json").splitlines())
    assert found["allowed"] and found["reasons"] == found["spans"] == [] and found["score"] < 0.5
    assert len(run(capsys, "predict", "run", "--data", "x.csv").splitlines()) == 32

    shown = run(capsys, "evaluate", "run", "--data", "x.csv", "--report", "report")
    assert "to refuse, and refused 100.0 %" in shown and "harmless, and allowed 100.0 %" in shown
    assert json.loads((folder / "report" / "report.json").read_text())["refused_of_class"]["hate"]["share"] == 1
    if "LM_KERAS_DATA" in os.environ:
        report = json.loads(run(capsys, "evaluate", "run", "--data", "hatecheck", "--json"))
        assert report["texts"] == 3728 and len(report["functions"]) == 29
        assert report["functions"]["ident_pos_nh"]["kind"] == "harmless"


@pytest.mark.parametrize(
    "words, message",
    [
        (("--refuse", "rude"), "'rude' is to be refused, and is none of the classes hate, neither"),
        (("--words", "none.txt"), "none.txt"),
        (("--words", "scams.txt", "--words", "scams.txt"), "two files of the name scams"),
        (("--separator", ","), "give --multi-label"),
        (("--threshold", "0"), "is not a number above 0"),
        (("--pair", "x"), "pair"),
        (("--encoder", "none"), "none"),
    ],
)
def test_what_is_wrong_is_said_before_the_training(folder, capsys, words, message):
    assert message in refused(capsys, *TRAIN, *words, "--out", "run")
    assert not (folder / "run").exists()


def test_flags_of_other_runs_are_refused(folder, capsys):
    lk.tasks.Moderator.of(words=["vile"]).save("run")
    assert "--word is for" in refused(capsys, "evaluate", "run", "--data", "x.csv", "--word", 0)
    assert "--pair is for" in refused(capsys, "evaluate", "run", "--data", "x.csv", "--pair", "b")
    assert "--separator is not for" in refused(capsys, "evaluate", "run", "--data", "x.csv", "--separator", ",")
    assert "reads single texts" in refused(capsys, "predict", "run", "--text", "a", "--pair", "b")
    shown = run(capsys, "evaluate", "run", "--data", "x.csv")
    assert "to refuse, and refused 50.0 %" in shown, "a saved one without a run has the usual columns"
