"""The feed-forward language model against document 004's equation and Bengio et al. 2003, in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from gradients import check_gradients, cross_entropy, float64
from keras import ops
from steps import check_steps

from lm_keras.errors import InputError
from lm_keras.models import build_feedforward_lm
from lm_keras.training.train_steps import carry_state

V = 13
X = np.random.default_rng(0).integers(0, V, (3, 7)).astype("int32")
Y = np.random.default_rng(1).integers(0, V, (3, 7)).astype("int32")
EQUAL = {"rtol": 1e-5, "atol": 1e-5}
SMALL = {"context_length": 3, "embedding_dim": 4, "hidden_dim": (5, 6)}


def array(tensor):
    return ops.convert_to_numpy(tensor)


def weights(model):
    return {weight.path: weight.numpy().astype("float64") for weight in model.weights}


def randomize(model, seed=0):
    """Weights, biases too, that are all different from zero, and variances above it."""
    rng = np.random.default_rng(seed)
    values = [rng.normal(0, 0.5, w.shape) for w in model.weights]
    model.set_weights([np.exp(v) if "variance" in w.path else v for w, v in zip(model.weights, values, strict=True)])
    return model


def context(w, ids, n):
    """h(0) [B, T, n E]: the vectors of w[t-n+1], ..., w[t]; zeros before the text."""
    vectors = w["embedding/embeddings"] if "embedding/embeddings" in w else np.eye(V)
    out = np.zeros((*ids.shape, n, vectors.shape[1]))
    for b, t in np.ndindex(*ids.shape):
        for i, at in enumerate(range(t - n + 1, t + 1)):
            out[b, t, i] = vectors[ids[b, at]] if at >= 0 else 0
    return out.reshape(*ids.shape, -1)


def hidden(w, h, num_layers, sigma=np.tanh):
    for i in range(num_layers):
        h = sigma(h @ w[f"hidden_{i}/kernel"] + w[f"hidden_{i}/bias"])
    return h


def compiled(model, learning_rate=0.1):
    model.compile(keras.optimizers.SGD(learning_rate), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


@pytest.fixture(scope="module")
def normed():
    """With batch normalization; no test changes its weights."""
    return randomize(build_feedforward_lm(V, **SMALL, batch_norm=True, direct_connections=True))


# === The equations ===
@pytest.mark.parametrize("n, widths", [(1, [5]), (3, [5]), (10, [5, 6, 4])])
def test_logits_follow_the_layer_equation(n, widths):
    model = randomize(build_feedforward_lm(V, context_length=n, embedding_dim=4, hidden_dim=widths))
    w = weights(model)
    expected = hidden(w, context(w, X, n), len(widths)) @ w["logits/kernel"] + w["logits/bias"]
    np.testing.assert_allclose(array(model(X)), expected, **EQUAL)


@pytest.mark.parametrize(
    "activation, sigma",
    [("sigmoid", lambda x: 1 / (1 + np.exp(-x))), ("relu", lambda x: np.maximum(x, 0))],
)
def test_sigma_is_the_activation(activation, sigma):
    model = randomize(build_feedforward_lm(V, **SMALL, activation=activation))
    w = weights(model)
    expected = hidden(w, context(w, X, 3), 2, sigma) @ w["logits/kernel"] + w["logits/bias"]
    np.testing.assert_allclose(array(model(X)), expected, **EQUAL)


def test_direct_connections_follow_bengios_equation_1():
    # y = b + W x + U tanh(d + H x)
    model = randomize(
        build_feedforward_lm(V, context_length=3, embedding_dim=4, hidden_dim=5, direct_connections=True)
    )
    w = weights(model)
    x = context(w, X, 3)
    u, h, d = w["logits/kernel"], w["hidden_0/kernel"], w["hidden_0/bias"]
    expected = w["logits/bias"] + x @ w["direct/kernel"] + np.tanh(d + x @ h) @ u
    np.testing.assert_allclose(array(model(X)), expected, **EQUAL)
    # Bengio et al.'s count of parameters, |V| (1 + n m + h) + h (1 + n m), and the word vectors |V| m.
    assert model.count_params() == V * (1 + 3 * 4 + 5) + 5 * (1 + 3 * 4) + V * 4


def test_tied_embeddings_and_one_hot_words():
    tied = randomize(build_feedforward_lm(V, **SMALL, tie_embeddings=True))
    w = weights(tied)
    expected = hidden(w, context(w, X, 3), 2) @ w["to_embedding/kernel"] @ w["embedding/embeddings"].T
    np.testing.assert_allclose(array(tied(X)), expected, **EQUAL)
    one_hot = randomize(build_feedforward_lm(V, **{**SMALL, "embedding_dim": None}))
    w = weights(one_hot)
    expected = hidden(w, context(w, X, 3), 2) @ w["logits/kernel"] + w["logits/bias"]
    np.testing.assert_allclose(array(one_hot(X)), expected, **EQUAL)
    check_steps(one_hot, V, examples=3)


def test_batch_normalization_follows_its_equations(normed):
    # While training, the mean and variance over all words of the batch; else the running ones.
    w = weights(normed)
    x = context(w, X, 3)
    for training in (True, False):
        h = x
        for i in range(2):
            z, norm = h @ w[f"hidden_{i}/kernel"], f"batch_norm_{i}"
            mean, variance = (w[f"{norm}/moving_{name}"] for name in ("mean", "variance"))
            if training:
                mean, variance = z.mean((0, 1)), z.var((0, 1))
            h = np.tanh((z - mean) / np.sqrt(variance + 1e-3) * w[f"{norm}/gamma"] + w[f"{norm}/beta"])
        expected = h @ w["logits/kernel"] + w["logits/bias"] + x @ w["direct/kernel"]
        before = normed.get_weights()
        np.testing.assert_allclose(array(normed(X, training=training)), expected, **EQUAL)
        normed.set_weights(before)


def test_gradients_equal_finite_differences():
    with float64():
        plain = randomize(build_feedforward_lm(V, **SMALL, direct_connections=True, activation="sigmoid"))
        normed = randomize(build_feedforward_lm(V, **SMALL, batch_norm=True, tie_embeddings=True))
    check_gradients(lambda: cross_entropy(plain, X, Y), plain.trainable_weights)
    training = lambda x: normed(x, training=True)  # noqa: E731
    check_gradients(lambda: cross_entropy(training, X, Y), normed.trainable_weights)


# === The context ===
def test_the_context_is_exactly_so_many_words():
    model = randomize(build_feedforward_lm(V, context_length=3, embedding_dim=4, hidden_dim=5))
    before = array(model(X))
    changed = X.copy()
    changed[:, 2] = (changed[:, 2] + 1) % V
    differs = np.abs(array(model(changed)) - before).max((0, 2)) > 1e-6
    np.testing.assert_array_equal(differs, [False, False, True, True, True, False, False])


@pytest.mark.parametrize("options", [{}, {"context_length": 1}, {"batch_norm": True, "direct_connections": True}])
def test_steps_take_tokens_and_leave_the_rest(options):
    check_steps(randomize(build_feedforward_lm(V, **{**SMALL, **options})), V)


def test_the_state_is_the_last_words_of_the_context():
    model = build_feedforward_lm(V, context_length=4, embedding_dim=4, hidden_dim=5)
    (start,) = model.initial_state(2)
    np.testing.assert_array_equal(array(start), np.zeros((2, 3, 4)))
    _, (state,) = model.step(np.array([[5, -1, 0, -1], [-1, -1, -1, -1]]), [start])
    table, none = model.get_layer("embedding").get_weights()[0], np.zeros(4)
    np.testing.assert_array_equal(array(state), [[none, table[5], table[0]], [none] * 3])  # zero: no word yet
    assert model.context_length is None  # no text is too long for it


def test_a_carried_state_continues_the_text():
    # carry_state keeps every state in float32 variables that start at zero.
    model = randomize(build_feedforward_lm(V, **SMALL))
    carried = carry_state(model, batch_size=3)
    parts = [array(carried(X[:, :4])), array(carried(X[:, 4:]))]
    np.testing.assert_allclose(np.concatenate(parts, 1), array(model(X)), **EQUAL)
    carried.reset_state()
    np.testing.assert_allclose(array(carried(X[:, :4])), parts[0], **EQUAL)


def test_the_step_view_normalizes_with_running_means_unless_it_is_trained(normed):
    inputs = [tf.constant(X), *normed.initial_state(3)]
    np.testing.assert_allclose(array(normed.step_model(inputs)[0]), array(normed(X)), **EQUAL)
    before = normed.get_weights()
    carried = carry_state(normed, batch_size=3)  # trains through the step view
    np.testing.assert_allclose(array(carried(X, training=True)), array(normed(X, training=True)), **EQUAL)
    normed.set_weights(before)


# === Options ===
def test_the_widths_are_a_list_or_so_many_times_one():
    one = build_feedforward_lm(V, hidden_dim=6, num_layers=3)
    other = build_feedforward_lm(V, hidden_dim=(6, 6, 6))
    assert [w.shape for w in one.weights] == [w.shape for w in other.weights]


def test_frozen_embedding_matrix_is_saved_with_the_weights(tmp_path):
    matrix = np.random.default_rng(2).normal(size=(V, 5)).astype("float32")
    model = build_feedforward_lm(
        V, hidden_dim=6, embedding_matrix=matrix, train_embeddings=False, batch_norm=True, direct_connections=True
    )
    compiled(model).fit(X, Y, epochs=1, verbose=0)
    np.testing.assert_array_equal(model.get_layer("embedding").embeddings.numpy(), matrix)
    model.save(tmp_path / "x.keras")
    loaded = keras.models.load_model(tmp_path / "x.keras")
    np.testing.assert_array_equal(array(loaded(X)), array(model(X)))
    assert len(loaded.trainable_weights) == len(model.trainable_weights) < len(loaded.weights)


def test_initializer_range_and_seed_decide_the_weights():
    def build(seed):
        sizes = {"context_length": 3, "embedding_dim": 9, "hidden_dim": (9,)}
        return build_feedforward_lm(V, **sizes, initializer_range=0.05, seed=seed)

    one, again, other = (build(seed).get_weights() for seed in (1, 1, 2))
    for a, b, c in zip(one, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)
        assert 0.03 < np.abs(a).max() <= 0.05


def test_dropout_acts_in_training_alone():
    model = build_feedforward_lm(V, **SMALL, dropout=0.5, seed=0)
    plain = build_feedforward_lm(V, **SMALL)
    plain.set_weights(model.get_weights())
    np.testing.assert_array_equal(array(model(X)), array(plain(X)))
    assert np.abs(array(model(X, training=True)) - array(model(X, training=True))).max() > 1e-3


@pytest.mark.parametrize(
    "arguments, name",
    [
        ({"vocab_size": 1}, "vocab_size"),
        ({"context_length": 0}, "context_length"),
        ({"context_length": 2.0}, "context_length"),
        ({"embedding_dim": 0}, "embedding_dim"),
        ({"hidden_dim": ()}, "hidden_dim"),
        ({"hidden_dim": (4, 5), "num_layers": 3}, "hidden_dim has 2 sizes and num_layers is 3"),
        ({"hidden_dim": (4, 0)}, r"hidden_dim\[1\]"),
        ({"hidden_dim": 0}, "hidden_dim"),
        ({"num_layers": 0}, "num_layers"),
        ({"activation": "tanhh"}, "activation"),
        ({"activation": np.tanh}, "activation"),
        ({"dropout": 1.0}, "dropout"),
        ({"embedding_dim": None, "tie_embeddings": True}, "tie_embeddings"),
        ({"embedding_matrix": np.zeros((V + 1, 5))}, "embedding_matrix"),
        ({"embedding_matrix": np.zeros(V)}, "embedding_matrix has the shape"),
    ],
)
def test_impossible_sizes_are_input_errors(arguments, name):
    with pytest.raises(InputError, match=name):
        build_feedforward_lm(**{"vocab_size": V, **arguments})
