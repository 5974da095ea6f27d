"""`lm-keras evaluate --task`: what `lk.prompting.evaluate_task` gives, printed."""

import dataclasses
import json

import pytest
from small_models import tiny_lm

import lm_keras as lk
from lm_keras.cli.parser import main
from lm_keras.prompting import evaluate_task

ITEMS = [
    {"prompt": "a b", "choices": ["c", "d e"], "answer": 0},
    {"prompt": "c", "choices": ["a", "b"], "answer": 1},
    {"prompt": "h h", "choices": ["a", "b"], "answer": 1},
]


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("task")
    lm = tiny_lm("lstm", lk.text.WordTokenizer.train(["a b c d e f g h"]))
    lm.save(folder / "run")
    (folder / "items.jsonl").write_text("\n".join(map(json.dumps, ITEMS)), "utf-8")
    pairs = [{"good": "a b", "bad": f"{word} b", "set": word} for word in "cd"]
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, pairs)), "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield lm


@pytest.mark.parametrize(
    "arguments, options",
    {
        "": {},
        "--limit 2 --begin": {"limit": 2, "begin": True},
        "--no-begin --shots 1 --seed 3": {"begin": False, "shots": 1, "seed": 3},
    }.items(),
)
def test_one_json_object(lm, capsys, arguments, options):
    assert main(["evaluate", "run", "--task", "items.jsonl", "--json", *arguments.split()]) == 0
    printed = json.loads(capsys.readouterr().out)
    expected = dataclasses.asdict(evaluate_task(lm, "items.jsonl", **options))
    del printed["seconds"], expected["seconds"], expected["right"]
    assert printed == pytest.approx({name: value for name, value in expected.items() if value is not None})


def test_columns(lm, capsys):
    assert main(["evaluate", "run", "--task", "pairs.jsonl"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    made = evaluate_task(lm, "pairs.jsonl")
    assert (lines["acc"], lines["kind"], lines["begin"]) == (f"{made.acc:.4f}", "minimal pairs", "all")
    assert {"c": f"{made.sets['c']:.4f}", "d": f"{made.sets['d']:.4f}"}.items() <= lines.items()


@pytest.mark.parametrize(
    "arguments, said",
    {
        "--task other": "there is no task 'other'",
        "--task items.jsonl --limit 0": "--limit",
        "--task items.jsonl --split test": "--split and --encoding are about --data",
        "--data items.jsonl --shots 2": "--shots is about --task",
        "--task items.jsonl --data items.jsonl": "not allowed with",
        "": "one of the arguments --data --task is required",
    }.items(),
)
def test_mistakes_cost_one_line(lm, capsys, arguments, said):
    try:
        code = main(["evaluate", "run", *arguments.split()])
    except SystemExit as error:
        code = error.code
    printed = capsys.readouterr()
    assert code == 2 and said in printed.err and printed.err.count("\n") == 1 and not printed.out
