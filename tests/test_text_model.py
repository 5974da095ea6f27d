"""The contract of text models: of every class of this library, and of one that a user writes."""

import dataclasses
import inspect
import json
import re
import subprocess
import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from served_requests import requests
from small_tasks import MAKE

import lm_keras as lk
from lm_keras import contexts, prompting, tasks, text_model
from lm_keras.serving import Served
from lm_keras.serving import signature as signature_of
from lm_keras.text_model import TextModel, register_text_model, registered_text_models

pytestmark = pytest.mark.usefixtures("warm_python", "warm_check")

TEXTS = ["The fire", "Heavy rain has fallen in the north of the country", "x"]
FLOAT = r"-?\d+\.\d+(?:e[-+]?\d+)?"


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    """The example of TextModel's docstring as a module of a user, `grading`, which is imported."""
    (code,) = re.findall(r"```python\n(.*?)```", inspect.getdoc(TextModel), re.DOTALL)
    folder = tmp_path_factory.mktemp("module")
    (folder / "grading.py").write_text(textwrap.dedent(code), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        import grading

        yield grading


def grader(module, texts):
    tokenizer = lk.text.WordTokenizer.train(texts, vocab_size=300)
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Embedding(tokenizer.vocab_size, 8, mask_zero=True), keras.layers.GRU(8)]
    model = keras.Sequential([keras.Input((None,), dtype="int32"), *layers, keras.layers.Dense(1)])
    model.set_weights([3 * weights for weights in model.get_weights()])
    return module.Grader(model, tokenizer, best=6.0)


@pytest.fixture(scope="module")
def made(module, news, word_lm):
    """{name: a text model} of every class."""
    return {name: make(news) for name, make in MAKE.items()} | {"grader": grader(module, news), "lm": word_lm}


NAMES = [*MAKE, "grader", "lm"]


def test_every_class_has_an_example_here(made):
    assert set(registered_text_models().values()) | {lk.LanguageModel} == {type(model) for model in made.values()}


@pytest.mark.parametrize("name", NAMES)
def test_its_parts_and_its_folder_make_an_equal_text_model(made, name, tmp_path):
    model = made[name]
    model.save(tmp_path / name)
    assert type(TextModel.load(tmp_path / name)) is type(model)
    copies = [type(model).load(tmp_path / name)]
    # The folder of the one may hold a language model, and the other is made of one.
    if not isinstance(model, (prompting.PromptClassifier, contexts.ConditionalLM)):
        copies.append(type(model)(model.model, *model.tokenizers.values(), **model.options))
    for copy in copies:
        assert copy.options == model.options and list(copy.tokenizers) == list(model.tokenizers)
        signature, inputs = next(iter(model.signatures().examples.items()))
        same(copy.signatures().answer(signature, inputs), model.signatures().answer(signature, inputs))


@pytest.mark.parametrize("name", NAMES)
def test_signatures_are_as_the_contract_says(made, name):
    served = made[name].signatures()
    assert isinstance(served, Served)
    for signature, inputs in served.examples.items():
        function = served.signatures[signature].get_concrete_function()
        assert [spec.name for spec in function.structured_input_signature[0]] == list(inputs)
        answer = served.answer(signature, inputs)
        (rows,) = {len(values) for values in [*inputs.values(), *answer.values()]}
        assert set(function.structured_outputs) == set(answer)
        for i in range(rows):  # a row by itself is what it is among others
            row = {key: values[i : i + 1] for key, values in inputs.items()}
            same(served.answer(signature, row), {key: values[i : i + 1] for key, values in answer.items()})


def same(found, expected):
    """Answers equal but for the rounding of their numbers, of those in JSON text too."""
    (found, numbers), (expected, others) = (
        (re.sub(FLOAT, "#", text), list(map(float, re.findall(FLOAT, text))))
        for text in map(json.dumps, (found, expected))
    )
    assert found == expected
    assert numbers == pytest.approx(others, abs=1e-4)


