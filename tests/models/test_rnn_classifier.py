"""The recurrent classifier against its equations in NumPy: both directions, masks wherever padding is, pooling."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from lm_keras.errors import InputError
from lm_keras.models import build_rnn_classifier

V, E, H, C = 9, 4, 3, 2
EQUAL = {"rtol": 1e-5, "atol": 1e-6}
TEXTS = [[3, 7, 1, 4, 8], [5], [6, 8, 2]]


def small(**changes):
    arguments = {"embedding_dim": E, "hidden_dim": H, "dropout": 0.0, "seed": 0, **changes}
    model = build_rnn_classifier(V, num_classes=C, **arguments)
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(0, 0.7, w.shape).astype("float32") for w in model.get_weights()])
    return model


def rows(texts, width, left=0):
    ids = np.zeros((len(texts), width), "int32")
    for row, text in zip(ids, texts, strict=True):
        row[left : left + len(text)] = text
    return ids


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(x, w, u, b):
    h, c, states = np.zeros(H), np.zeros(H), []
    for step in x:
        i, f, g, o = np.split(step @ w + h @ u + b, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        states.append(h)
    return np.array(states)


def gru(x, w, u, b):
    h, states = np.zeros(H), []
    for step in x:
        z, r, candidate = np.split(step @ w + b[0], 3)
        hz, hr, hc = np.split(h @ u + b[1], 3)
        z, r = sigmoid(z + hz), sigmoid(r + hr)
        h = z * h + (1 - z) * np.tanh(candidate + r * hc)
        states.append(h)
    return np.array(states)


def oracle(model, text, cell, bidirectional, num_layers, pooling):
    w = {weight.path: weight.numpy().astype("float64") for weight in model.weights}
    layer = {path.split("/")[0]: [w[p] for p in w if p.split("/")[0] == path.split("/")[0]] for path in w}
    x = w["embedding/embeddings"][text]
    for i in range(num_layers):
        states = [{"lstm": lstm, "gru": gru}[cell](x, *layer[f"forward_{i}"])]
        last = [states[0][-1]]
        if bidirectional:
            states.append({"lstm": lstm, "gru": gru}[cell](x[::-1], *layer[f"backward_{i}"])[::-1])
            last.append(states[1][0])
        x = np.concatenate(states, 1)
    vector = {"max": x.max(0), "mean": x.mean(0), "last": np.concatenate(last)}[pooling]
    return vector @ w["logits/kernel"] + w["logits/bias"]


@pytest.mark.parametrize(
    "cell, bidirectional, num_layers, pooling",
    [("lstm", True, 2, "max"), ("lstm", False, 1, "last"), ("gru", True, 1, "last"), ("gru", True, 2, "mean")],
)
def test_logits_follow_the_equations_of_each_text_alone(cell, bidirectional, num_layers, pooling):
    options = {"cell": cell, "bidirectional": bidirectional, "num_layers": num_layers, "pooling": pooling}
    model = small(**options)
    expected = [oracle(model, text, **options) for text in TEXTS]
    np.testing.assert_allclose(ops.convert_to_numpy(model(rows(TEXTS, 5))), expected, **EQUAL)


@pytest.fixture(scope="module", params=["lstm", "gru"])
def model(request):
    return small(cell=request.param)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(st.integers(1, V - 1), max_size=5), min_size=1, max_size=3), st.integers(0, 3))
def test_padding_on_either_side_changes_nothing(model, texts, left):
    together = ops.convert_to_numpy(model(rows(texts, 9, left)))
    alone = [ops.convert_to_numpy(model(rows([text], max(1, len(text)))))[0] for text in texts]
    np.testing.assert_allclose(together, alone, **EQUAL)


def test_a_text_without_words_gets_the_bias_alone(model):
    (bias,) = [w.numpy() for w in model.weights if w.path == "logits/bias"]
    np.testing.assert_allclose(ops.convert_to_numpy(model(np.zeros((2, 3), "int32"))), [bias] * 2, **EQUAL)


def test_it_starts_from_word_vectors_and_comes_back_frozen(tmp_path):
    matrix = np.random.default_rng(1).normal(size=(V, E)).astype("float32")
    model = build_rnn_classifier(V, num_classes=C, embedding_matrix=matrix, train_embeddings=False, hidden_dim=H)
    np.testing.assert_array_equal(model.get_layer("embedding").get_weights()[0], matrix)
    model.save(tmp_path / "x.keras")
    loaded, x = keras.models.load_model(tmp_path / "x.keras"), rows(TEXTS, 6)
    np.testing.assert_array_equal(ops.convert_to_numpy(loaded(x)), ops.convert_to_numpy(model(x)))
    assert not any("embedding" in weight.path for weight in loaded.trainable_weights)


@pytest.mark.parametrize(
    "arguments",
    [{"cell": "rnn"}, {"pooling": "first"}, {"num_classes": 1}, {"hidden_dim": 0}, {"bidirectional": "yes"}],
)
def test_impossible_arguments_are_input_errors(arguments):
    with pytest.raises(InputError, match=next(iter(arguments))) as error:
        build_rnn_classifier(**{"vocab_size": V, "num_classes": C, **arguments})
    assert "\n" not in str(error.value)
