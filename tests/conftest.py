"""What all tests share: two tiny trained language models, and an order that keeps two workers busy to the end."""

import functools
import gc
import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from warm import PACKAGES, SERVER, warm

import lm_keras as lk

# Longest first, in CPU time: a worker that takes such a file last works on alone when the other has ended.
LONGEST = (
    *("test_notebooks", "test_families", "serving", "test_builders", "test_every_family", "test_contributing"),
    "test_cli",
    *("test_contract", "test_every_task", "test_multi_worker", "test_fast_paths", "test_resume", "test_memory"),
    *("test_quantization", "test_fit", "test_seq2seq", "test_frozen", "test_evaluate", "test_language_model"),
)

# A first example pays for tables and traced functions, and the machine may be busy: time is not what fails.
settings.register_profile("patient", deadline=None, max_examples=40)
settings.load_profile("patient")


def pytest_configure(config):
    config.option.loadscopereorder = False  # xdist would put the files with the most tests first, not the longest
    # A traced graph is millions of objects that stay: looking through them over and over took an eighth of the time.
    gc.set_threshold(50_000, 20, 100)
    if "PYTEST_XDIST_WORKER" in os.environ:  # a worker a core: a second thread, here and in processes started by
        os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")  # the tests, would wait for the other worker's


def together(path):
    """The tests that one worker runs: a file, or all that share two exports and a server's double."""
    shared = "tests/serving/" in path.as_posix() and path.stem != "test_every_task"
    return Path("serving") if shared else path


def pytest_collection_modifyitems(items):
    def place(item):
        name = together(item.path).stem
        return LONGEST.index(name) if name in LONGEST else len(LONGEST)

    items.sort(key=place)  # stable: within a file, and among the short files, the order stays


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid):
            return str(together(Path(nodeid.split("::")[0])))

    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def news():
    return lk.data.load("lee-news")[:60]


@pytest.fixture(scope="session")
def word_lm(news):
    from small_models import train_lm  # with Keras, which the process that only hands out the tests does not need

    tokenizer = lk.text.WordTokenizer.train(news, vocab_size=500)
    return train_lm(tokenizer, news, 40, embedding_dim=16, hidden_dim=32)


@pytest.fixture(scope="session")
def char_lm(news):
    from small_models import train_lm

    tokenizer = lk.text.CharTokenizer.train(news)
    return train_lm(tokenizer, news, 60, embedding_dim=16, hidden_dim=48)


@pytest.fixture
def loaded_once(monkeypatch):
    """A run is read from its folder by the first command and shared with the later ones, traced functions too."""
    load = functools.cache(lk.LanguageModel.load)
    monkeypatch.setattr(lk.LanguageModel, "load", lambda folder: load(str(folder)))


@pytest.fixture(scope="session")
def warm_python():
    """A program that is Python, for processes that are new to lm_keras: see tests/support/warm."""
    with warm(PACKAGES) as program:
        yield program


@pytest.fixture(scope="session")
def warm_server():
    """The same without keras and lm_keras, for exports."""
    with warm(SERVER, "-I") as program:
        yield program


@pytest.fixture(scope="module")
def warm_check(warm_server):
    """Fresh processes of `lk.check` are forks of one that has imported TensorFlow: two seconds less for each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", warm_server)
        yield
