"""The gated convolutional language model against Dauphin et al. 2017, equation 1, in NumPy."""

import keras
import numpy as np
import pytest
from gradients import check_gradients, cross_entropy, float64
from keras import ops
from steps import check_steps

from lm_keras.errors import InputError
from lm_keras.layers.padding import PackTokens, Remember, UnpackTokens
from lm_keras.layers.positions import ContextWindow
from lm_keras.models import build_cnn_lm

V = 13
X = np.random.default_rng(0).integers(0, V, (3, 9)).astype("int32")
Y = np.random.default_rng(1).integers(0, V, (3, 9)).astype("int32")
EQUAL = {"rtol": 1e-5, "atol": 1e-5}
SMALL = {"embedding_dim": 5, "hidden_dim": 6, "num_layers": 2}
FORMS = {"plain": {}, "dilated": {"num_layers": 3, "kernel_size": 2, "dilation_growth": 2}, "one": {"kernel_size": 1}}


def array(tensor):
    return ops.convert_to_numpy(tensor)


def weights(model):
    return {weight.path: weight.numpy().astype("float64") for weight in model.weights}


def randomize(model, seed=0):
    """Weights, biases too, that are all different from zero."""
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(0, 0.5, w.shape) for w in model.get_weights()])
    return model


def convolution(x, kernel, dilation):
    """(X * W)[t] = sum over i of X[t - i dilation] W_i, [B, T, H] by kernel [k, H, H']; X is zero before the text."""
    out = np.zeros((*x.shape[:2], kernel.shape[-1]))
    for t in range(x.shape[1]):
        for i in range(len(kernel)):
            if t - i * dilation >= 0:
                out[:, t] += x[:, t - i * dilation] @ kernel[len(kernel) - 1 - i]
    return out


def hidden(w, x, num_layers, kernel_size, growth):
    x = x @ w["to_hidden/kernel"] + w["to_hidden/bias"]
    for i in range(num_layers):
        units = x.shape[-1]
        kernel = w[f"convolution_{i}/kernel"].reshape(kernel_size, units, 2 * units)
        W, V = kernel[..., :units], kernel[..., units:]  # noqa: N806
        b, c = np.split(w[f"convolution_{i}/bias"], 2)
        gate = 1 / (1 + np.exp(-(convolution(x, V, growth**i) + c)))
        x = x + (convolution(x, W, growth**i) + b) * gate
    return x


@pytest.fixture(scope="module", params=sorted(FORMS))
def form(request):
    return {**SMALL, **FORMS[request.param]}


@pytest.fixture(scope="module")
def model(form):
    """One model a form; no test changes its weights."""
    return randomize(build_cnn_lm(V, **form))


def reach(form):
    return (form.get("kernel_size", 3) - 1) * sum(
        form.get("dilation_growth", 1) ** i for i in range(form["num_layers"])
    )


# === The equations ===
def test_logits_follow_the_gated_convolution(model, form):
    w = weights(model)
    x = w["embedding/embeddings"][X]
    x = hidden(w, x, form["num_layers"], form.get("kernel_size", 3), form.get("dilation_growth", 1))
    np.testing.assert_allclose(array(model(X)), x @ w["logits/kernel"] + w["logits/bias"], **EQUAL)


def test_one_hot_words_and_tied_embeddings():
    one_hot = randomize(build_cnn_lm(V, **{**SMALL, "embedding_dim": None}))
    w = weights(one_hot)
    expected = hidden(w, np.eye(V)[X], 2, 3, 1) @ w["logits/kernel"] + w["logits/bias"]
    np.testing.assert_allclose(array(one_hot(X)), expected, **EQUAL)
    tied = randomize(build_cnn_lm(V, **SMALL, tie_embeddings=True))
    w = weights(tied)
    x = hidden(w, w["embedding/embeddings"][X], 2, 3, 1)
    expected = x @ w["to_embedding/kernel"] @ w["embedding/embeddings"].T
    np.testing.assert_allclose(array(tied(X)), expected, **EQUAL)


def test_the_window_and_a_dense_layer_are_a_causal_convolution():
    x = np.random.default_rng(3).normal(size=(2, 9, 4)).astype("float32")
    conv = keras.layers.Conv1D(6, 3, dilation_rate=2, padding="causal", bias_initializer="normal")
    expected = array(conv(x))
    made = array(ContextWindow(3, dilation=2)(x)) @ array(conv.kernel).reshape(12, 6) + array(conv.bias)
    np.testing.assert_allclose(made, expected, **EQUAL)


