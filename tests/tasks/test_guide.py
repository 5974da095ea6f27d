"""The code of docs/classification.md runs from top to bottom."""

import json

import pytest
from guides import run_guide

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


def test_the_code_of_the_guide_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lines = [f"{a} {b} film,{label}" for label, words in (("good", "great fine"), ("bad", "dull poor"))
             for a in words.split() for b in ("old", "new", "long", "short")]  # fmt: skip
    (tmp_path / "my.csv").write_text("\n".join(["text,label", *(lines * 2)]), encoding="utf-8")
    names = run_guide("classification.md")
    assert names["same"].classes == ["bad", "good"] and names["found"][0].label in ("bad", "good")
    assert names["entailed"].pairs and names["several"].multi_label
    assert "accuracy" in capsys.readouterr().out
    assert json.loads((tmp_path / "runs" / "mine" / "task.json").read_text())["task"] == "TextClassifier"
