"""GGUF files, written here with the gguf package as llama.cpp's converter does."""

import json
import sys

import numpy as np
import pytest
from paths import GOLDEN
from safetensors.numpy import load_file, save_file

import lm_keras as lk

gguf = pytest.importorskip("gguf")

TOP = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
BLOCK = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def gguf_name(name):
    module, kind = name.rsplit(".", 1)
    if module in TOP:
        return f"{TOP[module]}.{kind}"
    _, _, block, part = module.split(".", 3)
    return f"blk.{block}.{BLOCK[part]}.{kind}"


def interleaved(rows, heads):
    """Row 2 i of a head was row i, row 2 i + 1 was row i + D / 2: what llama.cpp does to queries and keys."""
    dim = len(rows) // heads
    order = [head * dim + i // 2 + i % 2 * dim // 2 for head in range(heads) for i in range(dim)]
    return rows[order]


def write(path, folder, kind=gguf.GGMLQuantizationType.F32, architecture="llama", extra=None, tensors=None):
    """The checkpoint in `folder` as a GGUF file; matrices of type `kind`, vectors as float32."""
    config = json.loads((folder / "config.json").read_text())
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    rope = config.get("rope_parameters", config)
    writer.add_rope_freq_base(rope["rope_theta"])
    if config.get("head_dim"):
        writer.add_key_length(config["head_dim"])
        writer.add_value_length(config["head_dim"])
    if extra:
        extra(writer)
    heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    for file in sorted(folder.glob("model*.safetensors")):
        for name, tensor in load_file(file).items():
            tensor = tensor.astype("float32")
            part = name.split(".")[-2]
            if architecture == "llama" and part in heads:
                tensor = interleaved(tensor, heads[part])
            used = kind if tensor.ndim == 2 else gguf.GGMLQuantizationType.F32
            writer.add_tensor(gguf_name(name), gguf.quantize(tensor, used), raw_dtype=used)
    for name, tensor in (tensors or {}).items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def slow_turns(config):
    """By how much Llama 3.1's rule divides the speeds: what the converter stores as rope_freqs.weight."""
    rope, dim = config["rope_parameters"], config["head_dim"]
    keys = ("original_max_position_embeddings", "low_freq_factor", "high_freq_factor")
    length, low, high = (rope[key] for key in keys)
    factors = []
    for i in range(0, dim, 2):
        wave = 2 * np.pi * rope["rope_theta"] ** (i / dim)
        if wave < length / high:
            factors.append(1.0)
        elif wave > length / low:
            factors.append(rope["factor"])
        else:
            smooth = (length / wave - low) / (high - low)
            factors.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return np.array(factors, "float32")


def test_linear_scaling_biases_and_no_reordering(tmp_path):
    """Qwen2: queries and keys as they are, with biases; positions of half the speed; no tokenizer."""

    def scaling(writer):
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(2.0)

    path = write(tmp_path / "a.gguf", GOLDEN / "qwen2", architecture="qwen2", extra=scaling)
    lm = lk.models.load_pretrained(path)
    there = load_file(GOLDEN / "qwen2" / "expected.safetensors")
    np.testing.assert_allclose(lm.model(there["ids"]), there["logits"], rtol=1e-5, atol=1e-5)
    assert lm.tokenizer is None


@pytest.fixture(scope="module")
def stretched(tmp_path_factory):
    """The Llama checkpoint, stretched from a context of 8192 as real ones, and its vocabulary."""
    folder = tmp_path_factory.mktemp("stretched")
    config = json.loads((GOLDEN / "llama" / "config.json").read_text())
    config["rope_parameters"] |= {"original_max_position_embeddings": 8192, "rope_theta": 500000.0}
    (folder / "config.json").write_text(json.dumps(config))
    for path in (GOLDEN / "llama").glob("model*"):
        (folder / path.name).write_bytes(path.read_bytes())
    content = json.loads((GOLDEN / "llama" / "tokenizer.json").read_text(encoding="utf-8"))["model"]

    def vocabulary(writer):
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("llama-bpe")
        writer.add_token_list(sorted(content["vocab"], key=content["vocab"].get))
        writer.add_token_types([gguf.TokenType.CONTROL] * 2 + [gguf.TokenType.NORMAL] * 298)
        writer.add_token_merges([" ".join(pair) for pair in content["merges"]])
        writer.add_bos_token_id(0)
        writer.add_eos_token_id(1)
        writer.add_chat_template("{{ bos_token }}{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}")

    turns = {"rope_freqs.weight": slow_turns(config)}
    return folder, write(folder / "model.gguf", folder, gguf.GGMLQuantizationType.BF16, "llama", vocabulary, turns)


def test_queries_and_keys_in_halves_again_and_llama3_scaling(stretched):
    folder, path = stretched
    lm, there = lk.models.load_pretrained(path), lk.models.load_pretrained(folder)
    assert lm.model.recipe.arguments == there.model.recipe.arguments | {"norm_epsilon": pytest.approx(1e-6)}
    for weight, other in zip(lm.model.weights, there.model.weights, strict=True):
        np.testing.assert_array_equal(weight, other, weight.path)  # the file has bfloat16, as the checkpoint

    reference = json.loads((GOLDEN / "llama" / "ids.json").read_text(encoding="utf-8"))
    assert lm.tokenizer.encode_batch(reference["texts"]) == reference["ids"]
    assert (lm.tokenizer.bos_id, lm.tokenizer.eos_id, lm.tokenizer.add_bos) == (0, 1, True)
    assert lm.tokenizer.special_tokens == {"<|begin|>": 0, "<|end|>": 1}
    chat = [{"role": "user", "content": "one<|end|>"}]
    assert lm.tokenizer.apply_chat_template(chat) == "<|begin|>one<|end|><|end|>"
    assert lm.tokenizer.encode_chat(chat) == [0, *lm.tokenizer.encode("one<|end|>"), 1]


def f32(raw):
    return raw.view("<f4")


def f16(raw):
    return raw.view("<f2").astype("f4")


def q8_0(raw):
    """Blocks of 32: a float16 step and int8 numbers."""
    raw = raw.reshape(len(raw), -1, 34)
    return (raw[..., 2:].view("i1") * f16(raw[..., :2])).reshape(len(raw), -1)


def nibbles(raw):
    return np.concatenate([raw & 15, raw >> 4], -1).astype("f4")  # the low halves are numbers 0 to 15


def q4_0(raw):
    """Blocks of 32: a float16 step and numbers of 4 bits, 8 stands for 0."""
    raw = raw.reshape(len(raw), -1, 18)
    return ((nibbles(raw[..., 2:]) - 8) * f16(raw[..., :2])).reshape(len(raw), -1)


def q4_1(raw):
    """Blocks of 32: a float16 step, a float16 smallest number, and numbers of 4 bits."""
    raw = raw.reshape(len(raw), -1, 20)
    return (nibbles(raw[..., 4:]) * f16(raw[..., :2]) + f16(raw[..., 2:4])).reshape(len(raw), -1)


@pytest.mark.parametrize("decode", [f32, f16, q8_0, q4_0, q4_1])
def test_quantized_tensors(tmp_path, decode):
    kind = gguf.GGMLQuantizationType[decode.__name__.upper()]
    sizes = {"hidden_dim": 32, "feed_forward_dim": 64, "num_layers": 1, "num_heads": 2}
    model = lk.models.build_llama(40, max_length=16, **sizes, seed=0)
    lk.models.save_pretrained(model, tmp_path)
    path = write(tmp_path / "model.gguf", tmp_path, kind)
    made = {weight.path: np.asarray(weight) for weight in lk.models.load_pretrained(path).model.weights}
    for name, weight in {
        "tokens/embeddings": "embed_tokens",
        "block_0/down/kernel": "layers.0.mlp.down_proj",
    }.items():
        tensor = load_file(tmp_path / "model.safetensors")[f"model.{weight}.weight"]
        raw = np.frombuffer(gguf.quantize(tensor, kind).tobytes(), "u1").reshape(len(tensor), -1)
        values = decode(raw)
        np.testing.assert_allclose(made[name].T if "kernel" in name else made[name], values, rtol=1e-6)
        assert np.abs(values - tensor).max() <= np.abs(tensor).max() / (1 if "4" in decode.__name__ else 100)
    rows = decode_rows(tmp_path, kind, decode)
    np.testing.assert_allclose(made["block_0/attention/qkv/kernel"][:, :32].T, rows, rtol=1e-6)


def decode_rows(folder, kind, decode):
    """The query rows: each is decoded by itself, so reordering them and back changes nothing."""
    tensor = load_file(folder / "model.safetensors")["model.layers.0.self_attn.q_proj.weight"]
    return decode(np.frombuffer(gguf.quantize(tensor, kind).tobytes(), "u1").reshape(len(tensor), -1))


def refused(path, match):
    with pytest.raises(lk.InputError, match=match) as caught:
        lk.models.load_pretrained(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.0001, 0.02, 0.2, 0.5, 0.9, 0.999])
