"""fit and evaluate of models that are no graph of layers yet: an unbuilt Sequential, a subclass."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import lm_keras as lk
from lm_keras.errors import InputError
from lm_keras.training.train_steps import recomputing

V, T = 600, 5  # ids above 256 are no whole numbers in bfloat16
X = np.random.default_rng(0).integers(V - 40, V, (12, T)).astype("int32")
Y = (X - V + 40) // 8
QUICK = {"batch_size": 4, "schedule": "constant", "warmup_steps": 0, "weight_decay": 0.0, "learning_rate": 0.05}


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.table, self.drop, self.dense = layers_of()

    def call(self, ids, training=False):
        return self.dense(self.drop(self.table(ids), training=training))


def layers_of():
    drop = keras.layers.Dropout(0.1, seed=2)
    start = [keras.initializers.RandomUniform(seed=seed) for seed in (0, 1)]
    table = keras.layers.Embedding(V, 8, embeddings_initializer=start[0])
    return [table, drop, keras.layers.Dense(5, kernel_initializer=start[1])]


def functional():
    x = ids = keras.Input((None,), dtype="int32")
    for layer in layers_of():
        x = layer(x)
    return keras.Model(ids, x)


KINDS = {
    "unbuilt": lambda: keras.Sequential(layers_of()),
    "built": lambda: keras.Sequential([keras.Input((None,), dtype="int32"), *layers_of()]),
    "subclassed": Subclassed,
}


def trained(make, **settings):
    model = make()
    history = lk.fit(model, (X, Y), (X, Y), lk.TrainingConfig(**{"epochs": 3, **QUICK, **settings})).history
    return model, history


@pytest.fixture(scope="module", params=["float32", "mixed_bfloat16"])
def expected(request):
    model, history = trained(functional, dtype=request.param)
    return request.param, model.get_weights(), history


@pytest.mark.parametrize("kind", KINDS)
def test_it_trains_as_the_same_layers_in_a_functional_model(kind, expected, tmp_path):
    dtype, weights, history = expected
    if (kind, dtype) == ("built", "mixed_bfloat16"):
        pytest.skip("as unbuilt")

    class Kill(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.optimizer.iterations == 5:
                raise KeyboardInterrupt

    config = {"dtype": dtype, "epochs": 3, "checkpoint_steps": 1, "output_dir": tmp_path, **QUICK}
    with pytest.raises(KeyboardInterrupt):  # within the second epoch
        lk.fit(KINDS[kind](), (X, Y), (X, Y), lk.TrainingConfig(**config), callbacks=[Kill()])
    model, resumed = trained(KINDS[kind], **config, resume=True)
    for one, other in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert resumed.keys() == history.keys()
    for key, values in history.items():
        np.testing.assert_allclose(resumed[key], values, rtol=1e-4, err_msg=key)
    assert history["val_accuracy"][-1] > history["val_accuracy"][0]
    assert {weight.dtype for weight in model.weights} == {"float32"}


@pytest.mark.parametrize("kind", ["unbuilt", "subclassed"])
def test_it_stops_early_with_the_best_weights(kind):
    model, wrong = KINDS[kind](), (Y + 1) % 5
    config = lk.TrainingConfig(epochs=9, early_stopping_patience=1, **QUICK)
    losses = lk.fit(model, (X, Y), (X, wrong), config).history["val_loss"]
    assert len(losses) < 9
    assert lk.evaluate(model, (X, wrong))["loss"] == pytest.approx(min(losses), rel=1e-6)


def test_evaluate_builds_it_and_takes_dicts():
    class Sum(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(3)

        def call(self, inputs):
            return {"out": self.dense(inputs["a"] + inputs["b"])}

    model = Sum()
    data = {"a": np.ones((4, 2), "float32"), "b": np.zeros((4, 2), "float32")}, {"out": np.array([0, 1, 2, 0])}
    loss = {"out": keras.losses.SparseCategoricalCrossentropy(from_logits=True)}
    result = lk.evaluate(model, data, loss)
    logits = model(data[0])["out"].numpy()
    nats = np.log(np.exp(logits).sum(-1)) - logits[np.arange(4), data[1]["out"]]
    assert result["loss"] == pytest.approx(nats.mean(), rel=1e-5)
    with pytest.raises(InputError, match="1 outputs; say what each is trained for"):
        lk.evaluate(model, data)


def test_blocks_within_it_are_computed_again():
    class Around(keras.Model):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def call(self, ids):
            return self.inner(ids)

    def trained(make, **settings):
        inner = lk.models.build_gpt2(11, max_length=4, hidden_dim=8, num_layers=2, num_heads=2, seed=0)
        model, x = make(inner), X[:4, :4] % 11
        lk.fit(model, (x, x), config=lk.TrainingConfig(epochs=1, **QUICK, **settings))
        return model

    again, plain = trained(Around, recompute=True), trained(lambda inner: inner)
    for one, other in zip(again.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    with recomputing(keras.Sequential([again.inner])):  # finds them there too
        pass
    with pytest.raises(InputError, match="no two transformer blocks"):
        lk.fit(Subclassed(), (X, Y), config=lk.TrainingConfig(recompute=True, **QUICK))


def test_contiguous_windows_need_a_step_view():
    tokenizer = lk.text.CharTokenizer.train(["abcd"])
    windows = lk.data.lm_windows(["abcd" * 9], tokenizer, 4, 2, contiguous=True)
    size = tokenizer.vocab_size
    model = keras.Sequential([keras.layers.Embedding(size, 4), keras.layers.Dense(size)])
    for run in (lk.fit, lk.evaluate):
        with pytest.raises(
            InputError, match="no step view to carry a state; give windows made with contiguous=False"
        ):
            run(model, windows)


# === max_steps ===
class Count(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.rates, self.batches = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.rates.append(float(self.model.optimizer.learning_rate))


@pytest.mark.parametrize("max_steps, epochs", [(2, [0]), (3, [0]), (7, [0, 1, 2]), (9, [0, 1, 2])])
def test_a_run_ends_after_max_steps(max_steps, epochs):
    count, settings = Count(), {**QUICK, "schedule": "linear", "learning_rate": 0.1}
    config = lk.TrainingConfig(epochs=1, max_steps=max_steps, **settings)
    history = lk.fit(functional(), (X, Y), (X, Y), config, callbacks=[count])
    assert len(count.rates) == max_steps
    np.testing.assert_allclose(count.rates, 0.1 * (1 - np.arange(1, max_steps + 1) / max_steps), atol=1e-6)
    assert history.epoch == epochs
    assert len(history.history["val_loss"]) == len(epochs)


def test_max_steps_is_the_beginning_of_a_longer_run_and_goes_on(tmp_path):
    def run(folder, resume=False, **settings):
        model, data = functional(), tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(12, seed=1).batch(4)
        config = {**QUICK, **settings, "resume": resume, "output_dir": folder and tmp_path / folder}
        history = lk.fit(model, data, (X, Y), lk.TrainingConfig(**config)).history
        return model.get_weights(), history

    whole, expected = run("whole", epochs=3)
    parts = itertools.pairwise([0, 2, 4, 9])
    for before, end in parts:
        weights, history = run("parts", resume=before > 0, max_steps=end)
        assert len(history["loss"]) == -(-end // 3)
    again, same = run("parts", resume=True, max_steps=9)
    for one, other, third in zip(weights, whole, again, strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(one, third)
    for key, values in expected.items():
        np.testing.assert_allclose(history[key], values, rtol=1e-6, err_msg=key)
        np.testing.assert_allclose(same[key], values, rtol=1e-6, err_msg=key)


def test_a_run_that_ends_within_an_epoch_reads_every_batch_once():
    """The batches of the model's first layer: the last part of an epoch goes on with those that come next."""
    seen = []

    class Seen(keras.layers.Layer):
        def call(self, ids):
            look = tf.numpy_function(lambda part: seen.append(int(part[0, 0])) or part, [ids], tf.int32)
            return tf.ensure_shape(look, ids.shape)

        def compute_output_spec(self, ids):
            return keras.KerasTensor(ids.shape, "int32")

    ids = keras.Input((2,), dtype="int32")
    model = keras.Model(ids, keras.layers.Embedding(5, 5)(Seen()(ids)))
    x = np.repeat(np.arange(5, dtype="int32"), 2).reshape(5, 2)
    for max_steps in (12, 3):
        seen.clear()
        data = tf.data.Dataset.from_tensor_slices((x, x)).batch(1)
        lk.fit(model, data, config=lk.TrainingConfig(max_steps=max_steps))
        assert seen == [step % 5 for step in range(max_steps)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_loss_of_probabilities_is_refused(kind):
    says = r"give keras.losses.SparseCategoricalCrossentropy\(from_logits=True\)"
    for loss in ("sparse_categorical_crossentropy", keras.losses.SparseCategoricalCrossentropy()):
        for run in (lk.evaluate, lk.fit):
            with pytest.raises(InputError, match=says):
                run(KINDS[kind](), (X, Y), loss=loss)


def test_a_loss_of_probabilities_that_the_model_gives():
    model = keras.Sequential([*layers_of(), keras.layers.Softmax()])
    logits = keras.Sequential(model.layers[:-1])
    loss = lk.evaluate(model, (X, Y), loss="sparse_categorical_crossentropy")["loss"]
    np.testing.assert_allclose(loss, lk.evaluate(logits, (X, Y))["loss"], rtol=1e-5)


def test_a_shape_of_the_data_that_is_not_known():
    data = tf.data.Dataset.from_generator(lambda: iter([(X, Y)]), output_types=(tf.int32, tf.int32))
    with pytest.raises(InputError, match="is not built and the shape of x is not known"):
        lk.evaluate(Subclassed(), data)
    model = functional()
    assert lk.evaluate(model, data) == lk.evaluate(model, (X, Y))


@pytest.mark.parametrize("wrong", [0, -1, 2.5, "many", True])
def test_max_steps_is_a_whole_number(wrong):
    with pytest.raises(InputError, match="max_steps is .* whole number"):
        lk.TrainingConfig(max_steps=wrong)
