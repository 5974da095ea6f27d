"""A word model and a character model, exported once for all tests of this folder."""

import json
import os
import subprocess
import urllib.request
from pathlib import Path

import keras
import pytest
from paths import SUPPORT

import lm_keras as lk


@pytest.fixture(scope="session")
def news():
    return lk.data.load("lee-news")


@pytest.fixture(scope="session")
def sentences(news):
    """1,000 real sentences from two sources."""
    paragraphs = [*news[:50], *lk.data.load("wiki-excerpt")[:200]]
    found = [sentence for text in paragraphs for sentence in lk.text.sentences(text)]
    assert len(found) >= 1000
    return found[:1000]


def lively(tokenizer):
    """A model whose greedy text differs from prompt to prompt and sometimes ends: large random weights."""
    sizes = {"embedding_dim": 16, "hidden_dim": 32}
    model = lk.models.build_lstm_lm(tokenizer.vocab_size, **sizes, initializer_range=1.0, seed=1)
    bias = model.get_layer("logits").bias
    bias.assign_add(3.0 * keras.ops.one_hot(tokenizer.eos_id, tokenizer.vocab_size))
    return lk.LanguageModel(model, tokenizer)


@pytest.fixture(scope="session")
def word_model(news):
    return lively(lk.text.WordTokenizer.train(news[:60], vocab_size=800))


@pytest.fixture(scope="session")
def char_model(news):
    return lively(lk.text.CharTokenizer.train(news[:60]))


@pytest.fixture(scope="session")
def word_version(word_model, tmp_path_factory):
    return lk.export(word_model, tmp_path_factory.mktemp("saved_models") / "word")


@pytest.fixture(scope="session")
def char_version(char_model, tmp_path_factory):
    return lk.export(char_model, tmp_path_factory.mktemp("saved_models") / "char")


@pytest.fixture(scope="session", params=["word", "char"])
def exported(request):
    """(language model, version folder) of each tokenizer."""
    return tuple(request.getfixturevalue(f"{request.param}_{part}") for part in ("model", "version"))


class Double:
    """The running double: the addresses of its two sides, and its switches."""

    def __init__(self, process):
        ports = json.loads(process.stdout.readline())
        self.pid, self.rest, self.grpc = process.pid, *(f"127.0.0.1:{ports[side]}" for side in ("rest", "grpc"))
        self.urls = [f"http://{self.rest}", f"grpc://{self.grpc}"]

    def switch(self, unavailable=0, delay=0.0):
        """Makes the next requests fail, or all wait; returns the number of requests since the last switch."""
        body = json.dumps({"unavailable": unavailable, "delay": delay}).encode()
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            f"{self.urls[0]}/double", body
        ) as told:
            return json.load(told)["requests"]


@pytest.fixture(scope="session")
def double(word_version, tmp_path_factory, warm_server):
    """One double for all tests of a process: the word model, a model with every kind of task, one of two versions."""
    pytest.importorskip("tensorflow_serving.apis", reason="no tensorflow-serving-api")
    from raw_models import save_tasks, save_two_versions

    from lm_keras.serving.export import session

    folder = tmp_path_factory.mktemp("raw_models")
    models = {
        "word": str(Path(word_version).parent),
        "tasks": str(save_tasks(folder / "tasks")),
        "two": str(save_two_versions(folder / "two")),
    }
    settings = json.dumps({"models": models, "labels": {"two": {"stable": 1, "canary": 2}}})
    command = [warm_server, "-I", str(SUPPORT / "double.py"), session.__file__, settings]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        yield Double(process)
        process.stdin.close()


@pytest.fixture(scope="module", params=["rest", "grpc"])
def url(request, double):
    return double.urls[request.param == "grpc"]


@pytest.fixture(scope="module")
def tasks(url):
    from lm_keras.serving import Client

    with Client(url, "tasks") as client:
        yield client


@pytest.fixture
def switch(double):
    """The double's switch, off again after the test."""
    double.switch()
    yield double.switch
    double.switch()


@pytest.fixture
def hasty(monkeypatch):
    """Short pauses between tries."""
    from lm_keras.serving.client import results

    monkeypatch.setattr(results, "FIRST_WAIT", 0.01)