def test_cut_short(stretched, tmp_path, share):
    content = stretched[1].read_bytes()
    (tmp_path / "cut.gguf").write_bytes(content[: max(4, int(share * len(content)))])
    refused(tmp_path / "cut.gguf", "damaged or cut short")


@pytest.mark.parametrize(
    "after, skip, value, match",
    [
        (b"GGUF", 0, 1, "GGUF of version 1"),
        (b"GGUF", 0, 3 << 24, "GGUF of version 50331648"),  # another byte order
        (b"tokenizer.ggml.tokens", 8, 2**60, "damaged or cut short"),
        (b"tokenizer.ggml.tokens", 4, 99, "damaged or cut short"),
        (b"general.architecture", 4, 2**60, "damaged or cut short"),
        (b"token_embd.weight", 4 + 16, 99, "type 99, which gguf does not know"),
        (b"token_embd.weight", 4, 0, "damaged or cut short"),
    ],
)
def test_damaged_numbers(stretched, tmp_path, after, skip, value, match):
    content = bytearray(stretched[1].read_bytes())
    place = content.index(after) + len(after) + skip
    size = 8 if value == 2**60 or not value else 4
    content[place : place + size] = value.to_bytes(size, "little")
    (tmp_path / "damaged.gguf").write_bytes(content)
    refused(tmp_path / "damaged.gguf", match)


