"""What release 0.1.0 saved loads today and answers as it did then (tools/make_release_golden.py made the files)."""

import gzip
import json
import re
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from make_release_golden import TEXTS, TRAIN, answers_of, outputs_of
from paths import GOLDEN

import lm_keras as lk
from lm_keras.cli.parser import main
from lm_keras.models.renamed import current_path
from lm_keras.utils.keras_internals import flatten_layers

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


@pytest.mark.parametrize("name", sorted(path.stem for path in (SAVED / "keras_files").glob("*.json")))
def test_a_keras_file(name, tmp_path):
    file = tmp_path / f"{name}.keras"
    file.write_bytes(gzip.decompress((SAVED / "keras_files" / f"{name}.keras.gz").read_bytes()))
    stored = json.loads((SAVED / "keras_files" / f"{name}.json").read_text(encoding="utf-8"))
    for load in (keras.models.load_model, lk.models.load_model):
        model = load(file)
        same(outputs_of(model), stored["outputs"])
    frozen = [layer.path for layer in flatten_layers(model) if layer.weights and not layer.trainable]
    assert frozen == (["block_1/expand"] if name == "gpt2" else [])
    assert {w.dtype for w in model.weights} == ({"float32", "int8"} if name == "llama" else {"float32"})
    # A checkpoint holds the variables in their order, without their names.
    before, today = (
        [re.sub(r"seed_generator_\d+", "seed_generator", current_path(model.recipe.builder, path)) for path in paths]
        for paths in (stored["variables"], [v.path for v in model.variables])
    )
    if name == "seq2seq_transformer":
        before, today = sorted(before), sorted(today)  # see `_check_names` in training/run/state.py
    assert today == before
    again = tmp_path / "again.keras"
    model.save(again)
    same(outputs_of(lk.models.load_model(again)), stored["outputs"])


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


def test_an_export(tmp_path, warm_check):
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
