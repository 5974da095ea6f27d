"""The code of docs/written_text.md runs from top to bottom, and prints what the page says."""

import re

from guides import page_of, run_guide

PAGE = "written_text.md"


def test_the_code_of_the_guide_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = run_guide(PAGE)
    printed = capsys.readouterr().out
    shown = [line[2:] for line in re.findall("^# .*", page_of(PAGE), re.MULTILINE)[1:]]
    assert len(shown) == 6
    for line in shown:
        assert re.sub(r"version:.*", "", line) in printed
    assert "ROUGE-1 57.1" in printed and "word error rate 40.0 %" in printed
    assert names["preferred"].agreements[0].items == 4
    assert (tmp_path / "sheet.html").exists()
