"""Embeddings that stay as they are for the first epochs, and then learn."""

import keras
import numpy as np
import pytest

import lm_keras as lk
from lm_keras.utils.keras_internals import flatten_layers

MATRIX = np.random.default_rng(0).normal(size=(30, 4)).astype("float32")
MATRIX[0] = -0.0
IDS = np.random.default_rng(1).integers(1, 30, (24, 5)).astype("int32")
LABELS = (IDS[:, 0] % 2).astype("int32")


def classifier(**arguments):
    return lk.models.build_cnn_classifier(
        30, num_classes=2, num_filters=3, kernel_sizes=(2,), dropout=0.0, embedding_matrix=MATRIX, seed=0, **arguments
    )


def compiled(model, **arguments):
    # Weight decay changes weights without any gradient.
    optimizer = keras.optimizers.AdamW(0.05, weight_decay=0.1)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, **arguments)
    return model


class Watch(keras.callbacks.Callback):
    """The embedding at the end of each epoch."""

    def on_train_begin(self, logs=None):
        self.seen = []

    def on_epoch_end(self, epoch, logs=None):
        (layer,) = (layer for layer in flatten_layers(self.model) if layer.name == "embedding")
        self.seen.append(layer.get_weights()[0])


def train(model, epochs, *callbacks, **options):
    watch = Watch()
    model.fit(IDS, LABELS, 4, epochs, verbose=0, shuffle=False, callbacks=[*callbacks, watch], **options)
    return [table.tobytes() == MATRIX.tobytes() for table in watch.seen]


@pytest.mark.parametrize("options", [{}, {"jit_compile": True}, {"steps_per_execution": 3}])
def test_the_embedding_learns_after_the_first_epochs(options):
    model = compiled(classifier(), **options)
    assert train(model, 4, lk.training.FrozenFor(2)) == [True, True, False, False]


def test_the_other_weights_learn_as_with_an_embedding_that_is_not_trained():
    frozen, static = compiled(classifier()), compiled(classifier(train_embeddings=False))
    start = static.get_weights()
    assert train(frozen, 2, lk.training.FrozenFor(2)) == train(static, 2) == [True, True]
    for ours, expected, old in zip(frozen.get_weights(), static.get_weights(), start, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-7)
        assert np.array_equal(ours, MATRIX) or not np.array_equal(ours, old)


def test_the_first_steps_are_not_larger_than_the_learning_rate():
    model = compiled(classifier())
    model.optimizer.weight_decay = 0.0
    train(model, 3, lk.training.FrozenFor(3))
    model.fit(IDS, LABELS, 24, verbose=0)
    assert 0 < np.abs(model.get_layer("embedding").get_weights()[0] - MATRIX).max() < 0.06


def test_several_fits_of_one_model():
    model = compiled(classifier())
    assert train(model, 2, lk.training.FrozenFor(5)) == [True, True]
    assert train(model, 4, lk.training.FrozenFor(3), initial_epoch=2) == [True, False]
    model.get_layer("embedding").set_weights([MATRIX])
    assert train(model, 1) == [False]

    def stop(epoch, logs=None):
        raise KeyboardInterrupt

    model.get_layer("embedding").set_weights([MATRIX])
    with pytest.raises(KeyboardInterrupt):
        train(model, 2, lk.training.FrozenFor(5), keras.callbacks.LambdaCallback(on_epoch_end=stop))
    two = lk.training.FrozenFor(1), lk.training.FrozenFor(2, "conv_0")
    kernel = model.get_layer("conv_0").get_weights()[0]
    assert train(model, 2, *two) == [True, False]
    assert np.array_equal(model.get_layer("conv_0").get_weights()[0], kernel)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_a_layer_with_a_constraint_and_an_optimizer_that_scales_the_loss(policy):
    x = np.random.default_rng(4).normal(size=(32, 3)).astype("float32")
    unit = keras.constraints.UnitNorm(axis=0)
    model = keras.Sequential([
        keras.Input((3,), dtype="float32"),
        keras.layers.Dense(4, kernel_constraint=unit, dtype=policy, name="held"),
        keras.layers.Dense(1, dtype=policy),
    ], name=policy)  # fmt: skip
    optimizer = keras.optimizers.AdamW(0.05, weight_decay=0.1)
    scaled = keras.optimizers.LossScaleOptimizer(optimizer) if policy != "float32" else optimizer
    model.compile(scaled, "mse")
    kernel, seen = model.get_layer("held").kernel, []
    kernel.assign(unit(kernel))
    before, keep = kernel.numpy(), keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: seen.append(kernel.numpy()))
    model.fit(x, x[:, 0], 8, 4, verbose=0, callbacks=[lk.training.FrozenFor(2, "held"), keep])
    assert len(seen) == 4
    for epoch, values in enumerate(seen):
        np.testing.assert_allclose(np.linalg.norm(values, axis=0), 1, rtol=1e-5)
        assert np.abs(values - before).max() < 1e-6 if epoch < 2 else np.abs(values - before).max() > 1e-4
    assert kernel.constraint is unit


