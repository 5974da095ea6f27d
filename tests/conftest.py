"""Two tiny trained language models, made once for all tests that need one."""

import keras
import pytest

import lm_keras as lk


def train_lm(tokenizer, texts, steps, **sizes):
    """A `LanguageModel` with a small LSTM, after some steps of Adam on the texts."""
    model = lk.models.build_lstm_lm(tokenizer.vocab_size, seed=0, **sizes)
    windows = lk.data.lm_windows(texts, tokenizer, length=20, batch_size=16)
    model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(windows.repeat(), epochs=1, steps_per_epoch=steps, verbose=0)
    return lk.LanguageModel(model, tokenizer)


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
