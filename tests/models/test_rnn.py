"""The recurrent language models against the documents' equations, and the GRU's, in NumPy."""

import keras
import numpy as np
import pytest
from gradients import check_gradients, cross_entropy, float64
from keras import ops
from steps import check_steps

from lm_keras.errors import InputError
from lm_keras.layers.recurrent import SkipRNN
from lm_keras.models import build_gru_lm, build_rnn_lm

V = 13
X = np.random.default_rng(0).integers(0, V, (3, 7)).astype("int32")
Y = np.random.default_rng(1).integers(0, V, (3, 7)).astype("int32")
EQUAL = {"rtol": 1e-5, "atol": 1e-5}
SMALL = {"embedding_dim": 5, "hidden_dim": 6}
FORMS = {"rnn": {}, "skip": {"skip": 3}, "gru": {"cell": "gru"}}


def array(tensor):
    return ops.convert_to_numpy(tensor)


def weights(model):
    return {weight.path: weight.numpy().astype("float64") for weight in model.weights}


def randomize(model, seed=0):
    """Weights, biases too, that are all different from zero."""
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(0, 0.5, w.shape) for w in model.get_weights()])
    return model


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def over_time(x, step, units):
    """h_1, ..., h_T [B, T, H] of h_t = step(x_t, earlier), earlier = [h_0 = 0, h_1, ..., h_{t-1}]."""
    h = [np.zeros((len(x), units))]
    for t in range(x.shape[1]):
        h.append(step(x[:, t], h))
    return np.stack(h[1:], 1)


def simple(w, name, x, sigma=np.tanh):
    """h_t = σ(W_hx x_t + W_hh h_{t-1} + b), documents 000 and 002."""
    kernel, recurrent, bias = (w[f"{name}/simple_rnn_cell/{part}"] for part in ("kernel", "recurrent_kernel", "bias"))
    return over_time(x, lambda x_t, h: sigma(x_t @ kernel + h[-1] @ recurrent + bias), len(bias))


def skipping(w, name, x, k):
    """h_t = σ(W_x x_t + W h_{t-1} + U h_{t-k} + b), document 004; h is zero before the beginning."""
    kernel, bias = w[f"{name}/input/kernel"], w[f"{name}/input/bias"]
    once, skip = w[f"{name}/rnn/cell/recurrent_kernel"], w[f"{name}/rnn/cell/skip_kernel"]

    def step(x_t, h):
        before = h[-k] if len(h) >= k else 0 * h[0]
        return np.tanh(x_t @ kernel + h[-1] @ once + before @ skip + bias)

    return over_time(x, step, len(bias))


def gru(w, name, x):
    """z, r = σ(x W + b + h U + b');  g = tanh(x W + b + r (h U + b'));  h = z h + (1 - z) g."""
    kernel, recurrent, (b, c) = (w[f"{name}/gru_cell/{part}"] for part in ("kernel", "recurrent_kernel", "bias"))

    def step(x_t, h):
        (xz, xr, xg), (hz, hr, hg) = (np.split(y, 3, -1) for y in (x_t @ kernel + b, h[-1] @ recurrent + c))
        z = sigmoid(xz + hz)
        return z * h[-1] + (1 - z) * np.tanh(xg + sigmoid(xr + hr) * hg)

    return over_time(x, step, len(recurrent))


def logits(w, h):
    return h @ w["logits/kernel"] + w["logits/bias"]


@pytest.fixture(scope="module")
def models():
    """One model of two layers a form; no test changes its weights."""
    return {form: randomize(build_rnn_lm(V, **SMALL, num_layers=2, **FORMS[form])) for form in FORMS}


# === The equations ===
@pytest.mark.parametrize("activation, sigma", [("tanh", np.tanh), ("sigmoid", sigmoid)])
def test_logits_follow_the_documents_recurrent_network(activation, sigma):
    model = randomize(build_rnn_lm(V, **SMALL, num_layers=2, activation=activation))
    w = weights(model)
    h = simple(w, "rnn_1", simple(w, "rnn_0", w["embedding/embeddings"][X], sigma), sigma)
    np.testing.assert_allclose(array(model(X)), logits(w, h), **EQUAL)


def test_one_hot_words_are_rows_of_the_input_matrix():
    model = randomize(build_rnn_lm(V, embedding_dim=None, hidden_dim=6))
    w = weights(model)
    np.testing.assert_allclose(array(model(X)), logits(w, simple(w, "rnn_0", np.eye(V)[X])), **EQUAL)


@pytest.mark.parametrize("k", [1, 3, 9])  # 9: further back than the text is long
def test_logits_follow_the_equation_with_a_skip(k):
    model = randomize(build_rnn_lm(V, **SMALL, skip=k))
    w = weights(model)
    h = skipping(w, "rnn_0", w["embedding/embeddings"][X], k)
    np.testing.assert_allclose(array(model(X)), logits(w, h), **EQUAL)


def test_logits_follow_the_gru_equations():
    model = randomize(build_gru_lm(V, **SMALL, num_layers=2, tie_embeddings=True))
    w = weights(model)
    h = gru(w, "gru_1", gru(w, "gru_0", w["embedding/embeddings"][X]))
    expected = h @ w["to_embedding/kernel"] @ w["embedding/embeddings"].T
    np.testing.assert_allclose(array(model(X)), expected, **EQUAL)


@pytest.mark.parametrize("form", sorted(FORMS))
def test_gradients_equal_finite_differences(form):
    with float64():
        model = randomize(build_rnn_lm(V, embedding_dim=2, hidden_dim=3, **FORMS[form]))
    x, y = X[:2, :5], Y[:2, :5]
    check_gradients(lambda: cross_entropy(model, x, y), model.trainable_weights)


