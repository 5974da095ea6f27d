"""Keras' own callbacks in `fit`: of the model itself, with or without a state that is carried from batch to batch."""

import csv
import subprocess

import keras
import numpy as np
import pytest

import lm_keras as lk
from lm_keras.errors import InputError

EPOCHS = 4
STEADY = {"schedule": "constant", "warmup_steps": 0, "learning_rate": 0.02, "logging_steps": 1}


@pytest.fixture(scope="module")
def tokenizer():
    return lk.text.CharTokenizer.train(["abcd"])


def windows(tokenizer, contiguous):
    return lk.data.lm_windows(["abcdabcabd" * 3], tokenizer, length=5, batch_size=3, contiguous=contiguous)


def small(tokenizer):
    sizes = {"context_length": 2, "embedding_dim": 3, "hidden_dim": (4,)}
    return lk.models.build_feedforward_lm(tokenizer.vocab_size, **sizes, seed=0)


def fit(model, data, callbacks, **settings):
    config = lk.TrainingConfig(**{"epochs": EPOCHS, **STEADY, **settings})
    return lk.fit(model, data, data, config, callbacks).history


@pytest.mark.parametrize("contiguous", [False, True])
def test_keras_callbacks_work_and_save_the_model(tokenizer, contiguous, tmp_path):
    model, data, seen = small(tokenizer), windows(tokenizer, contiguous), []
    watch = keras.callbacks.LambdaCallback()
    watch.on_epoch_end = lambda epoch, logs: seen.append(
        (watch.model is model, float(model.optimizer.learning_rate), model.get_weights(), "val_loss" in logs)
    )
    save = keras.callbacks.ModelCheckpoint
    fit(model, data, [
        keras.callbacks.ReduceLROnPlateau(monitor="val_loss", factor=0.5, patience=1, min_delta=1e9),
        keras.callbacks.CSVLogger(str(tmp_path / "log.csv")),
        keras.callbacks.TensorBoard(str(tmp_path / "board"), histogram_freq=1),
        keras.callbacks.TerminateOnNaN(),
        save(str(tmp_path / "{epoch}.keras")),
        save(str(tmp_path / "{epoch}.weights.h5"), save_weights_only=True),
        watch,
    ])  # fmt: skip
    assert all(same and val for same, _, _, val in seen)
    # The first epoch is the best; from then on each halves the rate.
    np.testing.assert_allclose([rate for _, rate, _, _ in seen], [0.02, 0.01, 0.005, 0.0025])
    rows = list(csv.DictReader((tmp_path / "log.csv").open()))
    np.testing.assert_allclose([float(row["learning_rate"]) for row in rows], [0.02, 0.02, 0.01, 0.005])
    assert list((tmp_path / "board").rglob("events*"))
    for epoch, (_, rate, weights, _) in enumerate(seen, 1):
        loaded, other = keras.models.load_model(tmp_path / f"{epoch}.keras"), small(tokenizer)
        other.load_weights(tmp_path / f"{epoch}.weights.h5")
        for model in (loaded, other):
            for found, expected in zip(model.get_weights(), weights, strict=True):
                np.testing.assert_array_equal(found, expected)
        assert float(loaded.optimizer.learning_rate) == pytest.approx(rate)
        assert int(loaded.optimizer.iterations) == epoch * int(data.cardinality())


