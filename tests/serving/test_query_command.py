"""`lm-keras query`: what a user sees of a server, and one line for what is wrong."""

import json

import pytest

from lm_keras.cli import parser


@pytest.fixture
def ask(url, capsys):
    def run(*arguments, code=0):
        assert parser.main(["query", url, *arguments]) == code
        told = capsys.readouterr()
        return told.err if code else told.out

    return run


def test_a_completion_is_the_language_models(ask, word_model):
    (expected,) = word_model.generate("The man", max_new_tokens=6, temperature=0)
    told = ask("word", "--signature", "generate", "--input", "prompt=The man", "--input", "max_new_tokens=6")
    lines = dict(line.split(maxsplit=1) for line in told.splitlines())
    assert lines["completion"] == expected.text.strip() and lines["num_new_tokens"] == str(len(expected.token_ids))
    assert float(lines["log_prob"]) == pytest.approx(sum(expected.log_probs), abs=1e-3)


def test_options_have_the_defaults_of_the_client(ask):
    sample = ("tasks", "--signature", "sample", "--input", "prompt=p", "--input", "prompt=p", "--json")
    made = json.loads(ask(*sample, "--input", "temperature=0.5"))
    assert made["completion"] == [f"p|0.50|1.00|0|{seed}>50" for seed in (0, 1)]
    assert json.loads(ask(*sample, "--input", "seed=7"))["completion"][1].endswith("|8>50")


def test_messages(ask):
    chat = ("tasks", "--signature", "chat", "--input", "messages=user\x1fHi", "--input", "seed=3", "--json")
    assert json.loads(ask(*chat))["reply"] == ["user\x1fHi|1.00|1.00|0|3>50"]


def test_rows_and_types(ask):
    types = ("tasks", "--signature", "types", "--input", "x=0", "--input", "n=3", "--input", "yes=true")
    assert json.loads(ask(*types, "--input", "raw=a=b", "--json")) == {
        "half": [1.0], "n": [6], "raw_bytes": [{"b64": "YT1i"}], "x": [None], "yes": [False],
    }  # fmt: skip
    assert json.loads(ask(*types, "--input", "raw=a\udcff", "--json"))["raw_bytes"] == [{"b64": "Yf8="}]  # a byte
    told = ask("tasks", "--signature", "generate", "--input", "source=a\nb", "--input", "source=c")
    assert told == (
        "completion     a\\nb>50\nlog_prob       -16.6667\nnum_new_tokens 50\n\n"
        "completion     c>50\nlog_prob       -16.6667\nnum_new_tokens 50\n"
    )


def test_without_input_what_is_there_is_told(ask):
    told = ask("two").splitlines()
    assert told[:2] == ["version 2 AVAILABLE", "version 1 AVAILABLE"]
    assert "new: text -> version" in told and "serving_default: text -> version" in told
    told = json.loads(ask("two", "--label", "stable", "--json"))
    assert [one["state"] for one in told["versions"]] == ["AVAILABLE"] * 2
    assert told["signatures"]["serving_default"]["inputs"] == {"text": {"dtype": "string", "shape": [None]}}
    assert ask("two", "--version", "1", "--input", "text=a") == "version        1\n"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["tasks", "--signature", "none", "--input", "a=b"], "tasks has no signature 'none'; it has answer, beam"),
        (["tasks", "--signature", "tag", "--input", "a=b"], "tag has no input 'a'; it takes text"),
        (
            ["tasks", "--signature", "beam", "--input", "length_penalty=1"],
            "beam needs source (string): --input source=",
        ),
        (["tasks", "--signature", "beam", "--input", "max_new_tokens=1.5"], "max_new_tokens is '1.5'"),
        (["tasks", "--signature", "types", "--input", "yes=1"], "yes is '1'; the model takes bool there"),
        (["none", "--input", "a=b"], "none"),
        (["two", "--version", "7"], "Could not find version 7 of model two"),
        (["two", "--label", "none", "--input", "text=a"], "Unrecognized servable version label: none"),
    ],
)
def test_what_is_wrong_is_one_line(ask, arguments, message):
    told = ask(*arguments, code=2)
    assert told.startswith("lm-keras: ") and message in told and told.count("\n") == 1


@pytest.mark.parametrize("address", ["localhost:8501", "http://127.0.0.1:9", "grpc://127.0.0.1:9"])
def test_no_server_is_one_line(address, capsys, hasty):
    assert parser.main(["query", address, "lm"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and address in told


@pytest.mark.parametrize("more", [["--input", "prompt"], ["--version", "1", "--label", "x"], ["--timeout", "0"]])
def test_wrong_usage(more, capsys):
    with pytest.raises(SystemExit) as refused:
        parser.main(["query", "http://localhost:8501", "lm", *more])
    assert refused.value.code == 2 and capsys.readouterr().err.count("\n") == 1
