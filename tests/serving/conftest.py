"""A word model and a character model, exported once for all tests of this folder."""

import keras
import pytest

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
    model = lk.models.build_lstm_lm(tokenizer.vocab_size, embedding_dim=16, hidden_dim=32, init_scale=1.0, seed=1)
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
