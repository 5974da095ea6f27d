"""`lm-keras train-task relations`, `predict` and `evaluate`: relations of two entities, and of texts."""

import json
import os

import pytest
from commands import refused, run

import lm_keras as lk
from lm_keras.cli.relations import relation_records

PAIRS = [("flood", "rain"), ("fire", "heat"), ("noise", "wind"), ("crash", "ice")]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = []
    for one, two in PAIRS:
        for text, label in (
            ("<e1>{}</e1> is due to <e2>{}</e2>", "C(e2,e1)"),
            ("<e1>{}</e1> and <e2>{}</e2>", "Other"),
        ):
            rows.append(lk.data.relation_of_marks(text.format(one, two))._replace(label=label)._asdict())
    (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, rows * 3)), encoding="utf-8")
    return tmp_path


def test_relations_of_two_entities(folder, capsys):
    words = ("--data", "x.jsonl", "--valid", "x.jsonl", "--epochs", 8, "--batch-size", 4, "--learning-rate", 0.01)
    run(capsys, "train-task", "relations", *words, "--out", "run")
    result = json.loads((folder / "run" / "result.json").read_text())["validation"]
    assert result["macro_f1"] == 1 and json.loads((folder / "run" / "run.json").read_text())["task"] == "relations"
    marked = "<e1>flood</e1> is due to <e2>ice</e2>"
    label, score, text = run(capsys, "predict", "run", "--text", marked).strip().split("\t")
    assert (label, text) == ("C(e2,e1)", marked) and 0.5 < float(score) <= 1
    lines = run(capsys, "predict", "run", "--data", "x.jsonl", "--json").splitlines()
    assert (
        len(lines) == 24 and json.loads(lines[0])["label"] == "C(e2,e1)" and json.loads(lines[0])["first"] == [0, 5]
    )
    assert "macro F1 100.0 %" in run(capsys, "evaluate", "run", "--data", "x.jsonl", "--report", "report")
    assert json.loads((folder / "report" / "report.json").read_text())["macro_f1"] == 1
    assert "lacks <e1>" in refused(capsys, "predict", "run", "--text", "flood is due to ice")
    assert "leave it out" in refused(capsys, "evaluate", "run", "--data", "x.jsonl", "--word", 0)
    assert "--delimiter is for" in refused(capsys, "evaluate", "run", "--data", "x.jsonl", "--delimiter", ";")
    assert "--no-quotes is for" in refused(capsys, "evaluate", "run", "--data", "x.jsonl", "--no-quotes")
    assert "--delimiter is for" in refused(capsys, "predict", "run", "--data", "x.jsonl", "--delimiter", ";")
    assert "--pair is for a classifier" in refused(capsys, "predict", "run", "--text", marked, "--pair", "x")
    (folder / "x.csv").write_text("body\n<e1>flood</e1> is due to <e2>ice</e2>\n")
    assert "a table of records" in refused(capsys, "predict", "run", "--data", "x.csv")


@pytest.mark.skipif("LM_KERAS_DATA" not in os.environ, reason="needs semeval2010-task8")
def test_labels_of_a_known_set_are_names():
    """So its parts can be mixed with files, whose classes may have another order."""
    names = lk.data.classes("semeval2010-task8")
    records = relation_records("semeval2010-task8", ("test",))
    assert [row.label for row in records] == [names[row.label] for row in lk.data.load("semeval2010-task8", "test")]


@pytest.mark.parametrize(
    "flags", [(), ("--tagger-encoder", "a-name")], ids=["of two entities", "of texts with all of theirs"]
)
def test_word_vectors_are_not_for_pretrained_encoders(folder, capsys, flags):
    rows = [{"text": text, "spans": [], "relations": []} for text in "ab"]
    (folder / "y.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    data = ("--data", "y.jsonl" if flags else "x.jsonl")
    words = (
        "train-task",
        "relations",
        *data,
        "--encoder",
        "a-name",
        "--word-vectors",
        "x.txt",
        "--out",
        "new",
        *flags,
    )
    assert "--word-vectors are what cnn and bilstm start from" in refused(capsys, *words)
    assert not (folder / "new").exists()


def test_entities_and_relations_of_texts(folder, capsys):
    rows = []
    for name, town in [("Ann", "Rome"), ("Bob", "Oslo"), ("Eve", "Bonn"), ("Kim", "Lima")]:
        for text, relations in ((f"{name} lives in {town} .", [{"first": 0, "second": 1, "label": "Live"}]),
                                (f"{name} called from {town} .", [])):  # fmt: skip
            spans = [{"start": text.index(part), "end": text.index(part) + len(part), "label": label}
                     for part, label in ((name, "P"), (town, "L"))]  # fmt: skip
            rows.append({"text": text, "spans": spans, "relations": relations})
    (folder / "y.jsonl").write_text("\n".join(map(json.dumps, rows * 2)), encoding="utf-8")
    words = ("--valid", "y.jsonl", "--epochs", 10, "--batch-size", 4, "--learning-rate", 0.01, "--neighbors", 2)
    run(capsys, "train-task", "relations", "--data", "y.jsonl", *words, "--out", "run")
    history = json.loads((folder / "run" / "history.json").read_text())
    assert all(len(history[part]["val_loss"]) == len(history[part]["loss"]) >= 10 for part in ("tagger", "relations"))
    out = run(capsys, "predict", "run", "--text", "Eve lives in Oslo .").splitlines()
    assert out[0] == "[P Eve] lives in [L Oslo] ."
    assert [cell for i, cell in enumerate(out[1].split("\t")) if i != 2] == ["", "Live", "Eve", "Oslo"]
    (folder / "y.csv").write_text("n;body\n1;Eve lives in Oslo .\n")
    table = ("--data", "y.csv", "--delimiter", ";", "--text-column", "body")
    assert run(capsys, "predict", "run", *table).splitlines() == out
    found = json.loads(run(capsys, "predict", "run", "--text", "Eve lives in Oslo .", "--json"))
    assert [row["text"] for row in found["entities"]] == ["Eve", "Oslo"] and found["relations"][0]["label"] == "Live"
    assert json.loads(run(capsys, "evaluate", "run", "--data", "y.jsonl", "--json"))["relation_f1"] > 0.9
    assert "is measured on texts with entities" in refused(capsys, "evaluate", "run", "--data", "x.jsonl")
    mixed = ("train-task", "relations", "--data", "x.jsonl", "--valid", "y.jsonl", "--out", "new")
    assert "other records" in refused(capsys, *mixed)
    alone = ("train-task", "relations", "--data", "x.jsonl", "--neighbors", 3, "--out", "new")
    assert "--neighbors is for texts with entities and relations" in refused(capsys, *alone)
    assert "neither a file nor a known set" in refused(
        capsys, "train-task", "relations", "--data", "n", "--out", "new"
    )
    assert not (folder / "new" / "run.json").exists()
