"""The code of docs/contexts.md runs from top to bottom."""

import pytest
from guides import run_guide

pytestmark = [
    pytest.mark.usefixtures("warm_check"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.timeout(600),
]


def test_the_code_of_the_guide_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = run_guide("contexts.md")
    printed = capsys.readouterr().out
    assert "Jensen-Shannon divergence" in printed and "perplexity a token" in printed
    assert names["table"].diagonal_wins and (tmp_path / "contexts.png").stat().st_size > 10_000
    assert names["found"].label == "dogs"
    assert names["more"].contexts == ["cats", "dogs", "birds", "puppies"]
