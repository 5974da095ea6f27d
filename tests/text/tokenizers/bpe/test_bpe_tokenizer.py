"""BPETokenizer against Hugging Face's own byte-level pipeline, and its files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from texts import LANGUAGES, paragraphs, tricky_texts
from tokenizers import Tokenizer, models, pre_tokenizers

import lm_keras as lk
from lm_keras.errors import InputError
from lm_keras.text import BPETokenizer, load_tokenizer
from lm_keras.text.tokenizers.bpe import pipeline

MARK = "<|endoftext|>"


@pytest.fixture(scope="module")
def trained():
    return BPETokenizer.train([*paragraphs()[:400], *LANGUAGES], vocab_size=1500)


def ids_of(tokenizer):
    return {token: i for i, token in enumerate(tokenizer.tokens)}


def hugging_face(tokenizer):
    """The usual pipeline, with the mark as a special token."""
    peer = Tokenizer(models.BPE(ids_of(tokenizer), list(tokenizer.merges)))
    peer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    peer.add_special_tokens([MARK])
    return peer


def test_ids_equal_those_of_hugging_face(trained):
    peer = hugging_face(trained)
    batch = [*paragraphs()[300:900], *LANGUAGES, *tricky_texts(2000)]
    expected = [row.ids for row in peer.encode_batch(batch)]
    assert trained.encode_batch(batch) == expected == [trained.encode(text) for text in batch]
    assert [trained.decode(row) for row in expected] == batch


def test_the_trained_vocabulary(trained):
    assert trained.tokens[0] == MARK and trained.eos_id == trained.bos_id == 0
    assert trained.pad_id is None and trained.unk_id is None
    assert trained.tokens[1:257] == sorted(pipeline.alphabet())
    assert [left + right for left, right in trained.merges] == trained.tokens[257:]
    assert set(trained.merges[:2]) == {("Ġ", "t"), ("Ġ", "a")}  # the most frequent pairs of English
    assert len(trained.tokens) == trained.vocab_size == 1500


def test_the_smallest_vocabulary_is_the_bytes():
    tokenizer = BPETokenizer.train(["no merges"], vocab_size=257)
    assert bytes(tokenizer._surface[i][0] for i in tokenizer.encode("é\0")) == "é\0".encode()
    assert BPETokenizer.train(["ab ab ab"]).tokens[257:] == ["ab", "Ġab"]
    assert BPETokenizer.train(["ab ab ab"], min_count=3).tokens[257:] == ["ab"]


def test_training_streams_and_is_deterministic():
    assert BPETokenizer.train((text for text in ["b a", "a c"]), vocab_size=260).merges == [("Ġ", "a"), ("Ġ", "c")]
    code = (
        "import lm_keras as lk; texts = lk.data.load('lee-news')[:60];"
        "print(lk.text.BPETokenizer.train(iter(texts), vocab_size=900).merges)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(BPETokenizer.train(lk.data.load("lee-news")[:60], vocab_size=900).merges)


def test_a_mark_in_a_text_is_text(trained):
    ids = trained.encode(f"one{MARK}two")
    assert trained.eos_id not in ids and trained.decode(ids) == f"one{MARK}two"
    assert trained.decode([*trained.encode("one"), trained.eos_id]) == "one"
    assert trained.special_tokens == {MARK: 0}


def test_gpt2_files(trained, tmp_path):
    ids = ids_of(trained)
    (tmp_path / "encoder.json").write_text(json.dumps(ids))
    lines = ["#version: 0.2", *(" ".join(pair) for pair in trained.merges), ""]
    (tmp_path / "vocab.bpe").write_text("\n".join(lines), encoding="utf-8")
    read = BPETokenizer.from_files(tmp_path / "encoder.json", tmp_path / "vocab.bpe")
    assert read.encode_batch(LANGUAGES) == trained.encode_batch(LANGUAGES) and read.eos_id == 0
    with pytest.raises(InputError, match="special token '<s>' is not in the vocabulary"):
        BPETokenizer.from_files(tmp_path / "encoder.json", tmp_path / "vocab.bpe", special_tokens=["<s>"])
    with pytest.raises(InputError, match="there is no readable .*merges.txt"):
        BPETokenizer.from_files(tmp_path / "encoder.json", tmp_path / "merges.txt")
    (tmp_path / "vocab.bpe").write_text("a bb ccc", encoding="utf-8")
    with pytest.raises(InputError, match="the merge 'a bb ccc' is damaged"):
        BPETokenizer.from_files(tmp_path / "encoder.json", tmp_path / "vocab.bpe")
    (tmp_path / "encoder.json").write_text('{"a": 0, "b": 2}')
    with pytest.raises(InputError, match="is no vocabulary"):
        BPETokenizer.from_files(tmp_path / "encoder.json", tmp_path / "vocab.bpe")


def checkpoint(trained, folder, config=None, **changes):
    """Writes the tokenizer.json of a chat model: two more special tokens, Llama 3's cuts, a mark before each text."""
    ids, size = ids_of(trained), trained.vocab_size
    added = [{"id": size + i, "content": token, "special": True} for i, token in enumerate(["<|bos|>", "<|im_end|>"])]
    common = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    added = [common | token for token in [{"id": 0, "content": MARK, "special": True}, *added]]
    template = {
        "single": [{"SpecialToken": {"id": "<|bos|>"}}, {"Sequence": {"id": "A"}}],
        "type": "TemplateProcessing",
    }
    content = {
        "version": "1.0",
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": pipeline.PATTERNS["llama3"],
        "post_processor": {"type": "Sequence", "processors": [{"type": "ByteLevel"}, template]},
        "model": {"type": "BPE", "vocab": ids, "merges": trained.merges, "ignore_merges": True},
    }
    (folder / "tokenizer.json").write_text(json.dumps(content | changes))
    if config is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return BPETokenizer.from_tokenizer_json(folder)


