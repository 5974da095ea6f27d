"""The layers of this library that are faster than Keras' own give what Keras' own give: values and gradients."""

import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_tasks import policy

import lm_keras as lk
from lm_keras import losses as lk_losses
from lm_keras.layers import activations, fused_loss, recurrent
from lm_keras.layers.fused_loss import linear_cross_entropy


def draw(*shape, seed=0):
    return tf.constant(np.random.default_rng(seed).normal(size=shape), tf.float32)


def assert_close(ours, theirs, tolerance=2e-6):
    for mine, other in zip(tf.nest.flatten(ours), tf.nest.flatten(theirs), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=tolerance)


def graph(f, **options):
    return tf.function(f, autograph=False, **options)


@pytest.mark.parametrize(
    ("returned", "masked", "compiled"),
    [
        ("all", None, False),
        ("all", None, True),
        ("all", "bool", False),
        ("all", "bool", True),
        ("last", None, False),
        ("last", "bool", True),
        ("last", "int32", False),
        ("all of both directions", "bool", False),
        ("last of both directions", "bool", False),
    ],
)
def test_lstm_is_that_of_keras(returned, masked, compiled, monkeypatch):
    monkeypatch.setattr(recurrent, "WORTH_COMPILING", 0 if compiled else 10**9)
    both = "both" in returned
    x, states = draw(3, 7, 5), [draw(3, 4, seed=1 + i) for i in range(4 if both else 2)]
    real = np.random.default_rng(3).random((3, 7)) > [[0.4], [0.4], [2]]  # the last text has no real step
    mask = tf.cast(real, masked) if masked else None
    options = {"return_sequences": "all" in returned, "return_state": True, "use_cudnn": False}
    ours, theirs = recurrent.LSTM(4, **options), keras.layers.LSTM(4, **options)
    if both:
        ours, theirs = keras.layers.Bidirectional(ours), keras.layers.Bidirectional(theirs)
    for layer in (ours, theirs):
        layer.build(x.shape)
    ours.set_weights(theirs.get_weights())

    def run(layer):
        @graph
        def values_and_gradients():
            with tf.GradientTape() as tape:
                tape.watch([x, *states])
                out = layer(x, initial_state=states, mask=mask, training=True)
                ways = [draw(*part.shape, seed=9 + i) for i, part in enumerate(out)]
                loss = tf.add_n([tf.reduce_sum(part * way) for part, way in zip(out, ways, strict=True)])
            return out, tape.gradient(loss, [x, *states, *(v.value for v in layer.trainable_variables)])

        return values_and_gradients()

    assert_close(run(ours), run(theirs))


@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_linear_cross_entropy_is_product_then_cross_entropy(rows, biased, smoothing):
    x, bias = draw(6, 4) * 5, draw(9, seed=2) if biased else None
    table, weights = draw(9, 4, seed=1) if rows else draw(4, 9, seed=1), tf.constant([1.0, 0, 2, 0.5, 0, 1])
    labels = tf.constant([0, 8, 3, 3, 1, 5])

    def fused(x, table, bias):
        return linear_cross_entropy(x, table, bias, labels, rows, smoothing)

    def plain(x, table, bias):
        logits = tf.matmul(x, table, transpose_b=rows) + (0.0 if bias is None else bias)
        aim = (1 - smoothing) * tf.one_hot(labels, 9) + smoothing / 9
        return tf.nn.softmax_cross_entropy_with_logits(aim, logits)

    def run(f):
        arguments = [x, table, *([] if bias is None else [bias])]
        with tf.GradientTape() as tape:
            tape.watch(arguments)
            nats = f(x, table, bias)
            loss = tf.reduce_sum(nats * weights)
        return nats, tape.gradient(loss, arguments)

    assert_close(run(fused), run(plain), 1e-5)


def test_linear_cross_entropy_survives_logits_that_overflow():
    x, table = tf.constant([[1e4], [-1e4]]), tf.constant([[1.0, 2.0, -1.0]])
    nats = linear_cross_entropy(x, table, None, tf.constant([1, 1]))
    np.testing.assert_allclose(nats, [0, 3e4])