def test_a_text_model_of_a_user_is_exported_and_proven(module, made, tmp_path):
    model = made["grader"]
    assert len(set(model.grade(TEXTS))) == 3 and all(0 < grade < 6 for grade in model.grade(TEXTS))
    version = lk.export(model, tmp_path / "grades", model_card={"licence": "Apache-2.0"})
    asked = [*TEXTS, ""]
    assert lk.check(version, requests({"grade": ({"text": asked}, {"grade": model.grade(asked)})})) == []
    assert model.grade([]) == []
    card = json.loads(Path(version, "assets.extra", "model_card.json").read_text())
    assert (
        card["signatures"] == ["grade"] and card["tokenizer"]["kind"] == "WordTokenizer" and card["builder"] is None
    )
    with pytest.raises(lk.InputError, match="a Grader writes no text; leave out num_beams"):
        lk.export(model, tmp_path / "grades", num_beams=3)


def test_the_command_line_exports_it_in_a_process_that_imports_its_module(module, made, tmp_path, warm_python):
    made["grader"].save(tmp_path / "grader")
    command = [warm_python, "-m", "lm_keras", "export", "grader", "saved/grades"]
    options = {"cwd": tmp_path, "capture_output": True, "text": True}
    refused = subprocess.run(command, **options)
    assert refused.returncode == 2
    (line,) = [line for line in refused.stderr.splitlines() if line.startswith("lm-keras")]
    assert "grader/task.json holds a Grader: import grading first (--import" in line
    (tmp_path / "grading.py").write_text(Path(module.__file__).read_text())
    done = subprocess.run([*command, "--import", "grading"], **options)
    assert done.returncode == 0, done.stderr
    assert lk.check(tmp_path / done.stdout.strip()) == []
    results = lk.serving.query(tmp_path / done.stdout.strip(), [{"signature": "grade", "inputs": {"text": TEXTS}}])
    assert results["results"][0]["grade"] == pytest.approx(made["grader"].grade(TEXTS), abs=1e-5)


def test_a_subclass_reads_its_own_folders_alone(made, tmp_path):
    for name in ("grader", "cnn_classifier", "lm"):
        made[name].save(tmp_path / name)
    for kind, name, said in [
        (tasks.TextTagger, "cnn_classifier", "is a saved TextClassifier; TextClassifier.load reads it"),
        (tasks.TextTagger, "grader", "is a saved Grader; Grader.load reads it"),
        (
            tasks.TextTagger,
            "lm",
            "TextTagger.load takes a folder of TextTagger.save; .* lk.LanguageModel.load reads it",
        ),
        (lk.LanguageModel, "grader", "is a saved text model"),
    ]:
        with pytest.raises(lk.InputError, match=said):
            kind.load(tmp_path / name)


