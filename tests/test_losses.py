"""What a model of logits may be compiled with: its loss stays as it is, one of probabilities is refused."""

import functools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_models import VOCAB, ids, inputs_of, shared

import lm_keras as lk
from lm_keras.errors import InputError
from lm_keras.losses import CrossEntropy, ExpectedReward, SquaredError

RIGHT = r"keras\.losses\.SparseCategoricalCrossentropy\(from_logits=True\)"
WORDS = 20


@pytest.fixture(scope="module")
def model():
    return lk.models.build_gru_lm(WORDS, embedding_dim=4, hidden_dim=4, initializer_range=0.01, seed=0)


@pytest.fixture(scope="module")
def classifier():
    encoder = lk.models.build_bert(9, max_length=5, hidden_dim=4, num_layers=1, num_heads=1, seed=0)
    return lk.models.sequence_classifier(encoder, 2)


OF_PROBABILITIES = [
    "sparse_categorical_crossentropy",
    "SparseCategoricalCrossentropy",
    "categorical_crossentropy",
    "CategoricalCrossentropy",
    "binary_crossentropy",
    "bce",
    "BinaryFocalCrossentropy",
    "kl_divergence",
    "KLD",
    "poisson",
    keras.losses.sparse_categorical_crossentropy,
    keras.losses.categorical_focal_crossentropy,
    keras.losses.kl_divergence,
    keras.losses.SparseCategoricalCrossentropy(),
    keras.losses.SparseCategoricalCrossentropy(from_logits=False, ignore_class=-1),
    keras.losses.CategoricalFocalCrossentropy(),
    keras.losses.KLDivergence(),
    functools.partial(keras.losses.sparse_categorical_crossentropy, from_logits=False),
    functools.partial(keras.losses.sparse_categorical_crossentropy, ignore_class=-1),
    functools.partial(keras.losses.kl_divergence),
    keras.ops.sparse_categorical_crossentropy,
]


@pytest.mark.parametrize("loss", OF_PROBABILITIES)
def test_a_loss_of_probabilities_is_refused(model, loss):
    for given in (loss, [loss], {"logits": loss}):
        with pytest.raises(InputError, match=f"gru_lm gives logits.*expects probabilities; give {RIGHT}") as told:
            model.compile("adam", given)
        assert len(str(told.value).splitlines()) == 1


def test_every_model_of_logits_refuses_it(classifier):
    encoder = lk.models.build_bert(9, max_length=5, hidden_dim=4, num_layers=1, num_heads=1)
    heads = [lk.models.token_classifier(encoder, 3), lk.models.answer_span(encoder), classifier]
    pretrainer = lk.models.bert_pretrainer(encoder)
    for model in (*heads, pretrainer, shared("cnn_classifier"), shared("seq2seq_lstm")):
        with pytest.raises(InputError, match=RIGHT):
            model.compile(loss="sparse_categorical_crossentropy")
    right = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    with pytest.raises(InputError, match=RIGHT):
        pretrainer.compile("adam", {"masked_lm": right, "next_sentence": "sparse_categorical_crossentropy"})
    with pytest.raises(InputError, match=RIGHT):  # a metric that is 1.4 where it is 3.0
        classifier.compile("adam", right, metrics=["accuracy", "sparse_categorical_crossentropy"])


@pytest.mark.parametrize("contiguous", [False, True])
def test_fit_refuses_it(contiguous):
    tokenizer = lk.text.CharTokenizer.train(["abcabcabcabc"])
    windows = lk.data.lm_windows(["abcabcabcabc"] * 3, tokenizer, length=4, batch_size=2, contiguous=contiguous)
    model = lk.models.build_gru_lm(tokenizer.vocab_size, embedding_dim=4, hidden_dim=4)
    with pytest.raises(InputError, match=RIGHT):
        lk.fit(model, windows, loss="sparse_categorical_crossentropy")
    with pytest.raises(InputError, match=RIGHT):
        lk.evaluate(model, windows, loss="sparse_categorical_crossentropy")


def test_fit_leaves_a_softmax_of_ones_own_its_loss():
    x = keras.Input((3,))
    y = np.array([0, 1, 1, 0])
    config = lk.TrainingConfig(epochs=1)
    model = keras.Model(x, keras.layers.Dense(2, "softmax")(x))
    lk.fit(model, (np.ones((4, 3), "float32"), y), config=config, loss="sparse_categorical_crossentropy")
    model = keras.Model(x, keras.layers.Dense(2)(x))
    with pytest.raises(InputError, match=RIGHT):
        lk.fit(model, (np.ones((4, 3), "float32"), y), config=config, loss="sparse_categorical_crossentropy")


@pytest.mark.parametrize(
    "loss",
    [
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        functools.partial(keras.losses.sparse_categorical_crossentropy, from_logits=True),
        lambda y, logits: keras.ops.sparse_categorical_crossentropy(y, logits, from_logits=True),
        CrossEntropy(),
    ],
)
def test_a_model_of_20_words_starts_at_ln_20(model, loss):
    model.compile("sgd", loss)
    assert model.loss is loss
    y = np.arange(60).reshape(5, 12) % WORDS
    assert model.evaluate(y, y, verbose=0) == pytest.approx(math.log(WORDS), abs=0.01)


# === CrossEntropy ===