@pytest.mark.parametrize("contiguous", [False, True])
def test_a_scheduler_sets_the_rate_and_early_stopping_stops(tokenizer, contiguous):
    model, rates, weights = small(tokenizer), [], []
    history = fit(model, windows(tokenizer, contiguous), [
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.1 if epoch == 0 else rate / 2),
        keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: rates.append(float(model.optimizer.learning_rate)),
            on_epoch_end=lambda epoch, logs: weights.append(model.get_weights()),
        ),
        keras.callbacks.EarlyStopping("val_loss", patience=1, min_delta=1e9, restore_best_weights=True),
    ], schedule="cosine", warmup_steps=2)  # fmt: skip
    assert len(history["loss"]) == 2
    half = len(rates) // 2
    np.testing.assert_allclose(rates, [0.1] * half + [0.05] * half, rtol=1e-6)
    for found, expected in zip(model.get_weights(), weights[0], strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_rate_that_was_set_is_the_size_of_the_steps(tokenizer):
    data, moved = windows(tokenizer, True), []
    for callbacks, rate in ([], 0.5), ([keras.callbacks.LearningRateScheduler(lambda epoch: 0.5)], 0.001):
        model = small(tokenizer)
        fit(model, data, callbacks, optimizer="sgd", epochs=1, learning_rate=rate)
        moved.append(model.get_weights())
    for one, other in zip(*moved, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-6)


def test_a_rate_that_was_set_is_kept_when_a_run_is_resumed(tokenizer, tmp_path):
    class Halve(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.optimizer.learning_rate = 0.01 / 2**epoch

    class Stop(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if self.model.optimizer.iterations == 2 * int(data.cardinality()):
                raise KeyboardInterrupt

    data, models = windows(tokenizer, False), [small(tokenizer), small(tokenizer)]
    fit(models[0], data, [Halve()])
    with pytest.raises(KeyboardInterrupt):
        fit(models[1], data, [Halve(), Stop()], output_dir=tmp_path / "run")
    model = small(tokenizer)
    fit(model, data, [Halve()], output_dir=tmp_path / "run", resume=True)
    for found, expected in zip(model.get_weights(), models[0].get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_file_saved_while_batches_are_accumulated_holds_the_loss_itself(tokenizer, tmp_path):
    model, data = small(tokenizer), windows(tokenizer, False)
    save = keras.callbacks.ModelCheckpoint(str(tmp_path / "x.keras"))
    fit(model, data, [save], epochs=1, accumulate_steps=2)
    loaded = keras.models.load_model(tmp_path / "x.keras")
    assert type(loaded.loss) is type(model.loss) is lk.losses.CrossEntropy
    x, y = next(iter(data))
    assert loaded.evaluate(x, y, verbose=0) == pytest.approx(lk.evaluate(model, (x, y))["loss"], rel=1e-5)


def test_what_fit_does_itself_is_refused_in_one_line(tokenizer, tmp_path):
    data = windows(tokenizer, False)
    with pytest.raises(InputError, match=r"BackupAndRestore.*output_dir=\.\.\., resume=True"):
        fit(small(tokenizer), data, [keras.callbacks.BackupAndRestore(str(tmp_path / "x"))])


MIRRORED = """
import contextlib, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import lm_keras as lk
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
x = np.random.default_rng(0).integers(0, 7, (8, 5))
build = lambda: lk.models.build_feedforward_lm(7, context_length=2, embedding_dim=3, hidden_dim=(4,), seed=0)
said = []
plain = build()
with strategy.scope():
    model = build()
for given, scope in (model, strategy.scope()), (plain, strategy.scope()), (model, contextlib.nullcontext()):
    try:
        with scope:
            lk.fit(given, (x, x))
    except lk.InputError as error:
        said.append(str(error))
print(len(said), len(set(said)), lk.evaluate(model, (x, x)) == lk.evaluate(plain, (x, x)))
print(said[0])
"""


def test_a_strategy_of_several_devices_is_refused_in_one_line(warm_python, tmp_path):
    done = subprocess.run([warm_python, "-c", MIRRORED], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    counts, *said = done.stdout.splitlines()
    assert counts == "3 1 True"
    assert said == [
        "fit trains on one device, and the model or the call is within a strategy of several; leave its scope, or "
        "give strategy='multi_worker'"
    ]


@pytest.mark.parametrize("contiguous", [False, True])
def test_callbacks_hear_of_one_run_however_it_is_cut(tokenizer, contiguous, tmp_path):
    """A run of 2 epochs and a part: two calls of `model.fit`, of which callbacks know nothing."""
    model, data, heard = small(tokenizer), windows(tokenizer, contiguous), []
    steps, table = int(data.cardinality()), next(w for w in model.weights if w.name == "embeddings")
    before = table.numpy()
    assert steps > 1
    hear = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: heard.append("begin"), on_train_end=lambda logs: heard.append("end")
    )
    history = fit(model, data, [
        hear,
        keras.callbacks.CSVLogger(str(tmp_path / "log.csv")),
        # The first epoch is the "best": its weights come back, at the end and not before.
        keras.callbacks.EarlyStopping("val_loss", mode="max", patience=9, restore_best_weights=True),
        lk.training.FrozenFor(3, "embedding"),
    ], max_steps=2 * steps + 1)  # fmt: skip
    assert heard == ["begin", "end"]
    assert len(list(csv.DictReader((tmp_path / "log.csv").open()))) == 3
    np.testing.assert_array_equal(table, before)
    losses = history["val_loss"]
    assert losses[0] > losses[1] > losses[2]
    np.testing.assert_allclose(lk.evaluate(model, data)["loss"], losses[0], rtol=1e-6)
