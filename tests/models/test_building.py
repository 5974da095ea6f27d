"""A builder from outside the package: saved, loaded, used on the command line; never imported by a file."""

import json
import sys

import keras
import numpy as np
import pytest

import lm_keras as lk
from lm_keras.cli.parser import main
from lm_keras.models import base

MODULE = '''
import keras
from keras import layers, ops
import lm_keras as lk


@lk.models.register_builder(family="bigram", small={"width": 4})
def build_bigram(vocab_size: int, *, width: int, seed=None, name="bigram"):
    """Logits of the next word from the last one alone."""
    start = keras.initializers.RandomNormal(seed=seed)
    embed, head = layers.Embedding(vocab_size, width, start, name="embed"), layers.Dense(vocab_size, name="head")
    ids = keras.Input((None,), dtype="int32", name="ids")
    step_ids, state = keras.Input((None,), dtype="int32"), keras.Input((1,), name="nothing")
    step = keras.Model([step_ids, state], [head(embed(ops.maximum(step_ids, 0))), state])
    views = lk.models.Views(step, lambda batch, length=None: [ops.zeros((batch, 1))])
    return lk.models.CausalLM(ids, head(embed(ids)), views=views, name=name)
'''


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """The module `mybuilders`, registered; forgotten again at the end."""
    (tmp_path / "mybuilders.py").write_text(MODULE)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    import mybuilders

    yield mybuilders
    forget()


def forget():
    base.REGISTERED.pop("build_bigram", None)
    lk.models.BUILDERS.pop("bigram", None)
    sys.modules.pop("mybuilders", None)


def test_saved_and_loaded_by_every_door(mine, tmp_path):
    tokenizer = lk.text.CharTokenizer.train(["abc"])
    model = mine.build_bigram(tokenizer.vocab_size, width=4, seed=0)
    lm, x = lk.LanguageModel(model, tokenizer), np.array([[3, 99, 98]])
    lm.save(tmp_path / "run")
    model.save(tmp_path / "x.keras")
    assert json.loads((tmp_path / "run" / "config.json").read_text())["module"] == "mybuilders"
    for loaded in (
        lk.LanguageModel.load(tmp_path / "run").model,
        lk.models.load_model(tmp_path / "x.keras"),
        keras.models.load_model(tmp_path / "x.keras"),
    ):
        np.testing.assert_array_equal(loaded(x), model(x))
        assert loaded.step(x, loaded.initial_state(1))[0].shape == (1, 3, tokenizer.vocab_size)
    assert lk.quantize(lm, "int8").score("ab")[0].num_tokens == 3


def test_what_is_not_registered_is_not_imported_by_a_file(mine, tmp_path, capsys):
    tokenizer = lk.text.CharTokenizer.train(["abc"])
    model = mine.build_bigram(tokenizer.vocab_size, width=4)
    lk.LanguageModel(model, tokenizer).save(tmp_path / "run")
    model.save(tmp_path / "x.keras")
    forget()
    for load, path in ((lk.LanguageModel.load, tmp_path / "run"), (lk.models.load_model, tmp_path / "x.keras")):
        with pytest.raises(
            lk.InputError, match="builder 'build_bigram' is not known: import mybuilders first"
        ) as error:
            load(path)
        assert "\n" not in str(error.value)
    assert "mybuilders" not in sys.modules

    config = json.loads((tmp_path / "run" / "config.json").read_text())
    (tmp_path / "run" / "config.json").write_text(json.dumps(config | {"module": "__main__"}))
    with pytest.raises(lk.InputError, match="the script or notebook that saved the model defined it"):
        lk.LanguageModel.load(tmp_path / "run")
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))

    command = ["score", "run", "--text", "abc", "--json"]
    assert main(command) == 2
    assert "--import" in capsys.readouterr().err
    assert main([*command, "--import", "mybuilders"]) == 0
    assert json.loads(capsys.readouterr().out)["num_tokens"] == 4
    assert main([*command, "--import", "no_such_module"]) == 2
    assert "--import no_such_module: ModuleNotFoundError" in capsys.readouterr().err
    for path in ("mybuilders.py", "./folder/mybuilders.py"):
        assert main([*command, "--import", path]) == 2
        assert f"--import {path}: give the module's name (mybuilders), without" in capsys.readouterr().err


def test_a_builder_that_nobody_registered_cannot_be_saved(mine, tmp_path):
    model = mine.build_bigram(9, width=4)
    forget()
    for save in (lambda: model.save(tmp_path / "x.keras"), model.get_config):
        with pytest.raises(lk.InputError, match="put @lm_keras.models.register_builder above it"):
            save()
    assert not (tmp_path / "x.keras").exists()


