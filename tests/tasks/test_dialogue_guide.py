"""The code of docs/dialogue.md runs from top to bottom."""

import pytest
from guides import run_guide

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


def test_the_code_of_the_guide_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run_guide("dialogue.md")
    assert names["turn"].state == "booked" and names["turn"].slots == {
        "people": "2",
        "day": "Friday",
        "time": "20:00",
    }
    assert [turn.handed_over for turn in names["idle"]] == [False, False, True]
    assert names["rude"][0].reasons == ["user: word list: insults"] and names["rude"][0].slots == {}
    assert names["report"].success == 1 and (tmp_path / "taken.png").exists()
    assert names["found"]["results"][0]["state"] == ["time"]
    assert names["Policy"].load("booking.json") == names["policy"]
