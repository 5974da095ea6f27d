"""The code of docs/retrieval.md runs from top to bottom."""

import re

import pytest
from guides import page_of, run_guide

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


def test_the_code_of_the_guide_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```\n(question,answer\n.*?)^```$", page_of("retrieval.md"), re.DOTALL | re.MULTILINE)
    for name, block in zip(("kb.csv", "asked.csv"), blocks, strict=True):
        (tmp_path / name).write_text(block, encoding="utf-8")
    names = run_guide("retrieval.md")
    office, love = names["office"], names["love"]
    assert office.answer == "Room 5, second floor." and office.answered and office.matched == "Where is the office?"
    assert (love.answer, love.answered, len(love.candidates)) == ("I do not know.", False, 3)
    assert names["chosen"][:3] == (pytest.approx(0.6), 1, 1)
    out = capsys.readouterr().out
    assert "refused rightly" in out and (tmp_path / "runs" / "mine" / "task.json").exists()