def test_a_class_that_no_file_could_name_is_not_saved(made, tmp_path):
    class Unknown(tasks.TextClassifier):
        pass

    model = made["cnn_classifier"]
    with pytest.raises(
        lk.InputError, match="Unknown is no class that a file could name; put @lk.register_text_model"
    ):
        Unknown(model.model, model.tokenizer, model.classes).save(tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_registration_refuses_what_would_not_load(module):
    with pytest.raises(lk.InputError, match="takes a subclass of lk.TextModel"):
        register_text_model(keras.Model)
    for name in ("TextToText", "Grader"):
        with pytest.raises(lk.InputError, match=f"has a text model '{name}' already"):
            register_text_model(type(name, (TextModel,), {}))
    assert register_text_model(module.Grader) is module.Grader  # again, as a cell of a notebook does


def test_a_class_that_is_defined_again_takes_its_place(module, made, tmp_path, monkeypatch):
    """As in a notebook, where a cell is run twice: what the first class made is saved and loads as the second."""
    monkeypatch.setattr("lm_keras.text_model._REGISTERED", dict(text_model._REGISTERED))
    old = module.Grader
    new = register_text_model(type("Grader", (old,), {"__module__": old.__module__}))
    made["grader"].save(tmp_path / "grader")
    assert type(new.load(tmp_path / "grader")) is new
    assert type(old.load(tmp_path / "grader")) is new


def test_options_that_json_cannot_hold_are_refused(module, made, tmp_path):
    model = module.Grader(made["grader"].model, made["grader"].tokenizer, best={1})
    with pytest.raises(lk.InputError, match="the options of this Grader cannot be written as JSON"):
        model.save(tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_options_that_would_be_lost_are_refused(module, made, tmp_path, monkeypatch):
    monkeypatch.setattr("lm_keras.text_model._REGISTERED", dict(text_model._REGISTERED))

    @register_text_model
    class Strict(module.Grader):
        def __init__(self, model, tokenizer, *, best=10.0, least=0.0):
            super().__init__(model, tokenizer, best=best)
            self.least = least

    @register_text_model
    class Free(module.Grader):
        def __init__(self, model, tokenizer):
            super().__init__(model, tokenizer)

    model, tokenizer = made["grader"].model, made["grader"].tokenizer
    with pytest.raises(lk.InputError, match="Strict.__init__ takes least, which its options lack"):
        Strict(model, tokenizer, least=2.0).save(tmp_path / "x")
    with pytest.raises(lk.InputError, match="Free has the options best, which its __init__ does not take"):
        Free(model, tokenizer).save(tmp_path / "x")
    assert not (tmp_path / "x").exists()


def broken(module, made, **changes):
    """The user's text model, with other signatures."""

    class Broken(module.Grader):
        def signatures(self):
            return dataclasses.replace(super().signatures(), **changes)

    return Broken(made["grader"].model, made["grader"].tokenizer)


@pytest.mark.parametrize(
    "answer, said",
    [
        ([1.0], "`answer` gives a list; give a dict"),
        ({"score": [1.0, 2.0]}, "`answer` gives score, and the graph grade; give the same outputs in both"),
        ({"grade": np.ones(2)}, "output grade of `answer` is a ndarray; give a list, such as .tolist"),
        ({"grade": [np.float32(1), 2.0]}, "output grade of `answer` holds a float32; give str, int, float"),
        ({"grade": [[b"a"], []]}, "output grade of `answer` holds a bytes"),
    ],
)
def test_what_python_cannot_answer_with_is_one_line(module, made, tmp_path, answer, said):
    with pytest.raises(lk.InputError, match=f"^Broken, signature grade: {said}"):
        lk.export(broken(module, made, answer=lambda name, inputs: answer), tmp_path / "x")
    assert not list(tmp_path.glob("x/*"))


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda text: {"grade": tf.reduce_mean(tf.ones_like(text, tf.float32))}, "output grade is a scalar; return"),
        (lambda text: {"grade": tf.strings.split(text)}, "output grade is a RaggedTensor; return a dense tensor"),
        (lambda text: text, r"it returns a \w*Tensor; return a dict"),
        (lambda text: None, "it returns None; return a dict"),
    ],
)
def test_what_a_graph_cannot_answer_with_is_one_line(module, made, tmp_path, make, said):
    made = broken(module, made, signatures={"grade": signature_of(make, ("text", tf.string))})
    with pytest.raises(lk.InputError, match=f"^Broken, signature grade: {said}"):
        lk.export(made, tmp_path / "x")


def test_signatures_that_return_no_served_are_one_line(module, made, tmp_path):
    class Broken(module.Grader):
        def signatures(self):
            return {"grade": 3}

    with pytest.raises(lk.InputError, match=r"^Broken.signatures\(\) returns a dict; return lk.serving.Served"):
        lk.export(Broken(made["grader"].model, made["grader"].tokenizer), tmp_path / "x")


def test_a_signature_needs_an_example():
    with pytest.raises(
        lk.InputError, match="Served has grade and examples of none; give at least one signature, and an"
    ):
        Served(signatures={"grade": print}, examples={}, answer=print)
    with pytest.raises(lk.InputError, match="no signature"):
        Served(signatures={}, examples={}, answer=print)


def test_a_class_without_signatures_is_none():
    class Half(TextModel):
        pass

    with pytest.raises(TypeError, match="signatures"):
        Half(None, {})
