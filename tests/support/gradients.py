"""Gradients against finite differences: any scalar function of Keras variables, models and layers alike."""

import contextlib

import keras
import numpy as np
import tensorflow as tf


@contextlib.contextmanager
def float64():
    """What is built within computes in float64, where finite differences are good to eight digits or so."""
    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        yield
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(policy)


def check_gradients(loss, weights, *, directions=1, step=None, tolerance=None, seed=0):
    """Compares TensorFlow's gradient of the scalar `loss()` by each of `weights` with central differences.

    For a random direction d over all entries of a weight w: <gradient, d> against
    (loss(w + s d) - loss(w - s d)) / 2s, which a single wrong entry spoils. The difference may be `tolerance`
    times the gradient's norm; step s and tolerance are 1e-5 and 1e-6 for float64 weights (build in `float64()`),
    1e-2 and 2e-2 for float32.
    A weight that the loss does not depend on is an error, as its zeros would agree with anything.
    """
    rng = np.random.default_rng(seed)
    with tf.GradientTape() as tape:
        value = loss()
    for weight, gradient in zip(weights, tape.gradient(value, [w.value for w in weights]), strict=True):
        assert gradient is not None, f"{weight.path}: no gradient"
        gradient, start = tf.convert_to_tensor(gradient).numpy(), weight.numpy()
        exact = start.dtype == np.float64
        s, tol = step or (1e-5 if exact else 1e-2), tolerance or (1e-6 if exact else 2e-2)
        norm = np.linalg.norm(gradient)
        assert norm > 0, f"{weight.path}: the gradient is zero everywhere"
        for _ in range(directions):
            d = rng.normal(size=start.shape).astype(start.dtype)
            sides = []
            for sign in (1, -1):
                weight.assign(start + sign * s * d)
                sides.append(float(loss()))
            weight.assign(start)
            numeric, analytic = (sides[0] - sides[1]) / (2 * s), float(np.sum(gradient * d))
            np.testing.assert_allclose(analytic, numeric, rtol=0, atol=tol * norm, err_msg=weight.path)


def cross_entropy(model, x, y):
    """Mean of -log p(y) under the logits of `model(x)`: the loss for most checks."""
    return tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(y, model(x), from_logits=True))


def value_and_gradients(layer, x, upstream):
    """layer(x), and the gradients of sum(layer(x) * upstream) by x and by the layer's weights, if it has any."""
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
        total = tf.reduce_sum(tf.cast(y, tf.float32) * upstream)
    weights = [weight.value for weight in getattr(layer, "trainable_weights", [])]
    return [y, *tape.gradient(total, [x, *weights])]
