"""Ids against Hugging Face's own pipeline, the published examples, and the vocabularies that training makes."""

import json
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from texts import LANGUAGES, paragraphs, texts
from tokenizers import Tokenizer

from lm_keras.errors import InputError
from lm_keras.text import WordPieceTokenizer, load_tokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
# The example of the published BERT code, with its special tokens anywhere.
PUBLISHED = ["[MASK]", "[UNK]", "[CLS]", "[SEP]", "want", "##want", "##ed", "wa", "un", "runn", "##ing", ",", "[PAD]"]


@pytest.fixture(scope="module", params=[False, True], ids=["cased", "uncased"])
def tokenizer(request):
    return WordPieceTokenizer.train([*paragraphs()[:400], *LANGUAGES], vocab_size=2000, lowercase=request.param)


def tokens(tokenizer, text):
    return [tokenizer.tokens[i] for i in tokenizer.encode(text)]


def bert_json(tokens, lowercase, **changes):
    """The tokenizer.json of a BERT checkpoint."""
    cls, sep = ({"SpecialToken": {"id": mark, "type_id": 0}} for mark in ("[CLS]", "[SEP]"))
    ids = {token: i for i, token in enumerate(tokens)}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0},
        "added_tokens": [{"id": ids[token], "content": token, **flags} for token in sorted(SPECIAL, key=ids.get)],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": lowercase,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [cls, {"Sequence": {"id": "A", "type_id": 0}}, sep],
            "pair": [cls, {"Sequence": {"id": "A", "type_id": 0}}, sep, {"Sequence": {"id": "B", "type_id": 1}}, sep],
            "special_tokens": {
                mark: {"id": mark, "ids": [ids[mark]], "tokens": [mark]} for mark in ("[CLS]", "[SEP]")
            },
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": ids,
        },
    } | changes


def test_ids_of_the_published_example():
    tokenizer = WordPieceTokenizer(PUBLISHED, lowercase=True)
    assert tokenizer.encode("UNwant\u00e9d,running") == [8, 5, 6, 11, 9, 10]
    assert tokens(tokenizer, "unwantedX running") == ["[UNK]", "runn", "##ing"]
    assert tokens(tokenizer, "unwanted" * 20) == ["[UNK]"]
    ids = (tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id)
    assert ids == (12, 1, 2, 3, 0) and (tokenizer.bos_id, tokenizer.eos_id) == (2, 3)
    assert tokens(WordPieceTokenizer(PUBLISHED), "UNwant\u00e9d,wanted") == ["[UNK]", ",", "want", "##ed"]


def test_accents_without_case_and_case_without_accents():
    pieces = [*SPECIAL, "cafe", "café", "Cafe", "Café"]
    for lowercase, strip_accents, expected in (
        (True, None, "cafe"),
        (True, False, "café"),
        (False, True, "Cafe"),
        (False, None, "Café"),
    ):
        tokenizer = WordPieceTokenizer(pieces, lowercase=lowercase, strip_accents=strip_accents)
        assert tokens(tokenizer, "Café") == [expected]


def test_ids_equal_those_of_the_whole_pipeline(tokenizer):
    whole = Tokenizer.from_str(json.dumps(bert_json(tokenizer.tokens, tokenizer.lowercase)))
    whole.no_truncation()
    batch = [*paragraphs()[300:900], *LANGUAGES]
    expected = [row.ids for row in whole.encode_batch(batch)]
    assert [tokenizer.encode_pair(text)[0] for text in batch] == expected
    assert [row[1:-1] for row in expected] == tokenizer.encode_batch(batch)


def test_special_tokens_in_a_text_are_text(tokenizer):
    assert tokenizer.mask_id not in tokenizer.encode("a [MASK] b") and len(tokenizer.encode("[MASK]")) > 2


def test_training_knows_every_character_and_frequent_words(tokenizer):
    assert tokenizer.tokens[:5] == SPECIAL and tokenizer.vocab_size == 2000
    assert not any(tokenizer.unk_id in row for row in tokenizer.encode_batch(paragraphs()[:400]))
    assert tokens(tokenizer, "the people") == ["the", "people"]
    assert WordPieceTokenizer.train(["ab ab ab cd"], min_count=3).tokens[5:] == ["##b", "a", "b", "ab"]
    assert WordPieceTokenizer.train(["ab ab ab cd"]).tokens[-2:] == ["ab", "cd"]


def test_a_small_vocabulary_leaves_out_the_rarest_characters():
    tokenizer = WordPieceTokenizer.train(["aaa aab aa b c", "d" * 101], vocab_size=8)
    assert tokenizer.tokens[5:] == ["a", "##a", "b"]  # "aab" has "##b", which is not in it
    assert tokens(tokenizer, "aaa aab b c") == ["a", "##a", "##a", "[UNK]", "b", "[UNK]"]