def test_parameter_counts():
    V, E, H = 1000, 128, 256  # noqa: N806
    words = V * E + (H + 1) * V
    assert build_rnn_lm(V).count_params() == words + (E + H + 1) * H
    assert build_rnn_lm(V, skip=4).count_params() == words + (E + 2 * H + 1) * H
    assert build_gru_lm(V).count_params() == words + 3 * (E + H + 2) * H


# === The memory ===
@pytest.mark.parametrize("form", sorted(FORMS))
def test_steps_take_tokens_and_leave_the_rest(form, models):
    check_steps(models[form], V)


def test_with_a_skip_the_state_is_the_last_hidden_states():
    layer = SkipRNN(4, 3, bias_initializer="ones")
    x = np.random.default_rng(3).normal(size=(2, 5, 2)).astype("float32")
    h, state = layer(x)
    np.testing.assert_array_equal(array(state), array(h)[:, :1:-1])  # newest first
    _, after = layer(x[:, :2])
    np.testing.assert_array_equal(array(after), np.stack([array(h)[:, 1], array(h)[:, 0], 0 * array(h)[:, 0]], 1))
    again, _ = layer(x[:, 2:], initial_state=after)
    np.testing.assert_allclose(array(again), array(h)[:, 2:], **EQUAL)


def test_a_skip_shortens_the_way_back():
    # With W = 0 a state sees those 3, 6, 9 ... steps back, and no other.
    layer = SkipRNN(4, 3)
    x = np.random.default_rng(3).normal(size=(1, 8, 2)).astype("float32")
    layer(x)
    layer.rnn.cell.recurrent_kernel.assign(np.zeros((4, 4)))
    changed = x.copy()
    changed[:, 1] += 1
    differs = np.abs(array(layer(changed)[0] - layer(x)[0])).max((0, 2)) > 1e-6
    np.testing.assert_array_equal(np.flatnonzero(differs), [1, 4, 7])


# === Options ===
def test_last_word_form_is_the_last_row_of_the_all_words_form(models):
    every = models["skip"]
    last = build_rnn_lm(**{**every.get_config()["arguments"], "return_sequences": False})
    last.set_weights(every.get_weights())
    assert last.output_shape == (None, V)
    np.testing.assert_allclose(array(last(X)), array(every(X))[:, -1], **EQUAL)
    np.testing.assert_allclose(array(last.step(X, last.initial_state(3))[0]), array(every(X)), **EQUAL)


def test_a_model_with_a_skip_saves_and_loads(models, tmp_path):
    models["skip"].save(tmp_path / "x.keras")
    loaded = keras.models.load_model(tmp_path / "x.keras")
    np.testing.assert_array_equal(array(loaded(X)), array(models["skip"](X)))
    assert len({w.path for w in loaded.weights}) == len(loaded.weights)


def test_the_skip_layer_saves_and_loads():
    layer = SkipRNN(4, 3, "sigmoid", recurrent_initializer="zeros", name="skipping")
    again = SkipRNN.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    x = np.ones((1, 5, 2), "float32")
    layer(x), again(x)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(array(again(x)[0]), array(layer(x)[0]))


def test_the_two_ways_back_begin_as_rotations_of_half_the_size():
    model = build_rnn_lm(V, **SMALL, skip=3, seed=0)
    w = weights(model)
    once, skip = (w[f"rnn_0/rnn/cell/{name}_kernel"] for name in ("recurrent", "skip"))
    for kernel in (once, skip):
        np.testing.assert_allclose(kernel @ kernel.T, np.eye(6) / 4, atol=1e-6)
    assert np.abs(once - skip).max() > 0.1


@pytest.mark.parametrize("form", sorted(FORMS))
def test_initializer_range_and_seed_decide_every_weight(form):
    def build(seed):
        sizes = {"embedding_dim": 9, "hidden_dim": 9, "initializer_range": 0.05}
        return build_rnn_lm(V, **sizes, **FORMS[form], seed=seed).get_weights()

    for a, b, c in zip(build(1), build(1), build(2), strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)
        assert 0.03 < np.abs(a).max() <= 0.05


def test_a_frozen_embedding_matrix_stays():
    matrix = np.random.default_rng(2).normal(size=(V, 5)).astype("float32")
    model = build_gru_lm(V, hidden_dim=6, embedding_matrix=matrix, train_embeddings=False)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.train_on_batch(X, Y)
    np.testing.assert_array_equal(model.get_layer("embedding").embeddings.numpy(), matrix)


@pytest.mark.parametrize(
    "arguments, name",
    [
        ({"vocab_size": 1}, "vocab_size"),
        ({"embedding_dim": 0}, "embedding_dim"),
        ({"hidden_dim": 0}, "hidden_dim"),
        ({"num_layers": 0}, "num_layers"),
        ({"cell": "lstm"}, "build_lstm_lm"),
        ({"skip": 0}, "skip"),
        ({"skip": 2.0}, "skip"),
        ({"skip": 2, "cell": "gru"}, "skip"),
        ({"activation": "softmacks"}, "activation"),
        ({"dropout": 1.0}, "dropout"),
        ({"embedding_dim": None, "tie_embeddings": True}, "tie_embeddings"),
        ({"embedding_matrix": np.zeros((V + 1, 5))}, "embedding_matrix"),
    ],
)
def test_impossible_sizes_are_input_errors(arguments, name):
    with pytest.raises(InputError, match=name):
        build_rnn_lm(**{"vocab_size": V, **arguments})
