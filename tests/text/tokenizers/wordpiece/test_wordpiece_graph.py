"""The graph against Hugging Face: every character, marks in any order, any vocabulary, odd lengths."""

from random import Random

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import normalizers, pre_tokenizers

from lm_keras.serving import query
from lm_keras.text import WordPieceTokenizer
from lm_keras.text.tokenizers.wordpiece.graph import tf_words

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
EVERY = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
MODES = {"cased": (False, False), "uncased": (True, True)}  # lowercase, strip_accents


def hugging_face_words(text, lowercase, strip_accents):
    clean = normalizers.BertNormalizer(strip_accents=strip_accents, lowercase=lowercase).normalize_str(text)
    return [word for word, _ in pre_tokenizers.BertPreTokenizer().pre_tokenize_str(clean)]


def graph_words(texts, mode):
    return [[word.decode() for word in row] for row in tf_words(tf.constant(texts), *mode).to_list()]


@pytest.mark.parametrize("mode", MODES)
def test_every_character(mode):
    # From U+30000 on, but for tags, there are only unassigned and private ones: they are their own neighbours.
    text = "a" + "a".join([*EVERY[:0x30000], *map(chr, range(0xE0000, 0xE1000))]) + "a" + "".join(EVERY[0x2F000:])
    assert graph_words([text], MODES[mode]) == [hugging_face_words(text, *MODES[mode])]


@pytest.mark.parametrize("mode", MODES)
def test_marks_in_any_order(mode):
    nfd = normalizers.NFD().normalize_str
    marks = [char for char in EVERY[:0x1F000] if nfd("\u0345" + char)[0] != "\u0345"]
    strip = normalizers.BertNormalizer(strip_accents=True, lowercase=False).normalize_str
    kept = [char for char in marks if strip(char)]  # marks whose order is seen in the result
    assert len(marks) > 700 and len(kept) > 70
    between = ["\u200b", " ", "\n", "a", "Å", "中", "각", "\u1112\u1161\u11ab", "\uf900", ".", "\u0903", "\U0001d15e"]
    random = Random(0)
    pools = [kept, kept, marks, between, EVERY]
    texts = ["".join(random.choice(random.choice(pools)) for _ in range(random.randint(1, 9))) for _ in range(6000)]
    assert graph_words(texts, MODES[mode]) == [hugging_face_words(text, *MODES[mode]) for text in texts]


def test_special_cases_by_hand():
    words = graph_words(
        ["İSTANBUL Straße ΟΔΟΣ ﬁ", "한글 中a文", "x\x00\x07\ufffd\u200by\tz\u2003\u3000q", "é.É"], (True, True)
    )
    assert words == [
        ["istanbul", "straße", "οδοσ", "ﬁ"],
        ["\u1112\u1161\u11ab\u1100\u1173\u11af", "中", "a", "文"],
        ["xy", "z", "q"],
        ["e", ".", "e"],
    ]
    assert graph_words(["İ é 한"], (False, False)) == [["İ", "é", "한"]]


_letters = st.text("abé中", min_size=1, max_size=4)


@settings(max_examples=30)
@given(
    st.sets(_letters | _letters.map("##".__add__), max_size=25), st.lists(st.text("abc é中", max_size=12), max_size=9)
)
def test_any_vocabulary(pieces, batch):
    tokenizer = WordPieceTokenizer([*SPECIAL, *sorted(pieces)])
    assert tokenizer.tf_encode(tf.constant(batch, tf.string)).to_list() == tokenizer.encode_batch(batch)


def test_long_words_and_long_pieces():
    tokenizer = WordPieceTokenizer([*SPECIAL, "a", "##a", "b" * 100, "##" + "b" * 99, "c" * 101, "aé" * 30, "##é"])
    batch = ["a" * n for n in (1, 2, 99, 100, 101, 10_000)]
    batch += ["b" * 100, "a" + "b" * 99, "a" + "b" * 98, "c" * 101, "aé" * 30 + "a" * 40, "aé" * 30 + "é" * 41, "é"]
    ids = tokenizer.encode_batch(batch)
    assert [len(row) for row in ids] == [1, 2, 99, 100, 1, 1, 1, 2, 1, 1, 41, 1, 1]
    assert tokenizer.tf_encode(batch).to_list() == ids == [tokenizer.encode(text) for text in batch]


def test_a_vocabulary_without_pieces():
    tokenizer = WordPieceTokenizer(SPECIAL)
    assert (
        tokenizer.tf_encode(["a [PAD]", ""]).to_list()
        == [[1, 1, 1, 1], []]
        == tokenizer.encode_batch(["a [PAD]", ""])
    )


def test_served_by_a_session_in_a_fresh_process(tmp_path, warm_check):
    batch = ["Unwanted, running [MASK] 中文", "", "Wanted\nİ é.", "x" * 101]
    pieces = ["un", "##want", "##ed", "want", "runn", "##ing", ",", "mask", "[", "]", "中", "文", "i", "e", "."]
    tokenizer = WordPieceTokenizer([*pieces, *SPECIAL], lowercase=True)
    module = tf.Module()
    module.tables = tokenizer.tf_resources()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def serve(text):
        return tokenizer.tf_encode_pair(text, text[::-1], length=12)

    module.serve = serve
    tf.saved_model.save(module, str(tmp_path), signatures=serve)
    report = query(tmp_path, [{"signature": "serving_default", "inputs": {"text": batch}}])
    (answer,) = report["results"]
    for i, (first, second) in enumerate(zip(batch, batch[::-1], strict=True)):
        ids, segments = tokenizer.encode_pair(first, second, max_length=12)
        rest = 12 - len(ids)
        assert answer["token_ids"][i] == ids + [tokenizer.pad_id] * rest
        assert answer["segment_ids"][i] == segments + [0] * rest
        assert answer["padding_mask"][i] == [1] * len(ids) + [0] * rest
    assert not [name for name, wrong in report["ops"].items() if wrong]