@pytest.mark.parametrize("reduction", ["mean_with_sample_weight", "sum"])
def test_the_loss_of_the_output_layer_leaves_out_what_keras_masks(reduction):
    ids = np.array([[1, 2, 3, 0, 0], [4, 5, 0, 0, 0], [1, 2, 3, 4, 5]], "int32")
    losses = []
    for head in (fused_loss.Logits, keras.layers.Dense):
        keras.utils.set_random_seed(0)
        x = keras.Input((5,), dtype="int32")
        model = keras.Model(x, head(9)(keras.layers.Embedding(9, 4, mask_zero=True)(x)))
        model.compile("sgd", lk_losses.CrossEntropy(reduction))
        losses.append([model.train_on_batch(ids, np.roll(ids, -1, 1)) for _ in range(3)])
    np.testing.assert_allclose(*losses, rtol=1e-5)


@pytest.mark.parametrize("approximate", [False, True])
def test_gelu_is_that_of_keras(approximate, monkeypatch):
    monkeypatch.setattr(activations, "WORTH_COMPILING", 0)
    layer, x, upstream = activations.Gelu(approximate), draw(5, 40) * 3, draw(5, 40, seed=1)

    def run(f):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = f(x)
        return y, tape.gradient(y, x, upstream)

    ours = graph(lambda: run(lambda x: layer(x, training=True)))()
    assert_close(ours, run(lambda x: keras.ops.gelu(x, approximate=approximate)), 5e-6)  # 1 + tanh cancels


