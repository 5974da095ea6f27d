"""What is wrong with a checkpoint is said in one line, before anything is built on it; no pickle is ever read."""

import json
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from paths import GOLDEN
from safetensors.numpy import load_file, save_file

import lm_keras as lk
from lm_keras.models.pretrained.llama_names import LLAMA


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A GPT-2 of one layer, as save_pretrained writes it."""
    folder = tmp_path_factory.mktemp("small")
    model = lk.models.build_gpt2(7, max_length=8, hidden_dim=4, num_layers=1, num_heads=1, seed=0)
    lk.models.save_pretrained(model, folder)
    return folder


@pytest.fixture
def folder(small, tmp_path):
    return Path(shutil.copytree(small, tmp_path / "checkpoint"))


class Trap:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def refused(path, match):
    with pytest.raises(lk.InputError, match=match) as caught:
        lk.models.load_pretrained(path)
    assert "\n" not in str(caught.value)


def change_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_tensors(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def test_whole_it_loads(folder):
    assert lk.models.load_pretrained(folder).model.count_params() == 312


def test_nothing_there(tmp_path, folder):
    refused(tmp_path / "nowhere", "nowhere does not exist")
    refused(tmp_path, "has no config.json")
    (folder / "model.safetensors").unlink()
    refused(folder, "has no model.safetensors")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_are_not_read(folder, tmp_path, protocol):
    trap = tmp_path / "sprung"
    content = pickle.dumps(Trap(trap), protocol)
    (folder / "model.safetensors").write_bytes(content)
    refused(folder, "is a pickle, which is never read" if protocol > 1 else "is no safetensors file")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    refused(folder, "pytorch_model.bin is a pickle, which is never read")
    refused(folder / "pytorch_model.bin", "is a pickle, which is never read" if protocol > 1 else "is no GGUF file")
    assert not trap.exists()
    pickle.loads(content)
    assert trap.exists()  # it would have sprung


def test_zip_of_pickles_is_not_read(folder):
    (folder / "model.safetensors").write_bytes(b"PK\x03\x04" + bytes(100))
    refused(folder, "is a pickle, which is never read")


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 9, 200, -1])
def test_file_cut_short(folder, kept):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    refused(folder, "cut short")


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b'{"a": 3}',
        b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}',
        b'{"a": {"dtype": "F32", "shape": [1]}}',
        b'{"\xff": 1}',
    ],
)
def test_damaged_header(folder, header):
    content = len(header).to_bytes(8, "little") + header + bytes(4)
    (folder / "model.safetensors").write_bytes(content)
    refused(folder, "damaged or cut short|is no safetensors file")


def test_missing_unknown_and_twice(folder):
    change_tensors(folder, lambda tensors: tensors.pop("transformer.h.0.ln_1.bias"))
    refused(folder, r"lacks 1 tensors: h\.0\.ln_1\.bias")
    change_tensors(folder, lambda tensors: tensors.update({"transformer.h.0.ln_1.bias": np.zeros(4, "float32")}))
    change_tensors(folder, lambda tensors: tensors.update({"score.weight": np.zeros((2, 4), "float32")}))
    refused(folder, r"should not have 1 tensors: score\.weight")
    change_tensors(folder, lambda tensors: tensors.update({"wte.weight": tensors["transformer.wte.weight"]}))
    refused(folder, r"wte\.weight is there twice")


def test_wrong_shape_and_type(folder):
    before = load_file(folder / "model.safetensors")["transformer.h.0.mlp.c_fc.weight"]
    name = "transformer.h.0.mlp.c_fc.weight"
    change_tensors(folder, lambda tensors: tensors.update({name: np.ascontiguousarray(before.T)}))
    refused(folder, r"mlp\.c_fc\.weight has shape \(16, 4\), but by the configuration it must be \(4, 16\)")
    change_config(folder, n_layer=10**9)  # found before anything of that size is made
    refused(folder, "the tensors of 1000000000 layers are not there")
    change_config(folder, n_layer=1, vocab_size=10**9)
    refused(folder, r"wte\.weight has shape \(7, 4\), but by the configuration it must be \(1000000000, 4\)")
    change_config(folder, vocab_size=7)
    change_tensors(folder, lambda tensors: tensors.update({name: before.astype("int64")}))
    refused(folder, "has type I64; F64, F32, F16 and BF16 are read")


@pytest.mark.parametrize(
    "index, match",
    [
        ({}, "has no weight_map"),
        ([], "has no weight_map"),
        ({"weight_map": {"wte.weight": "model-1.safetensors"}}, "model-1.safetensors does not exist"),
        ({"weight_map": {"wte.weight": "../other.safetensors"}}, "no .safetensors file of that folder"),
        ({"weight_map": {"wte.weight": "pytorch_model.bin"}}, "no .safetensors file of that folder"),
        ({"weight_map": {"nothing": "all.safetensors"}}, "which does not hold it"),
    ],
)
def test_damaged_index(folder, index, match):
    (folder / "model.safetensors").rename(folder / "all.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    refused(folder, match)


@pytest.mark.parametrize(
    "name, key, value",
    [
        ("gpt2", "activation_function", "relu"),
        ("gpt2", "n_inner", 7),
        ("gpt2", "layer_norm_epsilon", 1e-6),
        ("gpt2", "scale_attn_by_inverse_layer_idx", True),
        ("gpt2", "tie_word_embeddings", False),
        ("bert", "hidden_act", "relu"),
        ("bert", "position_embedding_type", "relative_key"),
        ("bert", "is_decoder", True),
        ("llama", "hidden_act", "gelu"),
        ("llama", "attention_bias", True),
        ("llama", "mlp_bias", True),
        ("llama", "partial_rotary_factor", 0.5),
        ("llama", "hidden_size", None),
        ("llama", "model_type", "mamba"),
        ("llama", "layer_types", ["linear_attention"]),
        ("llama", "quantization_config", {"quant_method": "fp8"}),
        ("llama", "attn_logit_softcapping", 50.0),
        ("llama", "residual_multiplier", 0.22),
        ("llama", "logits_scaling", 8.0),
        ("llama", "rope_interleaved", True),
        ("qwen2", "attention_bias", True),
        ("qwen2", "use_qk_norm", True),
        ("gpt2", "scale_attn_weights", False),
        ("gpt2", "add_cross_attention", True),
        ("gpt2", "alibi", True),
        ("bert", "embedding_size", 128),
        ("bert", "add_cross_attention", True),
    ],
)
def test_settings_that_are_not_built_are_named(tmp_path, name, key, value):
    folder = shutil.copytree(GOLDEN / name, tmp_path / name)
    change_config(folder, **{key: value})
    refused(folder, key)


@pytest.mark.parametrize(
    "key, value, match",
    [
        ("rope_parameters", {"rope_type": "yarn", "factor": 4.0}, "yarn"),
        ("rope_parameters", {"rope_type": "dynamic", "factor": 2.0}, "dynamic"),
        ("rope_parameters", {"rope_type": "longrope", "long_factor": [1.0], "short_factor": [1.0]}, "longrope"),
        ("rope_parameters", {"type": "mrope", "mrope_section": [16, 24, 24]}, "mrope"),
        ("rope_parameters", {"rope_type": "default", "partial_rotary_factor": 0.25}, "partial_rotary_factor 0.25"),
        ("rope_parameters", {"rope_type": "llama3", "factor": 4.0}, "llama3"),
        ("rope_parameters", {"rope_type": "default", "rope_theta": "much"}, "impossible values.*much"),
        ("num_hidden_layers", "two", "two"),
    ],
)
def test_impossible_settings(tmp_path, key, value, match):
    folder = shutil.copytree(GOLDEN / "llama", tmp_path / "llama")
    change_config(folder, **{key: value})
    refused(folder, match)


def test_other_configurations(folder, tmp_path):
    (folder / "config.json").write_text("{")
    refused(folder, "cannot be read as JSON")
    (folder / "config.json").write_text("[]")
    refused(folder, "is no configuration")
    chars = lk.text.CharTokenizer.train(["a"])
    model = lk.models.build_gpt2(chars.vocab_size, max_length=8, hidden_dim=4, num_layers=1, num_heads=1)
    lk.LanguageModel(model, chars).save(tmp_path / "own")
    refused(tmp_path / "own", "LanguageModel.load")


def test_tokenizers_that_do_not_fit(folder):
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(GOLDEN / "gpt2" / name, folder)
    refused(folder, r"has 281 tokens and the model 7.*tokenizer=False")
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"type": "Unigram", "vocab": []}}))
    refused(folder, r"holds no BPE model.*tokenizer=False")
    for path in (folder / "vocab.json", folder / "tokenizer.json"):
        path.unlink()
    (folder / "tokenizer.model").write_bytes(b"\n")
    refused(folder, r"is a SentencePiece vocabulary.*tokenizer=False")
    assert lk.models.load_pretrained(folder, tokenizer=False).tokenizer is None


LLAMA_CONFIG = {
    "model_type": "llama",
    "vocab_size": 11,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 4096,
}
SLOW = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 512}


@pytest.mark.parametrize(
    "changes, arguments",
    [
        ({}, {"num_kv_heads": 4, "rope_base": 10000.0, "norm_epsilon": 1e-6, "tie_embeddings": False}),
        ({"rope_theta": 500000.0}, {"rope_base": 500000.0, "rope_scaling": None}),
        ({"rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}}, {"rope_base": 5e5, "rope_scaling": None}),
        (
            {"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 2.0}},
            {"rope_base": 5e5, "rope_scaling": {"rope_type": "linear", "factor": 2.0}},
        ),
        (
            {"rope_theta": 5e5, "rope_scaling": {"rope_type": "llama3", **SLOW}},
            {"rope_base": 5e5, "rope_scaling": {"rope_type": "llama3", **SLOW}},
        ),
        ({"model_type": "mistral", "sliding_window": 1024}, {"max_length": 1024}),
        ({"model_type": "mistral", "sliding_window": None}, {"max_length": 4096}),
        ({"model_type": "qwen2", "sliding_window": 64, "use_sliding_window": False}, {"max_length": 4096}),
        ({"model_type": "qwen2"}, {"qkv_bias": True}),
        ({"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 64}, {"max_length": 4096}),
        (
            {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 64, "max_window_layers": 2},
            {"max_length": 4096},
        ),
        (
            {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 64, "max_window_layers": 1},
            {"max_length": 64},
        ),
        (
            {
                "model_type": "qwen2",
                "use_sliding_window": True,
                "sliding_window": 64,
                "max_window_layers": 1,
                "layer_types": ["full_attention"] * 2,
            },
            {"max_length": 4096},
        ),
        ({"model_type": "llama", "sliding_window": 64}, {"max_length": 4096}),
        ({"head_dim": 8, "num_key_value_heads": 2}, {"head_dim": 8, "num_kv_heads": 2}),
    ],
)
def test_llama_settings(changes, arguments):
    found = LLAMA.arguments(LLAMA_CONFIG | changes, ())
    assert found | arguments == found


def test_layers_that_slide_and_layers_that_do_not():
    slides = {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 64, "max_window_layers": 9}
    kinds = {"layer_types": ["full_attention", "sliding_attention"]}
    assert LLAMA.arguments(LLAMA_CONFIG | slides | kinds, ())["max_length"] == 64


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["gpt2", "llama", "bert"])
def test_weights_that_are_no_numbers_are_named(tmp_path, name, value):
    folder = shutil.copytree(GOLDEN / name, tmp_path / name)
    path = sorted(folder.glob("model*.safetensors"))[0]
    tensors = load_file(path)
    tensor = next(t for t in tensors if "embed" in t or ".ln_" in t)
    tensors[tensor] = tensors[tensor].astype("float32")
    tensors[tensor].ravel()[3] = value
    save_file(tensors, path)
    refused(folder, re.escape(f"{tensor} holds NaN or infinity"))


def test_a_float64_that_float32_cannot_hold(folder):
    name = "transformer.ln_f.bias"
    change_tensors(folder, lambda tensors: tensors.update({name: np.full(4, 1e300)}))
    refused(folder, f"{name} holds NaN or infinity")


def test_tied_beside_another_output_layer(folder, tmp_path):
    """As transformers 5: what the file holds counts, with a warning; GPT-2 has no untied form here."""
    embedding = load_file(folder / "model.safetensors")["transformer.wte.weight"]
    change_tensors(folder, lambda tensors: tensors.update({"lm_head.weight": embedding.copy()}))
    lk.models.load_pretrained(folder)
    change_tensors(folder, lambda tensors: tensors.update({"lm_head.weight": embedding + 1}))
    refused(folder, r"lm_head\.weight differs from transformer\.wte\.weight: an untied output layer")

    model = lk.models.build_llama(7, max_length=8, hidden_dim=4, num_layers=1, num_heads=1, seed=0)
    lk.models.save_pretrained(model, tmp_path / "llama")
    x = np.arange(6)[None]
    plain = np.asarray(model(x))
    embedding = load_file(tmp_path / "llama" / "model.safetensors")["model.embed_tokens.weight"]
    change_tensors(tmp_path / "llama", lambda tensors: tensors.update({"lm_head.weight": embedding * 2}))
    with pytest.warns(UserWarning, match=r"tie_word_embeddings is true, and lm_head\.weight differs"):
        loaded = lk.models.load_pretrained(tmp_path / "llama").model
    np.testing.assert_allclose(loaded(x), 2 * plain, rtol=1e-5, atol=1e-7)
    assert loaded.recipe.arguments["tie_embeddings"] is False
    lk.models.save_pretrained(loaded, tmp_path / "again")
    np.testing.assert_array_equal(lk.models.load_pretrained(tmp_path / "again").model(x), loaded(x))
    change_tensors(tmp_path / "llama", lambda tensors: tensors.update({"lm_head.weight": embedding.copy()}))
    assert lk.models.load_pretrained(tmp_path / "llama").model.recipe.arguments["tie_embeddings"] is True
