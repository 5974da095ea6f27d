"""Heads on encoders of others: padding that Keras' own masks mark changes nothing either."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import lm_keras as lk
from lm_keras.models import answer_span, regressor, sequence_classifier, token_classifier

V, D, T = 20, 8, 6
EQUAL = {"rtol": 1e-5, "atol": 1e-6}
ROWS = [[3, 4, 5], [1, 2, 3, 4, 5, 6], [7]]
HEADS = {
    "mean": lambda encoder: sequence_classifier(encoder, 3, pooling="mean", seed=0),
    "first": lambda encoder: sequence_classifier(encoder, 3, pooling="first", seed=0),
    "no pooler": lambda encoder: sequence_classifier(encoder, 3, seed=0),
    "number": lambda encoder: regressor(encoder, pooling="mean", seed=0),
    "tags": lambda encoder: token_classifier(encoder, 3, seed=0),
    "span": lambda encoder: answer_span(encoder, seed=0),
}


def encoder(dictionary=False):
    keras.utils.set_random_seed(1)
    ids = keras.Input((None,), dtype="int32", name="ids")
    x = layers.Bidirectional(layers.GRU(D // 2, return_sequences=True))(layers.Embedding(V, D, mask_zero=True)(ids))
    x = layers.Dense(D, "tanh")(x)
    return keras.Model(ids, {"sequence_output": x} if dictionary else x, name="others")


def padded(side):
    rows = [row + [0] * (T + 2 - len(row)) if side == "right" else [0] * (T + 2 - len(row)) + row for row in ROWS]
    return np.array(rows, "int32")


def array(tensor):
    return keras.tree.map_structure(ops.convert_to_numpy, tensor)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("head", HEADS)
def test_padding_of_a_masked_embedding_changes_no_answer(head, side, tmp_path):
    model, x = HEADS[head](encoder(dictionary=side == "left")), padded(side)
    answers = [array(model(x))]
    if side == "right" and head in ("mean", "span"):
        model.save(tmp_path / "x.keras")
        answers += [model.predict(x, verbose=0), array(lk.models.load_model(tmp_path / "x.keras")(x))]
    for found in answers:
        for i, row in enumerate(ROWS):
            alone, real = array(model(np.array([row], "int32"))), x[i] > 0
            if head == "span":
                for name in ("start", "end"):
                    np.testing.assert_allclose(found[name][i][real], alone[name][0], **EQUAL)
                    assert (found[name][i][~real] <= -1e8).all()
            else:
                np.testing.assert_allclose(found[i][real] if head == "tags" else found[i], alone[0], **EQUAL)


@pytest.mark.parametrize("pooling", ["first", "mean"])
def test_padding_before_a_text_is_not_its_first_token(pooling):
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in ("token_ids", "padding_mask")}
    vectors = layers.Embedding(V, D)(inputs["token_ids"]) * ops.cast(inputs["padding_mask"][..., None], "float32")
    model = sequence_classifier(keras.Model(inputs, vectors), 3, pooling=pooling, seed=0)
    x = padded("left")
    found = array(model({"token_ids": x, "padding_mask": (x > 0).astype("int32")}))
    for i, row in enumerate(ROWS):
        alone = {"token_ids": np.array([row], "int32"), "padding_mask": np.ones((1, len(row)), "int32")}
        np.testing.assert_allclose(found[i], array(model(alone))[0], **EQUAL)


def test_rows_of_padding_alone_give_numbers():
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("mixed_float16")
        for head in HEADS.values():
            model = head(encoder())
            for part in keras.tree.flatten(array(model(np.zeros((2, 4), "int32")))):
                shares = array(ops.softmax(part.astype("float32")))
                assert np.isfinite(part).all() and np.isfinite(shares).all()
    finally:
        keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("names", [("ids", "padding_mask"), None])
def test_the_mask_is_found_among_inputs_of_any_structure(names):
    ids, mask = (keras.Input((None,), dtype="int32", name=name) for name in ("ids", "padding_mask"))
    inputs = dict(zip(names, (ids, mask), strict=True)) if names else [ids, mask]
    model = sequence_classifier(keras.Model(inputs, layers.Embedding(V, D)(ids)), 3, pooling="mean", seed=0)

    def answer(*given):
        given = [np.array([row], "int32") for row in given]
        return array(model(dict(zip(names, given, strict=True)) if names else given))

    np.testing.assert_allclose(answer([3, 4, 5], [1, 1, 0]), answer([3, 4], [1, 1]), **EQUAL)
