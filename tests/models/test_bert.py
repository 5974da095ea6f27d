"""BERT's encoder and its pre-training heads against their equations in NumPy."""

import keras
import numpy as np
import pytest
from gradients import check_gradients, float64
from scipy.special import erf, log_softmax, softmax

import lm_keras as lk
from lm_keras.errors import InputError
from lm_keras.models.bert import SIZES, attention_maps, build_bert

V, T = 31, 9
SMALL = {"max_length": T, "hidden_dim": 8, "num_heads": 2, "feed_forward_dim": 20, "dropout": 0.2, "seed": 0}
LENGTHS = (9, 5, 1)
CLOSE = {"rtol": 0, "atol": 1e-5}
EQUAL = {"rtol": 1e-5, "atol": 1e-6}


def some_inputs(seed=0, lengths=LENGTHS, width=T):
    rng = np.random.default_rng(seed)
    mask = (np.arange(width) < np.array(lengths)[:, None]).astype("int32")
    return {
        "token_ids": rng.integers(0, V, mask.shape).astype("int32"),
        "segment_ids": rng.integers(0, 2, mask.shape).astype("int32"),
        "padding_mask": mask,
    }


def scramble(model, scale=0.4):
    """Weights large enough that each of them shows, biases and gains too."""
    rng = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(rng.normal(weight.path.endswith("gamma"), scale, weight.shape))
    return model


@pytest.fixture(scope="module")
def encoder():
    return scramble(build_bert(V, num_layers=1, **SMALL))


@pytest.fixture(scope="module")
def pretrainer(encoder):
    model = scramble(lk.models.bert_pretrainer(encoder, seed=1))
    model.compile("sgd", lk.models.pretraining_losses(model))
    return model


# === The equations ===


def values(model):
    return {weight.path: np.asarray(weight, "float64") for weight in model.weights}


def norm(x, w, name, epsilon=1e-12):
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon)
    return scaled * w[f"{name}/gamma"] + w[f"{name}/beta"]


def dense(x, w, name):
    return x @ w[f"{name}/kernel"] + w[f"{name}/bias"]


def gelu(x):
    return x * (1 + erf(x / np.sqrt(2))) / 2


def oracle(w, token_ids, segment_ids, padding_mask, heads=2):
    """(sequence_output, pooled_output, attention weights) of a one-block encoder, head by head, in float64."""
    places = w["positions/embeddings"][: token_ids.shape[1]]
    x = w["tokens/embeddings"][token_ids] + places + w["segments/embeddings"][segment_ids]
    x = norm(x, w, "embedding_norm")
    query, key, value = np.split(dense(x, w, "block_0/attention/qkv"), 3, axis=-1)
    dim, mixed, seen = x.shape[-1] // heads, [], []
    for h in range(heads):
        own = slice(h * dim, (h + 1) * dim)
        scores = query[..., own] @ key[..., own].swapaxes(1, 2) / np.sqrt(dim)
        seen.append(softmax(np.where(padding_mask[:, None] > 0, scores, -np.inf), axis=-1))
        mixed.append(seen[-1] @ value[..., own])
    x = norm(x + dense(np.concatenate(mixed, -1), w, "block_0/attention/out"), w, "block_0/attention_norm")
    x = norm(x + dense(gelu(dense(x, w, "block_0/expand")), w, "block_0/contract"), w, "block_0/feed_forward_norm")
    return x, np.tanh(dense(x[:, 0], w, "pooler")), np.stack(seen, 1)


def test_encoder_equals_its_equations(encoder):
    inputs, out = some_inputs(), encoder(some_inputs())
    sequence, pooled, seen = oracle(values(encoder), **inputs)
    np.testing.assert_allclose(out["sequence_output"], sequence, **CLOSE)
    np.testing.assert_allclose(out["pooled_output"], pooled, **CLOSE)
    (weights,) = attention_maps(encoder, inputs)
    np.testing.assert_allclose(weights, seen, **CLOSE)


def test_attention_sees_later_tokens_and_no_padding(encoder):
    (weights,) = attention_maps(encoder, some_inputs())
    np.testing.assert_allclose(np.sum(weights, -1), 1, rtol=1e-6)
    assert (np.asarray(weights)[1, :, :, 5:] == 0).all()
    assert (np.asarray(weights)[1, :, :, :5] > 0).all()