def test_gradients_equal_finite_differences():
    with float64():
        model = randomize(build_cnn_lm(V, embedding_dim=2, hidden_dim=3, num_layers=2, dilation_growth=2))
    check_gradients(lambda: cross_entropy(model, X, Y), model.trainable_weights)


# === The context ===
def test_a_word_reaches_as_far_as_the_docstring_says(model, form):
    before, changed = array(model(X)), X.copy()
    changed[:, 1] = (changed[:, 1] + 1) % V
    differs = np.abs(array(model(changed)) - before).max((0, 2)) > 1e-6
    np.testing.assert_array_equal(np.flatnonzero(differs), np.arange(1, min(2 + reach(form), 9)))


def test_steps_take_tokens_and_leave_the_rest(model):
    check_steps(model, V)


def test_the_state_is_the_inputs_that_a_layer_still_needs(model, form):
    state = model.initial_state(3)
    growth, reaches = form.get("dilation_growth", 1), form.get("kernel_size", 3) - 1
    assert [part.shape for part in state] == [(3, reaches * growth**i, 6) for i in range(form["num_layers"])]
    assert model.context_length is None


def test_packing_by_hand():
    ids = np.array([[-1, 5, -3, 0, 7], [-1, -1, -1, -1, -1]], "int32")
    packed, places, count = PackTokens()(ids)
    np.testing.assert_array_equal(array(packed)[0], [5, 0, 7, -1, -3])
    assert (array(packed)[1] < 0).all()
    np.testing.assert_array_equal(array(count), [3, 0])
    np.testing.assert_array_equal(array(places)[0][[1, 3, 4]], [0, 1, 2])
    unpacked = array(UnpackTokens()(array(packed)[..., None], places))[..., 0]
    np.testing.assert_array_equal(unpacked[0][[1, 3, 4]], [5, 0, 7])
    past = np.array([[8, 9], [8, 9]], "int32")
    np.testing.assert_array_equal(array(Remember()(past, packed, count)), [[0, 7], [8, 9]])


# === Options ===
def test_a_dilated_model_saves_and_loads(tmp_path):
    model = build_cnn_lm(V, **SMALL, kernel_size=2, dilation_growth=3)
    model.save(tmp_path / "x.keras")
    loaded = keras.models.load_model(tmp_path / "x.keras")
    np.testing.assert_array_equal(array(loaded(X)), array(model(X)))
    assert ContextWindow.from_config(ContextWindow(3, 2).get_config()).reach == 4


def test_initializer_range_seed_and_dropout():
    def build(seed):
        sizes = {"embedding_dim": 9, "hidden_dim": 9, "num_layers": 2, "initializer_range": 0.5}
        return build_cnn_lm(V, **sizes, dropout=0.5, seed=seed)

    model, again, other = build(1), build(1), build(2)
    for a, b, c in zip(model.get_weights(), again.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
        if a.dtype == "float32":  # not the state of the dropout's generator
            assert not np.array_equal(a, c)
            assert 0.3 < np.abs(a).max() <= 0.5
    np.testing.assert_array_equal(array(model(X)), array(again(X)))
    one, two = array(model(X, training=True)), array(model(X, training=True))
    assert np.abs(one - two).max() > 1e-3


@pytest.mark.parametrize(
    "arguments, name",
    [
        ({"vocab_size": 1}, "vocab_size"),
        ({"embedding_dim": 0}, "embedding_dim"),
        ({"hidden_dim": 0}, "hidden_dim"),
        ({"num_layers": 0}, "num_layers"),
        ({"kernel_size": 0}, "kernel_size"),
        ({"dilation_growth": 0}, "dilation_growth"),
        ({"dilation_growth": 1.5}, "dilation_growth"),
        ({"dropout": -0.1}, "dropout"),
        ({"embedding_dim": None, "tie_embeddings": True}, "tie_embeddings"),
        ({"embedding_matrix": np.zeros((V + 1, 5))}, "embedding_matrix"),
    ],
)
def test_impossible_sizes_are_input_errors(arguments, name):
    with pytest.raises(InputError, match=name):
        build_cnn_lm(**{"vocab_size": V, **arguments})
