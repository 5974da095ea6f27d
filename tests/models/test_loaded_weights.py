"""A model that is loaded has the weights of its file, and no random ones are drawn before them."""

import keras
import numpy as np
import pytest
from keras import layers

import lm_keras as lk
from lm_keras.models.keras_file import draw_weights, weights_within

RANDOM = ("RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling", "Orthogonal")


class DrawnError(Exception):
    """Random weights were made."""


def build():
    tokenizer = lk.text.BPETokenizer.train(["to be or not to be"], vocab_size=262)
    return lk.LanguageModel(
        lk.models.build_llama(tokenizer.vocab_size, hidden_dim=8, num_heads=2, num_layers=1), tokenizer
    )


def keras_file(made, path):
    made.model.save(path / "model.keras")
    return lambda: lk.models.load_model(path / "model.keras")


def folder(made, path):
    made.save(path)
    return lambda: lk.LanguageModel.load(path).model


def checkpoint(made, path):
    lk.models.save_pretrained(made, path)
    return lambda: lk.models.load_pretrained(path).model


@pytest.mark.parametrize("save", [keras_file, folder, checkpoint])
def test_a_model_is_loaded_without_drawing_random_weights(save, tmp_path, monkeypatch):
    made = build()
    load = save(made, tmp_path)

    def refuse(*_, **__):
        raise DrawnError

    for name in RANDOM:
        monkeypatch.setattr(getattr(keras.initializers, name), "__call__", refuse)
    with pytest.raises(DrawnError):
        build()
    for loaded, weight in zip(load().weights, made.model.weights, strict=True):
        np.testing.assert_array_equal(loaded, weight)


@pytest.mark.parametrize("initializer", [None, "glorot_uniform", keras.initializers.HeNormal(), "orthogonal"])
def test_only_random_weights_are_left_unset_and_only_where_that_is_asked_for(initializer):
    def weights():
        layer = layers.Layer()
        values = [layer.add_weight((4, 4), first) for first in (initializer, "ones", keras.initializers.Constant(3))]
        return [np.asarray(value) for value in values]

    keras.utils.set_random_seed(3)
    expected = weights()[0]
    for drawn in (True, False):
        keras.utils.set_random_seed(3)
        with weights_within(1000, 10, drawn=drawn):
            random, ones, threes = weights()
        assert np.array_equal(random, expected) is drawn and np.all(ones == 1) and np.all(threes == 3)


@keras.saving.register_keras_serializable("test_loaded_weights")
class Directions(layers.Layer):
    """x times a matrix that is drawn again from its seed, and never saved."""

    def build(self, shape):
        first = keras.initializers.RandomNormal(seed=5)
        self.directions = self.add_weight((shape[-1], 3), first, trainable=False)

    def call(self, x):
        return x @ self.directions

    def save_own_variables(self, store):
        pass

    def load_own_variables(self, store):
        pass


def test_a_layer_that_does_not_save_its_weights_draws_them_again(tmp_path):
    model = keras.Sequential([keras.Input((4,)), Directions(), layers.Dense(2)])
    model.save(tmp_path / "model.keras")
    loaded = lk.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(np.ones((1, 4))), model(np.ones((1, 4))))


@keras.saving.register_keras_serializable("test_loaded_weights")
class Projection(layers.Layer):
    """A fixed random matrix of a layer that Keras does not know of, and neither saves nor loads."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        inner = layers.Dense(3, kernel_initializer=keras.initializers.RandomNormal(seed=5))
        object.__setattr__(self, "aside", lambda: inner)  # Keras looks into what is set, and not into functions

    def build(self, shape):
        self.aside().build(shape)

    def call(self, x):
        return self.aside()(x)


def test_a_layer_that_keras_does_not_know_draws_its_weights_again(tmp_path):
    model = keras.Sequential([keras.Input((4,)), Projection(), layers.Dense(2)])
    model.save(tmp_path / "model.keras")
    loaded = lk.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(np.ones((1, 4))), model(np.ones((1, 4))))


@lk.models.register_builder  # of no family: the contract tests of families would take it for one
def build_one_projection(vocab_size: int, *, name: str = "one_projection") -> lk.models.CausalLM:
    """A language model of such a layer."""
    parts = [layers.Embedding(vocab_size, 4), Projection(), layers.Dense(vocab_size)]

    def logits(ids):
        for part in (lambda ids: keras.ops.maximum(ids, 0), *parts):
            ids = part(ids)
        return ids

    ids, step_ids, state = (
        keras.Input((None,), dtype="int32"),
        keras.Input((None,), dtype="int32"),
        keras.Input((1,)),
    )
    step = keras.Model([step_ids, state], [logits(step_ids), state + 1])
    views = lk.models.Views(step, lambda batch_size, length=None: [keras.ops.zeros((batch_size, 1))])
    return lk.models.CausalLM(ids, logits(ids), views=views, name=name)


def test_so_it_does_in_a_folder(tmp_path):
    tokenizer = lk.text.CharTokenizer.train(["to be or not to be"])
    lm = lk.LanguageModel(build_one_projection(tokenizer.vocab_size), tokenizer)
    lm.save(tmp_path / "lm")
    ids = np.array([[1, 2, 3]], "int32")
    np.testing.assert_array_equal(lk.LanguageModel.load(tmp_path / "lm").model(ids), lm.model(ids))


def test_what_is_quantized_on_the_way_is_drawn():
    with weights_within(1000, 10, drawn=False):
        draw_weights()
        keras.utils.set_random_seed(3)
        drawn = layers.Layer().add_weight((4, 4), "glorot_uniform")
    keras.utils.set_random_seed(3)
    np.testing.assert_array_equal(drawn, layers.Layer().add_weight((4, 4), "glorot_uniform"))


@pytest.mark.parametrize("save", [keras_file, folder])
@pytest.mark.filterwarnings("error:invalid value:RuntimeWarning")
def test_a_quantized_model_is_loaded_without_a_warning(save, tmp_path):
    made = build()
    for weight in made.model.weights:  # what is freed here is what a weight that is not set would hold
        weight.assign(np.full(weight.shape, np.nan))
    load = save(lk.quantize(build(), "int8"), tmp_path)
    for _ in range(5):
        assert all(np.isfinite(weight).all() for weight in load().weights)
