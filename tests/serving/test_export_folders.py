"""Where exports land, and that a server never sees half of one."""

import json
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import lm_keras as lk

TEXTS = ["a b a b c", "b a c"]


@pytest.fixture(scope="module")
def small():
    """The cheapest model there is to export."""
    tokenizer = lk.text.WordTokenizer.train(TEXTS, language=None)
    sizes = {"num_classes": 2, "embedding_dim": 2, "kernel_sizes": (2,), "num_filters": 2}
    model = lk.models.build_cnn_classifier(tokenizer.vocab_size, **sizes)
    return lk.tasks.TextClassifier(model, tokenizer, ["yes", "no"])


def listing(folder):
    return {p.relative_to(folder): p.read_bytes() if p.is_file() else None for p in Path(folder).rglob("*")}


def test_versions_count_up_and_appear_only_when_whole(small, tmp_path, monkeypatch):
    target, seen = tmp_path / "deep" / "name", []
    module = sys.modules["lm_keras.serving.exporting"]
    real_save, real_write = tf.saved_model.save, module.write_json

    def look(path):
        seen.append(Path(path).name)
        siblings = [p.name for p in target.iterdir()]
        assert not [name for name in siblings if name.isdigit() and not (target / name / "assets.extra").is_dir()]

    def save(module, folder, *rest):
        look(folder)
        real_save(module, folder, *rest)

    def write(path, value):
        look(path.parents[1])
        real_write(path, value)

    monkeypatch.setattr(tf.saved_model, "save", save)
    monkeypatch.setattr(module, "write_json", write)
    assert lk.export(small, target) == str(target / "1")
    monkeypatch.undo()
    assert len(seen) == 3 and not any(name.isdigit() for name in seen)

    (target / "9.tmp").mkdir()
    (target / "²").mkdir()
    (target / "notes.txt").write_text("mine")
    assert lk.export(small, target) == str(target / "2")
    assert lk.export(small, target / "7") == str(target / "7")
    assert sorted(p.name for p in target.iterdir()) == ["1", "2", "7", "9.tmp", "notes.txt", "²"]
    assert stat.S_IMODE((target / "1").stat().st_mode) & 0o555 == 0o555  # the server is another user


def test_a_version_that_exists_is_refused_and_untouched(small, tmp_path):
    version = tmp_path / "name" / "3"
    version.mkdir(parents=True)
    (version / "saved_model.pb").write_bytes(b"precious")
    before = listing(tmp_path)
    with pytest.raises(lk.InputError, match="exists already"):
        lk.export(small, version)
    (tmp_path / "file").write_text("x")
    for target in (tmp_path / "file", tmp_path / "file" / "name"):
        with pytest.raises(lk.InputError, match="is a file"):
            lk.export(small, target)
    (tmp_path / "file").unlink()
    assert listing(tmp_path) == before


def test_a_failing_export_leaves_no_folder(small, tmp_path, monkeypatch):
    def full(*args):
        Path(args[1], "variables").mkdir(parents=True)
        raise OSError(28, "No space left on device")

    (tmp_path / "old" / "1").mkdir(parents=True)
    monkeypatch.setattr(tf.saved_model, "save", full)
    for target in (tmp_path / "new" / "name", tmp_path / "old"):
        with pytest.raises(OSError, match="No space left"):
            lk.export(small, target)
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "old", tmp_path / "old" / "1"]


def test_a_tokenizer_without_a_graph_is_refused(tmp_path):
    tokenizer = lk.text.WordTokenizer.train(["今天天气很好"], language="zh")
    model = lk.models.build_lstm_lm(tokenizer.vocab_size, embedding_dim=2, hidden_dim=2)
    with pytest.raises(lk.InputError, match="CharTokenizer"):
        lk.export(lk.LanguageModel(model, tokenizer), tmp_path / "zh")
    assert list(tmp_path.iterdir()) == []


def test_what_a_folder_of_an_export_tells(exported):
    language_model, version = exported
    card = json.loads(Path(version, "assets.extra", "model_card.json").read_text())
    model, tokenizer = language_model.model, language_model.tokenizer
    size = sum(np.asarray(weight).nbytes for weight in model.weights)
    assert card["lm_keras"] == lk.__version__
    assert (card["builder"], card["sizes"]["hidden_dim"]) == ("build_lstm_lm", 32)
    assert (card["parameters"], card["parameter_bytes"]) == (model.count_params(), size)
    told = card["tokenizer"]
    assert (told["kind"], told["vocab_size"]) == (type(tokenizer).__name__, tokenizer.vocab_size)
    assert (card["family"], card["training_data"], card["max_new_tokens_limit"]) == ("lstm", None, 256)
    rebuilt = getattr(lk.models, card["builder"])(**card["sizes"])
    assert rebuilt.count_params() == card["parameters"]

    reader = tf.train.load_checkpoint(str(Path(version, "variables", "variables")))
    types = reader.get_variable_to_dtype_map()
    shapes = reader.get_variable_to_shape_map()
    on_disk = sum(int(np.prod(shape)) * types[k].size for k, shape in shapes.items() if types[k] != tf.string)
    assert size <= on_disk <= 1.05 * size
