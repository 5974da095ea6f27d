"""Two tiny trained language models, made once for all tests that need one."""

import pytest
from small_models import train_lm

import lm_keras as lk


@pytest.fixture(scope="session")
def news():
    return lk.data.load("lee-news")[:60]


@pytest.fixture(scope="session")
def word_lm(news):
    tokenizer = lk.text.WordTokenizer.train(news, vocab_size=500)
    return train_lm(tokenizer, news, 40, embedding_dim=16, hidden_dim=32)


@pytest.fixture(scope="session")
def char_lm(news):
    tokenizer = lk.text.CharTokenizer.train(news)
    return train_lm(tokenizer, news, 60, embedding_dim=16, hidden_dim=48)
