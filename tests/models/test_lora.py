"""LoRA adapters by Keras' own `enable_lora`: trained, then saved, quantized, exported with the same numbers."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file

import lm_keras as lk
from lm_keras import tasks
from lm_keras.models.quantization import all_layers, without_lora

EQUAL = {"rtol": 1e-5, "atol": 1e-6}
X = np.array([[2, 97, 98, 99, 100], [2, 98, 98, 101, 97]]) + 1
SIZES = {"hidden_dim": 8, "num_layers": 1}
BUILDERS = {
    "gpt2": lambda size: lk.models.build_gpt2(size, max_length=8, num_heads=2, **SIZES, seed=0),
    "llama": lambda size: lk.models.build_llama(
        size, max_length=8, num_heads=2, tie_embeddings=False, **SIZES, seed=0
    ),
    "lstm": lambda size: lk.models.build_lstm_lm(size, embedding_dim=8, tie_embeddings=True, **SIZES, seed=0),
    "feedforward": lambda size: lk.models.build_feedforward_lm(size, embedding_dim=8, **SIZES, seed=0),
}


@pytest.fixture(scope="module")
def tokenizer():
    return lk.text.CharTokenizer.train(["abcde"])


def adapted(family, tokenizer, train=True):
    """A model with adapters in all layers that Keras gives them, of random values or after some training."""
    model = BUILDERS[family](tokenizer.vocab_size)
    adapt(model, not train)
    if train:
        before = np.asarray(model(X))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(0.05), loss)
        model.fit(X[:, :-1], X[:, 1:], epochs=3, verbose=0)
        assert np.abs(np.asarray(model(X)) - before).max() > 0.01
    return model


def adapt(model, filled):
    for i, layer in enumerate(all_layers(model)):
        if hasattr(layer, "enable_lora"):
            layer.enable_lora(2, lora_alpha=5)
            for weight in layer.weights if filled else ():
                if "lora" in weight.name:
                    weight.assign(np.random.default_rng(i).normal(size=weight.shape))


@pytest.mark.parametrize("family", BUILDERS)
def test_saved_with_the_same_numbers(family, tokenizer, tmp_path):
    model = adapted(family, tokenizer, train=family == "gpt2")
    expected, names = np.asarray(model(X)), [weight.path for weight in model.weights]
    lm = lk.LanguageModel(model, tokenizer)
    lm.save(tmp_path / "run")
    loaded = lk.LanguageModel.load(tmp_path / "run").model
    np.testing.assert_allclose(loaded(X), expected, **EQUAL)
    assert not any("lora" in weight.path for weight in loaded.weights)
    assert len(loaded.trainable_weights) == len(loaded.weights)
    model.save(tmp_path / "x.keras")
    for load in (lk.models.load_model, keras.models.load_model):
        np.testing.assert_allclose(load(tmp_path / "x.keras")(X), expected, **EQUAL)
    assert [weight.path for weight in model.weights] == names  # the model itself keeps its adapters
    np.testing.assert_array_equal(model(X), expected)
    assert without_lora(loaded) is loaded


def test_written_for_transformers(tokenizer, tmp_path):
    model = adapted("llama", tokenizer, train=False)
    lk.models.save_pretrained(model, tmp_path)
    again = lk.models.load_pretrained(tmp_path).model
    np.testing.assert_allclose(again(X), model(X), **EQUAL)
    assert not any("lora" in name for name in load_file(tmp_path / "model.safetensors"))


def test_quantized_and_served(tokenizer):
    model = adapted("feedforward", tokenizer, train=False)
    lm, plain = (lk.LanguageModel(made, tokenizer) for made in (model, without_lora(model)))
    np.testing.assert_allclose(
        lk.quantize(lm, "int8").score("abc")[0], lk.quantize(plain, "int8").score("abc")[0], rtol=1e-5
    )
    served = lm.signatures(max_new_tokens_limit=4).signatures["score"](tf.constant(["abc"]))
    np.testing.assert_allclose(served["log_prob"], lm.score("abc")[0].log_prob, rtol=1e-5)
    np.testing.assert_allclose(served["log_prob"], plain.score("abc")[0].log_prob, rtol=1e-5)


def test_adapters_on_quantized_weights_are_refused_before_anything_is_written(tokenizer, tmp_path):
    model = adapted("gpt2", tokenizer, train=False)
    model.quantize("int8")
    lm = lk.LanguageModel(model, tokenizer)
    (tmp_path / "x.keras").write_text("there before")
    saves = (
        lambda: lm.save(tmp_path / "run"),
        lambda: model.save(tmp_path / "x.keras"),
        lambda: lk.models.save_pretrained(model, tmp_path / "run"),
        lambda: lk.quantize(lm, "int4"),
    )
    for save in saves:
        with pytest.raises(lk.InputError, match="is quantized and has a LoRA adapter"):
            save()
    assert not (tmp_path / "run").exists() and (tmp_path / "x.keras").read_text() == "there before"


def test_a_text_model_of_a_task(tmp_path):
    tokenizer = lk.text.WordPieceTokenizer.train(["a b c d e f"], vocab_size=40)
    encoder = lk.models.build_bert(tokenizer.vocab_size, max_length=8, num_heads=2, **SIZES, seed=0)
    model = lk.models.sequence_classifier(encoder, 2, seed=0)
    adapt(encoder, filled=True)
    classifier = tasks.TextClassifier(model, tokenizer, classes=["x", "y"])
    tasks.save(classifier, tmp_path)
    for one, other in zip(
        tasks.load(tmp_path).classify(["a b", "c"]), classifier.classify(["a b", "c"]), strict=True
    ):
        assert one.scores == pytest.approx(other.scores, abs=1e-6)


def test_a_run_with_adapters_is_taken_up_again(tokenizer, tmp_path):
    config = {"batch_size": 2, "output_dir": tmp_path, "checkpoint_steps": 1}
    model, other = (adapted("gpt2", tokenizer, train=False) for _ in range(2))
    lk.fit(model, (X[:, :-1], X[:, 1:]), config=lk.TrainingConfig(epochs=1, **config))
    lk.fit(other, (X[:, :-1], X[:, 1:]), config=lk.TrainingConfig(epochs=1, resume=True, **config))
    np.testing.assert_array_equal(other(X), model(X))
    with pytest.raises(lk.InputError, match="is of another model"):
        plain = BUILDERS["gpt2"](tokenizer.vocab_size)
        lk.fit(plain, (X[:, :-1], X[:, 1:]), config=lk.TrainingConfig(epochs=1, resume=True, **config))
