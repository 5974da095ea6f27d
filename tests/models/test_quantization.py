"""Weights of 8 and 4 bits: near the float model, the same in both views, on disk and in an export."""

import gc
import json
from pathlib import Path

import numpy as np
import pytest
from small_models import CAUSAL, CLASSES, OTHERS, VOCAB, answers, array, build, ids, inputs_of, tiny_lm

import lm_keras as lk
from lm_keras.errors import InputError
from lm_keras.utils.atomic_files import read_tensors

NEAR = {"int8": 0.02, "int4": 0.3}  # of the largest logit
STEPS = 7


@pytest.fixture(autouse=True)
def few_objects():
    """Keras collects garbage after each layer, of all objects that the tests before have left: a minute in all."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def tokenizer():
    made = lk.text.WordTokenizer.train(["a b c d e f g h"], vocab_size=VOCAB)
    assert made.vocab_size == VOCAB
    return made


def size(model):
    return sum(weight.value.dtype.size * int(np.prod(weight.shape)) for weight in model.weights)


@pytest.mark.parametrize("family", CAUSAL)
def test_every_family(family, tokenizer, tmp_path):
    model = build(family)
    language_model, x = lk.LanguageModel(model, tokenizer), ids(3, STEPS)
    exact = answers(model, x)[0]
    for mode in lk.models.quantization.MODES if family in ("lstm", "llama") else ["int8"]:
        quantized = lk.quantize(language_model, mode)
        logits = answers(quantized.model, x)[0]
        assert 0 < abs(logits - exact).max() < NEAR[mode] * abs(exact).max()
        steps, state = [], quantized.model.initial_state(3, STEPS)
        for t in range(STEPS):
            step, state = quantized.model.step(x[:, t : t + 1], state)
            steps.append(array(step))
        np.testing.assert_allclose(np.concatenate(steps, 1), logits, atol=1e-6)
        for i in range(3):
            np.testing.assert_allclose(answers(quantized.model, x[i : i + 1])[0], logits[i : i + 1], atol=1e-6)
        quantized.save(tmp_path / mode)
        loaded = lk.LanguageModel.load(tmp_path / mode).model
        np.testing.assert_array_equal(answers(loaded, x)[0], logits)
        tensors, _ = read_tensors(tmp_path / mode / "model.safetensors")
        assert sum(tensor.nbytes for tensor in tensors.values()) == size(quantized.model) < size(model)
        assert loaded.num_parameters == model.count_params()
    np.testing.assert_array_equal(answers(model, x)[0], exact)  # the given one is as it was


def test_keras_own_quantize_changes_both_views_and_what_is_compiled(tokenizer, tmp_path):
    language_model = tiny_lm("gpt2", tokenizer)
    model, x = language_model.model, ids(2, 5)
    before = language_model.score(["a b c", ""])
    model.quantize("int8")  # rounds activations too
    after = language_model.score(["a b c", ""])
    assert after != before
    fresh = lk.LanguageModel(model, tokenizer).score(["a b c", ""])
    assert [s.log_prob for s in after] == pytest.approx([s.log_prob for s in fresh], rel=1e-6)
    model.save(tmp_path / "x.keras")
    loaded = lk.models.load_model(tmp_path / "x.keras")
    np.testing.assert_array_equal(answers(loaded, x)[0], answers(model, x)[0])
    again = lk.models.CausalLM.from_config(json.loads(json.dumps(loaded.get_config())))
    assert again.get_config() == model.get_config()
    assert again.get_layer("tokens").inputs_quantizer is not None  # the config too is the same


def test_only_some_layers(tokenizer):
    model = build("lstm")
    model.quantize("int8", filters="logits")
    copy = lk.models.CausalLM.from_config(model.get_config())
    assert [w.dtype for w in copy.weights] == [w.dtype for w in model.weights]
    assert [w.path for w in copy.weights if w.dtype == "int8"] == ["logits/kernel"]


def test_an_export_is_checked_and_small(tokenizer, tmp_path, warm_check):
    """Of 8 bits in the first and last layers, of 4 in those between."""
    language_model = tiny_lm("feedforward", tokenizer, scale=0.3, hidden_dim=(256, 256), embedding_dim=64)
    model, before = language_model.model, size(language_model.model)
    model.quantize("int8", filters=["embedding", "logits", "direct"])
    model.quantize("int4", filters="hidden")
    version = lk.export(language_model, tmp_path / "mixed")
    assert lk.check(version) == []
    card = json.loads((Path(version) / "assets.extra" / "model_card.json").read_text())
    assert card["quantization"] == ["Int4QuantizationConfig", "Int8QuantizationConfig"]
    assert card["parameters"] * 4 == before
    assert card["parameter_bytes"] == size(model) < 0.2 * before  # an eighth, scales, and the group of each input
    data = sum(path.stat().st_size for path in (Path(version) / "variables").glob("variables.data*"))
    assert data < size(model) + 20_000  # the names of the objects


@pytest.mark.parametrize("family", OTHERS)
def test_other_builders(family, tmp_path):
    model, x = build(family), inputs_of(family, 2, 6)
    exact = answers(model, x)
    model.quantize("int8")
    model.save(tmp_path / "x.keras")
    loaded = answers(lk.models.load_model(tmp_path / "x.keras"), x)
    for saved, quantized, output in zip(loaded, answers(model, x), exact, strict=True):
        np.testing.assert_array_equal(saved, quantized)
        assert 0 < abs(quantized - output).max() < NEAR["int8"] * abs(output).max()


def test_a_head_on_bert(tmp_path):
    model = lk.models.sequence_classifier(build("bert"), CLASSES)
    x = inputs_of("bert", 2, 6)
    model.quantize("int4")
    model.save(tmp_path / "x.keras")
    loaded = lk.models.load_model(tmp_path / "x.keras")
    np.testing.assert_array_equal(answers(loaded, x)[0], answers(model, x)[0])
    assert "int8" in {weight.dtype for weight in loaded.weights}  # two numbers of 4 bits in each


def test_what_cannot_be_quantized_or_saved(tokenizer, tmp_path):
    language_model = tiny_lm("lstm", tokenizer)
    with pytest.raises(InputError, match="mode is 'int3'"):
        lk.quantize(language_model, "int3")
    with pytest.raises(InputError, match="takes a LanguageModel"):
        lk.quantize(language_model.model, "int8")
    quantized = lk.quantize(language_model, "int8")
    with pytest.raises(InputError, match="quantized already"):
        lk.quantize(quantized, "int4")
    llama = tiny_lm("llama", tokenizer)
    llama.model.quantize("int8")
    with pytest.raises(InputError, match="quantized, which transformers"):
        lk.models.save_pretrained(llama.model, tmp_path)