def test_other_files(tmp_path, monkeypatch):
    folder = GOLDEN / "qwen2"
    refused(write(tmp_path / "a.gguf", folder, architecture="gemma"), "architecture 'gemma'; known are llama, qwen2")
    experts = write(tmp_path / "b.gguf", folder, extra=lambda writer: writer.add_expert_count(8))
    refused(experts, "expert_count 8")
    yarn = write(
        tmp_path / "c.gguf", folder, extra=lambda writer: writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    )
    refused(yarn, "'yarn'")
    odd = write(tmp_path / "d.gguf", folder, tensors={"rope_freqs.weight": np.array([1, 3], "float32")})
    refused(odd, "rope_freqs.weight of a rule that is not known")
    unknown = {"blk.0.attn_q_norm.weight": np.ones(4, "float32")}
    path = write(tmp_path / "e.gguf", folder, architecture="qwen2", tensors=unknown)
    refused(path, r"should not have 1 tensors: blk\.0\.attn_q_norm\.weight")
    (tmp_path / "f.gguf").write_bytes(b"something else")
    refused(tmp_path / "f.gguf", "is no GGUF file")
    monkeypatch.setitem(sys.modules, "gguf", None)
    refused(path, "pip install gguf")


def test_a_factor_without_a_kind_and_by_its_first_name(tmp_path):
    """llama.cpp takes such a factor as linear; `none` switches it off."""

    def scaling(writer, name, kind=None):
        writer.add_float32(f"qwen2.{name}", 2.0)
        if kind is not None:
            writer.add_rope_scaling_type(kind)

    there = load_file(GOLDEN / "qwen2" / "expected.safetensors")
    for i, name in enumerate(("rope.scaling.factor", "rope.scale_linear")):
        path = tmp_path / f"{i}.gguf"
        write(path, GOLDEN / "qwen2", architecture="qwen2", extra=lambda writer, name=name: scaling(writer, name))
        lm = lk.models.load_pretrained(path)
        np.testing.assert_allclose(lm.model(there["ids"]), there["logits"], rtol=1e-5, atol=1e-5)
    path = tmp_path / "none.gguf"
    none = gguf.RopeScalingType.NONE
    write(path, GOLDEN / "qwen2", architecture="qwen2", extra=lambda w: scaling(w, "rope.scaling.factor", none))
    assert lk.models.load_pretrained(path).model.recipe.arguments["rope_scaling"] is None


@pytest.mark.parametrize(
    "name, value",
    [("logit_scale", 0.5), ("attn_logit_softcapping", 50.0), ("residual_scale", 0.25), ("attention.clamp_kqv", 8.0)],
)
def test_metadata_that_would_change_the_numbers(tmp_path, name, value):
    path = tmp_path / "a.gguf"
    write(path, GOLDEN / "qwen2", extra=lambda writer: writer.add_float32(f"llama.{name}", value))
    refused(path, f"has {name} {value}, which is not built here")


def test_weights_that_are_no_numbers(tmp_path):
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "config.json").write_bytes((GOLDEN / "qwen2" / "config.json").read_bytes())
    tensors = load_file(GOLDEN / "qwen2" / "model.safetensors")
    tensors["model.norm.weight"] = np.full_like(tensors["model.norm.weight"], np.nan)
    save_file(tensors, folder / "model.safetensors")
    refused(write(tmp_path / "a.gguf", folder, architecture="qwen2"), r"norm\.weight holds NaN or infinity")


