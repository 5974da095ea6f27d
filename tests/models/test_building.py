"""A builder from outside the package: saved, loaded, used on the command line; never imported by a file."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest

import lm_keras as lk
from lm_keras.cli.parser import main
from lm_keras.models import base
from lm_keras.utils.atomic_files import read_tensors, write_tensors

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


UNNAMED = '''
import keras
from keras import layers, ops
import lm_keras as lk


class NormedCell(layers.SimpleRNNCell):
    """A cell with layers in it, none of which has a name."""

    def build(self, shape):
        super().build(shape)
        self.first, self.second = layers.Dense(self.units), layers.Dense(self.units)
        self.first.build((None, self.units))
        self.second.build((None, self.units))

    def call(self, x, states, training=False):
        hidden, states = super().call(x, states, training)
        return self.second(self.first(hidden)), states


@lk.models.register_builder
def build_unnamed(vocab_size: int, *, seed=None, name="unnamed"):
    """Logits of an RNN of whose layers none has a name."""
    start = keras.initializers.RandomNormal(seed=seed)
    embed, head = layers.Embedding(vocab_size, 4, start), layers.Dense(vocab_size)
    rnn = layers.RNN(NormedCell(4), return_sequences=True, return_state=True)
    ids, step_ids = (keras.Input((None,), dtype="int32") for _ in range(2))
    state = keras.Input((4,))
    hidden, new_state = rnn(embed(ops.maximum(step_ids, 0)), initial_state=state, mask=step_ids >= 0)
    step = keras.Model([step_ids, state], [head(hidden), new_state])
    views = lk.models.Views(step, lambda batch, length=None: [ops.zeros((batch, 4))])
    return lk.models.CausalLM(ids, head(rnn(embed(ids))[0]), views=views, name=name)
'''


@pytest.fixture
def unnamed(tmp_path, monkeypatch):
    """The module `unnamed`, whose builder has run before."""
    (tmp_path / "unnamed.py").write_text(UNNAMED)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    import unnamed

    unnamed.build_unnamed(9)
    yield unnamed
    base.REGISTERED.pop("build_unnamed", None)
    sys.modules.pop("unnamed", None)


def test_layers_without_names_are_saved_alike_however_many_were_made(unnamed, tmp_path, warm_python):
    tokenizer = lk.text.CharTokenizer.train(["abc"])
    keras.layers.Dense(3)
    model, x = unnamed.build_unnamed(tokenizer.vocab_size, seed=0), np.array([[3, 99, 98]])
    model.layers[1].trainable = False
    lk.LanguageModel(model, tokenizer).save("run")
    assert sorted(w.path for w in model.weights) == sorted(read_tensors("run/model.safetensors")[0])
    loaded = lk.LanguageModel.load("run").model
    np.testing.assert_array_equal(loaded(x), model(x))
    assert [w.path for w in loaded.trainable_weights] == [w.path for w in model.trainable_weights]
    code = "import sys, numpy as np, lm_keras as lk, unnamed; model = lk.LanguageModel.load('run').model;"
    code += "np.save('y.npy', model(np.array([[3, 99, 98]])));"
    code += "assert any(not layer.trainable for layer in model.layers)"
    done = subprocess.run([warm_python, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load("y.npy"), model(x), atol=1e-6)


def test_two_weights_of_one_name_are_refused(tmp_path, unnamed, monkeypatch):
    dense = keras.layers.Dense
    monkeypatch.setattr(unnamed.layers, "Dense", lambda units: dense(units, name="same"))
    tokenizer = lk.text.CharTokenizer.train(["abc"])
    lm = lk.LanguageModel(unnamed.build_unnamed(tokenizer.vocab_size), tokenizer)
    with pytest.raises(
        lk.InputError, match="unnamed has two weights called .*/same/kernel; its builder gives layers"
    ):
        lm.save(tmp_path / "run")


def test_a_file_with_other_numbers_of_unnamed_layers_loads(unnamed, tmp_path):
    """Written by a release that counted the layers of the whole process."""
    tokenizer = lk.text.CharTokenizer.train(["abc"])
    model, x = unnamed.build_unnamed(tokenizer.vocab_size, seed=0), np.array([[3, 99, 98]])
    lk.LanguageModel(model, tokenizer).save("run")
    tensors, _ = read_tensors("run/model.safetensors")

    def later(part):
        name, _, number = part.rpartition("_") if part[-1].isdigit() else (part, "", "0")
        return f"{name}_{int(number) + 9}"

    moved = {"/".join([*map(later, name.split("/")[:-1]), name.split("/")[-1]]): t for name, t in tensors.items()}
    assert len(moved) == len(tensors) and not moved.keys() & tensors.keys()
    write_tensors(tmp_path / "run" / "model.safetensors", moved)
    np.testing.assert_array_equal(lk.LanguageModel.load("run").model(x), model(x))

    first = model.weights[0].path
    for broken, said in (
        ({name: t for name, t in tensors.items() if name != first}, f"{first} is missing"),
        (tensors | {"more/kernel": np.zeros(3, "float32")}, "more/kernel is none of them"),
        (tensors | {first: np.zeros(3, "float32")}, rf"{first} has the shape \(3,\)"),
    ):
        write_tensors(tmp_path / "run" / "model.safetensors", broken)
        with pytest.raises(lk.InputError, match=f"model.safetensors does not hold .* describes: {said}"):
            lk.LanguageModel.load("run")


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
