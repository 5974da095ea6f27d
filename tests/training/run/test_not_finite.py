"""A training stops at the first loss or weight that is not finite, and keeps what was good."""

import importlib
import math
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import lm_keras as lk
from lm_keras.cli.parser import main
from lm_keras.errors import InputError
from lm_keras.training.distributed.workers import Workers
from lm_keras.training.run.log import read_rows
from lm_keras.utils.atomic_files import read_tensors, write_tensors
from lm_keras.utils.saved_kinds import CHECKPOINT

V = 7
X = np.random.default_rng(0).integers(0, V - 1, (12, 5)).astype("int32")  # the last word does not occur
Y = (X + 1) % (V - 1)
QUICK = {"batch_size": 4, "schedule": "constant", "warmup_steps": 0, "weight_decay": 0.0, "learning_rate": 0.05}
HUGE = {**QUICK, "optimizer": "adam", "learning_rate": 1e38, "clip_norm": None, "checkpoint_steps": 1}


def small():
    ids, draw = keras.Input((None,), dtype="int32"), keras.initializers.RandomNormal(seed=3)
    tokens = keras.layers.Embedding(V, 6, name="embedding", embeddings_initializer=draw)(ids)
    return keras.Model(ids, keras.layers.Dense(V, name="logits", kernel_initializer=draw)(tokens))


class Spoil(keras.callbacks.Callback):
    """Puts a value into the embedding of a word that does not occur, after the first step of an epoch."""

    def __init__(self, epoch, value=math.nan):
        super().__init__()
        self.at, self.value = epoch, value

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (self.at, 0):
            table = self.model.get_layer("embedding").embeddings
            table.assign(tf.concat([table.value[:-1], tf.fill([1, 6], self.value)], 0))


def finite(folder):
    """(progress, tensors) of the checkpoint, all of whose numbers are finite."""
    tensors, progress = read_tensors(folder / CHECKPOINT)
    assert all(np.isfinite(tensor).all() for tensor in tensors.values())
    return progress, tensors


# === The command line ===
def test_a_run_that_diverges_ends_in_one_line_and_leaves_a_checkpoint_to_go_on_with(tmp_path, capsys):
    text, out = tmp_path / "news.txt", tmp_path / "run"
    text.write_text("\n".join(lk.data.load("lee-news")[:6]), encoding="utf-8")
    command = ["train", "--model", "rnn", "--tokenizer", "char", "--data", str(text), "--out", str(out)]
    command += ["--embedding-dim", "8", "--hidden-dim", "8", "--epochs", "1", "--checkpoint-steps", "1"]
    command += ["--optimizer", "sgd", "--learning-rate", "1e38", "--clip-norm", "0", "--schedule", "constant"]
    lines = []
    for more in ([], ["--resume"]):
        assert main([*command, *more]) == 2
        printed = capsys.readouterr()
        lines += printed.err.splitlines()
        progress, _ = finite(out)
        assert f"the checkpoint of step {progress['step']} is kept" in lines[-1]
    assert lines[0] == lines[1]
    assert "at step" in lines[0] and "a smaller learning rate" in lines[0] and "a clip norm" in lines[0]
    assert not (out / "model.safetensors").exists()
    assert main(["score", str(out), "--text", "x"]) == 2
    assert "go on with `lm-keras train --resume`" in capsys.readouterr().err


# === The loss ===
@pytest.mark.parametrize(
    "settings",
    [{}, {"dtype": "mixed_bfloat16"}, {"jit_compile": True}, {"accumulate_steps": 2}, {"strategy": "multi_worker"}],
    ids=str,
)
def test_a_loss_that_is_not_finite_stops_at_its_step(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(
        importlib.import_module("lm_keras.training.fit"),
        "multi_worker",
        lambda: Workers(tf.distribute.get_strategy(), 0, 1),
    )
    strategy = settings.pop("strategy", None)
    config = lk.TrainingConfig(output_dir=tmp_path, **HUGE, **settings, logging_steps=1)
    with pytest.raises(InputError, match=r"loss is (nan|inf) (at|by) step \d .*a smaller learning rate") as told:
        lk.fit(small(), (X, Y), config=config, strategy=strategy)
    progress, _ = finite(tmp_path)
    assert progress["step"] >= 1 and f"the checkpoint of step {progress['step']} is kept" in str(told.value)
    assert ("float32" in str(told.value)) == ("dtype" in settings)
    rows = read_rows(tmp_path / "metrics.csv")
    assert rows and all(math.isfinite(row["loss"]) for row in rows)


def test_without_a_folder_it_stops_too():
    with pytest.raises(InputError, match="so the training stops: start again with"):
        lk.fit(small(), (X, Y), config=lk.TrainingConfig(**HUGE))


def test_data_and_weights_that_are_not_finite_are_named_at_the_first_step():
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    x = np.full((8, 2), np.nan, "float32")
    with pytest.raises(InputError, match="x holds nan at"):
        lk.fit(model, (x, np.zeros(8)), config=lk.TrainingConfig(**QUICK))
    model.layers[-1].kernel.assign(model.layers[-1].kernel * np.nan)
    with pytest.raises(InputError, match="loss is nan at step 1 .*weights and data without values"):
        lk.fit(model, (np.ones((8, 2)), np.zeros(8)), config=lk.TrainingConfig(**QUICK))


def test_a_validation_loss_that_is_not_finite_stops(tmp_path):
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(1, kernel_initializer="ones")(inputs))
    x, y = np.ones((8, 2), "float32"), np.zeros(8, "float32")
    config = lk.TrainingConfig(output_dir=tmp_path, checkpoint_steps=1, early_stopping_patience=3, **QUICK)
    model.layers[-1].kernel.assign([[5.0], [6.0]])
    with pytest.raises(InputError, match=r"the validation loss is inf at step 2 \(epoch 1\)"):
        lk.fit(model, (x, y), (x * 3e38, y), config)
    assert finite(tmp_path)[0]["step"] == 1