def test_compiling_again_ends_it_after_a_run_that_was_interrupted():
    model = compiled(classifier())

    def stop(epoch, logs=None):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(model, 2, lk.training.FrozenFor(5), keras.callbacks.LambdaCallback(on_epoch_end=stop))
    assert train(compiled(model), 1) == [False]


def test_accumulated_updates_are_taken_back():
    model = compiled(classifier())
    model.compile(keras.optimizers.AdamW(0.05, weight_decay=0.1, gradient_accumulation_steps=2), model.loss)
    assert train(model, 4, lk.training.FrozenFor(2)) == [True, True, False, False]


def test_bad_arguments():
    with pytest.raises(lk.InputError, match="epochs is 0"):
        lk.training.FrozenFor(0)
    for model, layer in ((classifier(), "nothing"), (classifier(train_embeddings=False), "embedding")):
        with pytest.raises(lk.InputError, match=f"no layer '{layer}' has weights to train; give one of: .*conv_0"):
            train(compiled(model), 1, lk.training.FrozenFor(1, layer))


# === fit ===


def run(folder, die_at=None, **more):
    """4 epochs of which 2 are frozen; dies after that step."""

    def die(batch, logs=None):
        if int(watch.model.optimizer.iterations) == die_at:
            raise KeyboardInterrupt

    words = [f"w{i}" for i in range(26)]
    texts = [" ".join(np.random.default_rng(2).choice(words, 150))]
    tokenizer = lk.text.WordTokenizer.train([" ".join(words)], language=None)
    windows = lk.data.lm_windows(texts, tokenizer, length=5, batch_size=4, seed=3, contiguous=True)
    matrix = MATRIX[: tokenizer.vocab_size]
    model = lk.models.build_lstm_lm(
        tokenizer.vocab_size, embedding_matrix=matrix, hidden_dim=3, num_layers=1, dropout=0.2, seed=1
    )
    config = lk.TrainingConfig(
        epochs=4,
        learning_rate=0.05,
        warmup_steps=0,
        checkpoint_steps=2,
        output_dir=folder,
        weight_decay=0.1,
        **more,
    )
    watch = Watch()
    callbacks = [lk.training.FrozenFor(2), watch, keras.callbacks.LambdaCallback(on_train_batch_end=die)]
    try:
        lk.fit(model, windows, config=config, callbacks=callbacks)
    except KeyboardInterrupt:
        assert die_at
    return model, [table.tobytes() == matrix.tobytes() for table in watch.seen], int(windows.cardinality())


def test_a_run_that_is_resumed_ends_as_one_undisturbed(tmp_path):
    undisturbed, seen, steps = run(tmp_path / "a")
    assert seen == [True, True, False, False] and steps > 4
    run(tmp_path / "b", die_at=steps + 3)  # within the second epoch, then within the third
    run(tmp_path / "b", die_at=2 * steps + 3, resume=True)
    resumed, seen, _ = run(tmp_path / "b", resume=True)
    for ours, expected in zip(resumed.get_weights(), undisturbed.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, expected)
