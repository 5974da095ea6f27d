"""Checkpoints that transformers wrote (tools/make_golden.py): same logits, same ids, and back again."""

import json
import shutil

import numpy as np
import pytest
from paths import GOLDEN
from safetensors.numpy import load_file, save_file

import lm_keras as lk

CAUSAL = ("gpt2", "llama", "qwen2")
WITH_TOKENIZER = ("gpt2", "llama", "bert")


@pytest.fixture(scope="module")
def loaded():
    """One model a checkpoint; no test changes its weights."""
    return {name: lk.models.load_pretrained(GOLDEN / name) for name in (*CAUSAL, "bert")}


def expected(name):
    return load_file(GOLDEN / name / "expected.safetensors")


def network(made):
    return getattr(made, "model", made)


def stored(folder):
    """All tensors of a folder as float32, read by the safetensors library and ml_dtypes."""
    tensors = {}
    for path in sorted(folder.glob("model*.safetensors")):
        tensors |= load_file(path)
    return {name: tensor.astype("float32") for name, tensor in tensors.items()}


def weights_of(made):
    return {weight.path: np.asarray(weight) for weight in network(made).weights}


def assert_same_weights(made, other):
    weights, others = weights_of(made), weights_of(other)
    assert weights.keys() == others.keys()
    for path, weight in weights.items():
        np.testing.assert_array_equal(weight, others[path], path)


@pytest.mark.parametrize("name", CAUSAL)
def test_logits_equal_those_of_transformers(loaded, name):
    there = expected(name)
    np.testing.assert_allclose(loaded[name].model(there["ids"]), there["logits"], rtol=1e-5, atol=1e-5)


