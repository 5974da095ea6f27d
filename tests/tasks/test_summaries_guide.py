"""The code of docs/summaries.md runs from top to bottom."""

import re

import pytest
from guides import page_of, run_guide

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


def test_the_code_of_the_guide_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"^```\n(\{.*?)^```$", page_of("summaries.md"), re.DOTALL | re.MULTILINE)
    (tmp_path / "train.jsonl").write_text(block * 4, encoding="utf-8")
    names = run_guide("summaries.md")
    assert names["found"].text in names["document"] and len(names["found"].places) == 1
    assert [len(one.places) for one in names["two"]] == [2, 2]
    out = capsys.readouterr().out
    assert "is ready to serve" in out and "ROUGE-1" in out and "\n[1]\n" in out
    assert "['Dr. Smith of the U.S. Army spoke.', 'Then rain!', '今天下雨。', '明天晴。']" in out
