"""GPT-2 and the Llama-style decoder against their equations in NumPy, whole models at a time."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from gradients import check_gradients, cross_entropy, float64
from keras import ops

from lm_keras.errors import InputError
from lm_keras.models import build_bert, build_gpt2, build_llama
from lm_keras.models.gpt2 import SIZES

V, T, HEADS, KV, D = 13, 7, 4, 2, 6
X = np.random.default_rng(0).integers(0, V, (2, T)).astype("int32")
Y = np.random.default_rng(1).integers(0, V, (2, T)).astype("int32")
EQUAL = {"rtol": 1e-5, "atol": 1e-5}
SCALING = {
    "rope_type": "llama3",
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}

LINEAR, HEADS_OF_4 = {"rope_type": "linear"}, {"hidden_dim": 8, "num_heads": 2}


def randomized(model, seed=0):
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(0, 0.5, w.shape).astype("float32") for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def gpt2():
    return randomized(build_gpt2(V, max_length=9, hidden_dim=HEADS * D, num_layers=2, num_heads=HEADS))


@pytest.fixture(scope="module", params=[None, SCALING], ids=["plain", "llama3-scaling"])
def llama(request):
    sizes = {"max_length": 9, "hidden_dim": HEADS * D, "num_layers": 2, "num_heads": HEADS, "num_kv_heads": KV}
    return randomized(build_llama(V, **sizes, feed_forward_dim=20, rope_scaling=request.param, tie_embeddings=False))


def weights(model):
    return {weight.path: weight.numpy().astype("float64") for weight in model.weights}


def softmax(x):
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


def attention(q, k, v):
    """One head: q, k, v [T, D]; token t sees tokens 0 ... t."""
    scores = q @ k.T / np.sqrt(q.shape[-1])
    alpha = softmax(np.where(np.tril(np.ones(scores.shape)) > 0, scores, -np.inf))
    return alpha @ v, alpha


def layer_norm(x, w, name):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * w[f"{name}/gamma"] + w[f"{name}/beta"]


def rms_norm(x, w, name):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * w[f"{name}/scale"]


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def gpt2_logits(w, ids):
    x, maps = w["tokens/embeddings"][ids] + w["positions/embeddings"][: len(ids)], []
    for i in range(2):
        y = (
            layer_norm(x, w, f"block_{i}/attention_norm") @ w[f"block_{i}/attention/qkv/kernel"]
            + w[f"block_{i}/attention/qkv/bias"]
        )
        heads = y.reshape(len(ids), 3, HEADS, D)
        mixed, alphas = zip(*(attention(*heads[:, :, h].transpose(1, 0, 2)) for h in range(HEADS)), strict=True)
        maps.append(alphas)
        x = x + np.concatenate(mixed, -1) @ w[f"block_{i}/attention/out/kernel"] + w[f"block_{i}/attention/out/bias"]
        y = layer_norm(x, w, f"block_{i}/feed_forward_norm")
        y = gelu(y @ w[f"block_{i}/expand/kernel"] + w[f"block_{i}/expand/bias"])
        x = x + y @ w[f"block_{i}/contract/kernel"] + w[f"block_{i}/contract/bias"]
    return layer_norm(x, w, "norm") @ w["tokens/embeddings"].T, maps


def turned(x, speeds):
    """Rotary positions in complex numbers: pair (i, i + D/2) of the token at place t is multiplied by e^{i t θ}."""
    pairs = (x[:, : D // 2] + 1j * x[:, D // 2 :]) * np.exp(1j * np.outer(np.arange(len(x)), speeds))
    return np.concatenate([pairs.real, pairs.imag], -1)


def rotary_speeds(scaling):
    speeds = 10000.0 ** (-2 * np.arange(D // 2) / D)
    if scaling is None:
        return speeds
    old, new = scaling["original_max_position_embeddings"], []
    for speed in speeds:  # as Llama 3.1 describes it, by wavelengths
        wavelength = 2 * np.pi / speed
        low, high = old / scaling["low_freq_factor"], old / scaling["high_freq_factor"]
        smooth = (old / wavelength - scaling["low_freq_factor"]) / (
            scaling["high_freq_factor"] - scaling["low_freq_factor"]
        )
        mixed = (1 - smooth) * speed / scaling["factor"] + smooth * speed
        new.append(speed if wavelength < high else speed / scaling["factor"] if wavelength > low else mixed)
    return np.array(new)


def llama_logits(w, ids, scaling):
    x, speeds = w["tokens/embeddings"][ids], rotary_speeds(scaling)
    for i in range(2):
        y = rms_norm(x, w, f"block_{i}/attention_norm") @ w[f"block_{i}/attention/qkv/kernel"]
        q, k, v = np.split(y.reshape(len(ids), HEADS + 2 * KV, D), [HEADS, HEADS + KV], axis=1)
        mixed = [
            attention(turned(q[:, h], speeds), turned(k[:, h * KV // HEADS], speeds), v[:, h * KV // HEADS])[0]
            for h in range(HEADS)
        ]
        x = x + np.concatenate(mixed, -1) @ w[f"block_{i}/attention/out/kernel"]
        y = rms_norm(x, w, f"block_{i}/feed_forward_norm")
        gate = y @ w[f"block_{i}/gate/kernel"]
        x = x + (gate / (1 + np.exp(-gate)) * (y @ w[f"block_{i}/up/kernel"])) @ w[f"block_{i}/down/kernel"]
    return rms_norm(x, w, "norm") @ w["tokens/reverse_embeddings"]


def test_gpt2_follows_its_equations(gpt2):
    w = weights(gpt2)
    expected = [gpt2_logits(w, ids) for ids in X]
    np.testing.assert_allclose(ops.convert_to_numpy(gpt2(X)), [logits for logits, _ in expected], **EQUAL)
    for layer, found in enumerate(gpt2.attention_weights(X)):
        np.testing.assert_allclose(ops.convert_to_numpy(found), [maps[layer] for _, maps in expected], **EQUAL)


def test_llama_follows_its_equations(llama):
    w, scaling = weights(llama), llama.recipe.arguments["rope_scaling"]
    expected = [llama_logits(w, ids, scaling) for ids in X]
    np.testing.assert_allclose(ops.convert_to_numpy(llama(X)), expected, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("build", [build_gpt2, build_llama])
def test_gradients_agree_with_finite_differences(build):
    heads = {"num_heads": 2, **({"num_kv_heads": 1} if build is build_llama else {})}
    with float64():
        model = randomized(build(V, max_length=9, hidden_dim=8, num_layers=1, **heads))
        check_gradients(tf.function(lambda: cross_entropy(model, X, Y)), model.trainable_weights)


def test_parameter_counts_of_the_released_sizes():
    def count(vocab_size, max_length, hidden_dim, num_layers, num_heads):
        block = 12 * hidden_dim**2 + 13 * hidden_dim
        return (vocab_size + max_length) * hidden_dim + num_layers * block + 2 * hidden_dim

    small = {"hidden_dim": 12, "num_layers": 3, "num_heads": 2}
    assert build_gpt2(50, max_length=9, **small).count_params() == count(50, 9, **small)
    millions = {name: round(count(50257, 1024, **sizes) / 1e6) for name, sizes in SIZES.items()}
    assert millions == {"gpt2": 124, "gpt2-medium": 355, "gpt2-large": 774, "gpt2-xl": 1558}


def test_the_starting_weights_of_gpt2():
    model = build_gpt2(300, max_length=40, hidden_dim=64, num_layers=2, num_heads=4, seed=3)
    spread = {w.path: float(np.std(w.numpy())) for w in model.weights if len(w.shape) == 2}
    for path, found in spread.items():
        to_stream = "/out/" in path or "contract" in path
        assert found == pytest.approx(0.02 / 2 if to_stream else 0.02, rel=0.1), path
    again = build_gpt2(300, max_length=40, hidden_dim=64, num_layers=2, num_heads=4, seed=3)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), again.get_weights(), strict=True))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    assert float(loss(Y, model(X))) == pytest.approx(np.log(300), abs=0.1)  # at first it knows nothing


@pytest.mark.parametrize(
    "build, sizes, said",
    [
        (build_gpt2, {"hidden_dim": 10, "num_heads": 4}, "multiple of num_heads"),
        (build_gpt2, {"max_length": 0}, "max_length is 0"),
        (build_llama, {"hidden_dim": 12, "num_heads": 4}, "even"),
        (build_llama, {"hidden_dim": 24, "num_heads": 4, "num_kv_heads": 3}, "num_kv_heads"),
        (build_llama, {"hidden_dim": 24, "num_heads": 4, "num_kv_heads": 3, "head_dim": 6}, "num_kv_heads"),
        (build_llama, {"hidden_dim": 24, "num_heads": 4, "num_kv_heads": 0}, "num_kv_heads is 0"),
        (build_llama, {"hidden_dim": 24, "num_heads": 4, "head_dim": 5}, "head_dim is 5"),
        (build_llama, {"hidden_dim": 24, "num_heads": 4, "head_dim": -4}, "head_dim is -4"),
        (build_llama, {"hidden_dim": 24, "num_heads": 4, "feed_forward_dim": 0}, "feed_forward_dim is 0"),
        (build_llama, {"hidden_dim": 8, "num_heads": 2, "rope_scaling": {"rope_type": "yarn"}}, "rope_scaling"),
        (build_llama, {"hidden_dim": 8, "num_heads": 2, "rope_scaling": {"rope_type": "llama3"}}, "rope_scaling"),
        *(
            (build_llama, {**HEADS_OF_4, name: value}, f"{name} is .*; it must be a number above 0")
            for name in ("rope_base", "norm_epsilon")
            for value in (0, -1.0, float("nan"), float("inf"), 10**400, None, True, "x", [1e4])
        ),
        *(
            (build_llama, HEADS_OF_4 | {"rope_scaling": scaling}, "rope_scaling .* is not known")
            for scaling in (0, [], "linear", {"rope_type": []}, LINEAR | {"factor": 0}, LINEAR | {"factor": "2"})
        ),
        (build_llama, HEADS_OF_4 | {"rope_scaling": SCALING | {"high_freq_factor": 1.0}}, "not below"),
        (build_llama, HEADS_OF_4 | {"max_length": 2**31}, "max_length is 2147483648; .* at most"),
        (build_llama, HEADS_OF_4 | {"max_length": 10**400}, "max_length is 1000.*; .* at most"),
        (build_bert, HEADS_OF_4 | {"norm_epsilon": float("nan")}, "norm_epsilon is nan"),
    ],
)
def test_impossible_sizes_are_named(build, sizes, said):
    with pytest.raises(InputError, match=said):
        build(50, num_layers=1, **sizes)


@pytest.mark.parametrize("name", ["my model", "_x", "ü", "a:b", "-a", "\0", 3, ["a"]])
def test_a_name_that_no_graph_could_have(name):
    with pytest.raises(InputError, match="a name has letters"):
        build_gpt2(50, max_length=8, hidden_dim=4, num_layers=1, num_heads=1, name=name)