# === Weights, where no loss shows it ===
@pytest.mark.parametrize(("value", "strategy"), [(math.nan, None), (math.inf, "multi_worker")])
def test_weights_are_looked_at_before_each_checkpoint(value, strategy, tmp_path, monkeypatch):
    monkeypatch.setattr(
        importlib.import_module("lm_keras.training.fit"),
        "multi_worker",
        lambda: Workers(tf.distribute.get_strategy(), 0, 1),
    )
    config = lk.TrainingConfig(output_dir=tmp_path, epochs=3, early_stopping_patience=3, logging_steps=1, **QUICK)
    with pytest.raises(InputError, match="embeddings holds values that are not finite .* of step 3 is kept"):
        lk.fit(small(), (X, Y), (X, Y), config, [Spoil(1, value)], strategy=strategy)
    progress, tensors = finite(tmp_path)
    assert (progress["step"], len(progress["epochs"])) == (3, 1)
    assert any(name.startswith("best/") for name in tensors)

    shutil.copytree(tmp_path, tmp_path / "copy")
    whole = lk.TrainingConfig(**{**vars(config), "output_dir": tmp_path / "copy", "resume": True})
    history = lk.fit(small(), (X, Y), (X, Y), whole).history  # what was kept is gone on with
    assert len(history["loss"]) == 3 and np.isfinite(history["val_loss"]).all()


@pytest.mark.parametrize("strategy", [None, "multi_worker"])
def test_weights_that_a_callback_has_spoiled_are_not_saved(strategy, tmp_path, monkeypatch):
    """It comes after the look at the weights of the epoch, and before the checkpoint."""
    monkeypatch.setattr(
        importlib.import_module("lm_keras.training.fit"),
        "multi_worker",
        lambda: Workers(tf.distribute.get_strategy(), 0, 1),
    )
    spoil = Spoil(1)
    spoil.on_epoch_end = lambda epoch, logs=None: Spoil.on_train_batch_end(spoil, 0)
    spoil.on_train_batch_end = lambda batch, logs=None: None
    config = lk.TrainingConfig(output_dir=tmp_path, epochs=2, **QUICK)
    with pytest.raises(InputError, match="embeddings holds values that are not finite .* of step 3 is kept"):
        lk.fit(small(), (X, Y), config=config, callbacks=[spoil], strategy=strategy)
    assert finite(tmp_path)[0]["step"] == 3


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_checkpoint_of_weights_that_are_none_is_not_gone_on_with(epochs, tmp_path):
    config = lk.TrainingConfig(output_dir=tmp_path, epochs=1, **QUICK)
    lk.fit(small(), (X, Y), config=config)
    tensors, progress = read_tensors(tmp_path / CHECKPOINT)
    write_tensors(tmp_path / CHECKPOINT, tensors | {"model/0000": tensors["model/0000"] * np.nan}, progress)
    model, whole = small(), lk.TrainingConfig(**{**vars(config), "epochs": epochs, "resume": True})
    before = model.get_weights()
    with pytest.raises(InputError, match="holds NaN: the training had diverged; start again with a smaller learning"):
        lk.fit(model, (X, Y), config=whole)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), before, strict=True))


def test_a_mask_of_infinities_is_no_fault():
    class Masked(keras.layers.Layer):
        def build(self, shape):
            self.mask = self.add_weight(shape=(2,), trainable=False, initializer="zeros", name="mask")
            self.mask.assign([0.0, -math.inf])

        def call(self, x):
            return x + self.mask

    inputs = keras.Input((2,))
    outputs = keras.layers.Dense(1)(keras.ops.softmax(Masked()(keras.layers.Dense(2)(inputs))))
    x, y = np.ones((8, 2), "float32"), np.zeros(8, "float32")
    history = lk.fit(keras.Model(inputs, outputs), (x, y), config=lk.TrainingConfig(epochs=1, **QUICK))
    assert math.isfinite(history.history["loss"][0])


def test_a_hopeless_model_is_logged(tmp_path):
    """Its perplexity is beyond float32, and finite: the table and the curve can be written."""
    model = small()
    model.get_layer("logits").bias.assign([1e6] + [0.0] * (V - 1))
    config = lk.TrainingConfig(epochs=1, output_dir=tmp_path, **{**QUICK, "learning_rate": 1e-9})
    lk.fit(model, (X, Y), (X, Y), config)
    assert (tmp_path / "learning_curve.png").stat().st_size > 1000
