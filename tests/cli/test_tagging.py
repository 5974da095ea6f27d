"""`lm-keras train-task tag`, `predict`, and `evaluate`, `export` of what it trained."""

import json

import pytest

import lm_keras as lk
from lm_keras.cli.parser import main

QUICK = ["--epochs", "14", "--batch-size", "8", "--learning-rate", "0.02"]


def run(*arguments):
    try:
        return main(list(map(str, arguments)))
    except SystemExit as error:
        return error.code


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tagging")
    names = [(who, where) for who in ("Bo", "Cy", "Al") for where in ("Rome", "Oslo", "Bonn")]
    rows = [f"{who}\tx\tB-PER\nin\tx\tO\n{where}\tx\tB-LOC\n.\tx\tO\n" for who, where in names]
    (folder / "train.conll").write_text("\n".join(rows * 4), encoding="utf-8")
    (folder / "test.conll").write_text("Bo\tx\tB-PER\nin\tx\tO\nRome\tx\tO\n.\tx\tO\n\n" + rows[4], encoding="utf-8")
    (folder / "notes.txt").write_text("Al in Oslo.\nBo in Bonn.\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="module")
def trained(folder):
    columns = ["--columns", "tab", "--tag", "-1", "--word", "0"]
    assert run("train-task", "tag", "--data", "train.conll", *columns, "--out", "runs/names", *QUICK) == 0
    return folder / "runs" / "names"


def test_a_run_holds_the_tagger_and_what_it_was_trained_with(trained):
    assert {path.name for path in trained.iterdir()} == {
        "task.json", "model.keras", "tokenizer", "run.json", "result.json", "history.json",
    }  # fmt: skip
    settings = json.loads((trained / "run.json").read_text())
    assert settings.items() >= {"task": "tag", "data": "train.conll", "columns": "tab", "crf": True}.items()
    assert json.loads((trained / "result.json").read_text())["validation"]["f1"] == 1
    assert lk.tasks.load(trained).tag("Cy in Bonn.")[0][0].label == "PER"


def test_predict_prints_spans_that_a_person_can_read(trained, capsys):
    assert run("predict", trained, "--text", "Bo  in\tRome.", "--text", "") == 0
    assert capsys.readouterr().out.splitlines() == ["[PER Bo] in [LOC Rome].", ""]
    assert run("predict", trained, "--data", "notes.txt", "--json") == 0
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert [(span["start"], span["end"], span["label"]) for span in first["spans"]] == [(0, 2, "PER"), (6, 10, "LOC")]
    assert first["text"] == "Al in Oslo." and [span["text"] for span in second["spans"]] == ["Bo", "Bonn"]


def test_evaluate_prints_a_report_and_writes_the_mistakes(trained, capsys):
    """The columns are those of the training."""
    assert run("evaluate", trained, "--data", "test.conll", "--report", "reports/x", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["f1"] == pytest.approx(6 / 7) and printed["labels"].keys() == {"LOC", "PER"}
    folder = trained.parents[1] / "reports" / "x"
    assert json.loads((folder / "report.json").read_text()) == printed
    said = "right: [PER Bo] in Rome .\nfound: [PER Bo] in [LOC Rome] .\n\n"
    assert (folder / "mistakes.txt").read_text() == said


MISTAKES = {
    "train-task tag --data train.conll --out runs/names": "runs/names is not empty; give a new folder",
    "train-task tag --data nothing --out new": "neither a file nor a known set",
    "train-task tag --data nothing.txt --out new": "nothing.txt: no such file",
    "train-task tag --data wiki-excerpt --out new": "wiki-excerpt holds other records",
    "train-task tag --data train.conll --tag 7 --out new": "no column 7",
    "train-task tag --data train.conll --encoder x --out new": "encoder is 'x'",
    "train-task tag --data train.conll --word-vectors no.txt --out new": "no.txt",
    "predict runs/names --text a --pair b": "reads single texts",
    "evaluate runs/names --data test.conll --label x": "--label is for a classifier",
    "evaluate runs/names --data test.conll --split test": "--split test is for known sets",
    "evaluate nowhere --data test.conll --word 0": "--word is for a",
}


@pytest.mark.parametrize("arguments, said", MISTAKES.items())
def test_mistakes_cost_one_line_and_no_folder(trained, capsys, arguments, said):
    before = sorted(trained.parent.parent.rglob("*"))
    assert run(*arguments.split()) == 2
    printed = capsys.readouterr()
    assert said in printed.err and printed.err.count("\n") == 1 and not printed.out
    assert sorted(trained.parent.parent.rglob("*")) == before
