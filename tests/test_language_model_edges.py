"""Where the parts of a language model meet: the end mark, mixed precision, windows larger than the text."""

import keras
import numpy as np
import pytest
from small_models import tiny_lm

import lm_keras as lk

TEXTS = ["the cat sat on the mat", "the dog sat on the log"]


@pytest.fixture(scope="module")
def tokenizer():
    return lk.text.WordTokenizer.train(TEXTS)


def test_the_repetition_penalty_does_not_count_the_begin_mark_as_an_end(tokenizer):
    model = lk.models.build_lstm_lm(tokenizer.vocab_size, embedding_dim=4, hidden_dim=4, seed=0)
    *weights, bias = model.get_weights()
    bias[tokenizer.eos_id] = 9.0  # the end mark is the likeliest word, always
    model.set_weights([*weights, bias])
    lm = lk.LanguageModel(model, tokenizer)
    assert lm.generate("the cat", max_new_tokens=5, temperature=0)[0].token_ids == []
    assert lm.generate("the cat", max_new_tokens=5, temperature=0, repetition_penalty=100.0)[0].token_ids == []


def test_a_model_of_mixed_precision_scores_and_generates_and_keeps_its_policy(tokenizer):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = lk.models.build_lstm_lm(tokenizer.vocab_size, embedding_dim=8, hidden_dim=8, seed=0)
    finally:
        keras.config.set_dtype_policy("float32")
    lm = lk.LanguageModel(model, tokenizer)
    windows = lk.data.lm_windows(TEXTS, tokenizer, 4, 2)
    lk.fit(model, windows, config=lk.TrainingConfig(epochs=1))
    assert model.get_layer("lstm_0").compute_dtype == "bfloat16"
    assert np.isfinite(lm.score(TEXTS[0])[0].log_prob)
    assert len(lm.generate("the", max_new_tokens=3, temperature=0)[0].token_ids) <= 3


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16", "float64"])
@pytest.mark.parametrize("family", ["gpt2", "llama", "lstm"])
def test_every_precision_learns_scores_and_generates(tokenizer, family, policy):
    keras.config.set_dtype_policy(policy)
    try:
        lm = tiny_lm(family, tokenizer, 0.5, max_length=8)
    finally:
        keras.config.set_dtype_policy("float32")
    exact = tiny_lm(family, tokenizer, 0.5, max_length=8)
    windows = lk.data.lm_windows(TEXTS, tokenizer, 4, 2)
    close = {"rel": 1e-4 if policy == "float64" else 0.03}
    assert lk.evaluate(lm.model, windows)["loss"] == pytest.approx(lk.evaluate(exact.model, windows)["loss"], **close)
    for text in ("the cat", TEXTS[0] + TEXTS[1]):  # the second is longer than the window
        assert lm.score(text)[0].log_prob == pytest.approx(exact.score(text)[0].log_prob, **close)
        assert lm.generate(text, max_new_tokens=3, min_new_tokens=3, temperature=0)[0].token_ids
    if policy != "float16":
        lk.fit(lm.model, windows, config=lk.TrainingConfig(epochs=1))
        assert np.isfinite(lm.score(TEXTS[0])[0].log_prob)


def test_more_rows_than_windows_are_one_batch(tokenizer):
    windows = lk.data.lm_windows(TEXTS, tokenizer, 3, 2**31 - 1, shuffle=False)
    model = lk.models.build_lstm_lm(tokenizer.vocab_size, embedding_dim=4, hidden_dim=4)
    assert lk.evaluate(model, windows)["tokens"] == 14  # 2 x 6 words and 2 end marks


def test_evaluate_takes_arrays_as_fit_does(tokenizer):
    model = lk.models.build_lstm_lm(tokenizer.vocab_size, embedding_dim=4, hidden_dim=4)
    x = np.ones((5, 3), "int32")
    assert lk.evaluate(model, (x, x))["tokens"] == 15


def test_early_stopping_without_validation_is_refused(tokenizer):
    model = lk.models.build_lstm_lm(tokenizer.vocab_size, embedding_dim=4, hidden_dim=4)
    windows = lk.data.lm_windows(TEXTS, tokenizer, 4, 2)
    with pytest.raises(lk.InputError, match="validation"):
        lk.fit(model, windows, config=lk.TrainingConfig(early_stopping_patience=1))
