"""What release 0.1.0 saved loads today and answers as it did then (tools/make_release_golden.py made the files)."""

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from make_release_golden import TEXTS, TRAIN, answers_of
from paths import GOLDEN

import lm_keras as lk
from lm_keras.cli.parser import main

SAVED = GOLDEN / "saved"


def folders(kind):
    return sorted(path.name for path in (SAVED / kind).iterdir())


def same(found, stored):
    """Ids and texts to the letter; numbers up to the rounding of another order of additions."""
    if isinstance(stored, float):
        np.testing.assert_allclose(found, stored, rtol=2e-5, atol=2e-5)
    elif isinstance(stored, (list, dict)):
        keys = range(len(stored)) if isinstance(stored, list) else stored
        assert len(found) == len(stored)
        for key in keys:
            same(found[key], stored[key])
    else:
        assert found == stored


def check(model, folder):
    same(answers_of(model), json.loads((folder / "answers.json").read_text(encoding="utf-8"))["answers"])


@pytest.mark.parametrize("name", folders("language_models"))
def test_a_saved_language_model(name):
    folder = SAVED / "language_models" / name
    check(lk.LanguageModel.load(folder), folder)


@pytest.mark.parametrize("name", folders("tasks"))
def test_a_saved_task(name):
    folder = SAVED / "tasks" / name
    check(lk.tasks.load(folder), folder)


def test_a_run():
    check(lk.LanguageModel.load(SAVED / "run"), SAVED / "run")


def test_a_run_goes_on(tmp_path, monkeypatch):
    """Its checkpoint holds the optimizer's state under the names of then; the second epoch is what it was."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(SAVED / "run", "run")
    Path("text.txt").write_text("\n".join(TEXTS * 8) + "\n", encoding="utf-8")
    assert main([*TRAIN, "--out", "run", "--epochs", "2", "--resume"]) == 0
    rows, stored = (
        [list(map(float, filter(None, line.split(",")))) for line in Path("run", name).read_text().splitlines()[1:]]
        for name in ("metrics.csv", "two_epochs.csv")
    )
    same(rows, stored)


def test_an_export(tmp_path):
    folder = tmp_path / "1"
    shutil.copytree(SAVED / "export" / "1", folder)
    packed = folder / "saved_model.pb.gz"
    (folder / "saved_model.pb").write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    calls = [
        {"signature": "score", "inputs": {"text": TEXTS}},
        {
            "signature": "generate",
            "inputs": {"prompt": ["The old", "In the morning the boats"], "max_new_tokens": [8, 8]},
        },
    ]
    stored = json.loads((SAVED / "export" / "answers.json").read_text(encoding="utf-8"))["answers"]
    same(lk.serving.query(folder, calls)["results"], stored)
    assert lk.check(folder) == []