def test_padding_changes_nothing(encoder):
    batch = encoder(some_inputs())
    other = some_inputs(seed=7)  # other ids and segments behind the end of each text
    for name in ("token_ids", "segment_ids"):
        other[name] = np.where(some_inputs()["padding_mask"] > 0, some_inputs()[name], other[name])
    for name, out in encoder(other).items():
        kept = out[some_inputs()["padding_mask"] > 0] if name == "sequence_output" else out
        before = batch[name][some_inputs()["padding_mask"] > 0] if name == "sequence_output" else batch[name]
        np.testing.assert_array_equal(kept, before)
    for i, length in enumerate(LENGTHS):
        alone = encoder({name: part[i : i + 1, :length] for name, part in some_inputs().items()})
        np.testing.assert_allclose(batch["sequence_output"][i : i + 1, :length], alone["sequence_output"], **EQUAL)
        np.testing.assert_allclose(batch["pooled_output"][i : i + 1], alone["pooled_output"], **EQUAL)


def test_gradients():
    with float64():
        model = scramble(lk.models.bert_pretrainer(build_bert(V, num_layers=1, **{**SMALL, "dropout": 0.0})))
        losses = lk.models.pretraining_losses(model)
    inputs = with_targets(some_inputs())

    def loss():
        x, y, weights = inputs
        return sum(losses[name](y[name], out, weights[name]) for name, out in model(x).items())

    check_gradients(loss, model.trainable_weights, directions=1)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_more_tokens_than_places_are_refused(encoder, jit_compile):
    inputs = some_inputs(width=T + 1)
    with pytest.raises(InputError, match=f"a text has {T + 1} tokens and the model max_length={T}"):
        encoder(inputs)
    encoder.compile(jit_compile=jit_compile)
    with pytest.raises(InputError, match="cut it"):
        encoder.predict(inputs, verbose=0)
    with pytest.raises(InputError, match="no self-attention"):
        attention_maps(lk.models.build_cnn_classifier(9, num_classes=2), inputs)


