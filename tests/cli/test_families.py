"""The families on the whole road from a text file to a checked export, by the command line alone.

The LSTM takes it in test_cli.py and tests/serving, of words there too. LM_KERAS_FULL=1 sends all families; without it
one goes for each kind of state: a window of words, all states so far, convolutions. Exports of transformers
are asked as much in tests/test_prompts.py.
"""

import json

import pytest
from served_requests import FULL, beginnings, completions, requests

import lm_keras as lk
from lm_keras.cli.family import argument_help, builder_of, options_of
from lm_keras.cli.parser import main, parsed
from lm_keras.models import BUILDERS
from lm_keras.training import unigram_perplexity

pytestmark = pytest.mark.usefixtures("warm_check")

LENGTH = 8
TOKENIZER = {"feedforward": "bpe"}  # the others read characters, whose graph is the smallest
EPOCHS = {"bpe": "6"}  # fewer windows than of characters
SMALL = {
    "feedforward": ["--context-length", "3", "--batch-norm"],
    "rnn": ["--skip", "2"],
    "attention_rnn": ["--attention", "multiplicative"],
    "cnn": ["--num-layers", "2", "--dilation-growth", "2"],
    "gpt2": ["--num-layers", "1", "--num-heads", "2"],
    "llama": ["--num-layers", "1", "--num-heads", "4", "--num-kv-heads", "2", "--epochs", "4"],
}


@pytest.fixture(scope="module")
def texts():
    return lk.data.load("lee-news")[20:30]


@pytest.fixture(scope="module")
def place(tmp_path_factory, texts):
    place = tmp_path_factory.mktemp("families")
    (place / "news.txt").write_text("\n".join(texts), encoding="utf-8")
    return place


@pytest.mark.parametrize("family", BUILDERS if FULL else ["feedforward", "attention_rnn", "cnn"])
def test_from_text_to_a_checked_export(family, place, texts, capsys, monkeypatch, loaded_once):
    monkeypatch.chdir(place)
    kind = TOKENIZER.get(family, "char")
    sizes = ["--hidden-dim", "16", "--length", str(LENGTH)]
    draws = "embedding_dim" in options_of(builder_of(family).function)
    sizes += ["--vocab-size", "300"] if kind != "char" else []
    sizes += ["--embedding-dim", "8", "--initializer-range", "0.5"] if draws else []
    rate = "0.03" if draws else "0.015"

    def run(*arguments):
        assert main(list(arguments)) == 0
        return capsys.readouterr().out

    run(
        *("train", "--model", family, "--data", "news.txt", "--tokenizer", kind, "--out", family, *sizes),
        *("--epochs", EPOCHS.get(kind, "1"), "--batch-size", "16", "--learning-rate", rate, *SMALL.get(family, ())),
    )
    result = json.loads(run("evaluate", family, "--data", "news.txt", "--json"))
    tokenizer = lk.LanguageModel.load(family).tokenizer
    ids = tokenizer.encode_batch(texts)
    frequencies = unigram_perplexity(ids, ids, tokenizer.vocab_size, eos_id=tokenizer.eos_id)
    assert 1 < result["perplexity"] < frequencies  # it has learnt what follows what
    # More new tokens than the windows it was trained on are long.
    generate = ["generate", family, "--prompt", "The fire", "--max-new-tokens", str(2 * LENGTH), "--seed", "1"]
    text = run(*generate)
    assert text.startswith("The fire") and len(text) > len("The fire") + LENGTH
    assert text == run(*generate, "--stream")
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


def test_the_options_of_a_family_are_the_arguments_of_its_builder():
    for family, name in BUILDERS.items():
        entry = builder_of(family)
        assert entry.family == family and entry.function is getattr(lk.models, name)
        helps = argument_help(entry.function)
        missing = sorted(options_of(entry.function).keys() - helps.keys())
        assert not missing, f"the docstring of {name} has no line below `Args:` for {', '.join(missing)}"
        assert entry.small.keys() <= options_of(entry.function).keys()
    found = options_of(builder_of("attention_rnn").function)
    assert found["attention"] == (("additive", "multiplicative"), False)
    assert found["embedding_dim"] == (int, False) and found["tie_embeddings"] == (bool, False)
    assert options_of(builder_of("feedforward").function)["hidden_dim"] == (int, True)
    assert not {"vocab_size", "seed", "name", "embedding_matrix"} & found.keys()


def test_help_of_a_family_lists_its_options(capsys):
    with pytest.raises(SystemExit) as end:
        main(["train", "--model", "rnn", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert end.value.code == 0
    assert "--skip N Adds U h_{t-skip}" in text and "--cell {rnn,gru}" in text and "default 256" in text
    assert "--num-heads" not in text and "--vocab-size N" in text


def exit_code(command):
    try:
        return main(command)
    except SystemExit as end:
        return end.code


@pytest.mark.parametrize(
    "family, option, said",
    [
        ("lstm", ["--num-heads", "2"], "--num-heads does not belong to --model lstm, only to gpt2, llama"),
        ("gpt2", ["--tie-embeddings"], "--tie-embeddings does not belong to --model gpt2"),
        ("gpt2", ["--contiguous"], "--contiguous carries a state of fixed size"),
        ("gpt2", ["--hidden-dim", "10", "--num-heads", "4"], "multiple of num_heads"),
        ("llama", ["--max-length", "3"], "--max-length 3 is less than --length"),
        ("gru", ["--skip", "2"], "--skip does not belong to --model gru, only to rnn"),
        ("lstm", ["--hiden-dim", "9"], "unrecognized arguments: --hiden-dim 9"),
        ("lstm", ["--hidden-dim", "0"], "argument --hidden-dim: '0' is not a whole number of at least 1"),
        ("attention_rnn", ["--attention", "dot"], "argument --attention: invalid choice: 'dot'"),
        ("lstm", ["--init-scale", "0.1"], "--init-scale is --initializer-range today"),
        ("mine", [], "--model mine is no family; known: feedforward, rnn"),
    ],
)
def test_an_option_of_another_family_is_one_line(family, option, said, place, capsys, monkeypatch):
    monkeypatch.chdir(place)
    train = ["train", "--model", family, "--data", "news.txt", "--tokenizer", "word", "--out", "never", *option]
    assert exit_code(train) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and said in error
    assert not (place / "never").exists()


def test_an_abbreviation_of_an_option():
    """The beginning of an option that no other begins with stands for it: of the command or of a family."""
    options = parsed(
        ["train", "--mod", "gru", "--dat", "x", "--tok", "char", "--ou", "y", "--hid", "9", "--learn", "0.1"]
    )
    assert (options.model, options.data, options.hidden_dim, options.learning_rate) == ("gru", "x", 9, 0.1)
