"""Less memory for the same training: gradients of several batches for one update, and blocks computed twice."""

import gc
import shutil
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

import lm_keras as lk
from lm_keras.errors import InputError
from lm_keras.layers.blocks import TransformerBlock
from lm_keras.training import TrainingConfig, make_optimizer

VOCAB, LENGTH = 50, 16
IDS = np.random.default_rng(0).integers(0, VOCAB, (24, LENGTH + 1)).astype("int32")


def batches(size):
    return tf.data.Dataset.from_tensor_slices((IDS[:, :-1], IDS[:, 1:])).batch(size)


def gpt(**changes):
    return lk.models.build_gpt2(
        VOCAB, **{"max_length": LENGTH, "hidden_dim": 16, "num_layers": 2, "num_heads": 2, "seed": 0, **changes}
    )


@pytest.fixture(scope="module")
def model():
    model = gpt(dropout=0.2)
    return model, [v.numpy() for v in model.variables]


def trained(model, size, callbacks=(), **settings):
    """The weights of `model` after some epochs from its first weights and seeds on, and the losses."""
    model, start = model
    for variable, value in zip(model.variables, start, strict=True):
        variable.assign(value)
    config = TrainingConfig(**{"epochs": 2, "warmup_steps": 1, "clip_norm": 0.05, **settings})
    history = lk.fit(model, batches(size), config=config, callbacks=callbacks)
    return model.get_weights(), history.history["loss"]


def most(a, b):
    return max(np.abs(x - y).max() for x, y in zip(a, b, strict=True))


# === Accumulation ===
@pytest.fixture(scope="module")
def dry():
    model = lk.models.build_feedforward_lm(VOCAB, context_length=2, embedding_dim=6, hidden_dim=(9,), seed=0)
    return model, [v.numpy() for v in model.variables]


@pytest.mark.parametrize("settings", [{"optimizer": "sgd", "learning_rate": 0.1}, {"optimizer": "adamw"}])
def test_accumulated_batches_equal_one_of_their_size(dry, settings):
    whole, losses = trained(dry, 12, **settings)
    parts, losses_of_parts = trained(dry, 3, accumulate_steps=4, **settings)
    assert most(whole, parts) < 1e-6
    assert most(whole, dry[1]) > 1e-4
    np.testing.assert_allclose(losses_of_parts, losses, rtol=1e-5)


def test_rates_count_updates():
    found = []
    for accumulate, steps in ((1, 10), (3, 30)):
        config = TrainingConfig(epochs=3, warmup_steps=3, accumulate_steps=accumulate)
        optimizer = make_optimizer(config, steps)
        rates = []
        for batch in range(3 * steps):
            optimizer._iterations.assign(batch)
            rates.append(float(optimizer.learning_rate))
        found.append(rates[accumulate - 1 :: accumulate])  # where an update is made
    np.testing.assert_allclose(found[1], found[0], rtol=1e-6)
    config = TrainingConfig(schedule="step", epochs=4, warmup_steps=0, accumulate_steps=3, learning_rate=1.0)
    optimizer = make_optimizer(config, 10)
    optimizer._iterations.assign(20)
    assert float(optimizer.learning_rate) == 0.25  # two epochs of ten batches have ended


def test_a_run_stopped_within_an_accumulation_goes_on_to_the_same_weights(dry, tmp_path):
    settings = {"accumulate_steps": 4, "checkpoint_steps": 3, "epochs": 3, "optimizer": "adamw"}

    def keep(batch, logs):
        if batch == 2 and not (tmp_path / "stopped").exists():  # after three of four batches of an update
            shutil.copytree(tmp_path / "run", tmp_path / "stopped")

    seen = keras.callbacks.LambdaCallback(on_train_batch_end=keep)
    undisturbed, _ = trained(dry, 3, seen, output_dir=tmp_path / "run", **settings)
    resumed, _ = trained(dry, 3, output_dir=tmp_path / "stopped", resume=True, **settings)
    assert most(resumed, undisturbed) == 0


def test_more_batches_an_update_than_the_run_has_are_refused(dry):
    with pytest.raises(InputError, match="accumulate_steps is 50; it must be at most the run's 2 batches"):
        trained(dry, 24, accumulate_steps=50)
    with pytest.raises(InputError, match="accumulate_steps is 0"):
        TrainingConfig(accumulate_steps=0)


# === Recomputation ===
def test_recomputed_blocks_train_alike(model):
    # The dropout of a block draws the same numbers again: other masks in the second pass would give other gradients.
    plain, losses = trained(model, 8, epochs=1)
    again, losses_again = trained(model, 8, epochs=1, recompute=True)
    assert most(plain, again) < 1e-6
    np.testing.assert_allclose(losses_again, losses, rtol=1e-6)
    assert not any(block.recompute for block in model[0].layers if isinstance(block, TransformerBlock))


def exponentials(graph):
    """The softmax operations in a graph and in the functions it calls: one an attention, if none is done again."""
    functions = graph.as_graph_def().library.function
    nodes = [*graph.as_graph_def().node, *(node for function in functions for node in function.node_def)]
    return sum(node.op == "Softmax" for node in nodes)


def encoder():
    bert = lk.models.build_bert(VOCAB, max_length=LENGTH, hidden_dim=16, num_layers=2, num_heads=2, seed=0)
    ids = keras.Input((None,), dtype="int32")
    inputs = {"token_ids": ids, "segment_ids": keras.ops.zeros_like(ids), "padding_mask": keras.ops.ones_like(ids)}
    return keras.Model(ids, keras.layers.Dense(VOCAB)(bert(inputs)["sequence_output"]))


BUILDS = {
    "gpt2": gpt,
    "bert within a model": encoder,
}


@pytest.mark.parametrize("name", BUILDS)
def test_all_blocks_but_the_last_are_computed_twice(name):
    from lm_keras.training.train_steps import recomputing

    model, found, grads = BUILDS[name](), [], []

    def gradient(ids):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(ids, training=False) ** 2)
        return tape.gradient(loss, [v.value for v in model.trainable_variables if "pooler" not in v.path])

    for recompute in (False, True):
        with recomputing(model) if recompute else tf.name_scope("plain"):
            function = tf.function(gradient).get_concrete_function(tf.TensorSpec([2, LENGTH], tf.int32))
        found.append(exponentials(function.graph))
        grads.append(function(tf.constant(IDS[:2, :-1])))
    assert found == [2, 3]
    for plain, again in zip(*grads, strict=True):
        np.testing.assert_allclose(tf.convert_to_tensor(again), tf.convert_to_tensor(plain), rtol=1e-5, atol=1e-7)


def test_models_without_blocks_are_refused():
    lstm = lk.models.build_lstm_lm(VOCAB, embedding_dim=4, hidden_dim=4, num_layers=1)
    with pytest.raises(InputError, match="no two transformer blocks to compute again; leave recompute out"):
        lk.fit(lstm, batches(8), config=TrainingConfig(recompute=True))


def test_a_trained_model_can_be_freed():
    # What looks at the batches is called by TensorFlow, whose default graph keeps such functions for ever.
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    lk.fit(model, (np.ones((6, 4)), np.arange(6) % 2), (np.ones((2, 4)), np.arange(2)), TrainingConfig(epochs=1))
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
