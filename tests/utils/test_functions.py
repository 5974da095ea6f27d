"""What was traced before a layer changed in place is traced again: every answer is of the model as it is."""

import functools
import gc
import time
import weakref

import keras
import numpy as np
import pytest
from small_models import VOCAB, build, ids

import lm_keras as lk
from lm_keras.utils.functions import TracedFunctions
from lm_keras.utils.keras_internals import flatten_layers

X = ids(4, 6)
WINDOWS = X[:, :-1], X[:, 1:]
TEXT = "a b c d"


@pytest.fixture(scope="module")
def tokenizer():
    return lk.text.WordTokenizer.train(["a b c d e f g h"], vocab_size=VOCAB)


def with_other_values(layer):
    rng = np.random.default_rng(1)
    for variable in layer.trainable_variables:
        if "lora" in variable.path:
            variable.assign(rng.normal(0, 0.5, variable.shape))


def quantized(model):
    model.quantize("int4")


def with_lora(model):
    layer = model.get_layer("block_0").attention.qkv  # within another layer
    layer.enable_lora(2)
    with_other_values(layer)


def in_bfloat16(model):
    for layer in flatten_layers(model):
        layer.dtype_policy = "mixed_bfloat16"


def with_other_weights(model):
    model.set_weights([weight * 1.5 for weight in model.get_weights()])


CHANGES = {"weights": with_other_weights, "lora": with_lora, "precision": in_bfloat16, "quantize": quantized}


def nats(model, ids):
    """Of each word of ids [B, T] after those before it, by a call that traces nothing."""
    log_probs = np.asarray(keras.ops.log_softmax(keras.ops.cast(model(ids[:, :-1]), "float32")))
    return -np.take_along_axis(log_probs, ids[:, 1:, None], -1)


@pytest.mark.parametrize("change", [CHANGES[names] for names in CHANGES], ids=CHANGES)
def test_evaluation_and_scores_see_a_change_in_place(change, tokenizer):
    model = lk.models.build_gpt2(VOCAB, max_length=9, hidden_dim=8, num_layers=1, num_heads=2, seed=0)
    lm = lk.LanguageModel(model, tokenizer)
    text = np.array([[tokenizer.bos_id, *tokenizer.encode(TEXT), tokenizer.eos_id]])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)

    def answers():
        return lk.evaluate(model, WINDOWS)["loss"], lm.score(TEXT)[0].log_prob, model.evaluate(*WINDOWS, verbose=0)

    before = answers()
    change(model)
    expected = nats(model, X).mean(), -nats(model, text).sum(), nats(model, X).mean()
    assert answers() == pytest.approx(expected, rel=5e-3 if change is in_bfloat16 else 1e-5)
    assert all(old != new for old, new in zip(before, answers(), strict=True))


def test_predict_of_both_views_sees_a_change_in_place():
    model = lk.models.build_gpt2(VOCAB, max_length=9, hidden_dim=8, num_layers=1, num_heads=2, seed=0)
    state = model.initial_state(len(X))
    before = model.predict(X, verbose=0), model.step_model.predict([X, *state], verbose=0)[0]
    with_lora(model)
    expected = np.asarray(model(X))
    assert abs(expected - before[0]).max() > 1e-3
    for view in (model.predict(X, verbose=0), model.step_model.predict([X, *state], verbose=0)[0]):
        np.testing.assert_allclose(view, expected, atol=1e-5)


@pytest.mark.parametrize("contiguous", [False, True])
def test_val_loss_is_of_the_layers_that_learn(contiguous):
    """With LoRA switched on after an evaluation, each epoch has a val_loss of its own, the last one evaluate's."""
    tokenizer = lk.text.WordTokenizer.train(["a b c d e f g h"], vocab_size=VOCAB)
    windows = lk.data.lm_windows(["a b c d e f g h"] * 4, tokenizer, length=4, batch_size=2, contiguous=contiguous)
    model = build("feedforward")
    lk.evaluate(model, windows)
    for layer in model.layers:
        layer.trainable = layer.name == "logits"
    model.get_layer("logits").enable_lora(2)
    model.get_layer("logits").bias.trainable = False
    config = lk.TrainingConfig(epochs=3, learning_rate=0.1, warmup_steps=0, early_stopping_patience=3)
    history = lk.fit(model, windows, windows, config).history
    assert len(set(history["val_loss"])) == 3
    fresh = build("feedforward")
    fresh.get_layer("logits").enable_lora(2)
    fresh.set_weights(model.get_weights())
    assert lk.evaluate(model, windows)["loss"] == pytest.approx(min(history["val_loss"]), rel=1e-6)


