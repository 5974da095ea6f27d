"""The code of docs/moderation.md runs from top to bottom."""

import json

import pytest
from guides import run_guide

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

FINE, RUDE = ("lovely day", "warm soup", "calm sea", "kind word"), ("vile day", "foul soup", "vile sea", "foul word")


def test_the_code_of_the_guide_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = [f"{text},{label}" for label, some in (("fine", FINE), ("rude", RUDE)) for text in some]
    (tmp_path / "posts.csv").write_text("\n".join(["text,label", *rows * 4]))
    names = run_guide("moderation.md")
    assert names["found"].reasons[0] == "word list: scams" and names["found"].spans[0].text == "FREE  money"
    assert [one.allowed for one in names["moderator"].moderate(["warm sea", "vile soup"])] == [True, False]
    assert (names["report"].refused_right, names["report"].harmless_right) == (0.5, 1)
    assert names["made"].text == "I cannot answer this." and names["made"].reasons[0] == "prompt: word list: scams"
    assert "women against men, 1 pairs" in capsys.readouterr().out
    assert json.loads((tmp_path / "runs" / "posts" / "task.json").read_text())["task"] == "Moderator"