def test_names_are_taken_once(mine):
    assert lk.models.register_builder(mine.build_bigram) is mine.build_bigram  # a cell that runs again

    def build_bigram(name="other"):
        """Another one."""

    def build_gpt2(name="gpt2"):
        """The library's own name."""

    for other, match in ((build_bigram, "mybuilders has a builder"), (build_gpt2, "lm_keras.models.gpt2 has")):
        with pytest.raises(lk.InputError, match=match):
            lk.models.register_builder(other)
    with pytest.raises(lk.InputError, match="takes a function with a name, got str"):
        lk.models.register_builder("build_bigram")


def test_what_a_builder_was_called_with_is_kept():
    matrix = np.arange(12, dtype="float64").reshape(4, 3)
    model = lk.models.build_lstm_lm(np.int64(4), hidden_dim=5, embedding_matrix=matrix, dropout=np.float32(0.5))
    recipe = model.recipe
    assert recipe.builder == "build_lstm_lm"
    assert recipe.arguments["vocab_size"] == 4 and type(recipe.arguments["vocab_size"]) is int
    assert recipe.arguments["embedding_dim"] == 3 and recipe.arguments["hidden_dim"] == 5
    assert recipe.arguments["dropout"] == 0.5 and recipe.arguments["seed"] is None  # a default too
    assert not {"name", "embedding_matrix"} & recipe.arguments.keys()
    again = lk.models.build_cnn_classifier(9, num_classes=2, kernel_sizes=(2, 3)).recipe.arguments
    assert again["kernel_sizes"] == [2, 3]  # as JSON has it


def test_a_call_that_does_not_fit_says_what_python_says():
    with pytest.raises(TypeError, match="^build_gru_lm: got an unexpected keyword argument 'width'$"):
        lk.models.build_gru_lm(9, width=3)
    with pytest.raises(TypeError, match="too many positional arguments; it takes vocab_size by position"):
        lk.models.build_feedforward_lm(9, 4)
    with pytest.raises(TypeError, match="^build_lstm_lm: missing a required argument: 'vocab_size'$"):
        lk.models.build_lstm_lm(hidden_dim=3)


def test_a_builder_returns_a_model_that_can_be_saved(mine):
    @lk.models.register_builder
    def build_plain(name="plain"):
        x = keras.Input((3,))
        return keras.Model(x, x * 2, name=name)

    with pytest.raises(lk.InputError, match="build_plain returned a Functional; a builder returns an lk"):
        build_plain()


@pytest.mark.parametrize("parameters, said", [
    ("vocab_size, *widths, name='odd'", "build_odd takes widths by position alone"),
    ("vocab_size, /, *, name='odd'", "build_odd takes vocab_size by position alone"),
    ("vocab_size", "build_odd has no argument name"),
])  # fmt: skip
def test_a_builder_that_a_file_could_not_call_is_refused(parameters, said):
    scope = {}
    exec(f"def build_odd({parameters}): pass", scope)
    with pytest.raises(lk.InputError, match=said):
        lk.models.register_builder(scope["build_odd"])
    assert "build_odd" not in base.REGISTERED


def test_a_family_of_another_module_is_trained_and_used_by_the_command_line(mine, tmp_path, capsys):
    forget()
    (tmp_path / "a.txt").write_text("abcabdabe\n" * 200)
    command = ["train", "--data", "a.txt", "--tokenizer", "char", "--out", "run", "--epochs", "1", "--length", "8"]
    assert main([*command, "--model", "bigram"]) == 2
    assert "--model bigram is no family" in capsys.readouterr().err
    assert main([*command, "--model", "bigram", "--import", "mybuilders", "--width", "6", "--seed", "3"]) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["arguments"]["width"] == 6 and config["arguments"]["seed"] == 3
    assert "validation perplexity" in capsys.readouterr().out
    forget()
    more = ["--resume", "--model", "bigram", "--import", "mybuilders", "--width", "6", "--seed", "3"]
    assert main([*command, *more, "--epochs", "2"]) == 0
    forget()
    assert main(["score", "run", "--text", "abc", "--import", "mybuilders"]) == 0


def test_a_family_has_one_builder(mine):
    def build_other(name="other"):
        """Another builder."""

    for family, match in (
        ("bigram", "build_bigram has the fam"),
        ("lstm", "build_lstm_lm has"),
        ("a b", "family is"),
    ):
        with pytest.raises(lk.InputError, match=match):
            lk.models.register_builder(family=family)(build_other)


def test_an_old_name_of_an_argument_is_told_in_a_call_and_read_in_a_file():
    with pytest.raises(lk.InputError, match="build_gru_lm has no argument init_scale; its name is initializer_range"):
        lk.models.build_gru_lm(9, init_scale=0.1)
    model = lk.models.build_attention_rnn_lm(9, attention="multiplicative", hidden_dim=4, seed=0)
    config = {**model.get_config(), "arguments": dict(model.recipe.arguments)}
    config["arguments"]["score"] = config["arguments"].pop("attention")
    config["arguments"]["init_scale"] = config["arguments"].pop("initializer_range")
    assert lk.models.CausalLM.from_config(config).recipe == model.recipe
