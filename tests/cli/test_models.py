"""Commands on pretrained models: by name, folder and .gguf file; and a training that goes on from one."""

import json
from pathlib import Path

import numpy as np
import pytest
from named_models import Index, golden, small_bert
from paths import GOLDEN

import lm_keras as lk
from lm_keras.cli.parser import main
from lm_keras.cli.train import told_by

TEXT = "The capital of France is Paris, and the capital of Spain is Madrid.\nIt was 1984; they're sure.\n"


@pytest.fixture
def place(tmp_path, monkeypatch):
    index = Index(tmp_path, monkeypatch)
    without = ("ids.json", "expected.safetensors")
    index.add("tiny-lm", golden("llama", without=without))
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text(TEXT * 20, encoding="utf-8")
    return index


def output(capsys, *arguments):
    capsys.readouterr()
    assert main(list(map(str, arguments))) == 0
    return capsys.readouterr().out


def error(capsys, *arguments):
    capsys.readouterr()
    assert main(list(map(str, arguments))) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_list_and_fetch(place, capsys):
    (line,) = [line for line in output(capsys, "models", "list").splitlines() if line.startswith("tiny-lm ")]
    assert "to be fetched" in line
    path = output(capsys, "models", "fetch", "tiny-lm").strip()
    assert (Path(path) / "config.json").is_file() and path in output(capsys, "models", "list")
    assert "unknown model 'tiny'; did you mean 'tiny-lm'" in error(capsys, "models", "fetch", "tiny")


def test_commands_take_a_name(place, capsys):
    folder = GOLDEN / "llama"
    for name in ("tiny-lm", folder):
        scored = json.loads(output(capsys, "score", name, "--text", "The capital", "--json"))
        assert scored == pytest.approx(lk.models.load_pretrained(folder).score("The capital")[0]._asdict())
    texts = [output(capsys, "generate", m, "--prompt", "The", "--max-new-tokens", 5) for m in ("tiny-lm", folder)]
    assert texts[0] == texts[1]
    results = [output(capsys, "evaluate", m, "--data", "a.txt", "--json") for m in ("tiny-lm", folder)]
    assert results[0] == results[1]
    assert "did you mean 'tiny-lm'" in error(capsys, "score", "tiny", "--text", "a")


def test_an_export_of_a_name(place, capsys, warm_check):
    assert output(capsys, "export", "tiny-lm", "saved/lm", "--max-new-tokens-limit", 4) == "saved/lm/1\n"
    card = json.loads(Path("saved/lm/1/assets.extra/model_card.json").read_text())
    assert card["licence"] == "CC0-1.0"
    settings = {"sentence_bert_config.json": b'{"max_seq_length": 12}'}
    place.add("tiny-bert", small_bert(Path("bert")) | settings)
    assert output(capsys, "export", "tiny-bert", "saved/bert") == "saved/bert/1\n"
    assert output(capsys, "check", "saved/bert/1") == "saved/bert/1: ready to serve\n"
    card = json.loads(Path("saved/bert/1/assets.extra/model_card.json").read_text())
    assert "embed" in card["signatures"] and card["max_length"] == 12
    assert "is an encoder" in error(capsys, "generate", "tiny-bert", "--prompt", "a")
    assert "is an encoder" in error(capsys, "export", GOLDEN / "bert", "saved/other")


# === train --from ===
TRAIN = ["train", "--data", "a.txt", "--valid", "a.txt", "--length", 12, "--batch-size", 4, "--warmup-steps", 0]
TRAIN += ["--schedule", "constant", "--learning-rate", "1e-3"]


def weights(folder):
    return lk.LanguageModel.load(folder).model.get_weights()


