"""Schedules against closed formulas, one optimizer step against NumPy."""

import dataclasses
import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.training import TrainingConfig, make_optimizer

STEPS = 40  # an epoch
EQUAL = {"rtol": 1e-5, "atol": 1e-7}


def rates(steps, **settings):
    optimizer = make_optimizer(TrainingConfig(**settings), STEPS)
    found = []
    for step in steps:
        optimizer.iterations.assign(step)
        found.append(float(optimizer.learning_rate))
    return np.array(found)


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
@pytest.mark.parametrize("warmup_steps", [0, 10])
def test_schedules_follow_their_formulas(schedule, warmup_steps):
    total = 3 * STEPS
    step = np.arange(total)
    warm = np.minimum((step + 1) / warmup_steps, 1) if warmup_steps else np.ones(total)
    progress = np.maximum(step - warmup_steps, 0) / (total - warmup_steps)
    shape = {
        "cosine": (1 + np.cos(math.pi * progress)) / 2,
        "linear": 1 - progress,
        "constant": np.ones(total),
    }
    found = rates(step, epochs=3, learning_rate=0.3, schedule=schedule, warmup_steps=warmup_steps)
    np.testing.assert_allclose(found, 0.3 * warm * shape[schedule], rtol=1e-5, atol=1e-6)


def test_schedules_end_at_zero_and_stay_there():
    for schedule in ("cosine", "linear"):
        after = rates([3 * STEPS, 3 * STEPS + 50], epochs=3, learning_rate=0.3, schedule=schedule, warmup_steps=0)
        np.testing.assert_allclose(after, 0, atol=1e-7)


def test_schedules_end_at_the_least_learning_rate():
    settings = {"epochs": 3, "learning_rate": 0.3, "min_learning_rate": 0.06, "warmup_steps": 0}
    for schedule in ("cosine", "linear"):
        start, middle, end = rates([0, 3 * STEPS // 2, 3 * STEPS], schedule=schedule, **settings)
        np.testing.assert_allclose([start, middle, end], [0.3, 0.18, 0.06], rtol=1e-2)
    with pytest.raises(InputError, match="min_learning_rate"):
        TrainingConfig(learning_rate=0.1, min_learning_rate=0.2)
    with pytest.raises(InputError, match="beta_2"):
        TrainingConfig(beta_2=1.0)


def test_warm_up_is_at_most_a_tenth_of_the_run():
    found = rates(range(13), epochs=3, learning_rate=1.0, schedule="constant", warmup_steps=500)
    np.testing.assert_allclose(found, np.minimum((np.arange(13) + 1) / 12, 1), **EQUAL)


def test_step_schedule_is_that_of_zaremba_2014():
    # "We train with a learning rate of 1 for 4 epochs and then decrease it by a factor of 2 after each epoch."
    settings = {"epochs": 13, "learning_rate": 1.0, "schedule": "step", "warmup_steps": 0}
    starts = rates(np.arange(13) * STEPS, decay_rate=0.5, decay_from_epoch=4, **settings)
    ends = rates(np.arange(13) * STEPS + STEPS - 1, decay_rate=0.5, decay_from_epoch=4, **settings)
    expected = [1, 1, 1, 1, *(0.5**n for n in range(1, 10))]
    np.testing.assert_allclose(starts, expected, **EQUAL)
    np.testing.assert_allclose(ends, expected, **EQUAL)


# === One step of each optimizer ===
W, B = np.array([[1.0, -2.0], [3.0, 0.5]], "float32"), np.array([1.0, -1.0], "float32")
GW, GB = np.array([[0.1, -0.2], [0.3, 0.4]], "float32"), np.array([0.5, -0.6], "float32")
STEADY = {"epochs": 1, "schedule": "constant", "warmup_steps": 0, "learning_rate": 0.1}


def stepped(steps=1, gradients=(GW, GB), **settings):
    weight, bias = keras.Variable(W, name="w"), keras.Variable(B, name="b")
    optimizer = make_optimizer(TrainingConfig(**{**STEADY, **settings}), STEPS)
    optimizer.build([weight, bias])
    for _ in range(steps):
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in gradients], [weight, bias])
    return weight.numpy(), bias.numpy()


def test_adamw_decays_matrices_and_spares_vectors():
    weight, bias = stepped(optimizer="adamw", weight_decay=0.05, clip_norm=None)
    # First step: both moments, bias corrected, are g and g^2.
    update = [0.1 * g / (np.abs(g) + 1e-7) for g in (GW, GB)]
    np.testing.assert_allclose(weight, W - 0.1 * 0.05 * W - update[0], **EQUAL)
    np.testing.assert_allclose(bias, B - update[1], **EQUAL)


def test_adam_has_no_weight_decay():
    weight, bias = stepped(optimizer="adam", weight_decay=0.05, clip_norm=None)
    np.testing.assert_allclose(weight, W - 0.1 * GW / (np.abs(GW) + 1e-7), **EQUAL)
    np.testing.assert_allclose(bias, B - 0.1 * GB / (np.abs(GB) + 1e-7), **EQUAL)


def test_sgd_decays_matrices_and_spares_vectors():
    weight, bias = stepped(optimizer="sgd", weight_decay=0.05, clip_norm=None)
    np.testing.assert_allclose(weight, W - 0.1 * 0.05 * W - 0.1 * GW, **EQUAL)
    np.testing.assert_allclose(bias, B - 0.1 * GB, **EQUAL)