def test_seed_decides_the_weights_and_dropout_acts_in_training():
    first, second = (build_bert(V, num_layers=2, **SMALL) for _ in range(2))
    for a, b in zip(first.weights, second.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert len({w.path for w in first.weights}) == len(first.weights)
    matrices = [np.asarray(w) for w in first.weights if len(w.shape) == 2 and w.shape[0] >= 8]
    assert all(0.01 < m.std() < 0.025 and abs(m).max() <= 0.0401 for m in matrices)
    assert len(attention_maps(first, some_inputs())) == 2
    still, moving = first(some_inputs()), first(some_inputs(), training=True)
    assert np.abs(np.asarray(still["pooled_output"]) - np.asarray(moving["pooled_output"])).max() > 1e-4
    np.testing.assert_array_equal(first(some_inputs())["pooled_output"], still["pooled_output"])


def num_parameters(hidden_dim, num_layers, num_heads, vocab_size=30522):
    embeddings = (vocab_size + 512 + 2 + 2) * hidden_dim
    block = 4 * hidden_dim * (hidden_dim + 1) + 8 * hidden_dim**2 + 5 * hidden_dim + 4 * hidden_dim
    return embeddings + num_layers * block + hidden_dim * (hidden_dim + 1)


def test_sizes_are_those_of_the_released_models():
    tiny = build_bert(500, **SIZES["bert-tiny"])
    assert tiny.count_params() == num_parameters(**SIZES["bert-tiny"], vocab_size=500)
    # As the files that Google released hold, without the pre-training heads.
    assert num_parameters(**SIZES["bert-tiny"]) == 4_385_920
    assert num_parameters(**SIZES["bert-base"]) == 109_482_240
    assert num_parameters(**SIZES["bert-large"]) == 335_141_888


# === The two tasks ===


def with_targets(inputs):
    rng = np.random.default_rng(3)
    positions = np.array([[1, 4, 8], [2, 3, 0], [0, 0, 0]], "int32")
    labels = {"masked_lm": rng.integers(0, V, (3, 3)), "next_sentence": np.array([0, 1, 1])}
    weights = {"masked_lm": np.array([[1, 1, 1], [1, 1, 0], [1, 0, 0]], "float32"), "next_sentence": np.ones(3)}
    return {**inputs, "masked_positions": positions}, labels, weights


def test_losses_equal_their_equations(encoder, pretrainer):
    x, y, weights = with_targets(some_inputs())
    w = values(pretrainer)
    sequence, pooled, _ = oracle(w, **some_inputs())
    guessed = np.take_along_axis(sequence, x["masked_positions"][..., None], 1)
    guessed = norm(gelu(dense(guessed, w, "masked_lm_dense")), w, "masked_lm_norm")
    logits = guessed @ w["tokens/embeddings"].T + w["masked_lm_bias/bias"]
    np.testing.assert_allclose(pretrainer(x)["masked_lm"], logits, rtol=0, atol=1e-4)
    counted = weights["masked_lm"] > 0
    words = -np.take_along_axis(log_softmax(logits, -1), y["masked_lm"][..., None], -1)[..., 0][counted].mean()
    follows = -log_softmax(dense(pooled, w, "next_sentence"), -1)[np.arange(3), y["next_sentence"]].mean()
    measured = pretrainer.evaluate(x, y, sample_weight=weights, verbose=0, return_dict=True)
    assert measured["masked_lm_loss"] == pytest.approx(words, abs=2e-5)
    assert measured["next_sentence_loss"] == pytest.approx(follows, abs=1e-5)
    assert measured["loss"] == pytest.approx(words + follows, abs=2e-5)


def test_slots_that_are_not_used_do_not_count(pretrainer):
    x, y, weights = with_targets(some_inputs())
    before = pretrainer.evaluate(x, y, sample_weight=weights, verbose=0)
    y["masked_lm"][weights["masked_lm"] == 0] = 5
    x["masked_positions"][weights["masked_lm"] == 0] = 1
    np.testing.assert_allclose(pretrainer.evaluate(x, y, sample_weight=weights, verbose=0), before, rtol=1e-6)


def test_the_embedding_is_read_in_reverse(encoder, pretrainer):
    own = [w.path for w in pretrainer.weights if not any(w is mine for mine in encoder.weights)]
    assert {path.split("/")[0] for path in own} == {
        *("masked_lm_dense", "masked_lm_norm", "masked_lm_bias", "next_sentence")
    }
    assert len(pretrainer.weights) == len(encoder.weights) + len(own) == len({w.path for w in pretrainer.weights})


def test_pre_training_lowers_both_losses_and_trains_the_encoder_itself(news, tmp_path):
    tokenizer = lk.text.WordPieceTokenizer.train(news, vocab_size=300, lowercase=True)
    data = lk.data.sentence_pairs(news, tokenizer, length=32, batch_size=16)
    encoder = build_bert(tokenizer.vocab_size, max_length=32, hidden_dim=16, num_layers=1, num_heads=2, seed=0)
    before = np.asarray(encoder.get_layer("block_0").weights[0])
    model = lk.models.bert_pretrainer(encoder, seed=0)
    model.compile(keras.optimizers.Adam(0.01), lk.models.pretraining_losses(model))
    history = model.fit(data, epochs=2, verbose=0).history
    assert history["masked_lm_loss"][1] < history["masked_lm_loss"][0] < np.log(300)
    assert np.abs(np.asarray(encoder.get_layer("block_0").weights[0]) - before).max() > 1e-3
    model.save(tmp_path / "x.keras")
    loaded, (x, *_) = keras.models.load_model(tmp_path / "x.keras"), next(iter(data))
    for name, out in model(x).items():
        np.testing.assert_array_equal(loaded(x)[name], out)


def test_masked_words_alone_need_no_pooler():
    encoder = build_bert(V, num_layers=1, **SMALL)
    model = lk.models.bert_pretrainer(encoder, next_sentence=False)
    assert set(model.output) == {"masked_lm"}
    assert not any("pooler" in w.path for w in model.weights)
    bare = build_bert(V, num_layers=1, pooler=False, **SMALL)
    assert set(bare.output) == {"sequence_output"}
    assert [w.path for w in lk.models.bert_pretrainer(bare, next_sentence=False).weights] == [
        w.path for w in model.weights
    ]
