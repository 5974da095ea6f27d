"""The code of docs/relations.md runs from top to bottom."""

import json
import re

import pytest
from guides import page_of, run_guide

import lm_keras as lk

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


def test_the_code_of_the_guide_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```\n(\{.*?)^```$", page_of("relations.md"), re.DOTALL | re.MULTILINE)
    turned = ["The <e1>rain</e1> led to a <e2>flood</e2>.", "The <e1>ice</e1> led to a <e2>crash</e2>."]
    causes = [lk.data.relation_of_marks(text)._replace(label="Cause-Effect(e1,e2)") for text in turned]
    (tmp_path / "train.jsonl").write_text(
        "".join([blocks[0], *(f"{json.dumps(row._asdict())}\n" for row in causes)] * 3)
    )
    (tmp_path / "related.jsonl").write_text(blocks[1] * 6)
    names = run_guide("relations.md")
    assert names["extractor"].none == "Other" and len(names["records"]) == 12
    assert names["same"].label == "Cause-Effect(e2,e1)"
    assert names["report"].macro_f1 == 0.5
    assert [(one.text, one.label) for one in names["found"].entities] == [("Ann", "Peop"), ("Rome", "Loc")]
    assert [row[:3] for row in names["found"].relations] == [(0, 1, "Live_In")]
    assert "macro F1" in capsys.readouterr().out
    assert json.loads((tmp_path / "runs" / "mine" / "task.json").read_text())["task"] == "RelationExtractor"
