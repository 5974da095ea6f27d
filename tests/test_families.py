"""Every family on the whole road from a text file to a checked export, by the command line alone."""

import json

import pytest
from served_requests import beginnings, completions, requests

import lm_keras as lk
from lm_keras.cli import main
from lm_keras.family_options import FAMILY_OPTIONS

LENGTH = 8
SMALL = {
    "feedforward": ["--context-length", "3", "--batch-norm"],
    "rnn": ["--skip", "2"],
    "attention_rnn": ["--score", "multiplicative"],
    "cnn": ["--num-layers", "2", "--dilation-growth", "2"],
    "gpt2": ["--num-layers", "1", "--num-heads", "2"],
    "llama": ["--num-layers", "1", "--num-heads", "4", "--num-kv-heads", "2"],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("families")
    (place / "news.txt").write_text("\n".join(lk.data.load("lee-news")[20:30]), encoding="utf-8")
    return place


@pytest.mark.parametrize("family", FAMILY_OPTIONS)
def test_from_text_to_a_checked_export(family, place, capsys, monkeypatch, loaded_once):
    monkeypatch.chdir(place)
    tokenizer = "bpe" if family in ("gpt2", "llama") else "word"
    words = ["--embedding-dim", "8"] if "embedding_dim" in FAMILY_OPTIONS[family] else []

    def run(*arguments):
        assert main(list(arguments)) == 0
        return capsys.readouterr().out

    run(
        *("train", "--model", family, "--data", "news.txt", "--tokenizer", tokenizer, "--out", family),
        *(
            "--vocab-size",
            "300",
            "--hidden-dim",
            "16",
            "--length",
            str(LENGTH),
            "--epochs",
            "1",
            "--batch-size",
            "16",
        ),
        *words,
        *SMALL.get(family, ()),
    )
    result = json.loads(run("evaluate", family, "--data", "news.txt", "--json"))
    assert 1 < result["perplexity"] < 320
    # More new tokens than the windows it was trained on are long.
    text = run("generate", family, "--prompt", "The fire", "--max-new-tokens", str(2 * LENGTH), "--seed", "1")
    assert text.startswith("The fire") and len(text) > 20
    assert text == run(
        *("generate", family, "--prompt", "The fire", "--max-new-tokens", str(2 * LENGTH), "--seed", "1", "--stream")
    )
    assert run("export", family, f"saved/{family}").strip() == f"saved/{family}/1"
    assert lk.check(f"saved/{family}/1", requests(asked(lk.LanguageModel.load(family)))) == []


def asked(language_model):
    """{signature: (inputs, outputs)} with the answers of the model in Python."""
    texts = beginnings(lk.data.load("lee-news")[-300:])
    scores = language_model.score(texts)
    outputs = {name: [getattr(s, name) for s in scores] for name in ("log_prob", "num_tokens", "perplexity")}
    made = completions(language_model, "prompt", texts, 4)
    assert len(set(made["sample"][1]["completion"])) > 10  # else equality would say little
    return {"score": ({"text": texts}, outputs), **made}


def test_the_command_line_knows_every_family_and_its_options():
    import inspect

    assert FAMILY_OPTIONS.keys() == lk.models.BUILDERS.keys()
    for family, options in FAMILY_OPTIONS.items():
        name = "build_rnn_lm" if family == "gru" else lk.models.BUILDERS[family]
        assert set(options) <= inspect.signature(getattr(lk.models, name)).parameters.keys(), family


@pytest.mark.parametrize(
    "family, option, said",
    [
        ("lstm", ["--num-heads", "2"], "--num-heads does not belong to --model lstm, only to gpt2, llama"),
        ("gpt2", ["--tie-embeddings"], "--tie-embeddings does not belong to --model gpt2"),
        ("gpt2", ["--contiguous"], "--contiguous carries a state of fixed size"),
        ("gpt2", ["--hidden-dim", "10", "--num-heads", "4"], "multiple of num_heads"),
        ("llama", ["--max-length", "3"], "--max-length 3 is less than --length"),
        ("gru", ["--skip", "2"], "--skip does not belong to --model gru, only to rnn"),
    ],
)
def test_an_option_of_another_family_is_one_line(family, option, said, place, capsys, monkeypatch):
    monkeypatch.chdir(place)
    train = ["train", "--model", family, "--data", "news.txt", "--tokenizer", "word", "--out", "never", *option]
    assert main(train) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and said in error
    assert not (place / "never").exists()
