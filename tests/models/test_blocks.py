"""A transformer block is a Keras layer: found by name, frozen, adapted, quantized, and computed twice for memory."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import lm_keras as lk
from lm_keras.layers.blocks import TransformerBlock
from lm_keras.models.bert import BertBlock
from lm_keras.models.gpt2 import GPT2Block
from lm_keras.models.llama import LlamaBlock
from lm_keras.models.seq2seq_transformer import DecoderBlock, EncoderBlock
from lm_keras.training.train_steps import recomputing

VOCAB, LENGTH = 17, 6
SIZES = {"hidden_dim": 8, "num_layers": 3, "num_heads": 2, "dropout": 0.3, "seed": 0}
IDS = np.random.default_rng(0).integers(1, VOCAB, (4, LENGTH)).astype("int32")


def gpt2(**changes):
    return lk.models.build_gpt2(VOCAB, **{"max_length": LENGTH, **SIZES, **changes})


def llama(**changes):
    return lk.models.build_llama(VOCAB, **{"max_length": LENGTH, **SIZES, **changes})


def bert(**changes):
    encoder = lk.models.build_bert(VOCAB, **{"max_length": LENGTH, "pooler": False, **SIZES, **changes})
    return lk.models.token_classifier(encoder, VOCAB, seed=1)


def seq2seq(**changes):
    return lk.models.build_seq2seq_transformer(VOCAB, **{**SIZES, **changes})


FAMILIES = {"gpt2": gpt2, "llama": llama, "bert": bert, "seq2seq": seq2seq}


def inputs_of(family):
    if family == "bert":
        return {"token_ids": IDS, "segment_ids": np.zeros_like(IDS), "padding_mask": np.ones_like(IDS)}
    return {"source_ids": IDS, "target_ids": IDS[:, ::-1].copy()} if family == "seq2seq" else IDS


def blocks_of(model):
    found = [layer for layer in model.layers if isinstance(layer, TransformerBlock)]
    inner = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    return found + [block for part in inner for block in blocks_of(part)]


def trained(model, x, steps=2, **compiled):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, **compiled)
    for _ in range(steps):
        model.train_on_batch(x, IDS)


def changed(model, before):
    """The paths of weights that are others than before."""
    return {w.path for w in model.weights if not np.array_equal(np.asarray(w), before[w.path])}


def values(model):
    return {w.path: np.asarray(w) for w in model.weights}


# === A layer by its name ===


def test_blocks_are_layers_by_name():
    assert isinstance(gpt2().get_layer("block_2"), GPT2Block)
    assert isinstance(llama().get_layer("block_2"), LlamaBlock)
    assert isinstance(bert().get_layer("bert").get_layer("block_2"), BertBlock)
    model = seq2seq(name="mine")
    assert model.name == "mine"
    assert isinstance(model.get_layer("encoder_block_2"), EncoderBlock)
    assert isinstance(model.get_layer("decoder_block_2"), DecoderBlock)
    shown = []
    gpt2().summary(print_fn=lambda line, **_: shown.append(line))
    assert sum("GPT2Block" in line for line in "\n".join(shown).splitlines()) == 3


@pytest.mark.parametrize("family", FAMILIES)
def test_a_block_comes_back_from_its_config_with_the_same_start(family):
    for block in blocks_of(FAMILIES[family]()):
        again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(block))
        if not again.built:
            again.build((None, None, 8))
        assert type(again) is type(block) and again.get_config() == block.get_config()
        for one, other in zip(again.weights, block.weights, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_block_in_a_model_of_ones_own():
    x, visible = keras.Input((None, 8)), keras.Input((None, None), dtype="bool")
    y, *_ = GPT2Block(8, 2, 32, seed=0, name="mine")(x, visible)
    model = keras.Model([x, visible], y)
    given = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32"), np.tril(np.ones((2, 5, 5), bool))
    first = np.asarray(model(given))
    assert first.shape == (2, 5, 8)
    given[0][:, 3:] += 1
    np.testing.assert_array_equal(np.asarray(model(given))[:, :3], first[:, :3])  # sees nothing of what comes later


# === Freezing ===


def test_a_frozen_block_stays_and_comes_back_frozen(tmp_path):
    model = gpt2()
    model.get_layer("block_1").trainable = False
    model.get_layer("block_2").attention.trainable = False
    before = values(model)
    trained(model, IDS)
    inside = {path for path in before if path.startswith(("block_1/", "block_2/attention/"))}
    assert len(inside) == 12 + 4 and changed(model, before) == set(before) - inside
    model.save(tmp_path / "x.keras")
    config = model.get_config()
    for again in (lk.models.load_model(tmp_path / "x.keras"), lk.models.CausalLM.from_config(config)):
        assert {w.path for w in again.non_trainable_weights} == inside
        assert again.get_config()["frozen"] == config["frozen"] == ["block_1", "block_2/attention"]


def test_release_0_1_froze_sublayers_by_other_names():
    config = llama().get_config()
    config["frozen"] = ["attention_0", "up_2"]
    model = lk.models.CausalLM.from_config(config)
    frozen = {w.path for w in model.non_trainable_weights}
    assert frozen == {f"block_0/attention/{part}/kernel" for part in ("qkv", "out")} | {"block_2/up/kernel"}


# === LoRA and quantization ===


def test_lora_in_a_block_trains_only_the_adapter(tmp_path):
    model = gpt2()
    for layer in model.layers:
        layer.trainable = layer.name == "block_1"
    block = model.get_layer("block_1")
    for layer in (block.attention, block.attention_norm, block.feed_forward_norm, block.contract):
        layer.trainable = False
    block.expand.bias.trainable = False
    block.expand.enable_lora(2)
    before = values(model)
    trained(model, IDS, steps=3)
    assert changed(model, before) == {f"block_1/expand/lora_kernel_{side}" for side in "ab"}
    expected = np.asarray(model(IDS))
    model.save(tmp_path / "x.keras")
    np.testing.assert_allclose(lk.models.load_model(tmp_path / "x.keras")(IDS), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_quantize_reaches_into_the_blocks(family):
    model = FAMILIES[family]()
    model.quantize("int8")
    weights = [w.path for block in blocks_of(model) for w in block.weights if w.dtype == "int8"]
    assert sum(path.endswith("/kernel") for path in weights) >= 4 * len(blocks_of(model))


# === Computed twice ===


def softmaxes(function):
    """How many softmax operations there are in a function and those that it calls."""
    definition = function.graph.as_graph_def()
    nodes = [*definition.node, *(node for part in definition.library.function for node in part.node_def)]
    return sum(node.op == "Softmax" for node in nodes)


def gradients(model, x, recompute, **options):
    """What a training step of the model gives: gradients with dropout, and how many softmax operations it has."""
    seeds = [v for v in model.variables if "seed_generator" in v.path]
    for i, seed in enumerate(seeds):
        seed.assign([i + 1, 0])
    trainable = [v.value for v in model.trainable_variables]

    @tf.function(**options)
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.cast(model(x, training=True), tf.float32) ** 2)
        return [tf.convert_to_tensor(g) for g in tape.gradient(loss, trainable)]

    with recomputing(model) if recompute else contextlib.nullcontext():
        function = step.get_concrete_function()
        found = [g.numpy() for g in function()]
    assert all(int(v.numpy()[1]) == 1 for v in seeds)  # each drew once
    return found, softmaxes(function)


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_with_dropout_are_those_of_blocks_that_are_kept(family):
    model, x = FAMILIES[family](), inputs_of(family)
    plain, once = gradients(model, x, recompute=False)
    again, twice = gradients(model, x, recompute=True)
    # Encoder blocks have one attention, decoder blocks of the encoder-decoder two; the last block is kept.
    assert twice - once == (3 + 2 * 2 if family == "seq2seq" else 2)
    for one, other in zip(again, plain, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)
        assert np.abs(other).max() > 0


def frozen(model):
    model.get_layer("block_0").trainable = False


def with_lora(model):
    for i in range(3):
        model.get_layer(f"block_{i}").attention.qkv.enable_lora(2)
    model.get_layer("block_1").expand.enable_lora(2)


@pytest.mark.parametrize("change", [frozen, with_lora])
def test_frozen_and_adapted_blocks_are_computed_twice_alike(change):
    model = gpt2()
    change(model)
    plain, again = (gradients(model, IDS, recompute)[0] for recompute in (False, True))
    for one, other in zip(again, plain, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


def test_compiled_by_xla_and_in_mixed_precision():
    model = gpt2()
    plain, again = (gradients(model, IDS, recompute, jit_compile=True)[0] for recompute in (False, True))
    for one, other in zip(again, plain, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("mixed_bfloat16")
        model = gpt2()
    finally:
        keras.config.set_dtype_policy(before)
    plain, again = (gradients(model, IDS, recompute)[0] for recompute in (False, True))
    for one, other in zip(again, plain, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-2, atol=1e-5)


def test_recompute_is_a_setting_of_the_block():
    model = gpt2()
    with recomputing(model):
        assert [block.recompute for block in blocks_of(model)] == [True, True, False]
    assert not any(block.recompute for block in blocks_of(model))
    kept = gradients(model, IDS, recompute=False)[1]
    model.get_layer("block_2").recompute = True
    assert gradients(model, IDS, recompute=False)[1] == kept + 1
