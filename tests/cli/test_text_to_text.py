"""`lm-keras train-task translate` and `summarize`, `predict` and `evaluate`: pairs of texts."""

import itertools
import json

import pytest
from commands import refused, run

import lm_keras as lk

ANIMALS = {"ein Hund": "a dog", "eine Katze": "a cat", "ein Vogel": "a bird", "ein Pferd": "a horse"}
VERBS = {"sieht": "sees", "hört": "hears"}
ROWS = [
    (f"{first} {verb} {second}", f"{ANIMALS[first]} {VERBS[verb]} {ANIMALS[second]}")
    for first, verb, second in itertools.product(ANIMALS, VERBS, ANIMALS)
]
QUICK = ("--tokenizer", "word", "--learning-rate", 0.005, "--batch-size", 8)
SMALL = ("--hidden-dim", 32, "--num-layers", 1, "--dropout", 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("pairs")
    (made / "x.tsv").write_text("source\ttarget\n" + "".join(f"{a}\t{b}\n" for a, b in ROWS), encoding="utf-8")
    lines = [json.dumps({"text": a, "short": b}) for a, b in ROWS]
    (made / "x.jsonl").write_text("\n".join(lines), encoding="utf-8")
    for name, side in zip(("x.de", "x.en"), zip(*ROWS, strict=True), strict=True):
        (made / name).write_text("\n".join(side), encoding="utf-8")
    (made / "asked.txt").write_text("ein Hund sieht eine Katze\nein Pferd hört ein Pferd\n", encoding="utf-8")
    return made


@pytest.fixture
def inside(folder, monkeypatch):
    monkeypatch.chdir(folder)


def test_two_parallel_files_become_a_translator_that_translates_a_file(folder, inside, capsys):
    parallel = ("--data", "x.de", "--targets", "x.en")
    valid = ("--valid", "x.de", "--valid-targets", "x.en")
    run(capsys, "train-task", "translate", *parallel, *valid, *QUICK, *SMALL, "--epochs", 4, "--out", "run")
    told = json.loads((folder / "run" / "run.json").read_text())
    assert told["task"] == "translate" and told["targets"] == "x.en" and told["metric"] == "bleu"
    history = json.loads((folder / "run" / "history.json").read_text())
    assert len(history["val_bleu"]) == len(history["loss"]) == 4 and history["loss"][-1] < history["loss"][0]
    model, asked = lk.tasks.load("run"), (folder / "asked.txt").read_text(encoding="utf-8").splitlines()
    expected = [found.text for found in model.generate(asked, num_beams=2)]
    assert any(expected)
    assert run(capsys, "predict", "run", "--data", "asked.txt", "--num-beams", 2).splitlines() == expected
    (row,) = map(
        json.loads, run(capsys, "predict", "run", "--text", asked[0], "--max-new-tokens", 2, "--json").splitlines()
    )
    (found,) = model.generate(asked[0], max_new_tokens=2)
    assert row == {"source": asked[0], "target": found.text, "score": pytest.approx(found.score)}
    report = run(capsys, "evaluate", "run", *parallel, "--report", "report")
    assert "BLEU" in report and "nrefs:1|case:mixed" in report
    bleu = json.loads((folder / "report" / "report.json").read_text())["bleu"]
    table = run(capsys, "evaluate", "run", "--data", "x.tsv", "--json")  # the same pairs in another form
    assert json.loads(table)["bleu"] == pytest.approx(bleu)


def test_columns_of_a_file_become_a_summarizer(folder, inside, capsys):
    columns = ("--source", "text", "--target", "short", "--valid", "x.jsonl")
    few = ("--model", "lstm", "--epochs", 2, "--max-source-tokens", 2, "--max-target-tokens", 3)
    out = run(
        capsys, "train-task", "summarize", "--data", "x.jsonl", *columns, *QUICK, *SMALL, *few, "--out", "short"
    )
    assert "ROUGE" in out or "rouge" in out
    assert len(run(capsys, "predict", "short", "--text", "ein Hund hört ein Pferd").split()) <= 3
    assert "rouge1" in json.loads(run(capsys, "evaluate", "short", "--data", "x.jsonl", "--json"))


@pytest.mark.parametrize(
    "words, message",
    [
        (("--data", "no.tsv"), "no.tsv"),
        (("--data", "nothing"), "neither a file nor a known set"),
        (("--data", ""), "--data is empty"),
        (("--data", "x.de", "--targets", "asked.txt"), "x.de has more than the 2 lines"),
        (("--data", "x.tsv", "--source", "text"), "no column 'text'"),
        (("--data", "x.tsv", "--valid-targets", "x.en"), "--valid-targets belongs to --valid"),
        (("--data", "x.tsv", "--metric", "rouge1"), "--metric"),
        (("--data", "x.tsv", "--label-smoothing", "1"), "label_smoothing"),
        (("--data", "x.tsv", "--model", "pointer_generator", "--tokenizer", "char"), "needs a WordTokenizer"),
        (("--data", "x.tsv", "--model", "pointer_generator", "--label-smoothing", "0.1"), "without copying"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(folder, inside, capsys, words, message):
    error = refused(capsys, "train-task", "translate", *words, "--out", "new")
    assert message in error and len(error.splitlines()) == 1 and not (folder / "new").exists()


def test_flags_of_others_are_refused(folder, inside, capsys):
    run(
        capsys,
        "train-task",
        "retrieve",
        "--data",
        "x.tsv",
        "--question",
        "source",
        "--answer",
        "target",
        "--out",
        "kb",
    )
    assert "--num-beams is for a translator" in refused(capsys, "predict", "kb", "--text", "ein", "--num-beams", 2)
    assert "--targets is for a translator" in refused(
        capsys, "evaluate", "kb", "--data", "x.tsv", "--targets", "x.en"
    )
