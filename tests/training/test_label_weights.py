"""Weights of labels and classes: every loss and measure is the weighted mean; accumulated batches weigh by them."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import lm_keras as lk
from lm_keras.errors import InputError

V, T, ROWS = 7, 5, 12
RNG = np.random.default_rng(0)
IDS = RNG.integers(0, V, (ROWS, T)).astype("int32")
# The first batch has few labels, the second many.
UNEVEN = np.where(np.arange(ROWS)[:, None] * T + np.arange(T) < 25, RNG.random((ROWS, T)) < 0.2, True)
TEXT_WEIGHTS = (RNG.random(ROWS) * 3).astype("float32")
TOKEN_WEIGHTS = (RNG.random((ROWS, T)) * 3).astype("float32")


def encoder():
    ids = keras.Input((T,), dtype="int32")
    start = keras.initializers.RandomNormal(stddev=0.5, seed=3)
    return keras.Model(ids, keras.layers.Embedding(V, 4, embeddings_initializer=start)(ids))


def span_labels():
    start, end = (RNG.integers(0, T, ROWS).astype("int32") for _ in "se")
    start[:3], end[1:7] = -1, -1  # other ones than those
    return {"start": start, "end": end}


def words():
    return lk.models.build_feedforward_lm(V, context_length=2, embedding_dim=4, hidden_dim=(5,), seed=0)


def tags():
    return lk.models.token_classifier(encoder(), 3, dropout=0.0, seed=0)


TASKS = {
    "words": (words, IDS, np.where(UNEVEN, np.roll(IDS, -1, 1), -1), TOKEN_WEIGHTS),
    "texts": (
        lambda: lk.models.sequence_classifier(encoder(), 3, dropout=0.0, seed=0),
        IDS,
        np.where(np.arange(ROWS) < 3, -1, IDS[:, 0] % 3),
        TEXT_WEIGHTS,
    ),
    "tokens": (tags, IDS, np.where(UNEVEN, IDS % 3, -1), TEXT_WEIGHTS),
    "spans": (lambda: lk.models.answer_span(encoder(), seed=0), IDS, span_labels(), TEXT_WEIGHTS),
    "numbers": (
        lambda: lk.models.regressor(encoder(), dropout=0.0, seed=0),
        IDS,
        IDS.sum(1).astype("float32") / 9,
        TEXT_WEIGHTS,
    ),
}


def outputs_of(model, x):
    return keras.tree.map_structure(lambda part: np.asarray(part, "float64"), model(x))


def nats(y, logits):
    z = logits - logits.max(-1, keepdims=True)
    return np.log(np.exp(z).sum(-1)) - np.take_along_axis(z, np.maximum(y, 0)[..., None], -1)[..., 0]


def mean_nats(y, logits, weights):
    w = (y >= 0) * (weights if weights.ndim == y.ndim else weights[:, None])
    return (nats(y, logits) * w).sum() / w.sum()


def in_batches(x, y, weights, sizes):
    """Batches of different sizes."""

    def batches():
        for end, size in zip(np.cumsum(sizes), sizes, strict=True):
            yield tf.nest.map_structure(lambda part, rows=slice(end - size, end): part[rows], (x, y, weights))

    spec = tf.nest.map_structure(lambda part: tf.TensorSpec((None, *part.shape[1:]), part.dtype), (x, y, weights))
    data = tf.data.Dataset.from_generator(batches, output_signature=spec)
    return data.apply(tf.data.experimental.assert_cardinality(len(sizes)))


# === evaluate ===


@pytest.mark.parametrize("sizes", [(ROWS,), (3, 7, 2)])
@pytest.mark.parametrize("task", ["words", "texts", "tokens"])
def test_measures_of_classes_are_weighted_means(task, sizes):
    build, x, y, weights = TASKS[task]
    model = build()
    result = lk.evaluate(model, in_batches(x, y, weights, sizes))
    logits = outputs_of(model, x)
    w = (y >= 0) * (weights if weights.ndim == y.ndim else weights[:, None])
    hits = logits.argmax(-1) == y
    assert result["loss"] == pytest.approx(mean_nats(y, logits, weights), rel=1e-5)
    assert result["accuracy"] == pytest.approx((hits * w).sum() / w.sum(), rel=1e-6)
    assert result["tokens" if task == "words" else "examples"] == (w > 0).sum()
    if task != "words":
        f1 = []
        for label in range(3):
            both, either = w[hits & (y == label)].sum(), w[y == label].sum() + w[(logits.argmax(-1) == label)].sum()
            f1 += [2 * both / either] if either else []
        assert result["macro_f1"] == pytest.approx(np.mean(f1), rel=1e-6)


def test_measures_of_numbers_are_weighted_means():
    build, x, y, w = TASKS["numbers"]
    model = build()
    values = outputs_of(model, x)
    mean = (w * y).sum() / w.sum()
    result = lk.evaluate(model, in_batches(x, y, w, (5, 4, 3)))
    assert result["loss"] == pytest.approx((w * (values - y) ** 2).sum() / w.sum(), rel=1e-5)
    assert result["mae"] == pytest.approx((w * abs(values - y)).sum() / w.sum(), rel=1e-5)
    expected = 1 - (w * (values - y) ** 2).sum() / (w * (y - mean) ** 2).sum()
    assert result["r2"] == pytest.approx(expected, rel=1e-4)
    assert result["examples"] == ROWS


@pytest.mark.parametrize("each", [False, True])
def test_measures_of_spans_are_weighted_means(each):
    build, x, y, weights = TASKS["spans"]
    model = build()
    w = {"start": weights, "end": np.flip(weights).copy()} if each else weights
    result = lk.evaluate(model, in_batches(x, y, w, (5, 7)))
    counted, logits = (y["start"] >= 0) & (y["end"] >= 0), outputs_of(model, x)
    ws = {name: (w[name] if each else w) * counted for name in y}
    expected = sum((nats(y[name], logits[name]) * ws[name]).sum() / ws[name].sum() for name in y)
    assert result["loss"] == pytest.approx(expected, rel=1e-5)
    hits = {name: logits[name].argmax(-1) == y[name] for name in y}
    assert result["start_accuracy"] == pytest.approx((hits["start"] * ws["start"]).sum() / ws["start"].sum())
    assert result["examples"] == counted.sum()


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "mean_with_sample_weight"])
def test_any_other_loss_is_the_mean_that_it_says(reduction):
    build, x, y, w = TASKS["numbers"]
    x_in = keras.Input((T,))
    model = keras.Model(x_in, keras.layers.Dense(1)(x_in))
    x, y = IDS.astype("float32"), y[:, None]
    errors = abs(outputs_of(model, x) - y)[:, 0]
    expected = (w * errors).sum() / (w.sum() if reduction == "mean_with_sample_weight" else ROWS)
    loss = keras.losses.MeanAbsoluteError(reduction=reduction)
    assert lk.evaluate(model, in_batches(x, y, w, (2, 7, 3)), loss)["loss"] == pytest.approx(expected, rel=1e-5)


# === fit ===

SGD = {"optimizer": "sgd", "learning_rate": 0.5, "warmup_steps": 0, "weight_decay": 0.0, "clip_norm": None}


@pytest.mark.parametrize(("task", "weighted"), [("words", False), *((task, True) for task in TASKS)])
def test_accumulated_batches_are_one_large_batch(task, weighted):
    """Of different sizes, with different numbers of labels: the same step, loss and val_loss."""
    build, x, y, weights = TASKS[task]
    if not weighted:
        weights = np.ones_like(weights)
    moved, losses = [], []
    for sizes in ((ROWS,), (5, 4, 3)):
        model = build()
        before = model.get_weights()
        data = in_batches(x, y, weights, sizes)
        config = lk.TrainingConfig(epochs=1, accumulate_steps=len(sizes), **SGD)
        history = lk.fit(model, data, data, config).history
        moved.append([new - old for new, old in zip(model.get_weights(), before, strict=True)])
        losses.append((history["loss"][0], history["val_loss"][0]))
    assert max(abs(part).max() for part in moved[0]) > 1e-2
    for one, other in zip(*moved, strict=True):
        np.testing.assert_allclose(other, one, atol=2e-6)
    assert losses[1][1] == pytest.approx(losses[0][1], rel=1e-5)
    x, y = (tf.nest.map_structure(lambda part: part[:4], part) for part in (x, y))
    mean = model.evaluate(x, y, verbose=0)  # after `fit` the loss of a batch is its mean again
    total = mean if isinstance(mean, float) else mean[0]
    if task != "spans":
        assert total == pytest.approx(lk.evaluate(model, (x, y))["loss"], rel=1e-5)


def test_the_loss_of_accumulated_batches_of_one_size_is_that_of_the_large_batch():
    build, x, y, weights = TASKS["words"]
    losses = []
    for sizes in ((ROWS,), (4, 4, 4)):
        config = lk.TrainingConfig(epochs=1, accumulate_steps=len(sizes), **SGD)
        losses.append(lk.fit(build(), in_batches(x, y, weights, sizes), config=config).history["loss"][0])
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)


IGNORING = [
    keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1),
    keras.losses.SparseCategoricalCrossentropy(True, ignore_class=-1, reduction="mean_with_sample_weight"),
    functools.partial(keras.losses.sparse_categorical_crossentropy, from_logits=True, ignore_class=-1),
]


@pytest.mark.parametrize("loss", IGNORING)
def test_a_loss_of_keras_that_ignores_a_class_is_its_mean_over_the_others(loss):
    build, x, y, _ = TASKS["words"]
    moved = []
    for sizes in ((ROWS,), (5, 4, 3)):
        model, ones = build(), np.ones(y.shape, "float32")
        expected = mean_nats(y, outputs_of(model, x), ones)
        data = in_batches(x, y, ones, sizes)
        assert lk.evaluate(model, data, loss)["loss"] == pytest.approx(expected, rel=1e-5)
        lk.fit(model, data, config=lk.TrainingConfig(epochs=1, accumulate_steps=len(sizes), **SGD), loss=loss)
        moved.append(model.get_weights())
    for one, other in zip(*moved, strict=True):
        np.testing.assert_allclose(other, one, atol=2e-6)


@pytest.mark.parametrize("loss", ["mae", "named"])
def test_accumulated_batches_of_other_losses_are_one_large_batch(loss):
    x = {name: RNG.normal(size=(ROWS, 2)).astype("float32") for name in "ab"}
    y = {"u": RNG.normal(size=(ROWS, 1)).astype("float32"), "v": (np.arange(ROWS) % 3).astype("int32")}
    weights = {"u": TEXT_WEIGHTS, "v": np.flip(TEXT_WEIGHTS).copy()}
    mean = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight")
    losses = {"u": keras.losses.mean_absolute_error, "v": mean}
    moved = []
    for sizes in ((ROWS,), (6, 1, 5)):
        inputs = {name: keras.Input((2,), name=name) for name in "ab"}
        both, draw = keras.layers.Concatenate()(list(inputs.values())), keras.initializers.RandomNormal(seed=1)
        u = keras.layers.Dense(1, name="u", kernel_initializer=draw)(both)
        v = keras.layers.Dense(3, name="v", kernel_initializer=draw)(both)
        model = keras.Model(inputs, {"u": u, "v": v} if loss == "named" else u)
        data = (x, y, weights) if loss == "named" else (x, y["u"], weights["u"])
        config = lk.TrainingConfig(epochs=1, accumulate_steps=len(sizes), **SGD)
        lk.fit(model, in_batches(*data, sizes), config=config, loss=losses if loss == "named" else "mae")
        moved.append(model.get_weights())
    for one, other in zip(*moved, strict=True):
        np.testing.assert_allclose(other, one, atol=2e-6)


def test_class_weights_are_weights_of_the_labels():
    build, x, y, weights = TASKS["tokens"]
    by_class = np.array([1.0, 5.0, 0.25], "float32")
    own = by_class[np.maximum(y, 0)]
    given = own * (weights if weights.ndim == y.ndim else weights[:, None])
    config = lk.TrainingConfig(epochs=2, batch_size=7, **SGD)
    trained = []
    for data, class_weight in (
        ((x, y, own), None),
        ((x, y.astype("int8")), {1: 5.0, 2: 0.25}),
        ((x, y, given), None),
        ((x, y, weights), {0: 1, 1: 5, 2: 0.25}),
    ):
        model = build()
        lk.fit(model, data, config=config, class_weight=class_weight)
        trained.append(model.get_weights())
    np.testing.assert_allclose(trained[1][-1], trained[0][-1], atol=1e-6)
    np.testing.assert_allclose(trained[3][-1], trained[2][-1], atol=1e-6)
    assert abs(trained[1][-1] - trained[3][-1]).max() > 1e-3


def test_class_weights_that_cannot_be_are_refused():
    model, y = tags(), IDS % 3
    for class_weight, said in (
        ({3: 1.0}, "classes 0 to 2"),
        ({"a": 1.0}, "classes 0 to 2"),
        ({1: -1.0}, "at least 0"),
        ({1: float("nan")}, "at least 0"),
        ([1.0, 2.0, 3.0], "class_weight is a list; give a dict"),
        ({0: 0, 1: 0, 2: 0.0}, "0 for every class"),
    ):
        with pytest.raises(InputError, match=said):
            lk.fit(model, (IDS, y), class_weight=class_weight)
    with pytest.raises(InputError, match="one output of logits"):
        lk.fit(TASKS["numbers"][0](), (IDS, y[:, 0]), class_weight={1: 2.0})
    with pytest.raises(InputError, match="x has 12 rows, y has 12 and the weights have 3"):
        lk.fit(model, (IDS, y, TEXT_WEIGHTS[:3]))


def test_weights_that_cannot_weigh_the_labels_are_refused():
    model, y, ones = tags(), IDS % 3, np.ones(len(IDS), "float32")
    wide, late = np.ones((*IDS.shape, 2), "float32"), ones.copy()
    late[-1] = np.nan
    for weights, said in (
        (np.ones((len(IDS), IDS.shape[1] + 1)), r"weights of y have the shape .* take \[rows\] or \[rows, tokens\]"),
        (wide, "weights of y have the shape"),
        (late, r"weights of y hold nan at \[\d+\]; give numbers of at least 0"),
        (-ones, r"weights of y hold -1.0 at \[0\]"),
        (ones * 0, "no label .*counts; give labels that are not negative, and weights above 0"),
        (np.full(len(IDS), "a"), "weights of y are of the type string"),
        ({"tags": ones}, "the weights are a dict of 'tags'; give one array"),
    ):
        batches = tf.data.Dataset.from_tensor_slices((IDS, y, weights)).batch(4)
        for run, data in ((lk.evaluate, (IDS, y, weights)), (lk.evaluate, batches), (lk.fit, batches)):
            with pytest.raises(InputError, match=said):
                run(model, data)
    build, x, labels, _ = TASKS["spans"]
    for weights in ({"start": ones[: len(x)]}, {"start": ones, "end": ones, "both": ones}):
        with pytest.raises(InputError, match="the weights are a dict of 'start'.*; give a dict of 'end', 'start'"):
            lk.evaluate(build(), (x, labels, weights))
