"""Task heads on BERT and on other encoders: equations, padding, losses, training by the harness, files."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from keras import layers, ops

import lm_keras as lk
from lm_keras.errors import InputError
from lm_keras.models import answer_span, build_bert, regressor, sequence_classifier, token_classifier

V, D, T, C = 20, 8, 6, 3
LENGTHS = np.array([6, 4, 1, 3])
EQUAL = {"rtol": 1e-5, "atol": 1e-6}
HEADS = {
    "sequence": lambda encoder, **options: sequence_classifier(encoder, C, **options),
    "token": lambda encoder, **options: token_classifier(encoder, C, **options),
    "span": answer_span,
    "value": regressor,
}


def texts(extra=0, seed=0):
    """The encoder's inputs; `extra` columns of padding."""
    mask = (np.arange(T + extra) < LENGTHS[:, None]).astype("int32")
    ids = np.random.default_rng(seed).integers(1, V, mask.shape).astype("int32")
    return {"token_ids": ids * mask, "segment_ids": mask * (np.arange(T + extra) > 2), "padding_mask": mask}


X = {name: array.astype("int32") for name, array in texts().items()}


def labels(task, seed=1):
    rng, ends = np.random.default_rng(seed), LENGTHS - 1
    if task == "token":
        return np.where(X["padding_mask"] > 0, X["token_ids"] % C, -1)
    return {
        "sequence": np.array([0, 1, 2, 1], "int32"),
        "span": {"start": (ends // 2).astype("int32"), "end": ends.astype("int32")},
        "value": rng.normal(size=4).astype("float32"),
    }[task]


def encoder(**options):
    sizes = {"max_length": 16, "hidden_dim": D, "num_layers": 1, "num_heads": 2, "dropout": 0.0, "seed": 0}
    return build_bert(V, **{**sizes, **options})


def plain_encoder():
    """An encoder of one input tensor and one output tensor."""
    ids = keras.Input((None,), dtype="int32", name="ids")
    return keras.Model(ids, layers.LSTM(D, return_sequences=True)(layers.Embedding(V, D)(ids)), name="plain")


def quick_encoder(seed=0):
    """Inputs and outputs like BERT's, in three layers."""
    keras.utils.set_random_seed(seed)
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in X}
    x = layers.Dense(D, "tanh")(layers.Embedding(V, D)(inputs["token_ids"]))
    x += layers.Embedding(2, D)(inputs["segment_ids"])
    outputs = {"sequence_output": x, "pooled_output": layers.Dense(D, "tanh")(x[:, 0])}
    return keras.Model(inputs, outputs, name="quick")


def array(tensor):
    return keras.tree.map_structure(ops.convert_to_numpy, tensor)


def head(model, name):
    """The dense layer on top: kernel and bias, the bias made different from zero."""
    layer = model.get_layer(name)
    layer.bias.assign(np.arange(layer.bias.shape[0]) / 7 + 0.1)
    return layer.kernel.numpy().astype("float64"), layer.bias.numpy()


@pytest.fixture(scope="module")
def bert():
    return encoder()


@pytest.fixture(scope="module")
def encoded(bert):
    return array(bert(X))


# === What a head computes ===
def test_the_sequence_head_is_a_dense_layer_on_one_vector_a_text(bert, encoded):
    sequence, mask = encoded["sequence_output"], X["padding_mask"][..., None]
    vectors = {
        None: encoded["pooled_output"],
        "first": sequence[:, 0],
        "mean": (sequence * mask).sum(1) / LENGTHS[:, None],
    }
    for pooling, vector in vectors.items():
        model = sequence_classifier(bert, C, pooling=pooling)
        kernel, bias = head(model, "logits")
        assert model.output_shape == (None, C)
        np.testing.assert_allclose(array(model(X)), vector @ kernel + bias, **EQUAL)


def test_the_token_head_is_a_dense_layer_on_every_token(bert, encoded):
    model = token_classifier(bert, C)
    kernel, bias = head(model, "token_logits")
    assert model.output_shape == (None, None, C)
    np.testing.assert_allclose(array(model(X)), encoded["sequence_output"] @ kernel + bias, **EQUAL)


def test_the_span_head_scores_start_and_end_of_all_but_padding(bert, encoded):
    model = answer_span(bert)
    kernel, bias = head(model, "span")
    real, expected, found = X["padding_mask"] > 0, encoded["sequence_output"] @ kernel + bias, array(model(X))
    assert list(found) == ["start", "end"]
    for i, name in enumerate(found):
        np.testing.assert_allclose(found[name][real], expected[..., i][real], **EQUAL)
        shares = array(ops.softmax(found[name]))
        assert (shares[~real] == 0).all()
        np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-6)


