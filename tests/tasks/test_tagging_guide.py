"""The code of docs/tagging.md runs from top to bottom."""

import json
import re

import pytest
from guides import page_of, run_guide

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


def test_the_code_of_the_guide_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shown = re.search(r"^```\n(Angela.*?)^```$", page_of("tagging.md"), re.DOTALL | re.MULTILINE)[1]
    others = [f"{first} B-PER\nin O\n{place} B-LOC\n. O\n" for first in ("Bo", "Cy") for place in ("Rome", "Oslo")]
    (tmp_path / "train.conll").write_text("\n".join([shown, *others] * 4), encoding="utf-8")
    names = run_guide("tagging.md")
    assert names["sentences"][0].words[:2] == ("Angela", "Merkel") and len(names["sentences"]) == 20
    assert [(span.label, span.text) for span in names["found"]] == [("PER", "Angela Merkel"), ("LOC", "Paris")]
    assert names["same"].classes == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    assert names["report"].f1 == 0.5 and names["report"].token_accuracy == 0.75
    assert "[PER Kim] met [PER Lee] in [LOC New York]." in capsys.readouterr().out
    assert json.loads((tmp_path / "runs" / "mine" / "task.json").read_text())["task"] == "TextTagger"
