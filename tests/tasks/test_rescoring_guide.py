"""The code of docs/rescoring.md runs from top to bottom."""

import json
import re

import pytest
from guides import page_of, run_guide

import lm_keras as lk


def test_the_page_runs(tmp_path, monkeypatch, warm_check):
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"^```\n(\{.*?)^```$", page_of("rescoring.md"), re.DOTALL | re.MULTILINE)
    (tmp_path / "dev.jsonl").write_text(block)
    said = [json.loads(line)["reference"] for line in block.splitlines()]
    (tmp_path / "texts.txt").write_text("\n".join([*said, "list all fares", "show the flights"]))
    names = run_guide("rescoring.md")
    assert names["best"].text == "list all fares" and names["report"].wer == 0 < names["report"].first.wer
    assert names["found"].weights == names["rescorer"].weights == names["same"].weights
    assert names["curve"][0] == (0.0, pytest.approx(1 / 3)) and min(wer for _, wer in names["curve"]) == 0
    scores = names["characters"].score(["four pm", "fourpm"])
    assert scores[0].num_tokens == scores[1].num_tokens + 1
    assert lk.tasks.Rescorer.load("runs/mine").weights == names["rescorer"].weights
