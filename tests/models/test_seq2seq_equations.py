"""Encoder-decoders against their equations in NumPy, from the ids to the logits."""

import attention_oracles as oracle
import numpy as np
import pytest
from keras import ops

import lm_keras as lk

SOURCE = np.array([[3, 1, 4, 1, 5]], "int32")
TARGET = np.array([[8, 2, 7, 1]], "int32")
INPUTS = {"source_ids": SOURCE, "target_ids": TARGET}


def array(tensor):
    return ops.convert_to_numpy(tensor).astype("float64")


def check(model, logits):
    """Both views give these logits [T, V]."""
    steps, _ = model.step(TARGET, model.encode(SOURCE, length=4))
    for view in (model(INPUTS), steps):
        np.testing.assert_allclose(array(view)[0], logits, rtol=0, atol=1e-5)


def shake(model):
    """Random weights of order one in all places, the norms' and biases' too: no factor or term can hide."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.normal(1.0 if "gamma" in weight.path else 0.0, 0.4, weight.shape))
    return {weight.path: array(weight) for weight in model.weights}


def feed_forward(x, w, block):
    hidden = np.maximum(0, x @ w[f"{block}/expand/kernel"] + w[f"{block}/expand/bias"])
    return hidden @ w[f"{block}/contract/kernel"] + w[f"{block}/contract/bias"]


def norm(x, w, name):
    return oracle.layer_norm(x, w[f"{name}_norm/gamma"], w[f"{name}_norm/beta"])


def sublayers(x, w, pre_norm, **functions):
    """LayerNorm(x + f(x)) one after the other: each takes what the one before has made (document 003 does not)."""
    for name, f in functions.items():
        x = x + f(norm(x, w, name)) if pre_norm else norm(x + f(x), w, name)
    return x


def self_attention(w, block, visible=None):
    qkv, out = (w[f"{block}/attention/{part}/kernel"] for part in ("qkv", "out"))
    return lambda x: oracle.multi_head(x, x, *np.split(qkv, 3, 1), out, 2, visible)[0]


def transformer(w, pre_norm, dim=8):
    """One encoder and one decoder layer, two heads (Vaswani et al. 2017, sections 3.1 to 3.5)."""
    x = w["source_embedding/embeddings"][SOURCE[0]] * np.sqrt(dim) + oracle.sinusoids(range(5), dim)
    steps = {"encoder_block_0/attention": self_attention(w, "encoder_block_0")}
    steps["encoder_block_0/feed_forward"] = lambda x: feed_forward(x, w, "encoder_block_0")
    memory = sublayers(x, w, pre_norm, **steps)
    if pre_norm:
        memory = norm(memory, w, "encoder")

    keys, values = np.split(w["decoder_block_0_source/keys_values/kernel"], 2, 1)
    query, out = (w[f"decoder_block_0/cross_attention/{part}/kernel"] for part in ("query", "out"))
    steps = {
        "decoder_block_0/attention": self_attention(w, "decoder_block_0", oracle.causal(4)),
        "decoder_block_0/cross_attention": lambda x: oracle.multi_head(x, memory, query, keys, values, out, 2)[0],
        "decoder_block_0/feed_forward": lambda x: feed_forward(x, w, "decoder_block_0"),
    }
    y = w["target_embedding/embeddings"][TARGET[0]] * np.sqrt(dim) + oracle.sinusoids(range(4), dim)
    y = sublayers(y, w, pre_norm, **steps)
    if pre_norm:
        y = norm(y, w, "decoder")
    return y @ w["logits/kernel"] + w["logits/bias"]


@pytest.mark.parametrize("pre_norm", [False, True])
def test_transformer(pre_norm):
    sizes = {"hidden_dim": 8, "num_layers": 1, "num_heads": 2, "feed_forward_dim": 12}
    model = lk.models.build_seq2seq_transformer(9, target_vocab_size=9, pre_norm=pre_norm, **sizes)
    weights = shake(model)
    check(model, transformer(weights, pre_norm))


def test_shared_embeddings_are_one_matrix_read_both_ways():
    model = lk.models.build_seq2seq_transformer(9, hidden_dim=8, num_layers=1, num_heads=2, share_embeddings=True)
    (w,) = [weight for weight in model.weights if "embedding" in weight.path]
    weights = shake(model)
    shared = weights["embedding/embeddings"]
    both = {"source_embedding/embeddings": shared, "target_embedding/embeddings": shared, "logits/kernel": shared.T}
    by_hand = transformer({**weights, **both, "logits/bias": 0.0}, pre_norm=False)
    check(model, by_hand)
    assert w.shape == (9, 8)


@pytest.mark.parametrize("attention", [None, "additive", "multiplicative"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_lstm(attention, bidirectional):
    sizes = {"embedding_dim": 5, "hidden_dim": 6, "attention": attention, "bidirectional": bidirectional}
    model = lk.models.build_seq2seq_lstm(9, target_vocab_size=9, **sizes)
    w, zero = shake(model), np.zeros(6)
    x = w["source_embedding/embeddings"][SOURCE[0]]
    memory, *last = oracle.lstm(x, w, "encoder_0", zero, zero)
    if bidirectional:
        backward, *first = oracle.lstm(x[::-1], w, "encoder_backward_0", zero, zero)
        memory = np.concatenate([memory, backward[::-1]], 1)
        bridges = [(w[f"bridge_{part}_0/kernel"], w[f"bridge_{part}_0/bias"]) for part in "hc"]
        last = [
            np.concatenate(ends) @ k + b for ends, (k, b) in zip(zip(last, first, strict=True), bridges, strict=True)
        ]
    h, *_ = oracle.lstm(w["target_embedding/embeddings"][TARGET[0]], w, "decoder_0", *last)
    if attention == "additive":
        scores = oracle.additive(h, memory, w["alignment/kernel"], w["keys/kernel"], w["alignment/v"][:, 0])
    elif attention:
        scores = oracle.multiplicative(h, memory, w["keys/kernel"])
    if attention:
        context = oracle.softmax(scores) @ memory
        h = np.tanh(np.concatenate([context, h], 1) @ w["combine/kernel"])
        seen = array(model.attention_weights(SOURCE, TARGET)[0])[0, 0]
        np.testing.assert_allclose(seen, oracle.softmax(scores), rtol=0, atol=1e-5)
    check(model, h @ w["logits/kernel"] + w["logits/bias"])
