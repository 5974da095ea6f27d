"""Losses and measures against their equations: cross-entropy, labels that do not count, F1, squared error."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from gradients import check_gradients, float64
from hypothesis import given, settings
from hypothesis import strategies as st

import lm_keras as lk
from lm_keras.errors import InputError
from lm_keras.losses import CrossEntropy
from lm_keras.training.objectives import objective

C = 3


def scores_as_they_are(shape, name="logits"):
    """A model whose outputs are its inputs, so that a test can say what it answers."""
    x = keras.Input(shape, name="x")
    return keras.Model(x, keras.layers.Activation("linear", name=name)(x))


@pytest.fixture(scope="module")
def texts():
    return scores_as_they_are((C,))


@pytest.fixture(scope="module")
def pairs():
    return scores_as_they_are((2,))


@pytest.fixture(scope="module")
def tokens():
    return scores_as_they_are((None, C))


@pytest.fixture(scope="module")
def words():
    """A language model of somebody else: its vocabulary is what it gives scores for. It reads scores all the same."""
    model = scores_as_they_are((None, C))
    table = keras.layers.Embedding(C, C, embeddings_initializer="identity")
    return keras.Model(model.input, model.output + 0 * table(keras.ops.argmax(model.input, -1)))


@pytest.fixture(scope="module")
def values():
    return scores_as_they_are((1,))


def scores(*shape, seed=0):
    return np.random.default_rng(seed).normal(0, 2, shape).astype("float32")


def nats(y, logits):
    """-log softmax(z)_y of every label, float64."""
    z = logits.astype("float64")
    return np.log(np.exp(z).sum(-1)) - np.take_along_axis(z, np.maximum(y, 0)[..., None], -1)[..., 0]


# === Cross-entropy ===
def test_document_003s_example_is_0_22_nats_and_not_0_38():
    y, p = 1, 0.8
    loss = -(y * math.log(p) + (1 - y) * math.log(1 - p))
    assert loss == pytest.approx(0.2231, abs=5e-5)
    assert loss / math.log(2) == pytest.approx(0.3219, abs=5e-5)  # in bits
    logits = np.array([[0.0, math.log(p / (1 - p))]], "float32")  # softmax: 0.2 and 0.8
    assert float(CrossEntropy()(np.array([1]), logits)) == pytest.approx(loss, rel=1e-5)
    assert float(keras.losses.binary_crossentropy([1.0], [0.8])) == pytest.approx(loss, rel=1e-5)


def test_cross_entropy_is_the_mean_over_the_labels_that_count():
    logits = scores(4, 5, C)
    y = np.random.default_rng(1).integers(0, C, (4, 5))
    y[0, 2:], y[1] = -1, -100  # padding, a whole row of it
    counted, every, loss = y >= 0, nats(y, logits), CrossEntropy()
    assert float(loss(y, logits)) == pytest.approx(every[counted].mean(), rel=1e-5)
    for weight in (np.array([0.5, 1.0, 0.0, 2.0], "float32"), scores(4, 5, seed=2) ** 2):
        w = np.broadcast_to(weight if weight.ndim == 2 else weight[:, None], y.shape) * counted
        assert float(loss(y, logits, sample_weight=weight)) == pytest.approx((w * every).sum() / w.sum(), rel=1e-5)
    assert float(loss(np.full((4, 5), -1), logits)) == 0
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert float(again(y, logits)) == float(loss(y, logits))


def test_labels_that_do_not_count_have_no_gradient():
    logits, y = tf.Variable(scores(2, 4, C)), np.array([[0, 1, -1, -1], [2, -1, 0, 1]])
    with tf.GradientTape() as tape:
        loss = CrossEntropy()(y, logits)
    gradient = tape.gradient(loss, logits).numpy()
    p = np.exp(logits.numpy())
    expected = (p / p.sum(-1, keepdims=True) - np.eye(C)[np.maximum(y, 0)]) * (y >= 0)[..., None] / (y >= 0).sum()
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)
    with float64():
        weight = keras.Variable(logits.numpy().astype("float64"), dtype="float64")
        check_gradients(lambda: CrossEntropy()(y, weight.value), [weight])
        check_gradients(lambda: keras.losses.MeanSquaredError()(np.ones((2, 4, C)), weight.value), [weight])


# === evaluate ===
def f1_by_counting(y, answers, label):
    hits = sum(a == label == b for a, b in zip(y, answers, strict=True))
    wrong = sum(a != b and label in (a, b) for a, b in zip(y, answers, strict=True))
    precision, recall = (hits / max(list(side).count(label), 1) for side in (answers, y))
    if hits:  # the harmonic mean of precision and recall, twice written
        assert 2 * precision * recall / (precision + recall) == pytest.approx(2 * hits / (2 * hits + wrong))
    return 2 * hits / (2 * hits + wrong) if hits or wrong else None


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, C - 1), st.integers(0, C - 1)), min_size=1, max_size=30), st.integers(1, 9))
def test_accuracy_and_f1_of_texts(texts, pairs, rows, batch_size):
    y, answers = (np.array(side) for side in zip(*rows, strict=True))
    logits = np.eye(C, dtype="float32")[answers] * 3
    result = lk.evaluate(texts, tf.data.Dataset.from_tensor_slices((logits, y)).batch(batch_size))
    every = [f1 for label in range(C) if (f1 := f1_by_counting(y, answers, label)) is not None]
    assert result["accuracy"] == np.mean(y == answers)
    assert result["f1"] == result["macro_f1"] == pytest.approx(np.mean(every))
    assert result["loss"] == pytest.approx(nats(y, logits).mean(), rel=1e-5)
    assert result["examples"] == len(y)
    # Two classes: F1 is that of class 1.
    y, answers = np.minimum(y, 1), np.minimum(answers, 1)
    result = lk.evaluate(pairs, (np.eye(2, dtype="float32")[answers], y))
    assert result["f1"] == pytest.approx(f1_by_counting(y, answers, 1) or 0)


def test_f1_equals_keras_metric_where_all_classes_occur(texts):
    y, logits = np.arange(60) % C, scores(60, C)
    metric = keras.metrics.F1Score("macro")
    metric.update_state(np.eye(C)[y], np.eye(C)[logits.argmax(1)])
    assert lk.evaluate(texts, (logits, y))["macro_f1"] == pytest.approx(float(metric.result()), rel=1e-6)


def test_tokens_without_a_label_do_not_count(tokens, words):
    logits, y = scores(4, 6, C), np.random.default_rng(3).integers(0, C, (4, 6))
    y[1, 3:], y[2] = -1, -1
    counted = y >= 0
    dataset = tf.data.Dataset.from_tensor_slices((logits, y)).batch(3)
    loss, accuracy = nats(y, logits)[counted].mean(), (logits.argmax(-1) == y)[counted].mean()
    result = lk.evaluate(tokens, dataset)
    assert result == pytest.approx({"loss": loss, "accuracy": accuracy, "examples": counted.sum()} | {
        name: np.mean([f1_by_counting(y[counted], logits.argmax(-1)[counted], label) for label in range(C)])
        for name in ("f1", "macro_f1")
    }, rel=1e-5)  # fmt: skip
    result = lk.evaluate(words, dataset)  # its embedding has C rows, so that classes are words
    expected = {"loss": loss, "perplexity": math.exp(loss), "accuracy": accuracy, "tokens": counted.sum()}
    assert result == pytest.approx(expected, rel=1e-5)
    # The same labels, kept out by weights of 0.
    weighted = tf.data.Dataset.from_tensor_slices((logits, np.maximum(y, 0), counted.astype("float32"))).batch(3)
    assert lk.evaluate(words, weighted) == pytest.approx(expected, rel=1e-5)
    assert lk.evaluate(tokens, weighted, task="language_model") == pytest.approx(expected, rel=1e-5)
    assert lk.evaluate(words, dataset, task="classification") == lk.evaluate(tokens, dataset)


def test_regression_measures(values):
    y, x = 100 + scores(50, seed=4), 100 + scores(50, 1, seed=5)
    errors = x[:, 0].astype("float64") - y
    expected = {
        "loss": np.mean(errors**2),
        "mae": np.mean(np.abs(errors)),
        "r2": 1 - np.sum(errors**2) / np.sum((y - y.astype("float64").mean()) ** 2),
        "examples": 50,
    }
    for loss in (None, "mse", "mean_squared_error"):
        dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(7)
        assert lk.evaluate(values, dataset, loss) == pytest.approx(expected, rel=1e-5)
    assert math.isnan(lk.evaluate(values, (x[:1], y[:1]))["r2"])  # a single value has no spread


def test_any_loss_of_keras_and_weights(values):
    y, x, w = scores(10, 1, seed=6), scores(10, 1, seed=7), np.arange(10, dtype="float32")
    errors = np.abs(x - y)[:, 0]
    for loss in ("mae", keras.losses.MeanAbsoluteError(), keras.losses.mean_absolute_error):
        result = lk.evaluate(values, tf.data.Dataset.from_tensor_slices((x, y)).batch(4), loss)
        assert result == pytest.approx({"loss": errors.mean(), "examples": 10}, rel=1e-5)
    result = lk.evaluate(values, tf.data.Dataset.from_tensor_slices((x, y, w)).batch(10), "mae")
    assert result["loss"] == pytest.approx((errors * w).mean(), rel=1e-5)


# === fit ===
def test_fit_takes_dicts_two_outputs_and_their_losses():
    inputs = {name: keras.Input((2,), name=name) for name in "ab"}
    x = keras.layers.Concatenate()(list(inputs.values()))
    model = keras.Model(inputs, {"u": keras.layers.Dense(1, name="u")(x), "v": keras.layers.Dense(C, name="v")(x)})
    x = {name: scores(8, 2, seed=i) for i, name in enumerate("ab")}
    y = {"u": scores(8, 1, seed=8), "v": np.arange(8) % C}
    with pytest.raises(InputError, match=r"2 outputs.*loss=\{"):
        lk.fit(model, (x, y))
    losses = {"u": "mse", "v": keras.losses.SparseCategoricalCrossentropy(from_logits=True)}
    config = lk.TrainingConfig(epochs=3, batch_size=4, learning_rate=0.1, warmup_steps=0)
    history = lk.fit(model, (x, y), (x, y), config, loss=losses).history
    out = {name: part.numpy() for name, part in model(x).items()}
    expected = np.mean((out["u"] - y["u"]) ** 2) + nats(y["v"], out["v"]).mean()
    assert history["val_loss"][-1] == pytest.approx(expected, rel=1e-5)
    assert history["val_loss"][-1] < history["val_loss"][0]
    with pytest.raises(InputError, match="x has 5 or 8 rows"):
        lk.fit(model, ({**x, "a": x["a"][:5]}, y), loss=losses)


def test_objectives_are_told_from_the_outputs(texts, tokens, words, values):
    lm = lk.models.build_lstm_lm(7, embedding_dim=2, hidden_dim=2, return_sequences=False)
    assert [objective(model).measures for model in (texts, tokens, words, values, lm)] == [
        *[("loss", "accuracy", "f1", "macro_f1")] * 2,
        ("loss", "perplexity", "accuracy"),
        ("loss", "mae", "r2"),
        ("loss", "perplexity", "accuracy"),  # one word a window: [B, V], and yet no classifier
    ]


def layers_of(width, *extra):
    return [keras.layers.Embedding(20, 4), *extra, keras.layers.Dense(width)]


class Positions(keras.layers.Layer):
    """As in many a GPT: the table of positions has other sizes than that of words, and both stand within a layer."""

    def __init__(self):
        super().__init__()
        self.words, self.places = keras.layers.Embedding(20, 4), keras.layers.Embedding(9, 4)

    def call(self, ids):
        return self.words(ids) + self.places(keras.ops.arange(keras.ops.shape(ids)[1]))


class Own(keras.Model):
    def __init__(self, width):
        super().__init__()
        self.read, self.dense = Positions(), keras.layers.Dense(width)

    def call(self, ids):
        return self.dense(self.read(ids))


@pytest.mark.parametrize(
    "make", [lambda width: keras.Sequential(layers_of(width)), Own,
             lambda width: keras.Model(ids := keras.Input((None,), dtype="int32"), Own(width)(ids))],
    ids=["sequential", "subclassed", "nested"],
)  # fmt: skip
def test_a_tagger_and_a_language_model_of_ones_own(make):
    ids = np.arange(24, dtype="int32").reshape(4, 6) % 20
    result = lk.evaluate(make(5), (ids, ids % 5))
    assert set(result) == {"loss", "accuracy", "f1", "macro_f1", "examples"}
    result = lk.evaluate(make(20), (ids, ids))
    assert set(result) == {"loss", "perplexity", "accuracy", "tokens"}
    config = lk.TrainingConfig(epochs=1, batch_size=4)
    assert "val_macro_f1" in lk.fit(make(5), (ids, ids % 5), (ids, ids % 5), config).history
    assert "val_perplexity" in lk.fit(make(5), (ids, ids % 5), (ids, ids % 5), config, task="language_model").history


def test_windows_of_text_are_for_language_models():
    tokenizer = lk.text.CharTokenizer.train(["abcd"])
    windows = lk.data.lm_windows(["abcd" * 9], tokenizer, 4, 2)
    one_hot = keras.layers.Lambda(lambda ids: keras.ops.one_hot(ids, tokenizer.vocab_size))
    model = keras.Sequential([one_hot, keras.layers.Dense(tokenizer.vocab_size)])
    assert {"perplexity", "bits_per_byte"} <= lk.evaluate(model, windows).keys()
    assert "bits_per_byte" not in lk.evaluate(model, windows, task="classification")
    history = lk.fit(model, windows, tuple(part.numpy() for part in next(iter(windows)))).history
    assert {"perplexity", "val_perplexity"} <= history.keys()


def test_a_tagger_on_bert_with_as_many_classes_as_segments():
    bert = lk.models.build_bert(11, max_length=6, hidden_dim=4, num_layers=1, num_heads=2)
    assert objective(lk.models.token_classifier(bert, 2)).task == "classification"
    assert objective(lk.models.token_classifier(bert, 6)).task == "classification"


def test_a_task_that_is_none(texts):
    for options, says in (
        ({"task": "tagging"}, "task is 'tagging'; it must be one of language_model, classification, "),
        ({"task": "classification", "loss": "mse"}, "not both"),
    ):
        for run in (lk.evaluate, lk.fit):
            with pytest.raises(InputError, match=says):
                run(texts, (scores(4, C), np.arange(4) % C), **options)


def test_a_span_without_a_label_counts_nowhere():
    logits = {name: np.eye(4, dtype="float32")[[1, 2, 3, 0]] * 9 for name in ("start", "end")}
    y = {"start": np.array([1, -1, 0, 0]), "end": np.array([1, 2, -1, 3])}
    sums = objective(_spans()).sums
    found = {name: float(value) for name, value in sums(_tensors(y), logits).items()}
    assert [found[name] for name in ("start", "end", "both", "count")] == [2, 1, 1, 2]
    first = {name: int(value) for name, value in sums(_tensors(y), logits, np.array([1.0, 1, 1, 0])).items()}
    assert (first["count"], first["both"]) == (1, 1)


def _spans():
    x = keras.Input((4,))
    return keras.Model(x, {"start": x + 0, "end": x + 1})


def _tensors(y):
    return {name: tf.constant(values, tf.int32) for name, values in y.items()}


# === Several classes a text ===
def test_several_classes_a_text_against_numpy(texts):
    y, z = np.random.default_rng(3).integers(0, 2, (9, C)), scores(9, C)
    weights = np.array([1, 2, 0, 1, 1, 0.5, 3, 1, 1], "float32")
    p = 1 / (1 + np.exp(-z.astype("float64")))
    nats = -(y * np.log(p) + (1 - y) * np.log(1 - p))
    found = lk.evaluate(texts, (z, y.astype("float32"), weights), task="multi_label")
    w, yes = weights[:, None], p >= 0.5
    hits, both = (w * (y * yes)).sum(0), (w * (y + yes)).sum(0)
    expected = {
        "loss": np.average(nats.mean(1), weights=weights),
        "f1": 2 * hits.sum() / both.sum(),
        "macro_f1": (2 * hits / both).mean(),
        "exact_match": np.average((y == yes).all(1), weights=weights),
        "examples": 8,
    }
    assert found == pytest.approx(expected, rel=1e-5)
    loss = lk.losses.MultiLabelCrossEntropy([1, 5, 0.5])
    weighted = (np.array([1, 5, 0.5]) * y * nats + (1 - y) * nats).mean(1)
    np.testing.assert_allclose(loss(y, z, weights), np.average(weighted, weights=weights), 1e-5)
    assert lk.evaluate(texts, (z, y, weights), loss)["loss"] == pytest.approx(expected["loss"], rel=1e-5)
    assert keras.losses.deserialize(keras.losses.serialize(loss)).positive_weight == [1, 5, 0.5]
    with pytest.raises(lk.InputError, match="give 0 or 1 a class"):
        lk.evaluate(texts, (z, y[:, :2]), task="multi_label")


def test_fit_learns_several_classes_a_text():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 4)).astype("float32")
    y = (x[:, :3] > 0).astype("int32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    config = lk.TrainingConfig(epochs=30, learning_rate=0.1, warmup_steps=0)
    history = lk.fit(model, (x, y), (x, y), config, task="multi_label").history
    assert history["val_loss"][-1] < 0.3 * history["val_loss"][0] and history["val_f1"][-1] > 0.95