@pytest.fixture(scope="module")
def plain_llama(tmp_path_factory):
    """A Llama of the vocabulary of the golden one."""
    folder = tmp_path_factory.mktemp("plain")
    model = lk.models.build_llama(300, max_length=8, hidden_dim=8, num_layers=1, num_heads=2, seed=0)
    lk.models.save_pretrained(model, folder)
    return folder


def vocabulary_of_llama(pre, extra=None):
    content = json.loads((GOLDEN / "llama" / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    tokens = sorted(content["vocab"], key=content["vocab"].get)

    def add(writer):
        writer.add_tokenizer_model("gpt2")
        if pre is not None:
            writer.add_tokenizer_pre(pre)
        writer.add_token_list(tokens)
        writer.add_token_types([gguf.TokenType.CONTROL] * 2 + [gguf.TokenType.NORMAL] * (len(tokens) - 2))
        writer.add_token_merges([" ".join(pair) for pair in content["merges"]])
        writer.add_bos_token_id(0)
        writer.add_eos_token_id(0)
        if extra:
            extra(writer)

    return add


# What each name cuts a text into, by the expressions of llama.cpp's llama-vocab.cpp.
CUTS = {
    "llama3": ["It", "'s", " ", "123", "45", " !!\n\n", " ", " ok"],
    "qwen2": ["It", "'s", " ", "1", "2", "3", "4", "5", " !!\n\n", " ", " ok"],
    "gpt2": ["It", "'s", " 12345", " !!", "\n\n ", " ok"],
    "default": ["It", "'", "s", " ", "123", "45", " ", "!!", "\n\n ", " ok"],
}


@pytest.mark.parametrize(
    "pre, cuts, add_bos",
    [
        *((name, "llama3", True) for name in ("llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral")),
        *((name, "qwen2", False) for name in ("qwen2", "deepseek-r1-qwen")),
        *((name, "gpt2", False) for name in ("gpt-2", "phi-2")),
        ("default", "default", False),
    ],
)
def test_how_a_text_is_cut(tmp_path, plain_llama, pre, cuts, add_bos):
    path = write(tmp_path / "a.gguf", plain_llama, extra=vocabulary_of_llama(pre))
    tokenizer = lk.models.load_pretrained(path).tokenizer
    text = "It's 12345 !!\n\n  ok"
    pieces = tokenizer._pipeline.pre_tokenizer.pre_tokenize_str(text)
    assert [text[a:b] for _, (a, b) in pieces] == CUTS[cuts]
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert (tokenizer.add_bos, tokenizer.ignore_merges) == (add_bos, cuts == "llama3")
    tokenizer.save(tmp_path)
    assert lk.text.load_tokenizer(tmp_path).encode(text) == tokenizer.encode(text)


def test_a_file_that_does_not_say_how_texts_are_cut(tmp_path, plain_llama):
    path = write(tmp_path / "a.gguf", plain_llama, extra=vocabulary_of_llama(None))
    with pytest.warns(UserWarning, match="does not say how texts are cut"):
        tokenizer = lk.models.load_pretrained(path).tokenizer
    with pytest.raises(lk.InputError, match="pre_tokenizer has no TensorFlow graph"):
        tokenizer.tf_encode(["a"])
    refused(write(tmp_path / "b.gguf", plain_llama, extra=vocabulary_of_llama("tekken")), "cut by 'tekken'")


def test_ends_of_a_text(tmp_path, plain_llama):
    """eos, eot and eom of the metadata, and control tokens of a name that ends a turn: <|end|> is one."""

    def turns(writer):
        writer.add_eot_token_id(30)
        writer.add_uint32("tokenizer.ggml.eom_token_id", 31)

    path = write(tmp_path / "a.gguf", plain_llama, extra=vocabulary_of_llama("llama3", extra=turns))
    tokenizer = lk.models.load_pretrained(path).tokenizer
    assert tokenizer.tokens[1] == "<|end|>"
    assert tokenizer.eos_id == 0 and set(tokenizer.end_ids) == {0, 1, 30, 31}


def test_vocabularies_that_are_not_read(tmp_path):
    def vocabulary(writer):
        writer.add_tokenizer_model("llama")
        writer.add_token_list(["<unk>"])

    path = write(tmp_path / "a.gguf", GOLDEN / "qwen2", architecture="qwen2", extra=vocabulary)
    refused(path, "llama vocabulary cut by None; known are gpt2.*tokenizer=False")
    assert lk.models.load_pretrained(path, tokenizer=False).tokenizer is None