def test_a_checkpoints_tokenizer_json(trained, tmp_path):
    config = {"bos_token": "<|bos|>", "eos_token": {"content": "<|im_end|>"}, "pad_token": "<|im_end|>"}
    read = checkpoint(trained, tmp_path, config)
    assert (read.bos_id, read.eos_id, read.pad_id, read.add_bos) == (1500, 1501, 1501, True)
    assert (read.pattern, read.ignore_merges, read.vocab_size) == ("llama3", True, 1502)
    peer = Tokenizer(models.BPE(ids_of(trained), list(trained.merges), ignore_merges=True))
    pattern = pipeline.PATTERNS["llama3"]["pretokenizers"][0]["pattern"]["Regex"]
    split = pre_tokenizers.Split(__import__("tokenizers").Regex(pattern), "isolated")
    peer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(False, use_regex=False)])
    batch = [*paragraphs()[:200], *LANGUAGES, *tricky_texts(500), "<|im_end|>"]
    assert read.encode_batch(batch) == [row.ids for row in peer.encode_batch(batch)]
    assert read.decode([1500, *read.encode("So."), 1501]) == "So."
    assert BPETokenizer.from_tokenizer_json(tmp_path / "tokenizer.json", eos_id=0).eos_id == 0
    read.save(tmp_path / "saved")
    loaded = load_tokenizer(tmp_path / "saved")
    assert loaded.get_config() == read.get_config()


def test_without_tokenizer_config_the_end_is_gpt2s(trained, tmp_path):
    read = checkpoint(trained, tmp_path, pre_tokenizer={"type": "ByteLevel", "add_prefix_space": False})
    assert (read.bos_id, read.eos_id, read.pad_id, read.pattern) == (0, 0, None, "gpt2")
    with pytest.raises(InputError, match="eos_id is 5000; it must be a whole number of at least 0 and at most"):
        BPETokenizer.from_tokenizer_json(tmp_path, eos_id=5000)
    with pytest.raises(InputError, match="is not in the vocabulary"):
        checkpoint(trained, tmp_path, {"eos_token": "</s>"})