def oracle(model, x, y, weights=None):
    logits = np.asarray(model(x), "float64")
    nats = np.log(np.exp(logits).sum(-1)) - np.take_along_axis(logits, np.maximum(y, 0)[..., None], -1)[..., 0]
    weights = (y >= 0) * (1.0 if weights is None else weights)
    return (nats * weights).sum() / weights.sum()


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_compiled_it_is_the_mean_over_the_labels_that_count(run_eagerly):
    model = lk.models.build_gru_lm(WORDS, embedding_dim=4, hidden_dim=4, initializer_range=2.0, seed=0)
    x = np.random.default_rng(0).integers(0, WORDS, (4, 6))
    y = np.where(np.random.default_rng(1).random(x.shape) < 0.5, -1, np.roll(x, 1, 1))
    model.compile("sgd", CrossEntropy(), run_eagerly=run_eagerly)
    expected = oracle(model, x, y)
    for labels in (y, y[..., None], y.astype("float32")):
        assert model.evaluate(x, labels, verbose=0) == pytest.approx(expected, rel=1e-5)
    weights = np.random.default_rng(2).random(x.shape)
    for given in (weights, weights[..., None]):
        found = model.evaluate(x, y[..., None], sample_weight=given, verbose=0)
        assert found == pytest.approx(oracle(model, x, y, weights), rel=1e-5)
    assert model.train_on_batch(x, y[..., None]) == pytest.approx(expected, rel=1e-5)


def test_labels_and_reductions_that_it_does_not_take():
    with pytest.raises(InputError, match="one|axis less"):
        CrossEntropy()(np.eye(3)[None], np.zeros((1, 3, 3), "float32"))
    for reduction in ("sum_over_batch_size", "mean", "median"):
        with pytest.raises(InputError, match="mean_with_sample_weight"):
            CrossEntropy(reduction)
    old = {"module": "lm_keras.layers.label_cross_entropy", "class_name": "LabelCrossEntropy"}
    old |= {
        "config": {"name": "x", "reduction": "sum_over_batch_size"},
        "registered_name": "lm_keras>LabelCrossEntropy",
    }
    assert type(keras.saving.deserialize_keras_object(old)) is CrossEntropy  # of a file of an older version


# === Negative labels under a loss of Keras ===


@pytest.mark.parametrize("family", ["seq2seq_lstm", "gru"])
def test_keras_own_cross_entropy_says_what_to_use_for_negative_labels(family):
    model, x = shared(family), inputs_of(family, 4, 5)
    y = ids(4, 5)
    y[2:, 3:] = -1
    message = r"negative.*lm_keras\.losses\.CrossEntropy\(\)"
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(2)
    for loss in (
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        functools.partial(keras.losses.sparse_categorical_crossentropy, from_logits=True),
    ):
        model.compile("sgd", loss)
        calls = (
            lambda: model.fit(dataset, verbose=0),
            lambda: model.evaluate(x, y, verbose=0),
            lambda: model.fit(x, y, verbose=0),
            lambda: model.evaluate(dataset, verbose=0),
            lambda: model.train_on_batch(x, y),
        )
        for call in calls if family == "gru" and not isinstance(loss, functools.partial) else calls[:2]:
            with pytest.raises(InputError, match=message) as told:
                call()
            assert len(str(told.value).splitlines()) == 1
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
    for validation_data in ((x, y), dataset) if family == "gru" else ():
        with pytest.raises(InputError, match=message):
            model.fit(x, ids(4, 5), validation_data=validation_data, verbose=0)
    model.compile("sgd", CrossEntropy(), jit_compile=False)
    assert model.evaluate(dataset, verbose=0) < 2 * math.log(VOCAB)
    ignoring = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    model.compile("sgd", ignoring, jit_compile=False)
    assert model.evaluate(x, y, verbose=0) < 2 * math.log(VOCAB)


# === SquaredError ===


@pytest.mark.parametrize("shape", [(5,), (5, 1), (5, 3)])
def test_squared_error_is_the_weighted_mean_over_the_rows(shape):
    rng = np.random.default_rng(0)
    y, values, weights = rng.normal(size=shape), rng.normal(size=shape), rng.random(5)
    squares = ((y - values) ** 2).reshape(5, -1).mean(1)
    assert float(SquaredError()(y, values)) == pytest.approx(squares.mean(), rel=1e-5)
    expected = (squares * weights).sum() / weights.sum()
    assert float(SquaredError()(y, values, sample_weight=weights)) == pytest.approx(expected, rel=1e-5)
    if shape == (5, 1):
        assert float(SquaredError()(y[:, 0], values, sample_weight=weights)) == pytest.approx(expected, rel=1e-5)


# === ExpectedReward ===


def test_the_expected_reward_is_a_sum_over_all_choices():
    rng = np.random.default_rng(0)
    logits, rewards = rng.normal(size=(5, 4)).astype("float32"), rng.random((5, 4)).astype("float32")
    logits[2, 3] = -1e9  # padding
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    rows = 1 - (p * rewards).sum(-1)
    np.testing.assert_allclose(ExpectedReward(reduction="none")(rewards, logits), rows, rtol=1e-5)
    weights = np.array([1.0, 0.0, 2.0, 1.0, 1.0], "float32")
    expected = (rows * weights).sum() / weights.sum()
    assert float(ExpectedReward()(rewards, logits, sample_weight=weights)) == pytest.approx(expected, rel=1e-5)
