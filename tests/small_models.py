"""Tiny trained language models for the tests."""

import inspect

import keras
import numpy as np

import lm_keras as lk


def train_lm(tokenizer, texts, steps, **sizes):
    """A `LanguageModel` with a small LSTM, after some steps of Adam on the texts."""
    model = lk.models.build_lstm_lm(tokenizer.vocab_size, seed=0, **sizes)
    windows = lk.data.lm_windows(texts, tokenizer, length=20, batch_size=16)
    model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(windows.repeat(), epochs=1, steps_per_epoch=steps, verbose=0)
    return lk.LanguageModel(model, tokenizer)


TINY = {
    "max_length": 24, "context_length": 3, "embedding_dim": 6, "hidden_dim": 12, "hidden_dims": (9,), "num_layers": 1,
    "num_heads": 2, "num_kv_heads": 1,
}  # fmt: skip


def tiny_lm(family, tokenizer, scale=1.0, **sizes):
    """A `LanguageModel` of that family whose weights are large and random, so that the scores of texts lie apart."""
    builder = getattr(lk.models, lk.models.BUILDERS[family])
    known = inspect.signature(builder).parameters
    model = builder(tokenizer.vocab_size, **{name: size for name, size in (TINY | sizes).items() if name in known})
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(0, scale, w.shape).astype("float32") for w in model.get_weights()])
    return lk.LanguageModel(model, tokenizer)


def known(ids, window):
    """What a model knows when it has read them all: it forgets its older half when its window is full."""
    kept = []
    for token in ids:
        if len(kept) == window:
            kept = kept[-(-window // 2) :]
        kept.append(token)
    return kept


def log_probs(model, ids):
    """Log-probabilities [.., T, V] by one pass of the whole model over ids [.., T], in float64."""
    logits = model.predict_on_batch(np.atleast_2d(np.array(ids, "int32")))
    return log_softmax(logits).reshape(*np.shape(ids), -1)


def log_softmax(logits):
    logits = logits.astype("float64")
    logits -= logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))
