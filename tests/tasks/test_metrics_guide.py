"""The code of the page on measures runs, and what it asserts holds."""

from guides import run_guide

PAGE = "measures.md"


def test_the_code_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = run_guide(PAGE)
    assert "accuracy 75%, perplexity 1.86" in capsys.readouterr().out
    assert names["fast"].words == ["a", "fine", "film", ",", "and", "long"]
    assert (tmp_path / "mistakes.html").read_text(encoding="utf-8").count("<article>") == 16
