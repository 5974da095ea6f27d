"""Whatever folder or file is given to a command or to a function that loads: it works, or what it is is said."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from paths import GOLDEN

import lm_keras as lk
from lm_keras import tasks
from lm_keras.cli.parser import main
from lm_keras.utils.atomic_files import write_tensors
from lm_keras.utils.saved_kinds import TELLS, kind_of


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """One of each kind, most of them only in name."""
    place = tmp_path_factory.mktemp("kinds")
    tokenizer = lk.text.WordTokenizer.train(["a b c"], language=None)
    model = lk.models.build_feedforward_lm(
        tokenizer.vocab_size, context_length=2, embedding_dim=2, hidden_dim=(2,), seed=0
    )
    lk.LanguageModel(model, tokenizer).save(place / "runs" / "lm")
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        kept = shutil.copytree(place / "runs" / "lm", place / f"without {name}")
        (kept / name).unlink()
    for name, mark in (("by train", "run.json"), ("by fit", "checkpoint.safetensors")):
        kept = shutil.copytree(place / "without model.safetensors", place / name)
        (kept / mark).write_text("{}")
    shutil.copytree(GOLDEN / "llama", place / "llama")
    shutil.copytree(GOLDEN / "bert", place / "bert")
    shutil.copytree(GOLDEN / "qwen2", place / "qwen2")
    model.save(place / "model.keras")
    write_tensors(place / "model.safetensors", {"a": np.zeros(1, "float32")})
    for name, facts in (("topics", {"kind": "topic model"}), ("documents", {"kind": "doc2vec"})):
        write_tensors(place / f"{name}.safetensors", {"a": np.zeros(1, "float32")}, facts)
    lk.data.ContentFilter(["a"]).save(place / "filter.safetensors")
    learned = lk.prompting.LearnedPrompt(1, vectors=np.zeros((1, 2), "float32"))
    learned.save(place / "prompt.safetensors")
    (place / "by fit of a prompt").mkdir()
    learned.save(place / "by fit of a prompt" / "prompt.safetensors")
    marks = (
        "saved/lm/1/saved_model.pb",
        "adapter/adapter_config.json",
        "plain/checkpoint.safetensors",
        "task/task.json",
    )
    for name in (*marks, "x/y.txt"):
        (place / name).parent.mkdir(parents=True)
        (place / name).write_text("{}")
    (place / "words").mkdir()
    tokenizer.save(place / "words")
    (place / "model.gguf").write_bytes(b"GGUF and then nothing")
    (place / "text.txt").write_text("a b c")
    for name in ("own", "sentences/1_Pooling"):
        (place / name).mkdir(parents=True)
        (place / name / "config.json").write_text('{"pooling": true}')
    shutil.copytree(place / "bert", place / "hub" / "snapshots" / "1f5")
    shutil.copytree(place / "saved", place / "all" / "saved")
    (place / "quantized").mkdir()
    shutil.copy(place / "model.gguf", place / "quantized" / "q4.gguf")
    with zipfile.ZipFile(place / "some.zip", "w") as file:
        file.writestr("a.txt", "a")
    return place


@pytest.fixture(autouse=True)
def inside(place, monkeypatch):
    monkeypatch.chdir(place)


KINDS = {
    "runs/lm": ("language model", "lk.LanguageModel.load reads it"),
    "runs": ("nothing", "runs is no model, but a folder of such; give one of them, such as runs/lm"),
    "without config.json": ("no config", "has no config.json beside its weights"),
    "without tokenizer.json": ("language model", "there is no readable without tokenizer.json/tokenizer.json"),
    "without model.safetensors": ("no weights", "a language model without its model.safetensors"),
    "by train": ("unfinished train", "go on with `lm-keras train --resume`"),
    "by fit": ("unfinished fit", "go on with lk.fit and TrainingConfig(resume=True)"),
    "llama": ("pretrained", "is a Hugging Face checkpoint; lk.models.load_pretrained reads it"),
    "bert": ("pretrained", "is an encoder (bert), which scores and writes no text"),
    "qwen2": ("pretrained", "qwen2 has no tokenizer, so it takes no text"),
    "task": ("task", "is a saved text model of lm_keras.tasks; lk.tasks.load reads it"),
    "model.keras": ("keras", "is a Keras model without a tokenizer; lk.models.load_model reads it"),
    "model.safetensors": ("weights", "is a file of weights alone; give the folder"),
    "topics.safetensors": ("topic model", "is a saved topic model; TopicModel.load reads it"),
    "documents.safetensors": ("document vectors", "is a file of document vectors; DocumentVectors.load reads it"),
    "prompt.safetensors": ("learned prompt", "is a learned prompt; prompting.LearnedPrompt.load reads it"),
    "by fit of a prompt": ("prompt run", "PromptTuning.load or PrefixTuning.load reads it"),
    "filter.safetensors": ("content filter", "is a saved content filter; ContentFilter.load reads it"),
    "saved/lm/1": ("export", "is an export for TF Serving; `lm-keras check` proves it"),
    "saved/lm": ("exports", "is a folder of exports for TF Serving; give the folder that they were exported from"),
    "adapter": ("adapter", "is an adapter without its model"),
    "plain": ("checkpoint", "an lk.fit without a tokenizer, so it takes no text"),
    "own": ("unknown", "has a config.json that is of no model of this library and names no model_type"),
    "sentences": ("nothing", "sentences has no config.json"),
    "hub": ("nothing", "give one of them, such as hub/snapshots/1f5"),
    "all/saved": ("nothing", "is a folder of exports for TF Serving"),
    "quantized": ("nothing", "give one of them, such as quantized/q4.gguf"),
    "x": ("nothing", "x has no config.json, so it holds no model; give a run of `lm-keras train`, a folder"),
    "words": ("tokenizer", "holds a tokenizer, but no config.json"),
    "model.gguf": ("gguf", "model.gguf"),
    "text.txt": ("file", "is no file of a model that is read here"),
    "some.zip": ("file", "is no file of a model that is read here"),
    "none": ("missing", "there is nothing of that name"),
}


def refused(capsys, *arguments):
    assert main(list(map(str, arguments))) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert "train it again" not in line
    return line


@pytest.mark.parametrize("path", KINDS)
def test_every_kind_is_known_and_says_who_reads_it(path, capsys):
    kind, said = KINDS[path]
    assert kind_of(path) == kind and kind in TELLS
    if path in ("runs/lm", "llama"):
        with pytest.raises(lk.InputError) as told:
            (lk.LanguageModel.load if path == "llama" else tasks.load)(path)
        assert said in str(told.value)
        return
    assert said in refused(capsys, "score", path, "--text", "a")
    assert said in refused(capsys, "generate", path, "--prompt", "a")
    if path != "task":
        assert said in refused(capsys, "export", path, "saved/new")
    readers = {"language model": lk.LanguageModel.load, "task": tasks.load, "keras": lk.models.load_model}
    readers |= dict.fromkeys(("pretrained", "gguf"), lk.models.load_pretrained)
    for load in set(readers.values()) - {readers.get(kind)}:  # whoever else is given it names the one that reads it
        with pytest.raises(lk.InputError) as told:
            load(path)
        if kind in readers:
            assert readers[kind].__name__ in str(told.value)


def test_a_checkpoint_of_transformers_works_as_a_run_does(capsys):
    lm = lk.models.load_pretrained("llama")
    assert main(["score", "llama", "--text", "The fire", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == pytest.approx(lm.score("The fire")[0]._asdict())
    assert main(["generate", "llama", "--prompt", "The", "--max-new-tokens", "4", "--temperature", "0"]) == 0
    assert capsys.readouterr().out == "The" + lm.generate("The", max_new_tokens=4, temperature=0)[0].text + "\n"


def test_what_checks_and_configures_exports_says_what_it_takes(capsys):
    for path in ("runs/lm", "llama", "task", "plain", "model.keras"):
        line = refused(capsys, "check", path)
        assert "check takes a version folder such as saved_models/name/1" in line and path in line
        assert "serve-config takes the folder above the exports" in refused(capsys, "serve-config", path)
    assert "and saved/lm holds several; give one of them" in refused(capsys, "check", "saved/lm")
    for path in ("saved/lm", "saved/lm/1"):
        assert refused(capsys, "serve-config", path).endswith(f"give {Path('saved').absolute()}")


def test_train_goes_on_only_with_its_own_runs(capsys):
    command = ["train", "--model", "lstm", "--tokenizer", "word", "--data", "text.txt", "--out"]
    for path, said in (
        ("plain", "lk.fit"),
        ("llama", "Hugging Face"),
        ("task", "lk.tasks.load"),
        ("runs", ""),
    ):
        assert refused(capsys, *command, path).endswith("is not empty; give a new folder")
        line = refused(capsys, *command, path, "--resume")
        assert "holds no run to resume" in line and said in line