def test_the_regression_head_is_one_number_a_text(bert, encoded):
    model = regressor(bert)
    kernel, bias = head(model, "value")
    assert model.output_shape == (None,)
    np.testing.assert_allclose(array(model(X)), (encoded["pooled_output"] @ kernel + bias)[:, 0], **EQUAL)


@pytest.mark.parametrize("task", HEADS)
def test_padding_changes_no_answer(bert, task):
    options = {"pooling": "mean"} if task in ("sequence", "value") else {}
    model = HEADS[task](bert, **options)
    wider = {name: np.pad(part, ((0, 0), (0, 5))) for name, part in X.items()}
    narrow, wide = keras.tree.flatten(array(model(X))), keras.tree.flatten(array(model(wider)))
    for one, other in zip(narrow, wide, strict=True):
        if task in ("token", "span"):
            one, other = one[X["padding_mask"] > 0], other[:, :T][X["padding_mask"] > 0]
        np.testing.assert_allclose(other, one, **EQUAL)


def test_any_functional_encoder_will_do():
    base = plain_encoder()
    ids = X["token_ids"]
    vectors = array(base(ids))
    for pooling, vector in ((None, vectors[:, 0]), ("mean", vectors.mean(1))):
        model = sequence_classifier(base, C, pooling=pooling)
        kernel, bias = head(model, "logits")
        np.testing.assert_allclose(array(model(ids)), vector @ kernel + bias, **EQUAL)
    assert array(answer_span(base)(ids))["end"].shape == ids.shape
    without_pooler = encoder(pooler=False)
    model = sequence_classifier(without_pooler, C)
    kernel, bias = head(model, "logits")
    expected = array(without_pooler(X))["sequence_output"][:, 0] @ kernel + bias
    np.testing.assert_allclose(array(model(X)), expected, **EQUAL)


def test_the_encoder_is_one_shared_layer_and_can_be_frozen():
    base = encoder()
    model = sequence_classifier(base, C)
    assert model.get_layer("bert") is base
    assert {id(w) for w in base.weights} < {id(w) for w in model.weights}
    base.trainable = False
    assert {w.path.split("/")[-2] for w in model.trainable_weights} == {"logits"}


def test_dropout_acts_in_training_alone(bert):
    one, other = (sequence_classifier(bert, C, dropout=rate, seed=3) for rate in (0.5, 0.0))
    np.testing.assert_array_equal(array(one(X)), array(other(X)))
    assert np.abs(array(one(X, training=True)) - array(one(X))).max() > 1e-4


# === Trained by the harness, and by Keras alone ===
MEASURES = {
    "sequence": {"accuracy", "f1", "macro_f1"},
    "token": {"accuracy", "f1", "macro_f1"},
    "span": {"exact_match", "start_accuracy", "end_accuracy"},
    "value": {"mae", "r2"},
}


@pytest.mark.parametrize("task", HEADS)
def test_every_head_learns_a_batch_by_heart_and_saves(task, tmp_path):
    model, y = HEADS[task](quick_encoder(), dropout=0.0, seed=0), labels(task)
    config = lk.TrainingConfig(epochs=25, batch_size=4, learning_rate=0.1, warmup_steps=0)
    seen = []
    callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs["val_loss"]))
    history = lk.fit(model, (X, y), (X, y), config, callbacks=[callback]).history
    assert seen == history["val_loss"]  # a callback is told what the epoch was worth
    result = lk.evaluate(model, (X, y))
    assert set(result) == {"loss", "examples"} | MEASURES[task]
    assert result["examples"] == (LENGTHS.sum() if task == "token" else len(LENGTHS))
    for name in ("loss", *MEASURES[task]):
        assert history[f"val_{name}"][-1] == pytest.approx(result[name], rel=1e-5)
    assert result["loss"] < 0.1 * history["val_loss"][0]
    assert result[{"span": "exact_match", "value": "r2"}.get(task, "accuracy")] > 0.95

    model.save(tmp_path / "x.keras")
    loaded = keras.models.load_model(tmp_path / "x.keras")
    for one, other in zip(*(keras.tree.flatten(array(m(X))) for m in (loaded, model)), strict=True):
        np.testing.assert_array_equal(one, other)
    assert lk.evaluate(loaded, (X, y)).keys() == result.keys()  # the file tells the task, too
    assert json.dumps(model.get_config())


