"""A text model is saved, read in, and exported from its folder."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from small_tasks import MAKE, policy

import lm_keras as lk
from lm_keras import tasks
from lm_keras.cli.parser import main

USE = {
    "cnn_classifier": lambda bundle, texts: bundle.classify(texts),
    "tagger": lambda bundle, texts: bundle.tag(texts),
    "answers": lambda bundle, texts: bundle.answer(texts, texts[::-1]),
    "embedder": lambda bundle, texts: bundle.embed(texts).tolist(),
    "pointer_generator": lambda bundle, texts: bundle.generate(texts, max_new_tokens=5),
    "seq2seq_lstm": lambda bundle, texts: bundle.generate(texts, max_new_tokens=5),
}


def numbers_apart(result):
    """A result as JSON text without its numbers, and its numbers."""
    text, numbers = json.dumps(result, default=str), []
    return json.dumps(json.loads(text, parse_float=lambda n: numbers.append(float(n)))), numbers


@pytest.mark.parametrize("name", USE)
def test_what_was_saved_answers_the_same(name, task, passages, tmp_path):
    tasks.save(task(name), tmp_path / name)
    loaded = tasks.load(tmp_path / name)
    assert type(loaded) is type(task(name)) and loaded.options == task(name).options
    (before, a), (after, b) = (numbers_apart(USE[name](model, passages)) for model in (task(name), loaded))
    assert before == after
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_the_command_line_exports_a_folder(task, tmp_path, capsys):
    tasks.save(task("embedder"), tmp_path / "embedder")
    assert main(["export", str(tmp_path / "embedder"), str(tmp_path / "saved")]) == 0
    version = capsys.readouterr().out.strip()
    assert (Path(version) / "saved_model.pb").is_file()


def test_a_folder_that_is_none_or_damaged_is_one_line(task, tmp_path):
    folder = tmp_path / "saved"
    with pytest.raises(lk.InputError, match="tasks.save"):
        tasks.load(folder)
    tasks.save(task("cnn_classifier"), folder)
    for file, content, said in [
        ("task.json", '{"task": "os.system"}', "no text model of this version"),
        ("task.json", "{", "damaged"),
        ("task.json", '{"task": "TextClassifier", "options": {"classes": 3}, "tokenizers": []}', "no text model"),
        ("model.keras", "", "no .keras file"),
        ("tokenizer/tokenizer.json", "[]", "tokenizer"),
    ]:
        broken = shutil.copytree(folder, tmp_path / "broken", dirs_exist_ok=True)
        (broken / file).write_text(content)
        with pytest.raises(lk.InputError, match=said):
            tasks.load(broken)


def test_a_save_that_fails_leaves_the_old_one(task, passages, news, tmp_path, monkeypatch):
    folder = tmp_path / "saved"
    tasks.save(task("cnn_classifier"), folder)
    files = sorted(folder.rglob("*"))
    other = MAKE["cnn_classifier"](news[:5])
    monkeypatch.setattr(type(other.model), "save", lambda self, path: Path(path).write_text("half") / 0)
    with pytest.raises(ZeroDivisionError):
        tasks.save(other, folder)
    assert sorted(folder.rglob("*")) == files
    assert tasks.load(folder).classify(passages) == task("cnn_classifier").classify(passages)


def test_mixed_precision_comes_back(passages, tmp_path, news):
    with policy("mixed_bfloat16"):
        before = MAKE["bert_classifier"](news)
        tasks.save(before, tmp_path / "mixed")
    after = tasks.load(tmp_path / "mixed")
    assert [a.score for a in after.classify(passages)] == [b.score for b in before.classify(passages)]
    assert {layer.compute_dtype for layer in after.model.layers if layer.weights} == {"bfloat16"}


def test_only_text_models_are_saved(task, tmp_path):
    for other in (task("embedder").model, "a"):
        with pytest.raises(lk.InputError, match="tasks.save takes a text model, such as a TextClassifier"):
            tasks.save(other, tmp_path / "x")
    assert not (tmp_path / "x").exists()