@pytest.mark.parametrize(
    ("family", "dtype"),
    [("lstm", "float32"), ("tied lstm", "float32"), ("gpt2", "float32"), ("lstm", "mixed_bfloat16")],
)
def test_fifty_steps_give_the_losses_of_the_plain_path(family, dtype, monkeypatch):
    """Each loss within 1e-4 in float32; in mixed precision the last ones within a hundredth."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 30, (8, 12), dtype="int32")
    y = np.where(rng.random(x.shape) < 0.2, -1, np.roll(x, -1, 1)).astype("int32")
    used = []

    def losses(fast):
        if not fast:
            monkeypatch.setattr(lk_losses, "factors_of", lambda logits: None)
            monkeypatch.setattr(recurrent.LSTM, "inner_loop", keras.layers.LSTM.inner_loop)
        else:
            monkeypatch.setattr(
                lk_losses, "factors_of", lambda logits: used.append(1) or fused_loss.factors_of(logits)
            )
        if family == "gpt2":
            model = lk.models.build_gpt2(30, max_length=12, hidden_dim=16, num_layers=1, num_heads=2, seed=0)
        else:
            model = lk.models.build_lstm_lm(30, hidden_dim=16, tie_embeddings="tied" in family, seed=0)
        config = lk.TrainingConfig(epochs=50, batch_size=8, learning_rate=1e-2, warmup_steps=0, dtype=dtype)
        return lk.fit(model, (x, y), config=config).history["loss"]

    ours, plain = losses(True), losses(False)
    assert used, "the loss of the output layer was not used"
    assert plain[-1] < 0.8 * plain[0]
    if dtype == "float32":
        np.testing.assert_allclose(ours, plain, atol=1e-4)
    else:
        np.testing.assert_allclose(ours, plain, atol=1e-2 * plain[0])


def test_logits_with_an_activation_keep_it_in_the_loss():
    x, labels = draw(6, 4), tf.constant([0, 8, 3, 3, 1, 5], tf.int64)
    losses = []
    for activation in (None, "tanh"):
        ours, plain = (layer(9, activation=activation) for layer in (fused_loss.Logits, keras.layers.Dense))
        for layer in (ours, plain):
            layer.build(x.shape)
        ours.set_weights(plain.get_weights())
        mine, other = (graph(lambda of: lk_losses.CrossEntropy()(labels, of(x)))(of) for of in (ours, plain))
        np.testing.assert_allclose(mine, other, rtol=1e-6)
        losses.append(float(mine))
    assert losses[0] != losses[1]


def test_a_tied_output_of_another_precision_keeps_it_in_the_loss():
    layer = fused_loss.WordEmbedding(9, 4, reverse_dtype="float32", dtype="mixed_bfloat16")
    layer.build()
    x, labels = draw(6, 4) * 5, tf.constant([0, 8, 3, 3, 1, 5])
    fast = graph(lambda: lk_losses.CrossEntropy()(labels, layer(x, reverse=True)))()
    plain = lk_losses.CrossEntropy()(labels, layer(x, reverse=True))
    np.testing.assert_allclose(fast, plain, rtol=1e-6)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", ["mixed_float16", "mixed_bfloat16", "float16", "float64", "float32"])
def test_words_are_scored_in_the_precision_of_keras(kind, tied):
    """In mixed precision Keras casts no weight of an embedding in a model: scores are as exact as its table."""
    ours, theirs = (
        layer(9, 4, tie_weights=tied, dtype=kind)
        for layer in (fused_loss.WordEmbedding, keras.layers.ReversibleEmbedding)
    )
    for layer in (ours, theirs):
        layer.build()
    ours.set_weights([draw(*weight.shape, seed=1) for weight in ours.get_weights()])
    theirs.set_weights(ours.get_weights())
    close = {"float64": 1e-15, "float16": 1e-2}.get(kind, 1e-6)
    with policy(kind):
        x = keras.Input((None, 4), dtype=ours.compute_dtype)
        mine, other = (keras.Model(x, layer(x, reverse=True)) for layer in (ours, theirs))
    for shape in ((2, 3, 4), (0, 3, 4)):
        given = tf.cast(draw(*shape), ours.compute_dtype)
        expected = other(given)
        for scores in (mine(given), graph(lambda given=given: mine(given))()):
            assert scores.dtype == expected.dtype
            assert_close(tf.cast(scores, "float64"), tf.cast(expected, "float64"), close)


@pytest.mark.parametrize("kind", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("family", ["gpt2", "llama", "lstm", "seq2seq_transformer"])
def test_tied_models_compute_and_train_in_mixed_precision(family, kind):
    sizes = {"hidden_dim": 8, "num_layers": 1}
    kinds = {
        "gpt2": lambda: lk.models.build_gpt2(9, max_length=6, num_heads=2, seed=0, **sizes),
        "llama": lambda: lk.models.build_llama(9, max_length=6, num_heads=2, seed=0, **sizes),
        "lstm": lambda: lk.models.build_lstm_lm(9, tie_embeddings=True, seed=0, **sizes),
        "seq2seq_transformer": lambda: lk.models.build_seq2seq_transformer(
            9, max_length=6, num_heads=2, share_embeddings=True, seed=0, **sizes
        ),
    }
    ids = np.random.default_rng(0).integers(0, 9, (4, 6)).astype("int32")
    x = {"source_ids": ids, "target_ids": ids} if family == "seq2seq_transformer" else ids
    plain = kinds[family]()
    with policy(kind):
        mixed = kinds[family]()
    np.testing.assert_allclose(mixed.predict(x, verbose=0), plain.predict(x, verbose=0), atol=0.05)
    for model in (plain, mixed):
        model.compile(keras.optimizers.SGD(0.1), lk_losses.CrossEntropy())
    losses = [model.fit(x, ids, epochs=2, verbose=0).history["loss"] for model in (mixed, plain)]
    np.testing.assert_allclose(*losses, atol=0.05)


def test_compiled_with_the_loss_of_this_library_a_model_trains_in_one_operation():
    x, y = (np.random.default_rng(seed).integers(0, 9, (8, 6)) for seed in (0, 1))
    weights, losses = np.linspace(0, 2, 48).reshape(8, 6), []
    theirs = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight")
    for loss in (lk_losses.CrossEntropy(), theirs):
        model = lk.models.build_gpt2(9, max_length=6, hidden_dim=8, num_layers=1, num_heads=2, seed=0)
        model.compile(keras.optimizers.SGD(0.5), loss, metrics=["accuracy"])
        assert model.loss is loss  # what the user gives stays as it is
        history = model.fit(x, y, sample_weight=weights, batch_size=4, epochs=5, shuffle=False, verbose=0).history
        losses.append([*history["loss"], *history["accuracy"], model.evaluate(x, y, verbose=0)[0]])
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_the_factors_of_logits_are_known_in_their_graph_and_gone_with_it():
    layer = fused_loss.Logits(5)
    layer.build((None, 3))
    seen = []

    @tf.function
    def product(x):
        logits = layer(x)
        factors = fused_loss.factors_of(logits)
        seen.extend([weakref.ref(tf.compat.v1.get_default_graph()), factors is not None])
        seen.append(fused_loss.factors_of(tf.identity(logits)) is None)
        return tf.matmul(factors.x, factors.table) + factors.bias, logits

    ours, logits = product(draw(2, 3))
    np.testing.assert_allclose(ours, logits, rtol=1e-6)
    where, *others = seen
    assert others == [True, True] and fused_loss.factors_of(layer(draw(2, 3))) is None
    del product
    gc.collect()
    assert where() is None
