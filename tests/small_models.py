"""Tiny trained language models for the tests."""

import keras

import lm_keras as lk


def train_lm(tokenizer, texts, steps, **sizes):
    """A `LanguageModel` with a small LSTM, after some steps of Adam on the texts."""
    model = lk.models.build_lstm_lm(tokenizer.vocab_size, seed=0, **sizes)
    windows = lk.data.lm_windows(texts, tokenizer, length=20, batch_size=16)
    model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(windows.repeat(), epochs=1, steps_per_epoch=steps, verbose=0)
    return lk.LanguageModel(model, tokenizer)
