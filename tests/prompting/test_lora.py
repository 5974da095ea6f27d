"""`lora`: adapters alone are trained, the given model stays, and files and exports have W + alpha / rank A B."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_models import CAUSAL, OTHERS, array, build, ids, inputs_of

import lm_keras as lk
from lm_keras.models.quantization import all_layers
from lm_keras.prompting import lora

TEXTS = ["abcde edcba abc", "dead bead deed", "a bed a cab a dab"] * 8
NOT_REACHED = ("cell", "norm", "alignment", "bias")  # what Keras has no adapter for
X = ids(2, 9)
EQUAL = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture(scope="module")
def tokenizer():
    return lk.text.CharTokenizer.train(TEXTS)


@pytest.fixture(scope="module")
def lm(tokenizer):
    sizes = {"hidden_dim": 16, "num_layers": 2, "num_heads": 2, "max_length": 40, "initializer_range": 0.2}
    return lk.LanguageModel(lk.models.build_llama(tokenizer.vocab_size, **sizes, seed=0), tokenizer)


@pytest.fixture(scope="module")
def adapted(lm):
    """After some training, with a prompt; `start`: its weights before that."""
    made = lora(lm, rank=2, alpha=6, seed=1)
    made.start = {weight.path: array(weight) for weight in made.model.weights}
    windows = lk.data.lm_windows(TEXTS, lm.tokenizer, length=16, batch_size=4, seed=0)
    lk.fit(made, windows, config=lk.TrainingConfig(max_steps=20, learning_rate=0.02, warmup_steps=0, seed=0))
    return made


@pytest.mark.parametrize("family", [*CAUSAL, "bert", "seq2seq_transformer", "seq2seq_lstm", "cnn_classifier"])
def test_every_family_gives_the_same_numbers_and_trains_adapters_alone(family):
    model = build(family)
    made = lora(model, rank=2, embeddings=True)
    inputs = inputs_of(family, 2, 7)
    for one, other in zip(keras.tree.flatten(model(inputs)), keras.tree.flatten(made(inputs)), strict=True):
        np.testing.assert_allclose(array(one), array(other), **EQUAL)
    names = [weight.name for weight in made.trainable_weights]
    assert names and all(name.startswith("lora_") for name in names)
    assert len(model.trainable_weights) == len([w for w in model.weights if "seed" not in w.path])
    frozen = {weight.path for weight in made.weights if not weight.trainable and "seed" not in weight.path}
    adapted = {weight.path.rsplit("/", 1)[0] for weight in made.trainable_weights}
    if family == "cnn_classifier":  # a constraint
        frozen.remove("logits/kernel")
    missed = [
        path for path in frozen if path.rsplit("/", 1)[0] not in adapted and not any(n in path for n in NOT_REACHED)
    ]
    assert missed == []  # the docstring names what is not reached


def test_training_changes_the_adapters_and_nothing_else(lm, adapted):
    assert adapted.score("a bed")[0].log_prob > lm.score("a bed")[0].log_prob + 1
    changed = {w.path for w in adapted.model.weights if (array(w) != adapted.start[w.path]).any()}
    assert changed and changed == {weight.path for weight in adapted.model.trainable_weights}
    for weight in lm.model.weights:  # the given model has none of it
        np.testing.assert_array_equal(array(weight), adapted.start[weight.path])


def test_the_numbers_are_those_of_the_formula(lm, adapted):
    plain = lm.model.from_config(lm.model.get_config())
    plain.set_weights(lm.model.get_weights())
    own = {layer.path: layer for layer in all_layers(plain)}
    for layer in all_layers(adapted.model):
        if getattr(layer, "lora_enabled", False):
            product = array(layer.lora_kernel_a) @ array(layer.lora_kernel_b)
            assert np.abs(product).max() > 0
            kernel = own[layer.path].kernel
            kernel.assign(array(kernel) + 6 / 2 * product)
    np.testing.assert_allclose(array(plain(X)), array(adapted.model(X)), **EQUAL)


def test_saved_and_loaded_without_adapters_all_trainable(adapted, tmp_path):
    adapted.save(tmp_path / "lm")
    loaded = lk.LanguageModel.load(tmp_path / "lm")
    np.testing.assert_allclose(array(loaded.model(X)), array(adapted.model(X)), **EQUAL)
    assert not any("lora" in weight.path for weight in loaded.model.weights)
    assert len(loaded.model.trainable_weights) == len(loaded.model.weights)


def test_an_export_has_merged_weights(lm, adapted, tmp_path, warm_check):
    adapted = adapted.with_prompt("a cab ")
    version = lk.export(adapted, tmp_path / "adapted", max_new_tokens_limit=4)
    lk.check(version)
    written = tf.train.list_variables(f"{version}/variables/variables")
    assert sum(np.prod(shape) for name, shape in written if "_CHECKPOINT" not in name) == lm.model.count_params()
    served = tf.saved_model.load(version).signatures["score"](text=tf.constant(["abc de"]))
    np.testing.assert_allclose(served["log_prob"], [adapted.score("abc de")[0].log_prob], rtol=1e-4)


def test_the_prompt_stays_and_what_was_merged_is_adapted_again(adapted):
    again = lora(adapted.with_prompt("abc "), rank=3, layers="attention")
    assert again.prompt == "abc "
    np.testing.assert_allclose(array(again.model(X)), array(adapted.model(X)), **EQUAL)
    assert {w.path.split("/")[1] for w in again.model.trainable_weights} == {"attention"}
    assert {w.shape[0] for w in again.model.trainable_weights if w.name.endswith("_b")} == {3}


def test_a_seed_decides_the_adapters(lm):
    one, same, other = (lora(lm, rank=2, seed=seed).model.get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_an_adapted_encoder_under_a_head():
    encoder = lora(build("bert"), rank=2)
    model = lk.models.sequence_classifier(encoder, 2, seed=0)
    x = OTHERS["bert"].examples(8, 6)[0]
    lk.fit(model, (x, np.arange(8) % 2), config=lk.TrainingConfig(epochs=2, seed=0))
    assert {w.name for w in encoder.trainable_weights} == {"lora_kernel_a", "lora_kernel_b"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"rank": 0}, "rank is 0"),
        ({"alpha": -1}, "alpha is -1"),
        ({"layers": "nowhere"}, "no layer of llama that can have an adapter has 'nowhere' in its path"),
        ({"layers": "("}, "no regular expression"),
    ],
)
def test_what_cannot_be_is_named(options, says, lm):
    with pytest.raises(lk.InputError, match=says):
        lora(lm, **options)


def test_what_has_no_matrix_or_is_quantized_is_refused(tokenizer, lm):
    tied = lk.models.build_lstm_lm(tokenizer.vocab_size, embedding_dim=8, hidden_dim=8, tie_embeddings=True)
    assert lora(tied, rank=2).trainable_weights  # its map to the width of the embedding
    with pytest.raises(lk.InputError, match="is quantized; give lora the float model"):
        lora(lk.quantize(lm, "int8"))
    with pytest.raises(lk.InputError, match="lora takes a LanguageModel or a model of lk.models.build_"):
        lora(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]))
