"""Models by name: where they are looked for, and how pip fetches their wheel; no network is asked."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from named_models import MODULE, Index, golden, sha256, small_bert, wheel_of

import lm_keras as lk
from lm_keras import InputError
from lm_keras.data.corpora.registry import cache_folder
from lm_keras.models.pretrained.named import MODELS, describe, fetch, locate, resolved
from lm_keras.utils.atomic_files import locked

FILES = {"config.json": b"{}", "vocab.txt": b"[PAD]\n"}


@pytest.fixture
def index(tmp_path, monkeypatch):
    return Index(tmp_path, monkeypatch)


def in_cache():
    folder = cache_folder()
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def refused(name, message):
    """In one line, and nothing of it is kept."""
    with pytest.raises(InputError, match=message) as caught:
        fetch(name)
    assert str(caught.value).startswith(f"{name}: ") and str(caught.value).isprintable()
    assert in_cache() == [] and locate(name) is None


def test_a_wheel_is_fetched_once_and_the_models_files_are_kept(index, tmp_path):
    files = small_bert(tmp_path / "bert")
    index.add("tiny", files)
    assert "to be fetched (tiny-models 1.2)" in describe("tiny") and "CC0-1.0" in describe("tiny")
    encoder = lk.models.load_pretrained("tiny")
    assert in_cache() == sorted(f"models/tiny/{name}" for name in [*files, "LICENSE"])
    assert MODULE not in sys.modules
    index.wheel.unlink()
    assert fetch("tiny") == locate("tiny") == resolved("tiny") == cache_folder() / "models" / "tiny"
    assert str(locate("tiny")) in describe("tiny")
    there = lk.models.load_pretrained(tmp_path / "bert")
    texts = ["the capital of France", "are they?"]
    made = lk.tasks.TextEmbedder(encoder).embed(texts)
    np.testing.assert_array_equal(made, lk.tasks.TextEmbedder(there).embed(texts))


def test_a_language_model_by_name(index):
    index.add("tiny-lm", golden("gpt2"))
    lm = lk.models.load_pretrained("tiny-lm", tokenizer=False)
    assert lm.tokenizer is None and lm.model.vocab_size == 281


def test_a_sentence_encoder_says_where_a_text_ends(index, tmp_path):
    files = small_bert(tmp_path / "bert") | {"sentence_bert_config.json": b'{"max_seq_length": 10}'}
    index.add("tiny", files)
    embedder = lk.tasks.TextEmbedder(lk.models.load_pretrained("tiny"))
    assert embedder.options == {"max_length": 10}
    long = ["the capital of France is Paris, and the capital of Spain is Madrid", "the capital of France is Paris"]
    whole = lk.tasks.TextEmbedder(embedder.model, max_length=20).embed(long)
    vectors = embedder.embed(long)
    np.testing.assert_allclose(lk.models.sentence_embeddings(embedder.model, long), vectors, atol=1e-6)
    assert np.abs(vectors - whole).max() > 1e-3
    embedder.save(tmp_path / "saved")  # the model of the folder does not know the settings of the checkpoint
    np.testing.assert_array_equal(lk.tasks.TextEmbedder.load(tmp_path / "saved").embed(long), vectors)
    for other in (b'{"max_seq_length": 99}', b'{"max_seq_length": "10"}', b"[10]"):
        folder = tmp_path / sha256(other)[:8]
        folder.mkdir()
        for name, content in (files | {"sentence_bert_config.json": other}).items():
            (folder / name).write_bytes(content)
        assert lk.models.load_pretrained(folder).text_length is None


def test_without_a_network_one_line_says_what_to_do(index, monkeypatch):
    index.add("tiny", FILES)
    index.wheel.unlink()
    told = r"tiny: it is not on this machine, and pip cannot fetch tiny-models==1.2 \({}\); run lm-keras models fetch"
    refused("tiny", told.format("No matching distribution found for tiny-models==1.2.*"))
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    refused("tiny", told.format("there is no connection to the package index") + r" .*LM_KERAS_MODELS/tiny")


def test_without_pip(index, monkeypatch, tmp_path):
    index.add("tiny", FILES)
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')  # without what is installed
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    refused("tiny", "this Python has no pip")


def test_a_file_called_pip_where_one_works_is_not_run(index, monkeypatch, tmp_path):
    index.add("tiny", FILES)
    (tmp_path / "pip.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    assert fetch("tiny") == cache_folder() / "models" / "tiny"


def test_another_wheel_than_the_known_one(index):
    index.add("tiny", FILES, wheel=wheel_of(FILES, {f"{MODULE}/more": b"1"}))
    refused("tiny", "its sha256 is not the one that is known: changed, or damaged on the way")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"../evil": b"evil"}, "climbs out of its folder"),
        ({f"{MODULE}/model/vocab.txt": "config.json"}, "is a link or a folder"),
        ({f"{MODULE}/model/vocab.txt": b"others"}, "has sha256 .*, not"),
    ],
)
def test_a_wheel_that_is_refused(index, members, message):
    wheel = wheel_of(FILES, members)
    index.add("tiny", FILES, wheel=wheel, sha256=sha256(wheel))
    refused("tiny", message)


def test_a_wheel_without_the_file(index):
    wheel = wheel_of({"config.json": b"{}"})
    index.add("tiny", FILES, wheel=wheel, sha256=sha256(wheel))
    refused("tiny", "holds no 'tiny_models/model/vocab.txt'")


def test_a_damaged_file_is_fetched_anew_and_what_a_kill_left_goes(index):
    index.add("tiny", FILES)
    folder = fetch("tiny")
    (folder / "vocab.txt").write_bytes(b"damaged")
    (folder / ".fetch-killed").mkdir()
    (folder / ".fetch-killed" / "half.whl").write_bytes(b"half")
    assert locate("tiny") is None
    assert fetch("tiny") == folder and (folder / "vocab.txt").read_bytes() == FILES["vocab.txt"]
    assert in_cache() == [f"models/tiny/{name}" for name in ("LICENSE", "config.json", "vocab.txt")]


def test_one_process_at_a_time(index):
    index.add("tiny", FILES)
    folder = cache_folder() / "models" / "tiny"
    folder.mkdir(parents=True)
    with locked(folder, "busy"), pytest.raises(InputError, match="tiny: another process fetches to .*models/tiny"):
        fetch("tiny")


def test_a_cache_that_is_not_ours(index):
    index.add("tiny", FILES)
    folder = cache_folder() / "models" / "tiny"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    with pytest.raises(InputError, match="every user may write there"):
        fetch("tiny")
    folder.rmdir()
    folder.parent.rmdir()
    folder.parent.write_text("a file where a folder should be")
    with pytest.raises(InputError, match="tiny: .*models/tiny cannot be written"):
        fetch("tiny")


@pytest.mark.parametrize("place", ["tiny", f"{MODULE}/model"])
def test_a_folder_of_models_comes_first(index, tmp_path, monkeypatch, place):
    index.add("tiny", FILES)
    fetch("tiny")
    folder = tmp_path / "models" / place
    folder.mkdir(parents=True)
    monkeypatch.setenv("LM_KERAS_MODELS", str(tmp_path / "models"))
    (folder / "config.json").write_bytes(FILES["config.json"])
    assert locate("tiny") == cache_folder() / "models" / "tiny"  # half a model is none
    (folder / "vocab.txt").write_bytes(FILES["vocab.txt"])
    assert locate("tiny") == folder


def test_an_installed_package_is_used_and_not_imported(index, tmp_path, monkeypatch):
    index.add("tiny", FILES)
    index.wheel.unlink()
    folder = tmp_path / "site" / MODULE / "model"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise RuntimeError")
    monkeypatch.syspath_prepend(tmp_path / "site")
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    assert locate("tiny") == fetch("tiny") == folder and in_cache() == []
    (folder / "vocab.txt").write_bytes(b"of another version")
    assert locate("tiny") is None


def test_names(index, tmp_path, monkeypatch):
    index.add("tiny", FILES)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"smollm2 does not exist; did you mean 'smollm2-135m-instruct'\? Named"):
        lk.models.load_pretrained("smollm2")
    with pytest.raises(InputError, match="unknown model 'all-minilm'; did you mean 'all-minilm-l6-v2'"):
        fetch("all-minilm")
    with pytest.raises(InputError, match="unknown model 3; known are smollm2-135m-instruct, all-minilm-l6-v2"):
        fetch(3)
    assert resolved("runs/a") == Path("runs/a") and resolved(Path("tiny")) == Path("tiny")
    assert resolved("x" * 5000) == Path("x" * 5000)  # who opens it says what is wrong
    Path("tiny").mkdir()
    assert resolved("tiny") == Path("tiny")  # what is there comes first


def test_the_known_models():
    for name, model in MODELS.items():
        assert name == model.name == name.lower() and re.fullmatch(r"[\w.-]+", name)
        assert model.opens == "" or model.opens in model.files
        hashes = [model.sha256, *model.files.values(), *(sha for _, sha in model.more.values())]
        assert all(re.fullmatch("[0-9a-f]{64}", value) for value in hashes)
