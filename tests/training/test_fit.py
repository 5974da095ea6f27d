"""fit: what it returns, what it writes, when it stops, what it refuses."""

import csv
import importlib
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import lm_keras as lk
from lm_keras.errors import InputError
from lm_keras.training.distributed.workers import Workers

V = 7
X = np.random.default_rng(0).integers(0, V, (12, 5)).astype("int32")
Y = (X + 1) % V
OTHER = np.random.default_rng(1).integers(0, V, (6, 5)).astype("int32")
QUICK = {"batch_size": 4, "schedule": "constant", "warmup_steps": 0, "weight_decay": 0.0, "learning_rate": 0.05}


def small(seed=0):
    return lk.models.build_lstm_lm(V, embedding_dim=6, hidden_dim=8, seed=seed)


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_history_has_all_measures_of_all_epochs():
    model = small()
    history = lk.fit(model, (X, Y), (OTHER, (OTHER + 1) % V), lk.TrainingConfig(epochs=3, **QUICK))
    assert isinstance(history, keras.callbacks.History)
    assert history.epoch == [0, 1, 2]
    assert set(history.history) == {"loss", "perplexity", "val_loss", "val_perplexity", "val_accuracy"}
    assert all(len(values) == 3 for values in history.history.values())
    assert history.history["loss"][2] < history.history["loss"][0]
    np.testing.assert_allclose(history.history["perplexity"], np.exp(history.history["loss"]))
    valid = tf.data.Dataset.from_tensor_slices((OTHER, (OTHER + 1) % V)).batch(4)
    assert history.history["val_loss"][2] == lk.evaluate(model, valid)["loss"]


def test_arrays_and_a_dataset_of_them_train_the_same():
    steady = tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(12, seed=0).batch(4)
    one, other = small(), small()
    lk.fit(one, (X, Y), config=lk.TrainingConfig(epochs=2, **QUICK))
    lk.fit(other, steady, config=lk.TrainingConfig(epochs=2, **QUICK))
    assert same(one.get_weights(), other.get_weights())


def test_the_seed_decides_the_order():
    weights = []
    for seed in (0, 0, 1):
        model = small()
        lk.fit(model, (X, Y), config=lk.TrainingConfig(epochs=2, seed=seed, **QUICK))
        weights.append(model.get_weights())
    assert same(weights[0], weights[1])
    assert not same(weights[0], weights[2])


def test_mixed_precision_trains_float32_weights_and_ends_in_float32():
    model = small()
    history = lk.fit(model, (X, Y), config=lk.TrainingConfig(epochs=4, dtype="mixed_bfloat16", **QUICK))
    assert history.history["loss"][3] < history.history["loss"][0]
    assert {w.dtype for w in model.weights} == {"float32"}
    assert model(X).dtype == "float32"
    copy = small(seed=1)
    copy.set_weights(model.get_weights())
    np.testing.assert_array_equal(model(X).numpy(), copy(X).numpy())


def test_early_stopping_restores_the_best_weights(tmp_path):
    # The validation asks for the opposite of what is trained, so each epoch after some is worse.
    seen = {}

    class Keep(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen[epoch] = self.model.get_weights()

    model, wrong = small(), (X, (X + 3) % V)
    # Callbacks of the user come last, so the last epoch's weights are the restored ones.
    config = lk.TrainingConfig(epochs=30, early_stopping_patience=2, output_dir=tmp_path / "run", **QUICK)
    history = lk.fit(model, (X, Y), wrong, config, callbacks=[Keep()])
    losses = history.history["val_loss"]
    best = int(np.argmin(losses))
    assert len(losses) == best + 3 < 30
    assert same(model.get_weights(), seen[best])
    assert not same(seen[best], seen[best + 1])
    valid = tf.data.Dataset.from_tensor_slices(wrong).batch(4)
    assert lk.evaluate(model, valid)["loss"] == pytest.approx(losses[best], rel=1e-6)
    # A run that has stopped stays stopped.
    other = small(seed=5)
    again = lk.fit(other, (X, Y), wrong, lk.TrainingConfig(**{**vars(config), "resume": True}))
    assert again.history == history.history
    assert same(other.get_weights(), seen[best])


def test_best_weights_are_kept_when_the_epochs_run_out_first():
    model, wrong = small(), (X, (X + 3) % V)
    history = lk.fit(model, (X, Y), wrong, lk.TrainingConfig(epochs=6, early_stopping_patience=10, **QUICK))
    losses = history.history["val_loss"]
    assert len(losses) == 6
    assert losses[5] > min(losses)
    valid = tf.data.Dataset.from_tensor_slices(wrong).batch(4)
    assert lk.evaluate(model, valid)["loss"] == pytest.approx(min(losses), rel=1e-6)


# === Files ===
def test_run_folder_has_table_curve_and_tensorboard(tmp_path):
    config = lk.TrainingConfig(epochs=2, logging_steps=1, output_dir=tmp_path / "run", **QUICK)
    history = lk.fit(small(), (X, Y), (OTHER, OTHER), config).history
    with (tmp_path / "run" / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    training = [row for row in rows if row["loss"]]
    assert [int(row["step"]) for row in training] == [1, 2, 3, 4, 5, 6]
    assert [int(row["epoch"]) for row in training] == [1, 1, 1, 2, 2, 2]
    assert {float(row["learning_rate"]) for row in training} == {float(np.float32(0.05))}
    for epoch in (0, 1):  # three batches of one size: the mean of their rows is the epoch's loss
        mean = np.mean([float(row["loss"]) for row in training[3 * epoch : 3 * epoch + 3]])
        assert mean == pytest.approx(history["loss"][epoch], rel=1e-5)
    validation = [row for row in rows if row["val_loss"]]
    assert [(int(row["step"]), int(row["epoch"])) for row in validation] == [(3, 1), (6, 2)]
    assert [float(row["val_loss"]) for row in validation] == history["val_loss"]
    assert [float(row["val_perplexity"]) for row in validation] == history["val_perplexity"]

    picture = (tmp_path / "run" / "learning_curve.png").read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    pixels = tf.io.decode_png(picture).numpy()
    assert pixels.shape[0] > 200
    assert len(np.unique(pixels.reshape(-1, pixels.shape[-1]), axis=0)) > 20  # lines, not an empty page

    (events,) = (tmp_path / "run" / "logs").glob("events.out.tfevents.*")
    found = {}
    for event in tf.compat.v1.train.summary_iterator(str(events)):
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, float(tf.make_ndarray(value.tensor))))
    assert [step for step, _ in found["loss"]] == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose([v for _, v in found["val_loss"]], history["val_loss"], rtol=1e-6)
    assert not list((tmp_path / "run").glob(".*"))  # no temporary file is left


