"""What a model cannot read or learn from is refused by fit and evaluate, in one line that names it."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_models import CAUSAL, shared

import lm_keras as lk
from lm_keras.errors import InputError

V, T = 11, 6  # as of small_models
X = np.random.default_rng(0).integers(0, V, (8, T)).astype("int32")
Y = (X + 1) % V
QUICK = {"batch_size": 4, "epochs": 1, "learning_rate": 1e-3}


def changed(array, value, place=(1, 3)):
    array = array.astype(np.result_type(array, value)) if isinstance(value, float) else array.copy()
    array[place] = value
    return array


def dataset(x, y):
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(4)


def generated(x, y):
    """The same batches from a generator, of unknown widths, which is read once."""
    batches = list(dataset(x, y))
    spec = tf.nest.map_structure(
        lambda part: tf.TensorSpec([size if size == 1 else None for size in part.shape], part.dtype),
        dataset(x, y).element_spec,
    )
    data = tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=spec)
    return data.apply(tf.data.experimental.assert_cardinality(len(batches)))


ARRAYS, FORMS = (lambda x, y: (x, y),), (lambda x, y: (x, y), dataset, generated)


def plain():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Embedding(V, 2), keras.layers.Dense(V)])
    model.build((None, None))
    return model


def refused(model, x, y, says, **options):
    """By `evaluate` in each form of the data, by `fit` as arrays: as a dataset it is traced before it is read."""
    for run, forms in ((lk.evaluate, FORMS), (fit_quickly, ARRAYS)):
        for form in forms:
            with pytest.raises(InputError, match=says) as error:
                run(model, form(x, y), **options)
            assert "\n" not in str(error.value)
            assert len(str(error.value)) < 300


def fit_quickly(model, data, **options):
    return lk.fit(model, data, config=lk.TrainingConfig(**QUICK), **options)


# === Language models ===
BAD_WINDOWS = {
    "an id too large": (changed(X, V), Y, r"x holds 11 at \[\d, 3\].* vocabulary of 11"),
    "a label too large": (X, changed(Y, V + 3), r"y holds 14 at \[\d, 3\].* classes 0 to 10"),
    "NaN as an id": (changed(X, np.nan), Y, r"x holds nan at \[\d, 3\]"),
    "half an id": (changed(X, 0.5), Y, r"x holds 0.5 at \[\d, 3\] \(float.*whole numbers"),
    "labels of floats": (X, Y.astype("float32"), r"y holds \d+.0 at \[0, 0\] \(float32\).* whole numbers"),
    "no label": (X, np.full_like(Y, -1), "no label of the .*counts"),
    "labels too short": (X, Y[:, :-1], r"y has 5 labels a row, and .* gives 6"),
    "labels of rows": (X, Y[:, 0], r"y has the shape .*take \[rows, tokens\]"),
    "no tokens": (X[:, :0], Y[:, :0], "x is empty"),
    "one-hot labels": (X, np.eye(V, dtype="int32")[Y], r"y has the shape .*y.argmax\(-1\)|\?, \?, \?"),
}


@pytest.mark.parametrize("case", BAD_WINDOWS)
def test_windows_that_a_language_model_cannot_take(case):
    refused(shared("lstm"), *BAD_WINDOWS[case])


@pytest.mark.parametrize("case", BAD_WINDOWS)
def test_fit_refuses_such_a_dataset_and_leaves_the_weights(case):
    x, y, says = BAD_WINDOWS[case]
    form = dataset if case in ("an id too large", "labels too short") else generated
    model = plain()
    before = model.get_weights()
    with pytest.raises(InputError, match=says) as error:
        lk.fit(model, form(x, y), config=lk.TrainingConfig(**QUICK, weight_decay=0.0))
    assert "\n" not in str(error.value)
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("family", sorted(CAUSAL))
def test_ids_of_every_language_model(family):
    refused(shared(family), changed(X, V), Y, "x holds 11 at")
    lk.evaluate(shared(family), (changed(X, -1), changed(Y, -1)))  # no token here, and no label


@pytest.mark.parametrize("family", ["gpt2", "llama", "attention_rnn"])
def test_windows_longer_than_the_model(family):
    x = np.tile(X, 5)[:, :25]
    refused(shared(family), x, x, r"x has rows of 25 tokens and .* max_length=24; make the windows with length=24")


def test_windows_of_text_longer_than_the_model():
    tokenizer = lk.text.CharTokenizer.train(["abc" * 30])
    windows = lk.data.lm_windows(["abc" * 300], tokenizer, length=64, batch_size=4)
    model = lk.models.build_gpt2(tokenizer.vocab_size, max_length=32, hidden_dim=8, num_layers=1, num_heads=2)
    for run in (lk.fit, lk.evaluate):
        with pytest.raises(InputError, match="rows of 64 tokens and gpt2 reads at most max_length=32"):
            run(model, windows)


def test_labels_in_a_column_are_those_of_the_rows():
    model = keras.Sequential([keras.layers.Embedding(V, 2), keras.layers.Flatten(), keras.layers.Dense(3)])
    y = X[:, 0] % 3
    found = [lk.evaluate(model, (X, labels)) for labels in (y, y[:, None])]
    assert found[0] == found[1]
    kept = model.get_weights()
    for labels in (y, y[:, None]):
        model.set_weights(kept)
        found.append(lk.fit(model, (X, labels), (X, labels), lk.TrainingConfig(**QUICK)).history)
    assert found[2] == found[3]
    assert "accuracy" in found[2]


def test_arrays_of_other_sizes():
    model = shared("lstm")
    for data, says in (
        ((X, Y[:-1]), "x has 8 rows and y has 7"),
        ((X[:0], Y[:0]), "0 rows"),
        (([[1, 2], [3]], [[1, 2], [3]]), "x is no array of numbers"),
        (X, "ndarray"),
        ([X, Y], "list"),
        ((X, None), "y is no array"),
        ((np.full((8, T), "a"), Y), "x holds text"),
        ((X, np.full((8, T), "a")), "y holds text"),
        (dataset(X, Y > 3), "y holds bool"),
        (tf.data.Dataset.from_tensor_slices(X).batch(4), r"no \(x, y\)"),
        (tf.data.Dataset.from_tensor_slices((X, Y)), r"dataset.batch\(n\)"),
    ):
        for run in (lk.fit, lk.evaluate):
            with pytest.raises(InputError, match=says):
                run(model, data)
        if isinstance(data, tuple):
            with pytest.raises(InputError, match=says):
                lk.fit(model, (X, Y), data)
    assert lk.evaluate(model, (X.tolist(), Y.tolist())) == lk.evaluate(model, (X, Y))


def test_a_later_batch_is_looked_at_too():
    model = plain()
    for x, y, says in ((changed(X, V, (7, 2)), Y, "x holds 11 at"), (X, changed(Y, V, (7, 2)), "y holds 11 at")):
        data = tf.data.Dataset.from_tensor_slices((x, y)).batch(1)
        with pytest.raises(InputError, match=says):
            lk.fit(model, data, config=lk.TrainingConfig(**QUICK))
        with pytest.raises(InputError, match=says):
            lk.evaluate(model, data)


def test_some_batches_without_a_label_are_none_of_our_business():
    y = Y.copy()
    y[:4] = -1
    model = plain()
    assert lk.evaluate(model, dataset(X, y))["tokens"] == 4 * T
    assert len(lk.fit(model, dataset(X, y), config=lk.TrainingConfig(**{**QUICK, "epochs": 2})).epoch) == 2


def test_looking_consumes_nothing_and_changes_no_order():
    read = []

    def rows():
        for i in range(8):
            read.append(i)
            yield X[i], Y[i]

    spec = (tf.TensorSpec([T], tf.int32),) * 2
    once = tf.data.Dataset.from_generator(rows, output_signature=spec).batch(4)
    data = once.apply(tf.data.experimental.assert_cardinality(2))
    seen = []

    class Keep(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(logs["loss"])

    def losses(data):
        seen.clear()
        model = plain()
        lk.fit(model, data, config=lk.TrainingConfig(**QUICK), callbacks=[Keep()])
        return list(seen)

    one = losses(data)
    assert read[:8] == list(range(8)), "the first batch is read first, and once"
    assert one == losses(dataset(X, Y))
    shuffled = [losses(dataset(X, Y).shuffle(2, seed=3)) for _ in range(2)]
    by_hand = plain()
    first = next(iter(dataset(X, Y).shuffle(2, seed=3)))
    assert shuffled[0] == shuffled[1]
    assert shuffled[0][0] == pytest.approx(lk.evaluate(by_hand, tuple(part.numpy() for part in first))["loss"], 1e-5)


# === Other models ===
def bert(**options):
    return lk.models.build_bert(V, max_length=T, hidden_dim=8, num_layers=1, num_heads=2, seed=0, **options)


def encoded(ids=X):
    return {"token_ids": ids, "segment_ids": np.zeros_like(X), "padding_mask": np.ones_like(X)}


C = 3
CLASSES = (np.arange(8) % C).astype("int32")
HEADS = {
    "classifier": (lambda: lk.models.sequence_classifier(bert(), C), CLASSES),
    "tagger": (lambda: lk.models.token_classifier(bert(), C), np.tile(CLASSES[:, None], T)),
    "spans": (lambda: lk.models.answer_span(bert()), {"start": CLASSES, "end": CLASSES}),
    "regression": (lambda: lk.models.regressor(bert()), CLASSES.astype("float32")),
}


@pytest.fixture(scope="module", params=HEADS)
def head(request):
    make, y = HEADS[request.param]
    return make(), y


def test_what_a_head_on_bert_cannot_read(head):
    model, y = head
    lk.evaluate(model, (encoded(), y))
    refused(model, encoded(changed(X, -1)), y, r"x\['token_ids'\] holds -1 at .* ids 0 to 10")
    refused(model, encoded(changed(X, V)), y, r"x\['token_ids'\] holds 11")
    refused(model, {**encoded(), "segment_ids": changed(X * 0, 2)}, y, r"x\['segment_ids'\] holds 2 at .* 0 to 1")
    long = {name: np.tile(part, 2) for name, part in encoded().items()}
    refused(model, long, y, "rows of 12 tokens and .* max_length=6|y has 6 labels a row")
    refused(model, {"token_ids": X, "segment_ids": X * 0}, y, "give 'padding_mask'")
    refused(model, X, y, "x is no dict")


@pytest.mark.parametrize(
    "kind, change, says",
    [
        ("classifier", lambda y: changed(y, C, 1), r"y holds 3 at \[\d\]; .* classes 0 to 2"),
        ("classifier", lambda y: y + 0.5, r"y holds 0.5 at \[0\] \(float64\)"),
        ("classifier", lambda y: y.astype("float32"), r"y holds 0.0 at \[0\] \(float32\)"),
        ("classifier", lambda y: np.eye(C, dtype="int32")[y], r"y.argmax\(-1\)|\?, \?\]"),
        ("classifier", lambda y: np.tile(y[:, None], T), r"take \[rows\]"),
        ("classifier", lambda y: np.full_like(y, -1), "no label of the .*counts"),
        ("tagger", lambda y: changed(y, C), r"y holds 3 at \[\d, 3\]"),
        ("tagger", lambda y: y[:, 0], r"take \[rows, tokens\]"),
        ("tagger", lambda y: y[:, :-2], r"y has 4 labels a row, and .* gives 6"),
        ("spans", lambda y: {**y, "end": changed(y["end"], T, 1)}, r"y\['end'\] holds the place 6, .* 6 tokens"),
        ("spans", lambda y: {"start": y["start"]}, "a dict of 'end', 'start'"),
        ("spans", lambda y: {name: y[name] + 0.5 for name in y}, r"y\['end'\] holds 0.5"),
        ("regression", lambda y: changed(y, np.nan, 1), r"y holds nan at \[\d\]"),
        ("regression", lambda y: np.tile(y[:, None, None], (1, T, 2)), "one number a row"),
    ],
)
def test_labels_that_a_head_cannot_take(kind, change, says):
    make, y = HEADS[kind]
    refused(make(), encoded(), change(y), says)


def test_a_classifier_of_ids_and_labels_in_a_column():
    model = shared("cnn_classifier")
    y = CLASSES[:, None]
    assert lk.evaluate(model, (X, y)) == lk.evaluate(model, (X, CLASSES))
    refused(model, changed(X, -1), y, "x holds -1 at .* ids 0 to 10")
    refused(model, changed(X, V), y, "x holds 11 at")


@pytest.mark.parametrize("family", ["seq2seq_lstm", "seq2seq_transformer"])
def test_sources_and_targets(family):
    model, x = shared(family), {"source_ids": X[:, :4], "target_ids": X}
    lk.evaluate(model, ({**x, "source_ids": changed(X[:, :4], -1)}, changed(Y, -1)))
    refused(model, {**x, "source_ids": changed(X[:, :4], V)}, Y, r"x\['source_ids'\] holds 11")
    refused(model, {**x, "target_ids": changed(X, V)}, Y, r"x\['target_ids'\] holds 11")
    refused(model, x, Y[:, :4], "y has 4 labels a row, and .* gives 6")


def test_masked_words():
    model = lk.models.bert_pretrainer(bert(), next_sentence=True)
    x = {**encoded(), "masked_positions": X[:, :2] % T}
    y = {"masked_lm": X[:, :2], "next_sentence": CLASSES % 2}
    loss = lk.models.pretraining_losses(model)
    lk.evaluate(model, (x, y), loss)
    refused(model, x, {**y, "masked_lm": changed(X[:, :2], V, (1, 1))}, r"y\['masked_lm'\] holds 11", loss=loss)
    refused(model, x, {**y, "next_sentence": CLASSES}, r"y\['next_sentence'\] holds 2", loss=loss)
    refused(model, {**x, "token_ids": changed(X, V)}, y, r"x\['token_ids'\] holds 11", loss=loss)
    places = changed(x["masked_positions"], T, (1, 1))
    refused(model, {**x, "masked_positions": places}, y, r"x\['masked_positions'\] holds the place 6", loss=loss)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.table, self.dense = keras.layers.Embedding(V, 4), keras.layers.Dense(V)

    def call(self, ids):
        return self.dense(self.table(ids))


PLAIN = {
    "sequential": lambda: keras.Sequential([keras.layers.Embedding(V, 4), keras.layers.Dense(V)]),
    "functional": lambda: keras.Model(
        ids := keras.Input((None,), dtype="int32"), keras.layers.Dense(V)(keras.layers.Embedding(V, 4)(ids))
    ),
    "nested": lambda: keras.Sequential([PLAIN["functional"](), keras.layers.Activation("linear")]),
    "subclassed": Subclassed,
}


@pytest.mark.parametrize("kind", PLAIN)
def test_ids_and_labels_of_plain_keras_models(kind):
    for x, y, says in (
        (changed(X, V), Y, r"x holds 11 at|hold 11, and a layer"),
        (changed(X, -1), Y, r"x holds -1 at|hold -1, and a layer"),
        (X, changed(Y, V), "y holds 11 at"),
        (X, Y[:, :-1], "y has 5 labels a row"),
    ):
        if kind == "subclassed" and (x < 0).any():
            continue  # Keras takes it for the last row, and cannot tell it from an id that the model understands
        for data in ((x, y), dataset(x, y)):
            model = PLAIN[kind]()
            with pytest.raises(InputError, match=says) as error:
                lk.evaluate(model, data)
            assert "\n" not in str(error.value)
        with pytest.raises(InputError, match=says):
            fit_quickly(PLAIN[kind](), (x, y))


def test_a_model_that_gives_fewer_rows_than_it_reads():
    ids = keras.Input((None,), dtype="int32")
    x = keras.layers.Conv1D(4, 2, strides=2)(keras.layers.Embedding(V, 4)(ids))
    model = keras.Model(ids, keras.layers.Dense(C)(x))
    y = np.tile(CLASSES[:, None], 3)
    assert lk.evaluate(model, (X, y))["examples"] == y.size
    lk.fit(model, dataset(X, y), config=lk.TrainingConfig(**QUICK))
    refused(model, X, np.tile(CLASSES[:, None], T), "y has 6 labels a row, and .* gives 3")


def test_inputs_in_a_list():
    ids, values = keras.Input((None,), dtype="int32"), keras.Input((3,))
    mean = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(V, 4)(ids))
    joined = keras.layers.Concatenate()([mean, values])
    model, other = keras.Model([ids, values], keras.layers.Dense(C)(joined)), np.ones((8, 3), "float32")
    assert lk.evaluate(model, ([X, other], CLASSES)) == lk.evaluate(model, ((X, other), CLASSES))
    for x, says in (
        ([changed(X, V), other], r"x\[0\] holds 11"),
        ([X, changed(other, np.nan, (1, 2))], r"x\[1\] holds nan"),
    ):
        for run in (lk.evaluate, fit_quickly):
            with pytest.raises(InputError, match=says):
                run(model, (x, CLASSES))


@pytest.mark.parametrize("last", ["softmax", "layer", "subclassed", "nested"])
def test_probabilities_are_no_logits(last):
    dense = keras.layers.Dense(C, "softmax" if last in ("softmax", "nested") else None)
    layers = [keras.layers.Embedding(V, 4), dense, *([keras.layers.Softmax()] if last == "layer" else [])]
    model = keras.Sequential(layers)
    if last == "nested":
        model = keras.Sequential([model])
    if last == "subclassed":
        inner = keras.Sequential([*layers, keras.layers.Softmax()])

        class Probabilities(keras.Model):
            def __init__(self):
                super().__init__()
                self.inner = inner

            def call(self, ids):
                return keras.ops.softmax(self.inner(ids))

        model = Probabilities()
    y = np.tile(CLASSES[:, None], T)
    for run in (lk.fit, lk.evaluate):
        for options in ({}, {"loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True)}):
            with pytest.raises(InputError, match=r"softmax, and this loss takes logits") as error:
                run(model, (X, y), **options)
            assert "\n" not in str(error.value)
    expects = keras.losses.SparseCategoricalCrossentropy()
    if last != "subclassed":
        assert 0 < lk.evaluate(model, (X, y), loss=expects)["loss"] < 3


def test_a_sigmoid_is_no_regression():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, "sigmoid")])
    x, y = np.ones((4, 4), "float32"), np.ones((4, 1))
    for run in (lk.fit, lk.evaluate):
        with pytest.raises(InputError, match="ends in a sigmoid"):
            run(model, (x, y))
        run(model, (x, y), loss="mse")
        run(model, (x, y), loss="binary_crossentropy")


def test_a_wrong_dataset_leaves_no_folder(tmp_path):
    for x, y in ((changed(X, V), Y), (X, Y[:, :-1])):
        with pytest.raises(InputError):
            lk.fit(shared("lstm"), (x, y), config=lk.TrainingConfig(output_dir=tmp_path / "run", **QUICK))
    assert not (tmp_path / "run").exists()


def test_many_random_faults_never_end_in_a_traceback():
    rng, model = np.random.default_rng(5), shared("lstm")
    values = [-(2**31), -1, V - 1, V, 2**31 - 1, np.nan, np.inf, 0.5, 1e30]
    for x_value, y_value in itertools.product(values, values):
        place = tuple(rng.integers(0, [8, T]))
        data = changed(X, x_value, place), changed(Y, y_value, place)
        try:
            assert np.isfinite(lk.evaluate(model, data)["loss"])
        except InputError as error:
            assert "\n" not in str(error)
        else:
            assert x_value < V
            assert y_value < V