def test_text_longer_than_the_memory_sees_a_change_in_place(tokenizer):
    model = lk.models.build_gpt2(VOCAB, max_length=6, hidden_dim=8, num_layers=1, num_heads=2, seed=0)
    lm, text = lk.LanguageModel(model, tokenizer), "a b c d e f g h a b c d"
    before = lm.generate(text, max_new_tokens=4, temperature=0)[0].log_probs
    quantized(model)
    after = lm.generate(text, max_new_tokens=4, temperature=0)[0].log_probs
    fresh = lk.LanguageModel(type(model).from_config(model.get_config()), tokenizer)
    fresh.model.set_weights(model.get_weights())
    assert (
        after == pytest.approx(fresh.generate(text, max_new_tokens=4, temperature=0)[0].log_probs, abs=1e-6) != before
    )


def test_layers_that_are_frozen_between_two_fits_stay_as_they_are():
    model = build("feedforward")
    config = lk.TrainingConfig(epochs=1, learning_rate=0.1, warmup_steps=0)
    lk.fit(model, WINDOWS, config=config)
    model.get_layer("logits").trainable = False
    frozen = model.get_layer("logits").get_weights()
    other = model.get_layer("embedding").get_weights()
    lk.fit(model, WINDOWS, config=config)
    np.testing.assert_array_equal(model.get_layer("logits").get_weights()[0], frozen[0])
    assert (model.get_layer("embedding").get_weights()[0] != other[0]).any()


def test_what_has_not_changed_is_not_traced_again():
    model, traced, made = build("lstm"), TracedFunctions(), []
    for _ in range(3):
        traced.get(model, "f", lambda: made.append(1))
    model.set_weights(model.get_weights())
    traced.get(model, "f", lambda: made.append(1))
    assert len(made) == 1
    traced.get(model, "g", lambda: made.append(1))
    in_bfloat16(model)
    traced.get(model, "f", lambda: made.append(1))
    assert len(made) == 3


def test_to_look_for_a_change_takes_less_than_a_millisecond():
    model = lk.models.build_llama(20, max_length=8, hidden_dim=8, num_layers=30, num_heads=2, num_kv_heads=1)
    traced = TracedFunctions()
    traced.get(model, "f", lambda: None)
    taken = []
    for _ in range(50):
        start = time.perf_counter()
        traced.get(model, "f", lambda: None)
        taken.append(time.perf_counter() - start)
    assert min(taken) < 2e-3  # 0.4 ms where it was measured


class Embedded(keras.Model):
    def __init__(self):
        super().__init__()
        self.inner = keras.layers.Embedding(VOCAB, VOCAB)

    def call(self, ids):
        return self.inner(ids)


def functional():
    entry = keras.Input((None,), dtype="int32")
    return keras.Model(entry, keras.layers.Embedding(VOCAB, VOCAB)(entry))


KINDS = {
    "functional": functional,
    "sequential": lambda: keras.Sequential([keras.layers.Embedding(VOCAB, VOCAB)]),
    "subclass": Embedded,
    "ours": functools.partial(build, "lstm"),
    "carried": functools.partial(build, "lstm"),
}


@pytest.mark.parametrize("loss", [None, "mse"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_traced_goes_with_its_model(kind, loss, tokenizer):
    model, data = KINDS[kind](), WINDOWS
    if kind == "carried":
        data = lk.data.lm_windows([TEXT * 9], tokenizer, length=4, batch_size=2, contiguous=True)
    elif loss:
        data = data[0], np.zeros((*data[0].shape, VOCAB), "float32")
    loss = None if kind == "carried" else loss
    assert lk.evaluate(model, data, loss=loss)["loss"] > 0
    if kind == "ours":
        model.compile("sgd", loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.evaluate(*data, verbose=0)
    alive = weakref.ref(model)
    del model
    keras.backend.clear_session(free_memory=False)
    gc.collect()
    assert alive() is None