def test_encoder_outputs_equal_those_of_transformers(loaded):
    there = expected("bert")
    made = loaded["bert"]({name: there[name] for name in ("token_ids", "segment_ids", "padding_mask")})
    assert not there["padding_mask"].all()
    for name in ("sequence_output", "pooled_output"):
        np.testing.assert_allclose(made[name], there[name], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", WITH_TOKENIZER)
def test_token_ids_equal_those_of_transformers(loaded, name):
    there = json.loads((GOLDEN / name / "ids.json").read_text(encoding="utf-8"))
    assert loaded[name].tokenizer.encode_batch(there["texts"]) == there["ids"]


def test_marks_come_from_the_checkpoint(loaded):
    gpt2, llama, bert = (loaded[name].tokenizer for name in WITH_TOKENIZER)
    assert (gpt2.bos_id, gpt2.eos_id, gpt2.add_bos) == (280, 280, False)
    assert (llama.bos_id, llama.eos_id, llama.add_bos) == (0, 1, True)
    assert [bert.tokens[i] for i in (bert.cls_id, bert.sep_id, bert.mask_id)] == ["[CLS]", "[SEP]", "[MASK]"]


def test_without_tokenizer_logits_alone(loaded):
    lm = loaded["qwen2"]
    assert lm.tokenizer is None
    for call in (lm.score, lm.generate, lm.stream, lm.save):
        with pytest.raises(lk.InputError, match="no tokenizer"):
            call("text")


@pytest.mark.parametrize("name", (*CAUSAL, "bert"))
def test_round_trip(loaded, tmp_path, name):
    """What is written holds the tensors of the original, name by name and bit by bit, and loads again."""
    made = loaded[name]
    lk.models.save_pretrained(made, tmp_path)
    original, written = stored(GOLDEN / name), stored(tmp_path)
    if name == "bert":  # the file is of the model with the heads of pre-training; the encoder is what was loaded
        original = {key[len("bert.") :]: value for key, value in original.items() if key.startswith("bert.")}
    assert written.keys() == original.keys()
    for key, value in written.items():
        np.testing.assert_array_equal(value, original[key], key)

    config, before = (json.loads((folder / "config.json").read_text()) for folder in (tmp_path, GOLDEN / name))
    common = config.keys() & before.keys() - {"architectures", "pad_token_id"}
    assert {key: config[key] for key in common} == {key: before[key] for key in common}
    again = lk.models.load_pretrained(tmp_path)
    assert_same_weights(again, made)
    if made.tokenizer:
        assert again.tokenizer.tokens == made.tokenizer.tokens
        text = "It was 1984;\n they're in Zürich 🙂."
        assert again.tokenizer.encode(text) == made.tokenizer.encode(text)


def test_names_without_prefix_and_old_buffers(loaded, tmp_path):
    """As the first releases were written: no prefix, with the causal mask and with the output layer."""
    tensors = stored(GOLDEN / "gpt2")
    tensors = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
    for i in range(2):
        tensors[f"h.{i}.attn.bias"] = np.tril(np.ones((1, 1, 24, 24), "float32"))
        tensors[f"h.{i}.attn.masked_bias"] = np.array(-1e4, "float32")
    tensors["lm_head.weight"] = tensors["wte.weight"]
    save_file(tensors, tmp_path / "model.safetensors")
    config = json.loads((GOLDEN / "gpt2" / "config.json").read_text())
    config["n_ctx"] = config.pop("n_positions")
    (tmp_path / "config.json").write_text(json.dumps(config))
    made = lk.models.load_pretrained(tmp_path)
    assert made.tokenizer is None
    assert_same_weights(made, loaded["gpt2"])


def test_bert_without_pooler_and_with_old_names(loaded, tmp_path):
    tensors = {name: tensor for name, tensor in stored(GOLDEN / "bert").items() if ".pooler." not in name}
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    for new, name in old.items():
        tensors = {key.replace(new, name): tensor for key, tensor in tensors.items()}
    tensors["bert.embeddings.position_ids"] = np.arange(24)[None]
    save_file(tensors, tmp_path / "model.safetensors")
    shutil.copy(GOLDEN / "bert" / "config.json", tmp_path)
    weights = weights_of(lk.models.load_pretrained(tmp_path))
    kept = {path: weight for path, weight in weights_of(loaded["bert"]).items() if not path.startswith("pooler/")}
    assert weights.keys() == kept.keys()
    assert all(np.array_equal(weight, kept[path]) for path, weight in weights.items())


def test_rows_without_token_are_filled_up(tmp_path):
    """Qwen2 has more rows than its tokenizer has tokens: those are never in a text, and decode to nothing."""
    model = lk.models.build_gpt2(290, max_length=8, hidden_dim=4, num_layers=1, num_heads=1)
    lk.models.save_pretrained(model, tmp_path)
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(GOLDEN / "gpt2" / name, tmp_path)
    tokenizer = lk.models.load_pretrained(tmp_path).tokenizer
    assert (tokenizer.vocab_size, tokenizer.eos_id) == (290, 280)
    assert max(tokenizer.encode("<unused_285>")) < 280
    assert tokenizer.decode([285, *tokenizer.encode("a")]) == "a"


def test_dropout_for_further_training():
    made = lk.models.load_pretrained(GOLDEN / "gpt2", tokenizer=False, dropout=0.3)
    assert made.tokenizer is None
    assert made.model.recipe.arguments["dropout"] == 0.3


def test_only_what_has_such_a_form_is_written(tmp_path):
    chars = lk.text.CharTokenizer.train(["abc"])
    model = lk.models.build_feedforward_lm(chars.vocab_size, context_length=2, embedding_dim=4, hidden_dim=[4])
    with pytest.raises(lk.InputError, match="build_feedforward_lm has no such form"):
        lk.models.save_pretrained(model, tmp_path / "a")
    gpt2 = lk.models.build_gpt2(chars.vocab_size, max_length=8, hidden_dim=4, num_layers=1, num_heads=1)
    with pytest.raises(lk.InputError, match="CharTokenizer has no form"):
        lk.models.save_pretrained(lk.LanguageModel(gpt2, chars), tmp_path / "b")
    assert not (tmp_path / "b" / "model.safetensors").exists()
