"""Kim's text classifier against his equations in NumPy, its four variants, and what must not change an answer."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from gradients import check_gradients, cross_entropy, float64
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from lm_keras.errors import InputError
from lm_keras.models import build_cnn_classifier

V, E, F, C = 11, 5, 4, 3
SIZES = (2, 3)
TEXTS = [[3, 7, 1, 4, 9, 2, 2], [5], [6, 8], [10, 1, 1, 1]]
Y = np.array([0, 1, 2, 1])
EQUAL = {"rtol": 1e-5, "atol": 1e-6}
MATRIX = np.random.default_rng(7).normal(size=(V, E)).astype("float32")


def padded(texts, width=None, left=0):
    width = width or max(map(len, texts)) + left
    rows = np.zeros((len(texts), width), "int32")
    for row, text in zip(rows, texts, strict=True):
        row[left : left + len(text)] = text
    return rows


X = padded(TEXTS)


def small(**arguments):
    arguments = {"embedding_dim": E, "kernel_sizes": SIZES, "num_filters": F, "dropout": 0.0, "seed": 0, **arguments}
    return build_cnn_classifier(V, num_classes=C, **arguments)


def array(tensor):
    return ops.convert_to_numpy(tensor)


def weights(model):
    return {weight.path: weight.numpy().astype("float64") for weight in model.weights}


def randomize(model, seed=0):
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        values = rng.normal(0, 0.5, weight.shape)
        weight.assign(np.abs(values) + 0.1 if "variance" in weight.path else values)
    return model


@pytest.fixture(scope="module")
def plain():
    """No test changes its weights."""
    return randomize(small())


# === The equations ===
def windows(vectors, size):
    """x_{i:i+h-1} of equation 1, flattened: every window that holds a word, zero vectors around the text."""
    edge = np.zeros((size - 1, vectors.shape[1]))
    around = np.concatenate([edge, vectors, edge])
    return np.array([around[i : i + size].ravel() for i in range(len(vectors) + size - 1)])


def features(w, text, channels=("embedding",), norm=False):
    """Equations 2 to 4 of Kim (2014) for one text: c_i = f(w · x_{i:i+h-1} + b), summed over channels; max c."""
    best = []
    for k, size in enumerate(SIZES):
        kernel = w[f"conv_{k}/kernel"].reshape(-1, F)  # (h E, F)
        c = sum(windows(w[f"{name}/embeddings"][text], size) @ kernel for name in channels)
        if norm:
            deviation = np.sqrt(w[f"norm_{k}/moving_variance"] + 1e-3)
            c = (c - w[f"norm_{k}/moving_mean"]) / deviation * w[f"norm_{k}/gamma"] + w[f"norm_{k}/beta"]
        else:
            c = c + w[f"conv_{k}/bias"]
        best.append(np.maximum(c, 0).max(0))
    return np.concatenate(best)


def logits(w, texts, **options):
    return np.array([features(w, text, **options) for text in texts]) @ w["logits/kernel"] + w["logits/bias"]


def test_logits_follow_the_equations(plain):
    np.testing.assert_allclose(array(plain(X)), logits(weights(plain), TEXTS), **EQUAL)


def test_two_channels_are_each_filter_on_both_and_added():
    model = randomize(small(embedding_matrix=MATRIX, two_channel=True))
    expected = logits(weights(model), TEXTS, channels=("embedding", "static_embedding"))
    np.testing.assert_allclose(array(model(X)), expected, **EQUAL)


def test_batch_norm_uses_its_moving_statistics_after_training():
    model = randomize(small(batch_norm=True))
    np.testing.assert_allclose(array(model(X)), logits(weights(model), TEXTS, norm=True), **EQUAL)


def test_batch_norm_in_training_follows_ioffe_and_szegedy():
    model = randomize(small(batch_norm=True))
    w = weights(model)
    before = {k: (w[f"norm_{k}/moving_mean"], w[f"norm_{k}/moving_variance"]) for k in range(len(SIZES))}
    expected = []
    for k, size in enumerate(SIZES):
        c = [windows(w["embedding/embeddings"][text], size) @ w[f"conv_{k}/kernel"].reshape(-1, F) for text in TEXTS]
        every = np.concatenate(c)  # the windows of all texts of the batch, and none of the padding
        mean, variance = every.mean(0), every.var(0)
        w[f"norm_{k}/moving_mean"], w[f"norm_{k}/moving_variance"] = mean, variance
        expected.append([0.99 * old + 0.01 * new for old, new in zip(before[k], (mean, variance), strict=True)])
    for width in (None, 20):  # more padding: the same statistics
        copy = small(batch_norm=True)
        copy.set_weights(model.get_weights())
        np.testing.assert_allclose(
            array(copy(padded(TEXTS, width), training=True)), logits(w, TEXTS, norm=True), rtol=1e-4, atol=1e-5
        )
        after = weights(copy)
        for k in range(len(SIZES)):
            np.testing.assert_allclose(after[f"norm_{k}/moving_mean"], expected[k][0], **EQUAL)
            np.testing.assert_allclose(after[f"norm_{k}/moving_variance"], expected[k][1], **EQUAL)


def test_gradients_are_those_of_finite_differences():
    with float64():
        for options in ({}, {"two_channel": True}, {"batch_norm": True}):
            model = randomize(small(**options))
            check_gradients(lambda model=model: cross_entropy(model, X, Y), model.trainable_weights)


# === Padding ===
texts = st.lists(st.lists(st.integers(1, V - 1), max_size=6), min_size=1, max_size=4)


@settings(max_examples=25, deadline=None)
@given(texts, st.integers(0, 5), st.integers(0, 5))
def test_padding_on_either_side_changes_nothing(plain, texts, left, right):
    width = max(1, *map(len, texts))
    together = array(plain(padded(texts, left + width + right, left)))
    alone = [array(plain(padded([text], max(1, len(text)))))[0] for text in texts]
    np.testing.assert_allclose(together, alone, **EQUAL)


def test_a_text_without_words_gets_the_bias_alone(plain):
    np.testing.assert_allclose(array(plain(np.zeros((2, 4), "int32"))), [weights(plain)["logits/bias"]] * 2, **EQUAL)


def test_the_vector_of_padding_is_never_used(plain):
    with tf.GradientTape() as tape:
        loss = cross_entropy(plain, X, Y)
    gradient = tf.convert_to_tensor(tape.gradient(loss, plain.get_layer("embedding").embeddings.value)).numpy()
    assert (X == 0).any()
    assert not gradient[0].any()
    assert np.abs(gradient[1:]).max() > 0


# === The variants, trained ===
def trained(model, optimizer, steps):
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    for _ in range(steps):
        model.train_on_batch(X, Y)
    return weights(model)


@pytest.mark.parametrize(
    "options, moving, frozen",
    [
        ({}, ["embedding"], []),
        ({"embedding_matrix": MATRIX, "train_embeddings": False}, [], ["embedding"]),
        ({"embedding_matrix": MATRIX}, ["embedding"], []),
        ({"embedding_matrix": MATRIX, "two_channel": True}, ["embedding"], ["static_embedding"]),
    ],
    ids=["random", "static", "non-static", "two-channel"],
)
def test_kims_variants_train_what_they_should(options, moving, frozen):
    model = small(**options)
    before, after = weights(model), trained(model, keras.optimizers.SGD(0.3), steps=2)
    assert {path for path in before if "embedding" in path} == {f"{name}/embeddings" for name in moving + frozen}
    for name in moving + frozen:
        start = before[f"{name}/embeddings"]
        if options:
            np.testing.assert_array_equal(start, MATRIX.astype("float64"))
        else:
            assert 0.2 < np.abs(start).max() <= 0.25
        assert np.array_equal(after[f"{name}/embeddings"], start) == (name in frozen)
    assert not np.array_equal(after["conv_0/kernel"], before["conv_0/kernel"])


def test_max_norm_rescales_the_vectors_of_the_classes_that_are_longer():
    free = trained(small(max_norm=None), keras.optimizers.SGD(1.0), steps=1)["logits/kernel"]
    norms = np.linalg.norm(free, axis=0)
    limit = float(np.median(norms))  # one class is shorter, one longer
    limited = trained(small(max_norm=limit), keras.optimizers.SGD(1.0), steps=1)["logits/kernel"]
    np.testing.assert_allclose(limited, free * np.minimum(1, limit / norms), **EQUAL)
    assert np.abs(limited - free).max() > 1e-3


def test_dropout_acts_in_training_alone(plain):
    model = small(dropout=0.5)
    model.set_weights(plain.get_weights())
    np.testing.assert_array_equal(array(model(X)), array(plain(X)))
    assert np.abs(array(model(X, training=True)) - array(plain(X))).max() > 1e-3


@pytest.mark.parametrize(
    "options",
    [{"batch_norm": True}, {"embedding_matrix": MATRIX, "train_embeddings": False}, {"two_channel": True}],
    ids=["batch-norm", "static", "two-channel"],
)
def test_saved_models_come_back(tmp_path, options):
    model = randomize(small(**options))
    model.save(tmp_path / "x.keras")
    loaded = keras.models.load_model(tmp_path / "x.keras")
    np.testing.assert_array_equal(array(loaded(X)), array(model(X)))
    assert [w.path for w in loaded.trainable_weights] == [w.path for w in model.trainable_weights]
    assert loaded.get_config() == model.get_config()
    assert len({w.path for w in model.weights}) == len(model.weights)


@pytest.mark.parametrize(
    "arguments, name",
    [
        ({"vocab_size": 1}, "vocab_size"),
        ({"num_classes": 1}, "num_classes"),
        ({"num_classes": True}, "num_classes"),
        ({"num_filters": 0}, "num_filters"),
        ({"embedding_dim": 0}, "embedding_dim"),
        ({"kernel_sizes": ()}, "kernel_sizes"),
        ({"kernel_sizes": (3, 0)}, "kernel_sizes"),
        ({"kernel_sizes": 3}, "kernel_sizes"),
        ({"dropout": 1.0}, "dropout"),
        ({"max_norm": 0}, "max_norm"),
        ({"max_norm": -3.0}, "max_norm"),
        ({"embedding_matrix": np.zeros((V + 1, E))}, "embedding_matrix"),
        ({"embedding_matrix": np.zeros(V)}, "embedding_matrix"),
        ({"two_channel": True, "train_embeddings": False}, "two_channel"),
    ],
)
def test_impossible_arguments_are_input_errors(arguments, name):
    with pytest.raises(InputError, match=name) as error:
        build_cnn_classifier(**{"vocab_size": V, "num_classes": C, **arguments})
    assert "\n" not in str(error.value)