def test_training_is_the_same_in_every_process():
    texts = [*paragraphs()[:400], *LANGUAGES]
    code = (
        "import json, sys; from lm_keras.text import WordPieceTokenizer; texts = reversed(json.load(sys.stdin)); "
        "print(json.dumps(WordPieceTokenizer.train(texts, vocab_size=2000).tokens))"
    )
    env = {**os.environ, "PYTHONHASHSEED": "7", "RAYON_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, input=json.dumps(texts), capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == WordPieceTokenizer.train(texts, vocab_size=2000).tokens


def test_from_files(tmp_path):
    path = tmp_path / "vocab.txt"
    pieces = [*SPECIAL, "a", "\u2028", "é", "##b"]
    path.write_bytes("\r\n".join(pieces).encode())
    assert WordPieceTokenizer.from_files(path).tokens == pieces
    path.write_bytes(("\n".join(pieces) + "\n").encode())
    cased = WordPieceTokenizer.from_files(str(path), lowercase=False)
    assert cased.tokens == pieces and cased.encode("ab é A") == [5, 8, 7, 1]
    assert WordPieceTokenizer.from_files(path).encode("ab Ab é") == [5, 8, 5, 8, 1]


def test_from_tokenizer_json(tmp_path):
    path = tmp_path / "tokenizer.json"
    content = bert_json(PUBLISHED, lowercase=True)
    content["normalizer"]["strip_accents"] = False
    path.write_text(json.dumps(content))
    tokenizer = WordPieceTokenizer.from_tokenizer_json(path)
    assert (tokenizer.tokens, tokenizer.lowercase, tokenizer.strip_accents) == (PUBLISHED, True, False)
    tokenizer.save(tmp_path / "saved")
    loaded = load_tokenizer(tmp_path / "saved")
    assert (loaded.tokens, loaded.lowercase, loaded.strip_accents) == (PUBLISHED, True, False)
    content["added_tokens"].append({"id": 13, "content": "[ENT]", "special": True})
    path.write_text(json.dumps(content))
    assert WordPieceTokenizer.from_tokenizer_json(path).tokens == [*PUBLISHED, "[ENT]"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"normalizer": None}, "normalizer None is not known"),
        ({"normalizer": {"type": "Sequence"}}, "normalizer 'Sequence' is not known"),
        ({"normalizer": {"type": "BertNormalizer", "clean_text": False}}, "clean_text False"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "pre_tokenizer 'Whitespace' is not known"),
        ({"model": {"type": "BPE"}}, "model 'BPE' is not known"),
        ({"post_processor": {"type": "RobertaProcessing"}}, "post_processor 'RobertaProcessing'"),
        ({"added_tokens": [{"id": 13, "content": "x", "special": False}]}, "added token 'x' would be cut"),
        ({"added_tokens": [{"id": 15, "content": "x", "special": True}]}, "and none be left out"),
        ({"added_tokens": [3]}, "is damaged"),
    ],
)
def test_tokenizer_json_of_another_kind(tmp_path, changes, message):
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(bert_json(PUBLISHED, lowercase=True, **changes)))
    with pytest.raises(InputError, match=message) as caught:
        WordPieceTokenizer.from_tokenizer_json(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_errors(tmp_path):
    path = tmp_path / "vocab.txt"
    for content, message in (
        (b"\xff\n", "not UTF-8"),
        (b"[PAD]\n", r"must hold \[UNK\]"),
        (b"a\na\n", "each there once"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=message) as caught:
            WordPieceTokenizer.from_files(path)
        assert str(path) in str(caught.value)
    for read in (WordPieceTokenizer.from_files, WordPieceTokenizer.from_tokenizer_json, load_tokenizer):
        with pytest.raises(InputError, match="absent"):
            read(tmp_path / "absent")
    with pytest.raises(InputError, match="strip_accents 'yes'"):
        WordPieceTokenizer(PUBLISHED, strip_accents="yes")
    with pytest.raises(InputError, match="use encode_batch"):
        WordPieceTokenizer(PUBLISHED).encode(["a"])
    with pytest.raises(InputError, match="occurs 5 times"):
        WordPieceTokenizer.train(["a b"], min_count=5)
    with pytest.raises(InputError, match="no tokens at all"):
        WordPieceTokenizer.train(["\0 \u200b"])


def test_decode():
    words = "don ' t dogs toys , well - ( it ’ s ) un ##want ##ed 你 好 ！ the \" #"
    tokenizer = WordPieceTokenizer([*SPECIAL[::-1], *dict.fromkeys(words.split())])

    def again(text, previous=None):
        return tokenizer.decode(tokenizer.encode(text), previous)

    assert again("don't (unwanted dogs' toys), it’s the dogs") == "don't (unwanted dogs' toys), it’s the dogs"
    assert again("well-unwanted 你 好！") == "well - unwanted你好！"
    assert again("nothing unwanted") == "[UNK] unwanted"
    the, un, want, comma = map(tokenizer.tokens.index, ("the", "un", "##want", ","))
    assert tokenizer.decode([tokenizer.cls_id, un, want, tokenizer.sep_id, tokenizer.pad_id, the]) == "unwant the"
    assert tokenizer.decode([want, the], previous=un) == "want the" == tokenizer.decode([want, the])
    assert tokenizer.decode([the], previous=un) == " the" and tokenizer.decode([comma], previous=un) == ","
    assert tokenizer.decode([the], previous=tokenizer.cls_id) == "the" == tokenizer.decode([the], previous=-1)
    assert tokenizer.decode([0, 2, 5], previous=99) == "don"  # [MASK], [CLS]


@settings(max_examples=200)
@given(texts)
def test_decoded_text_is_read_the_same(text):
    tokenizer = WordPieceTokenizer.train([text, "."])
    ids = tokenizer.encode(text)
    if tokenizer.unk_id not in ids:
        assert tokenizer.encode(tokenizer.decode(ids)) == ids