@pytest.mark.parametrize("clip_norm", [0.25, 0.9, 5.0])
def test_clipping_is_by_the_global_norm(clip_norm):
    weight, bias = stepped(optimizer="sgd", weight_decay=0, clip_norm=clip_norm)
    norm = math.sqrt((GW**2).sum() + (GB**2).sum())  # 0.953...
    factor = min(1, clip_norm / norm)
    np.testing.assert_allclose(weight, W - 0.1 * factor * GW, **EQUAL)
    np.testing.assert_allclose(bias, B - 0.1 * factor * GB, **EQUAL)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_row_that_is_looked_up_twice_counts_as_one_in_the_norm(jit_compile):
    table = keras.Variable(np.zeros((3, 1), "float32"))
    rows = tf.IndexedSlices(tf.constant([[3.0], [1.0], [4.0]]), tf.constant([2, 0, 2]), tf.constant([3, 1]))
    config = TrainingConfig(**STEADY, optimizer="sgd", weight_decay=0, clip_norm=5.0, jit_compile=jit_compile)
    make_optimizer(config, STEPS).apply([rows], [table])
    np.testing.assert_allclose(table.numpy(), -np.array([[1], [0], [7]]) * 0.5 / np.sqrt(1 + 7**2), **EQUAL)


@pytest.mark.parametrize("clip_norm", [None, 1e9])
@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_a_row_that_is_looked_up_often_is_updated_as_in_a_dense_gradient(name, clip_norm):
    found = []
    for dense in (False, True):
        table = keras.Variable(np.ones((3, 1), "float32"))
        optimizer = make_optimizer(TrainingConfig(**STEADY, optimizer=name, clip_norm=clip_norm), STEPS)
        for values in ([[1.0], [2.0], [-2.5], [1.0]], [[1.0], [1.0], [1.0], [1.0]]):
            grad = tf.IndexedSlices(tf.constant(values), tf.constant([0, 0, 0, 1]), tf.constant([3, 1]))
            optimizer.apply([tf.convert_to_tensor(grad) if dense else grad], [table])
        found.append(table.numpy())
    np.testing.assert_allclose(*found, **EQUAL)


def test_a_clip_norm_of_zero_is_no_clipping():
    assert np.array_equal(
        stepped(optimizer="sgd", weight_decay=0, clip_norm=0)[0],
        stepped(optimizer="sgd", weight_decay=0, clip_norm=None)[0],
    )


# === Checked settings ===
NAN = float("nan")


@pytest.mark.parametrize(
    "name, value",
    [
        ("optimizer", "adamax"),
        ("schedule", "exponential"),
        ("dtype", "float16"),
        ("epochs", 0),
        ("epochs", 1.5),
        ("batch_size", 0),
        ("batch_size", "16"),
        ("logging_steps", 0),
        ("checkpoint_steps", -1),
        ("decay_from_epoch", 0),
        ("learning_rate", 0),
        ("learning_rate", -1e-3),
        ("learning_rate", NAN),
        ("learning_rate", "fast"),
        ("weight_decay", -0.1),
        ("weight_decay", NAN),
        ("momentum", -0.1),
        ("momentum", 1.5),
        ("warmup_steps", -1),
        ("clip_norm", -1.0),
        ("clip_norm", NAN),
        ("early_stopping_patience", -1),
        ("early_stopping_patience", 1.5),
        ("seed", -1),
        ("seed", 2**32),
        ("decay_rate", NAN),
        ("dtype", "float64"),
    ],
)
def test_impossible_settings_are_input_errors(name, value):
    with pytest.raises(InputError, match=name):
        TrainingConfig(**{name: value})


def test_numbers_of_numpy_are_settings_that_json_can_hold():
    config = TrainingConfig(epochs=np.int64(2), learning_rate=np.float32(0.5), seed=np.uint32(3))
    assert json.loads(json.dumps(dataclasses.asdict(config)))["epochs"] == 2
    assert (config.learning_rate, config.seed, config.max_steps) == (0.5, 3, None)


def test_resume_needs_a_folder():
    with pytest.raises(InputError, match="output_dir"):
        TrainingConfig(resume=True)


def test_momentum_follows_its_equation():
    """Document 000's momentum (Polyak 1964): v = m v - lr g, w = w + v, on a valley of two widths."""
    curvature = np.array([1.0, 25.0])
    config = TrainingConfig(
        optimizer="sgd", momentum=0.9, learning_rate=0.02, schedule="constant", warmup_steps=0,
        weight_decay=0.0, clip_norm=None,
    )  # fmt: skip
    variable = keras.Variable(np.array([3.0, -2.0], "float32"))
    optimizer = make_optimizer(config, steps_per_epoch=10)
    w, v = np.array([3.0, -2.0]), np.zeros(2)
    for _ in range(12):
        optimizer.apply([keras.ops.convert_to_tensor(curvature * variable.numpy(), "float32")], [variable])
        v = 0.9 * v - 0.02 * curvature * w
        w = w + v
        np.testing.assert_allclose(variable.numpy(), w, rtol=1e-4, atol=1e-6)
    assert np.abs(w - np.array([3.0, -2.0]) * (1 - 0.02 * curvature) ** 12).max() > 0.1  # not plain descent