def test_a_training_goes_on_from_a_name(place, capsys):
    base = lk.models.load_pretrained("tiny-lm")
    before = json.loads(output(capsys, "evaluate", "tiny-lm", "--data", "a.txt", "--json"))
    assert "validation perplexity" in output(capsys, *TRAIN, "--from", "tiny-lm", "--out", "run", "--max-steps", 8)
    tuned = lk.LanguageModel.load("run")
    assert tuned.tokenizer.get_config() == base.tokenizer.get_config()
    assert tuned.model.get_config() == base.model.get_config()
    after = json.loads(output(capsys, "evaluate", "run", "--data", "a.txt", "--json"))
    assert after["perplexity"] < 0.9 * before["perplexity"] and after["tokens"] == before["tokens"]
    assert told_by("run")["training_data"]["from"] == "tiny-lm"  # what a model card tells


@pytest.fixture
def first(place, capsys):
    """A run of a small LSTM."""
    sizes = ["--model", "lstm", "--tokenizer", "char", "--hidden-dim", 8, "--embedding-dim", 8]
    output(capsys, *TRAIN, *sizes, "--out", "first", "--max-steps", 2)
    return weights("first")


def test_it_is_resumed(first, capsys):
    start = [*TRAIN, "--from", "first", "--checkpoint-steps", 2]
    output(capsys, *start, "--out", "whole", "--max-steps", 4)
    output(capsys, *start, "--out", "run", "--max-steps", 2)
    output(capsys, *start, "--out", "run", "--max-steps", 4, "--resume")
    for weight, other, before in zip(weights("whole"), weights("run"), first, strict=True):
        np.testing.assert_array_equal(weight, other)
        assert 0 < np.abs(weight - before).max() < 0.01  # four steps of Adam from there
    for name in ("checkpoint.safetensors", "model.safetensors", "result.json", "metrics.csv"):
        Path("run", name).unlink()  # as a kill before the first checkpoint leaves it
    output(capsys, *start, "--out", "run", "--max-steps", 4, "--resume")
    for weight, other in zip(weights("whole"), weights("run"), strict=True):
        np.testing.assert_array_equal(weight, other)
    told = error(capsys, *TRAIN, "--from", "tiny-lm", "--out", "run", "--resume")
    assert "was started with --from first, not tiny-lm; give the same" in told


def test_from_a_run_of_ones_own(first, capsys):
    output(capsys, *TRAIN, "--from", "first", "--out", "second", "--max-steps", 2, "--contiguous")
    second = lk.LanguageModel.load("second")
    assert second.tokenizer.get_config() == lk.LanguageModel.load("first").tokenizer.get_config()
    assert "\n" in output(capsys, "generate", "second", "--prompt", "The", "--max-new-tokens", 2)
    lk.LanguageModel.load("first").with_prompt("a").save("prompted")
    lk.quantize(second, "int8").save("small")
    second.with_prompt(lk.prompting.PromptTuning(second, 2).learned).save("learned")
    assert "has a prompt" in error(capsys, "evaluate", "learned", "--data", TRAIN[2])
    for name, told in {
        "prompted": "has a prompt",
        "learned": "has a prompt",
        "small": "is quantized",
        "none": "there is nothing",
    }.items():
        assert told in error(capsys, *TRAIN, "--from", name, "--out", "third")
    assert not Path("third").exists()


def test_what_a_start_brings_itself(place, capsys):
    for flag in (
        ["--model", "lstm"],
        ["--tokenizer", "char"],
        ["--vocab-size", 9],
        ["--lowercase"],
        ["--min-count", 2],
    ):
        told = error(capsys, *TRAIN, "--from", "tiny-lm", "--out", "run", *flag)
        assert told == f"lm-keras: --from brings its model and tokenizer; leave out {flag[0]}"
    told = error(capsys, *TRAIN, "--from", "tiny-lm", "--out", "run", "--length", 999)
    assert "--length 999 is more than the " in told and "tokens of tiny-lm; give less" in told
    with pytest.raises(SystemExit):
        main([str(part) for part in [*TRAIN, "--from", "tiny-lm", "--out", "run", "--hidden-dim", 8]])
    assert "unrecognized arguments: --hidden-dim 8" in capsys.readouterr().err
    assert not Path("run").exists()