def test_a_row_is_the_mean_since_the_row_before(tmp_path):
    losses = {}
    for steps in (1, 2):
        config = lk.TrainingConfig(epochs=1, logging_steps=steps, output_dir=tmp_path / str(steps), **QUICK)
        lk.fit(small(), (np.tile(X, (2, 1)), np.tile(Y, (2, 1))), config=config)
        with (tmp_path / str(steps) / "metrics.csv").open(newline="") as file:
            losses[steps] = [float(row["loss"]) for row in csv.DictReader(file)]
    pairs = np.reshape(losses[1], (3, 2)).mean(-1)
    np.testing.assert_allclose(losses[2], pairs, rtol=1e-5)


# === Refused ===
def snapshot(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_that_holds_a_run_is_left_alone(tmp_path):
    lk.fit(small(), (X, Y), config=lk.TrainingConfig(epochs=1, output_dir=tmp_path, **QUICK))
    before, model = snapshot(tmp_path), small()
    weights = model.get_weights()
    with pytest.raises(InputError, match="already holds a run"):
        lk.fit(model, (X, Y), config=lk.TrainingConfig(output_dir=tmp_path, dtype="mixed_bfloat16", **QUICK))
    assert snapshot(tmp_path) == before
    assert same(model.get_weights(), weights)
    assert {layer.compute_dtype for layer in model.layers if layer.weights} == {"float32"}


@pytest.mark.parametrize(
    "train, message",
    [
        (tf.data.Dataset.from_tensor_slices((X, Y)).batch(4).filter(lambda x, y: True), "unknown number"),
        (tf.data.Dataset.from_tensor_slices((X, Y)).batch(4).repeat(), "unknown number|infinite"),
        (tf.data.Dataset.from_tensor_slices((X, Y)).batch(4).take(0), "has no batches"),
        ([X, Y], "list"),
        ((X, Y, Y, Y), "tuple"),
        ((X, Y[:-1]), "12 .* 11"),
    ],
    ids=["unknown", "infinite", "empty", "list", "four", "lengths"],
)
def test_bad_training_data_is_an_input_error(tmp_path, train, message):
    with pytest.raises(InputError, match=message):
        lk.fit(small(), train, config=lk.TrainingConfig(output_dir=tmp_path / "run", **QUICK))
    assert not (tmp_path / "run").exists()


def test_an_output_dir_that_is_a_file_is_an_input_error(tmp_path):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        lk.fit(small(), (X, Y), config=lk.TrainingConfig(output_dir=tmp_path / "run", **QUICK))
    assert (tmp_path / "run").read_text() == "mine"


def test_perplexity_of_a_hopeless_model_is_finite():
    model = small()
    model.get_layer("logits").bias.assign([1e6] + [0.0] * (V - 1))
    history = lk.fit(model, (X, Y), (X, Y), lk.TrainingConfig(epochs=1, **{**QUICK, "learning_rate": 1e-9})).history
    assert math.isfinite(history["perplexity"][0])
    assert math.isfinite(history["val_perplexity"][0])


@pytest.mark.parametrize("strategy", [None, "multi_worker"])
def test_a_callback_that_stops_the_rest_of_an_epoch_stops_the_run(strategy, tmp_path, monkeypatch):
    monkeypatch.setattr(
        importlib.import_module("lm_keras.training.fit"),
        "multi_worker",
        lambda: Workers(tf.distribute.get_strategy(), 0, 1),
    )
    settings = {**QUICK, "epochs": 4, "batch_size": 2, "checkpoint_steps": 2, "output_dir": tmp_path / "run"}

    class Kill(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 3:
                raise KeyboardInterrupt

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    with pytest.raises(KeyboardInterrupt):
        lk.fit(small(), (X, Y), config=lk.TrainingConfig(**settings), callbacks=[Kill()], strategy=strategy)
    resumed = lk.TrainingConfig(resume=True, **settings)
    assert lk.fit(small(), (X, Y), config=resumed, callbacks=[Stop()], strategy=strategy).epoch == [0]