def test_what_the_graph_cannot_do_encode_does(trained, tmp_path):
    plain = {"id": 1502, "content": " is", "special": False, "single_word": False, "lstrip": False, "rstrip": False}
    for changes, field in (
        ({"normalizer": {"type": "NFC"}}, "normalizer"),
        ({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True}}, "pre_tokenizer"),
        ({"added_tokens": [plain | {"id": 1500, "normalized": False}]}, "added_tokens"),
    ):
        read = checkpoint(trained, tmp_path, **changes)
        assert read.decode(read.encode("e\u0301 is")).strip() in ("é is", "e\u0301 is")
        with pytest.raises(InputError, match=f"{field} has no TensorFlow graph"):
            read.tf_encode(["a"])
        assert read.tf_decode([read.encode("so it is")]).numpy()[0].decode().strip() == "so it is"
    assert read.encode("is is") == [*read.encode("is"), 1500]
    read.save(tmp_path)
    assert load_tokenizer(tmp_path).encode("is is") == read.encode("is is")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"type": "WordPiece"}}, "no BPE model"),
        ({"model": {"type": "BPE", "byte_fallback": True}}, "byte_fallback True is not supported"),
        ({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}, "vocabulary"),
        ({"model": {"type": "BPE"}}, "damaged"),
        ({"added_tokens": [{"id": 3}]}, "damaged"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "no byte-level BPE"),
        (
            {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "ByteLevel"}, {"type": "?"}]}},
            "cannot use",
        ),
    ],
)
def test_checkpoint_errors(trained, tmp_path, changes, message):
    with pytest.raises(InputError, match=message) as caught:
        checkpoint(trained, tmp_path, **changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"merges": None}, "needs its list of merges"),
        ({"merges": ["a b c"]}, "merge 'a b c' is damaged"),
        ({"merges": [["a", 1]]}, "is damaged"),
        ({"merges": ["zz q"]}, "does not fit the vocabulary"),
        ({"pattern": "none"}, "known are gpt2, gpt2-digits, llama3, qwen2"),
        ({"pattern": 3}, "no byte-level BPE"),
        ({"special_tokens": "a"}, "give a list of tokens"),
        ({"special_tokens": [[]]}, "is not in the vocabulary"),
        ({"eos_id": 1500}, "eos_id is 1500; it must"),
        ({"pad_id": "a"}, "pad_id is 'a'; it must"),
        ({"unk_token": "<unk>"}, "'<unk>' is not in the vocabulary"),
        ({"normalizer": {"type": "?"}}, "cannot use this vocabulary"),
        ({"added_tokens": 7}, "cannot use this vocabulary"),
        ({"tokens": ["a"], "merges": []}, "is not in the vocabulary"),
        ({"tokens": ["a"], "merges": [], "special_tokens": [], "eos_id": None}, "give eos_id"),
    ],
)
def test_a_damaged_file_is_one_line(trained, tmp_path, changes, message):
    trained.save(tmp_path)
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")
    with pytest.raises(InputError, match=message) as caught:
        load_tokenizer(tmp_path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_training_errors_reach_the_caller():
    for texts, message in (
        (["a", 1], "got a int in it"),
        (iter(["", b""]), "no tokens at all"),
        ("a", "into a list"),
    ):
        with pytest.raises(InputError, match=message):
            BPETokenizer.train(texts)
    with pytest.raises(InputError, match="256 bytes included. is 256; it must be a whole number of at least 257"):
        BPETokenizer.train(["a"], vocab_size=256)


@pytest.mark.skipif("LM_KERAS_DATA" not in os.environ, reason="needs GPT-2's encoder.json and vocab.bpe")
def test_gpt2s_own_ids():
    folder = Path(os.environ["LM_KERAS_DATA"]) / "gpt2-bpe"
    gpt2 = BPETokenizer.from_files(folder / "encoder.json", folder / "vocab.bpe")
    assert (gpt2.vocab_size, gpt2.eos_id, gpt2.bos_id) == (50257, 50256, 50256)
    known = {
        "Hello world": [15496, 995],
        "Hello, I'm a language model,": [15496, 11, 314, 1101, 257, 3303, 2746, 11],
        "The quick brown fox": [464, 2068, 7586, 21831],
    }
    assert {text: gpt2.encode(text) for text in known} == known
    batch = [*paragraphs()[:800], *LANGUAGES, *tricky_texts(2000), "a" * 10_000]
    expected = [row.ids for row in hugging_face(gpt2).encode_batch(batch)]
    assert gpt2.encode_batch(batch) == expected == gpt2.tf_encode(batch).to_list()
