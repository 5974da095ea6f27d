"""The public names: all of them there, none of them a module in a function's place."""

import importlib
import subprocess
import sys
import types
from pathlib import Path

import pytest

import lm_keras as lk

SUBPACKAGES = ("data", "embeddings", "generation", "models", "serving", "tasks", "text", "training")


@pytest.mark.parametrize("name", ["lm_keras", *(f"lm_keras.{name}" for name in SUBPACKAGES)])
def test_every_public_name_is_what_it_says(name):
    package = importlib.import_module(name)
    for public in package.__all__:
        value = getattr(package, public)
        assert isinstance(value, types.ModuleType) == (name == "lm_keras" and public in SUBPACKAGES), public
        assert getattr(package, public) is value  # and the same at the second use


def test_one_function_under_two_names():
    assert lk.export is lk.serving.export
    assert lk.check is lk.serving.check
    assert lk.fit is lk.training.fit


def test_import_loads_no_heavy_library():
    heavy = {"tensorflow", "keras", "nltk", "gensim", "requests", "grpc", "tensorflow_serving"}
    code = f"import sys, lm_keras, lm_keras.cli, lm_keras.serving.client; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = lk.nothing


def test_every_import_follows_the_arrow():
    order = ["text", "data", "embeddings", "models", "training", "generation", "serving", "tasks"]
    root = Path(lk.__file__).parent
    for path in root.rglob("*.py"):
        lines = path.read_text(encoding="utf-8").splitlines()
        package = path.relative_to(root).parts[0]
        if package not in order:
            continue
        later = order[order.index(package) + 1 :]
        for line in lines:
            words = line.split()
            if words[:1] in (["from"], ["import"]) and words[1].startswith("lm_keras."):
                assert words[1].split(".")[1] not in later, f"{path}: {line}"
