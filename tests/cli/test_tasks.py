"""`lm-keras train-task classify`, `predict`, and `evaluate`, `export` of what it trained."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import lm_keras as lk
from lm_keras import text_model
from lm_keras.cli import labelled, reports
from lm_keras.cli.parser import main

TOPICS = {"sport": "ball goal team match", "war": "army bomb soldier tank"}
QUICK = ["--epochs", "4", "--batch-size", "8", "--learning-rate", "0.01"]


def rows(count=60):
    rng = np.random.default_rng(0)
    names = [["sport", "war"][i % 2] for i in range(count)]
    return [(" ".join([*rng.choice(TOPICS[name].split(), 3), "the"]), name) for name in names]


def run(*arguments):
    try:
        return main(list(map(str, arguments)))
    except SystemExit as error:
        return error.code


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks")
    lines = [f"{text},{name}" for text, name in rows()]
    (folder / "train.csv").write_text("\n".join(["review,topic", *lines]))
    (folder / "test.csv").write_text("\n".join(["review,topic", *lines[:20]]))
    (folder / "several.jsonl").write_text(
        "\n".join(json.dumps({"text": text, "label": [name] * (i % 5 > 0)}) for i, (text, name) in enumerate(rows()))
    )
    both = [(a, x, *rows(66)[i + (3 if i % 3 else 2)]) for i, (a, x) in enumerate(rows())]
    pairs = [f"{a}\t{b}\t{'same' if x == y else 'other'}" for a, x, b, y in both]
    (folder / "pairs.tsv").write_text("\n".join(["first\tsecond\tlabel", *pairs]))
    (folder / "semi.csv").write_text("\n".join(["review;topic", *lines]).replace(",", ";").replace("ball", '"ball'))
    numbers = [
        f"{text},{'1' if name == 'war' else ['2', 'other'][i % 3 > 0]}" for i, (text, name) in enumerate(rows())
    ]
    (folder / "numbers.csv").write_text("\n".join(["text,label", *numbers]))
    (folder / "few.csv").write_text("\n".join(["text,label", *(row for row in numbers if not row.endswith("other"))]))
    (folder / "notes.txt").write_text("ball goal team\narmy bomb tank\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="module")
def trained(folder):
    columns = ["--text", "review", "--label", "topic"]
    assert run("train-task", "classify", "--data", "train.csv", *columns, "--out", "runs/topics", *QUICK) == 0
    return folder / "runs" / "topics"


def test_a_run_holds_the_classifier_and_what_it_was_trained_with(trained):
    assert {path.name for path in trained.iterdir()} == {
        "task.json", "model.keras", "tokenizer", "run.json", "result.json", "history.json",
    }  # fmt: skip
    settings = json.loads((trained / "run.json").read_text())
    assert settings.items() >= {"task": "classify", "data": "train.csv", "text": "review", "encoder": "cnn"}.items()
    assert json.loads((trained / "result.json").read_text())["validation"]["accuracy"] == 1
    assert len(json.loads((trained / "history.json").read_text())["val_loss"]) == 4
    assert lk.tasks.load(trained).classify("goal match")[0].label == "sport"
    assert [path.name for path in trained.parent.iterdir()] == ["topics"]  # no folder of the way there


def test_predict_prints_class_probability_and_text(trained, capsys):
    found = lk.tasks.load(trained).classify(["ball goal team", "army bomb tank"])
    expected = [
        f"{c.label}\t{c.score:.4f}\t{t}" for c, t in zip(found, ["ball goal team", "army bomb tank"], strict=True)
    ]
    assert run("predict", trained, "--text", "ball goal team", "--text", "army bomb tank") == 0
    assert capsys.readouterr().out.splitlines() == expected
    assert run("predict", trained, "--data", "notes.txt") == 0
    assert capsys.readouterr().out.splitlines() == expected
    assert run("predict", trained, "--data", "test.csv", "--json") == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["text"] for one in printed] == [text for text, _ in rows()[:20]]
    assert [one["label"] for one in printed] == [name for _, name in rows()[:20]]
    assert printed[0].keys() == {"text", "label", "score", "scores"}


def test_evaluate_prints_the_report_and_writes_it(trained, capsys):
    assert run("evaluate", trained, "--data", "test.csv", "--report", "report") == 0
    out = capsys.readouterr().out
    assert "sport" in out and "precision" in out.lower()
    assert {path.name for path in (trained.parent.parent / "report").iterdir()} == {
        "report.json", "confusion.png", "mistakes.html",
    }  # fmt: skip
    assert run("evaluate", trained, "--data", "test.csv", "--json") == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == 1


def test_an_export_is_asked_without_a_server(trained, capsys):
    text = rows()[0][0]
    version = Path(lk.export(lk.tasks.load(trained), trained.parents[1] / "saved_models" / "asked"))
    assert run("query", version) == 0
    assert "classify: text -> classes, label, score, scores" in capsys.readouterr().out
    assert run("query", version, "--input", f"text={text}", "--input", "text=", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    np.testing.assert_allclose(answer["scores"], lk.tasks.load(trained).probabilities([text, ""]), atol=1e-6)
    for arguments, said in (
        ((version, "topics"), "name is for a server"),
        ((version.parent,), "holds such folders; give one of them"),
        ((version, "--input", "prompt=x"), "has no input 'prompt'"),
        (("http://localhost:8501",), "there is no name of a model"),
        (("localhost:8501", "topics"), "query takes a server, http://"),
    ):
        assert run("query", *arguments) == 2
        assert said in capsys.readouterr().err


def test_what_was_read_is_a_line():
    texts = lk.data.LabelledTexts(["a", " ", "b", "c"], np.array([0, 1, 1, 2]), ("x", "y", "z|x"))
    told = "4 texts to train on and 4 to stop by; 3 classes: y 2, x 1, z|x 1; 1 of the texts to train on have no word"
    assert labelled.summary(texts, texts) == told


class CountingClassifier(lk.tasks.TextClassifier):
    """A TextClassifier that counts how often each text has gone through the model."""

    read = Counter()

    def probabilities(self, texts):
        self.read.update([texts] if isinstance(texts, str) else texts)
        return super().probabilities(texts)


def test_a_report_reads_each_text_once(trained, tmp_path, monkeypatch):
    monkeypatch.setitem(text_model._REGISTERED, "CountingClassifier", CountingClassifier)  # for this test alone
    made = lk.tasks.load(trained)
    CountingClassifier(made.model, made.tokenizer, made.classes, max_length=512).save(tmp_path / "run")
    lines = [f"the {text},{name}" for text, name in dict.fromkeys(rows())]
    (tmp_path / "test.csv").write_text("\n".join(["text,label", *lines, "the ball of the team,war"]))
    CountingClassifier.read.clear()
    assert run("evaluate", tmp_path / "run", "--data", tmp_path / "test.csv", "--report", tmp_path / "report") == 0
    wrong = CountingClassifier.read.pop("the ball of the team")
    assert len(CountingClassifier.read) == len(lines) and set(CountingClassifier.read.values()) == {1}
    assert wrong == 2  # and once more to be explained
    assert f"<h1>1 mistake on {len(lines) + 1} texts" in (tmp_path / "report" / "mistakes.html").read_text()


def test_a_run_is_exported_with_a_card_that_names_its_data(trained, capsys):
    assert run("export", trained, "saved_models/topics") == 0
    card = json.loads((trained.parents[1] / "saved_models/topics/1/assets.extra/model_card.json").read_text())
    assert card["training_data"]["data"] == "train.csv" and card["classes"] == ["sport", "war"]


def test_several_classes_and_pairs(folder, capsys):
    made = ["--out", "runs/several", "--multi-label", *QUICK, "--encoder", "gru"]
    assert run("train-task", "classify", "--data", "several.jsonl", *made) == 0
    capsys.readouterr()
    assert run("predict", "runs/several", "--text", "ball goal", "--json") == 0
    assert json.loads(capsys.readouterr().out).keys() == {"text", "label", "score", "scores", "labels"}
    columns = ["--text", "first", "--pair", "second"]
    assert run("train-task", "classify", "--data", "pairs.tsv", *columns, "--out", "runs/pairs", *QUICK) == 0
    capsys.readouterr()
    assert run("predict", "runs/pairs", "--text", "a ball", "--pair", "the army") == 0
    assert capsys.readouterr().out.endswith("\ta ball\tthe army\n")
    assert run("predict", "runs/pairs", "--data", "pairs.tsv") == 0
    assert len(capsys.readouterr().out.splitlines()) == 60


def test_a_table_of_another_form(folder, capsys):
    """Semicolons, and quotes that are characters: what was trained with is what is measured and predicted with."""
    form = ["--delimiter", ";", "--no-quotes"]
    made = ["--text", "review", "--label", "topic", "--out", "runs/semi", *QUICK]
    assert run("train-task", "classify", "--data", "semi.csv", *form, *made) == 0
    assert (
        json.loads((folder / "runs/semi/run.json").read_text()).items() >= {"delimiter": ";", "quotes": False}.items()
    )
    capsys.readouterr()
    assert run("evaluate", "runs/semi", "--data", "semi.csv", "--json") == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == 1
    assert run("predict", "runs/semi", "--data", "semi.csv") == 0
    assert len(capsys.readouterr().out.splitlines()) == 60
    assert run("predict", "runs/semi", "--data", "several.jsonl", "--text-column", "text") == 0  # JSON has no form
    assert run("predict", "runs/semi", "--data", "test.csv", "--delimiter", ",") == 0


def test_numbers_that_are_names_stay_names(folder, capsys):
    """A test file that holds the classes 1 and 2 alone, and not the third, which is no number."""
    assert run("train-task", "classify", "--data", "numbers.csv", "--out", "runs/numbers", *QUICK) == 0
    capsys.readouterr()
    assert run("evaluate", "runs/numbers", "--data", "few.csv", "--json") == 0
    found = json.loads(capsys.readouterr().out)["classes"]
    assert [found[name]["support"] for name in ("1", "2", "other")] == [30, 10, 0]


MISTAKES = {
    "train-task classify --data train.csv --out runs/topics": "runs/topics is not empty; give a new folder",
    "train-task classify --data train.csv --out new": "no column 'text'",
    "train-task classify --data nothing.csv --out new": "nothing.csv",
    "train-task classify --data nothing --out new": "neither a file nor a known set",
    "train-task classify --data wiki-excerpt --out new": "wiki-excerpt holds other records",
    "train-task classify --data train.csv --text review --label topic --encoder x --out new": "encoder is 'x'",
    "train-task classify --data train.csv --text review --label review --out new": "text and label are names of two",
    "train-task classify --data train.csv --out new --epochs 0": "--epochs",
    "train-task": "the following arguments are required",
    "train-task classify --data semi.csv --out new": "(--delimiter)",
    "train-task classify --data several.jsonl --delimiter ; --out new": "several.jsonl is JSON",
    "train-task classify --data train.csv --separator | --out new": "give --multi-label",
    "evaluate runs/topics --data test.csv --pair topic": "--pair is not for runs/topics",
    "evaluate runs/topics --data test.csv --separator |": "--separator is not for runs/topics",
    "predict runs/topics --text a --no-quotes": "--no-quotes is about --data",
    "evaluate nowhere --data test.csv --no-quotes": "--no-quotes is for a classifier",
    "predict runs/topics": "one of the arguments --text --data is required",
    "predict runs/topics --text a --pair b": "reads single texts",
    "predict runs/topics --data test.csv --text-column x": "no column 'x'",
    "predict runs --text a": "predict takes a run of `lm-keras train-task`",
    "predict nowhere --text a": "nowhere",
    "evaluate runs/topics --data test.csv --label x": "no column 'x'",
    "evaluate runs/topics --data test.csv --report runs": "--report runs is not empty",
    "evaluate runs/topics --data test.csv --shots 3": "--shots is about --task",
    "evaluate nowhere --data test.csv --label x": "--label is for a classifier",
}


@pytest.mark.parametrize("arguments, said", MISTAKES.items())
def test_mistakes_cost_one_line_and_no_folder(trained, capsys, arguments, said):
    before = sorted(trained.parent.parent.rglob("*"))
    assert run(*arguments.split()) == 2
    printed = capsys.readouterr()
    assert said in printed.err and printed.err.count("\n") == 1 and not printed.out
    assert sorted(trained.parent.parent.rglob("*")) == before


def test_a_training_that_ends_early_leaves_nothing(folder, monkeypatch):
    monkeypatch.setattr(reports, "write_json", lambda *_: 1 / 0)
    arguments = ["--text", "review", "--label", "topic", *QUICK]
    with pytest.raises(ZeroDivisionError):
        run("train-task", "classify", "--data", "train.csv", *arguments, "--out", "runs/none")
    assert not (folder / "runs" / "none").exists() and not list((folder / "runs").glob(".none*"))
    left = folder / "runs" / ".later-x.tmp"  # of a process that was killed
    left.mkdir()
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    with reports.new_folder(folder / "runs" / "later", "--out") as made:
        (made / "file").write_text("x")
        assert not left.exists() and not (folder / "runs" / "later" / "file").exists()
    assert (folder / "runs" / "later" / "file").read_text() == "x"
