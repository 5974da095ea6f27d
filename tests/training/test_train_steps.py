"""Truncated back-propagation: the state goes on from batch to batch, the gradient does not."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import lm_keras as lk
from lm_keras.training import carry_state

V, B, T = 9, 2, 3
SIZES = {"embedding_dim": 4, "hidden_dim": 5, "num_layers": 2}
PLAIN = {"optimizer": "sgd", "weight_decay": 0, "clip_norm": None, "schedule": "constant", "warmup_steps": 0}


def model_with_large_weights():
    model = lk.models.build_lstm_lm(V, **SIZES)
    rng = np.random.default_rng(3)
    model.set_weights([rng.normal(0, 0.7, w.shape).astype("float32") for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def windows():
    texts = ["a b c d e f", "f e a a b c d d f a", "c a b e"]
    tokenizer = lk.text.WordTokenizer.train(texts, language=None)
    assert tokenizer.vocab_size == V
    return lk.data.lm_windows(texts, tokenizer, T, B, contiguous=True)


def reference(model, batches, epochs, learning_rate, truncated=True):
    """Plain gradient descent over the step view; with truncated=False through all batches of an epoch at once."""
    losses, weights = [], model.trainable_weights
    for _ in range(epochs):
        state, epoch = model.initial_state(B), []
        groups = [[batch] for batch in batches] if truncated else [batches]
        for group in groups:
            with tf.GradientTape() as tape:
                total = 0.0
                for x, y in group:
                    logits, state = model.step(x, state)
                    loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(y, logits, from_logits=True))
                    epoch.append(float(loss))
                    total += loss
            for weight, gradient in zip(weights, tape.gradient(total, weights), strict=True):
                weight.assign_sub(learning_rate * tf.convert_to_tensor(gradient))
        losses.append(float(np.mean(epoch)))
    return losses


def test_training_equals_a_plain_loop_over_the_step_view(windows):
    batches = [(x.numpy(), y.numpy()) for x, y in windows]
    assert len(batches) == 4
    trained, expected = model_with_large_weights(), model_with_large_weights()
    config = lk.TrainingConfig(epochs=3, learning_rate=0.5, **PLAIN)
    history = lk.fit(trained, windows, config=config)
    losses = reference(expected, batches, epochs=3, learning_rate=0.5)
    np.testing.assert_allclose(history.history["loss"], losses, rtol=1e-5)
    for a, b in zip(trained.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_the_gradient_ends_at_the_start_of_the_batch(windows):
    batches = [(x.numpy(), y.numpy()) for x, y in windows][:2]
    start = model_with_large_weights().get_weights()
    carried, through = model_with_large_weights(), model_with_large_weights()
    net = carry_state(carried, B)
    net(batches[0][0])  # now the state is that after the first batch
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(
            keras.losses.sparse_categorical_crossentropy(batches[1][1], net(batches[1][0]), from_logits=True)
        )
    gradients = tape.gradient(loss, carried.trainable_weights)
    with tf.GradientTape(persistent=True) as tape:
        _, state = through.step(batches[0][0], through.initial_state(B))
        cut, _ = through.step(batches[1][0], [tf.stop_gradient(part) for part in state])
        full, _ = through.step(batches[1][0], state)
        cut, full = (
            tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(batches[1][1], logits, from_logits=True))
            for logits in (cut, full)
        )
    assert float(loss) == pytest.approx(float(cut), rel=1e-6)
    differs = []
    for weight, a in zip(through.trainable_weights, gradients, strict=True):
        truncated, whole = (tf.convert_to_tensor(tape.gradient(value, weight)).numpy() for value in (cut, full))
        np.testing.assert_allclose(tf.convert_to_tensor(a).numpy(), truncated, rtol=1e-4, atol=1e-6)
        differs.append(np.abs(whole - truncated).max())
    assert max(differs) > 1e-3  # else this test could not tell one from the other
    assert all(np.array_equal(a, b) for a, b in zip(start, carried.get_weights(), strict=True))


def test_state_after_a_batch_is_the_start_of_the_next():
    model = model_with_large_weights()
    net = carry_state(model, B)
    x = np.random.default_rng(0).integers(0, V, (B, 10)).astype("int32")
    whole = model(x).numpy()
    parts = np.concatenate([net(x[:, start:end]).numpy() for start, end in ((0, 4), (4, 5), (5, 10))], 1)
    np.testing.assert_allclose(parts, whole, rtol=1e-5, atol=1e-6)
    again = net(x).numpy()
    assert np.abs(again - whole).max() > 1e-3
    net.reset_state()
    np.testing.assert_allclose(net(x).numpy(), whole, rtol=1e-5, atol=1e-6)


def test_carried_model_shares_the_weights_and_trains_none_of_its_state():
    model = model_with_large_weights()
    net = carry_state(model, B)
    assert [id(v) for v in net.trainable_weights] == [id(v) for v in model.trainable_weights]
    assert len(net.non_trainable_weights) == 4  # h and c of two layers


def test_training_starts_each_epoch_without_a_state(windows):
    # With a learning rate of almost nothing, all epochs have one loss if, and only if, they start alike.
    config = lk.TrainingConfig(epochs=3, **{**PLAIN, "learning_rate": 1e-12})
    losses = lk.fit(model_with_large_weights(), windows, config=config).history["loss"]
    assert losses[0] == losses[1] == losses[2]


def test_validation_leaves_the_carried_state_of_training_alone(windows):
    config = lk.TrainingConfig(epochs=2, learning_rate=0.5, **PLAIN)
    without, with_validation = model_with_large_weights(), model_with_large_weights()
    lk.fit(without, windows, config=config)
    history = lk.fit(with_validation, windows, windows, config=config)
    assert all(
        np.array_equal(a, b) for a, b in zip(without.get_weights(), with_validation.get_weights(), strict=True)
    )
    assert history.history["val_loss"][-1] == lk.evaluate(with_validation, windows)["loss"]
