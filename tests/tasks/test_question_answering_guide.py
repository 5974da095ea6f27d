"""The code of docs/question_answering.md runs from top to bottom."""

import json
import re

import pytest
from guides import page_of, run_guide
from small_tasks import encoder, word_pieces

import lm_keras as lk

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


def test_the_code_of_the_guide_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    block = re.search(r"^```\n(\{.*?)^```$", page_of("question_answering.md"), re.DOTALL | re.MULTILINE)[1]
    rows = [json.loads(line) for line in block.splitlines()]
    for animal, place in (("dog", "Oslo"), ("owl", "Paris"), ("owl", "Oslo"), ("dog", "Paris"), ("dog", "Rome")):
        context = f"The {animal} sleeps in {place}."
        rows.append(
            {"question": "where", "context": context, "answers": [{"text": place, "start": context.index(place)}]}
        )
        rows.append({"question": "who wrote it", "context": context, "answers": []})
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pieces = word_pieces([text for row in rows for text in (row["question"], row["context"])])
    lk.tasks.TextEmbedder(encoder(pieces), pieces).save(tmp_path / "encoders" / "mine")
    names = run_guide("question_answering.md")
    assert names["found"][:1] == ("Rome",) and names["answerer"].threshold > 0
    assert names["answerer"].answer("who wrote it", rows[0]["context"])[0].text == ""
    assert (names["report"].exact_match, round(names["report"].f1, 3)) == (0.5, 0.833)
    assert names["accuracy"] > 0.98
    assert names["seen"] == "Rome" and names["invented"] in {answer for _, answer in names["pairs"]}
    assert "exact match" in capsys.readouterr().out
    assert json.loads((tmp_path / "runs" / "mine" / "task.json").read_text())["task"] == "QuestionAnswerer"
