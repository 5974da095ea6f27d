"""The LSTM language model against its equations in NumPy, in all the forms of the documents."""

import keras
import numpy as np
import pytest
from gensim.models.fasttext import FastTextKeyedVectors
from gensim.models.keyedvectors import KeyedVectors
from keras import ops

from lm_keras.errors import InputError
from lm_keras.models import build_lstm_lm

V = 13
X = np.random.default_rng(0).integers(0, V, (3, 7)).astype("int32")
Y = np.random.default_rng(1).integers(0, V, (3, 7)).astype("int32")
EQUAL = {"rtol": 1e-5, "atol": 1e-6}


def array(tensor):
    return ops.convert_to_numpy(tensor)


def weights(model):
    return {weight.path: weight.numpy().astype("float64") for weight in model.weights}


def randomize(model, seed=0):
    """Weights, biases too, that are all different from zero."""
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(0, 0.5, w.shape).astype("float32") for w in model.get_weights()])
    return model


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(x, kernel, recurrent, bias):
    """(B, T, E) -> (B, T, H): i, f, g, o = x W + h U + b;  c = f c + i g;  h = o tanh(c)."""
    h = c = np.zeros((len(x), recurrent.shape[0]))
    out = []
    for t in range(x.shape[1]):
        i, f, g, o = np.split(x[:, t] @ kernel + h @ recurrent + bias, 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        out.append(h)
    return np.stack(out, 1)


def hidden(model, ids, num_layers):
    w = weights(model)
    x = w["embedding/embeddings"][ids] if "embedding/embeddings" in w else np.eye(V)[ids]
    for i in range(num_layers):
        cell = f"lstm_{i}/lstm_cell"
        x = lstm(x, w[f"{cell}/kernel"], w[f"{cell}/recurrent_kernel"], w[f"{cell}/bias"])
    return x


def compiled(model, learning_rate=0.1):
    model.compile(keras.optimizers.SGD(learning_rate), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


# === The equations ===
@pytest.mark.parametrize("embedding_dim", [5, None], ids=["embedding", "one-hot"])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_logits_follow_the_lstm_equations(embedding_dim, num_layers):
    model = randomize(build_lstm_lm(V, embedding_dim=embedding_dim, hidden_dim=6, num_layers=num_layers))
    w = weights(model)
    expected = hidden(model, X, num_layers) @ w["logits/kernel"] + w["logits/bias"]
    np.testing.assert_allclose(array(model(X)), expected, **EQUAL)


def test_tied_embeddings_score_words_with_the_transposed_embedding():
    model = randomize(build_lstm_lm(V, embedding_dim=5, hidden_dim=6, tie_embeddings=True))
    w = weights(model)
    expected = hidden(model, X, 1) @ w["to_embedding/kernel"] @ w["embedding/embeddings"].T
    np.testing.assert_allclose(array(model(X)), expected, **EQUAL)
    assert model.count_params() == V * 5 + 4 * 6 * (5 + 6 + 1) + 6 * 5


def test_last_word_form_is_the_last_row_of_the_all_words_form():
    every = randomize(build_lstm_lm(V, embedding_dim=5, hidden_dim=6, num_layers=2))
    last = build_lstm_lm(V, embedding_dim=5, hidden_dim=6, num_layers=2, return_sequences=False)
    last.set_weights(every.get_weights())
    assert last.output_shape == (None, V)
    np.testing.assert_allclose(array(last(X)), array(every(X))[:, -1], **EQUAL)
    # Its step view gives every word, so it decodes as the other form does.
    np.testing.assert_allclose(array(last.step(X, last.initial_state(3))[0]), array(every(X)), **EQUAL)
    history = compiled(last).fit(X, Y[:, -1], epochs=2, verbose=0).history["loss"]
    assert history[1] < history[0]


# === The documents' three models ===
@pytest.mark.parametrize(
    "arguments, parameters",
    [
        # one-hot -> LSTM(128) -> Dense(V)
        (
            {"embedding_dim": None, "hidden_dim": 128},
            4 * (10000 * 128 + 128 * 128 + 128) + 128 * 10000 + 10000,
        ),
        # Embedding(10000, 128) -> LSTM(256) -> Dense(10000)
        ({}, 10000 * 128 + 4 * (128 * 256 + 256 * 256 + 256) + 256 * 10000 + 10000),
        # Embedding(10000, 128) -> LSTM(256) -> LSTM(256) -> Dense(10000)
        (
            {"num_layers": 2},
            10000 * 128 + 4 * (128 + 256 + 1) * 256 + 4 * (256 + 256 + 1) * 256 + 256 * 10000 + 10000,
        ),
    ],
    ids=["one-hot", "embedding", "stacked"],
)
def test_parameter_counts_of_the_documents_models(arguments, parameters):
    assert build_lstm_lm(10000, **arguments).count_params() == parameters


# === Options ===
def test_frozen_embedding_matrix_stays_and_a_free_one_moves():
    matrix = np.random.default_rng(2).normal(size=(V, 5)).astype("float32")
    for free in (False, True):
        model = build_lstm_lm(V, hidden_dim=6, embedding_matrix=matrix, train_embeddings=free, seed=0)
        embedding = model.get_layer("embedding").embeddings
        np.testing.assert_array_equal(embedding.numpy(), matrix)
        kernel = model.get_layer("logits").kernel.numpy()
        compiled(model).fit(X, Y, epochs=1, verbose=0)
        assert np.array_equal(embedding.numpy(), matrix) == (not free)
        assert not np.array_equal(model.get_layer("logits").kernel.numpy(), kernel)


def test_a_model_with_an_embedding_matrix_saves_and_stays_frozen(tmp_path):
    matrix = np.random.default_rng(2).normal(size=(V, 5)).astype("float32")
    model = build_lstm_lm(V, embedding_dim=99, hidden_dim=6, embedding_matrix=matrix, train_embeddings=False)
    model.save(tmp_path / "x.keras")
    loaded = keras.models.load_model(tmp_path / "x.keras")
    np.testing.assert_array_equal(loaded.get_layer("embedding").embeddings.numpy(), matrix)
    np.testing.assert_array_equal(array(loaded(X)), array(model(X)))
    assert len(loaded.trainable_weights) == len(loaded.weights) - 1


def test_initializer_range_bounds_every_weight():
    model = build_lstm_lm(V, embedding_dim=20, hidden_dim=20, num_layers=2, initializer_range=0.05, seed=0)
    for weight in model.weights:
        values = np.abs(weight.numpy())
        assert 0.03 < values.max() <= 0.05, weight.path
        assert np.unique(values).size > values.size / 2, weight.path
    kernels = [weight.numpy() for weight in model.weights if weight.shape == (20, 80)]
    assert len(kernels) == 4
    assert all(not np.array_equal(a, b) for i, a in enumerate(kernels) for b in kernels[:i])


def test_the_seed_decides_the_weights_and_the_dropout():
    def trained(seed):
        model = compiled(build_lstm_lm(V, embedding_dim=5, hidden_dim=6, dropout=0.5, seed=seed))
        model.fit(X, Y, epochs=2, shuffle=False, verbose=0)
        return model.get_weights()

    one, again, other = trained(1), trained(1), trained(2)
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not np.array_equal(one[0], other[0])


def test_dropout_acts_in_training_alone():
    model = build_lstm_lm(V, embedding_dim=5, hidden_dim=6, dropout=0.5, seed=0)
    plain = build_lstm_lm(V, embedding_dim=5, hidden_dim=6)
    plain.set_weights(model.get_weights())
    expected = array(plain(X))
    np.testing.assert_array_equal(array(model(X)), expected)
    np.testing.assert_allclose(array(model.step(X, model.initial_state(3))[0]), expected, **EQUAL)
    one, other = array(model(X, training=True)), array(model(X, training=True))
    assert np.abs(one - expected).max() > 1e-3
    assert np.abs(one - other).max() > 1e-3


def test_no_dropout_on_the_recurrent_connections():
    # Inputs and outputs that dropout cannot touch (zeros) leave the state alone, whatever the rate.
    model = randomize(build_lstm_lm(V, embedding_dim=5, hidden_dim=6, dropout=0.9, seed=0))
    model.get_layer("embedding").embeddings.assign(np.zeros((V, 5)))
    inputs = [ops.convert_to_tensor(X), *model.initial_state(3)]
    quiet, noisy = model.step_model(inputs, training=False), model.step_model(inputs, training=True)
    for a, b in zip(noisy[1:], quiet[1:], strict=True):
        np.testing.assert_allclose(array(a), array(b), **EQUAL)
    assert np.abs(array(noisy[0]) - array(quiet[0])).max() > 1e-3  # the output's dropout is on


@pytest.mark.parametrize(
    "arguments, name",
    [
        ({"vocab_size": 1}, "vocab_size"),
        ({"vocab_size": 10.0}, "vocab_size"),
        ({"hidden_dim": 0}, "hidden_dim"),
        ({"hidden_dim": "64"}, "hidden_dim"),
        ({"num_layers": 0}, "num_layers"),
        ({"num_layers": -1}, "num_layers"),
        ({"embedding_dim": 0}, "embedding_dim"),
        ({"dropout": 1.0}, "dropout"),
        ({"dropout": -0.1}, "dropout"),
        ({"dropout": float("nan")}, "dropout"),
        ({"embedding_dim": None, "tie_embeddings": True}, "tie_embeddings"),
        ({"embedding_matrix": np.zeros((V + 1, 5))}, "embedding_matrix"),
    ],
)
def test_impossible_sizes_are_input_errors(arguments, name):
    with pytest.raises(InputError, match=name):
        build_lstm_lm(**{"vocab_size": V, **arguments})


def vectors_of_any_word():
    """They answer every key, as fastText's do: NumPy would ask them for rows without end."""
    vectors = FastTextKeyedVectors(4, 1, 2, 20)
    vectors.vectors_ngrams = np.ones((20, 4), "float32")
    return vectors


@pytest.mark.parametrize(
    "given, named",
    [
        (KeyedVectors(4), "a KeyedVectors and no array"),
        (vectors_of_any_word(), "a FastTextKeyedVectors and no array"),
        ((np.zeros((V, 4)), "the coverage"), "a tuple and no array"),
        ("glove.txt", "a str and no array"),
        ([[1.0], [1.0, 2.0]], "a list and no array"),
    ],
)
def test_what_is_no_matrix_is_told_how_to_get_one(given, named):
    with pytest.raises(InputError, match=f"embedding_matrix is {named}.*matrix, coverage = lk.embeddings"):
        build_lstm_lm(V, embedding_matrix=given)