@pytest.mark.parametrize("task", ["sequence", "span"])
def test_a_run_of_a_head_is_taken_up_again(task, tmp_path):
    # Keras keeps sums of its own for the accuracy and for each of several losses; the checkpoint needs them all.
    config = lk.TrainingConfig(epochs=1, batch_size=2, output_dir=tmp_path / "run")
    model, other = (HEADS[task](quick_encoder(seed), seed=seed) for seed in (0, 1))
    history = lk.fit(model, (X, labels(task)), config=config).history
    assert "accuracy" in history or task == "span"
    assert lk.fit(other, (X, labels(task)), config=dataclasses.replace(config, resume=True)).history == history
    for one, same in zip(other.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, same)


def test_the_loss_of_a_span_is_keras_sum_of_both():
    model = answer_span(quick_encoder())
    model.compile(
        "adam", dict.fromkeys(("start", "end"), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    )
    ours = lk.evaluate(model, (X, labels("span")))["loss"]
    assert model.evaluate(X, labels("span"), verbose=0, return_dict=True)["loss"] == pytest.approx(ours, rel=1e-5)


def test_bert_with_a_head_saves_and_comes_back(tmp_path, bert):
    model = sequence_classifier(bert, C)
    model.save(tmp_path / "x.keras")
    loaded = keras.models.load_model(tmp_path / "x.keras")
    np.testing.assert_array_equal(array(loaded(X)), array(model(X)))
    assert loaded.get_layer("bert").get_config() == bert.get_config()


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda bert: sequence_classifier(bert, 1), "num_classes is 1"),
        (lambda bert: token_classifier(bert, 2.0), "num_classes is 2.0"),
        (lambda bert: sequence_classifier(bert, 2, dropout=1.0), "dropout is 1.0"),
        (lambda bert: regressor(bert, pooling="max"), "pooling is 'max'"),
        (lambda bert: regressor("bert"), "got str"),
        (
            lambda _: sequence_classifier(lk.models.build_rnn_lm(9, embedding_dim=4, hidden_dim=4), 2),
            "language model",
        ),
        (lambda bert: token_classifier(sequence_classifier(bert, 2), 2), "no sequence_output"),
    ],
)
def test_impossible_heads_are_input_errors(bert, make, says):
    with pytest.raises(InputError, match=says) as error:
        make(bert)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float32"])
def test_a_row_of_padding_alone_gets_finite_logits_in_every_precision(policy):
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy(policy)
        encoder = lk.models.build_bert(9, max_length=6, hidden_dim=8, num_layers=1, num_heads=2, seed=0)
        model = lk.models.answer_span(encoder)
    finally:
        keras.config.set_dtype_policy(before)
    ids = np.ones((3, 6), "int32")
    mask = np.array([[1] * 6, [1, 1, 0, 0, 0, 0], [0] * 6], "int32")
    x = {"token_ids": ids, "segment_ids": 0 * ids, "padding_mask": mask}
    out = {name: np.asarray(keras.ops.cast(part, "float32")) for name, part in model(x).items()}
    for logits in out.values():
        assert np.isfinite(logits).all()
        probabilities = np.asarray(keras.ops.softmax(logits))
        np.testing.assert_allclose(probabilities[2], 1 / 6, rtol=1e-5)
        assert not probabilities[1, 2:].any()
    y = {name: np.zeros(3, "int32") for name in out}
    model.compile("sgd", {name: lk.losses.CrossEntropy() for name in out})
    assert np.isfinite(model.evaluate(x, y, verbose=0)).all()
    assert np.isfinite(lk.evaluate(model, (x, y))["loss"])
