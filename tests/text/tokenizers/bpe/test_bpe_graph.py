"""The in-graph twin of byte-level BPE: the cuts, the merges, each against `tokenizers` itself."""

import random
import time

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from texts import LANGUAGES, paragraphs, texts, tricky_texts

from lm_keras.text import BPETokenizer
from lm_keras.text.tokenizers.bpe import graph, pipeline
from lm_keras.text.tokenizers.bpe.pretokens import tf_pretokens

_BYTES = {letter: byte for byte, letter in enumerate(pipeline.alphabet())}
_DIGITS = ["1234567", "٣٤", "½", "Ⅷ", "x²", "𝟘9", "12 345", "\u0bf0"]
_SPACES = [
    "  a",
    "\t a",
    " \n b",
    "\r\n\r\nc",
    "!\n\n  \n d",
    "1\n\n",
    "\u2028 \u3000x",
    "\xa0'll",
    "  \n\n!",
    "? \n",
]
_QUOTES = [
    "'s",
    "'S",
    "'ſ",
    "''s",
    " 's",
    "\t's",
    "'stop",
    "'LL'll",
    "'l",
    "'re've",
    "a'd't",
    "'\u0301s",
    "!'m",
    "'sé",
]


@pytest.fixture(params=pipeline.PATTERNS, scope="module")
def cutters(request):
    """(The cuts in a graph, those of `tokenizers`), as functions of a list of texts."""
    name = request.param
    peer = pipeline.build({"a": 0}, [], pipeline.PATTERNS[name], None, None, False, []).pre_tokenizer

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def cut(strings):
        return tf_pretokens(tf.strings.unicode_decode(strings, "UTF-8", errors="replace"), name)

    def ours(batch):
        words, splits = cut(tf.constant(batch, tf.string))
        return tf.RaggedTensor.from_row_splits(words, splits).to_list()

    def theirs(batch):
        pieces = [[piece for piece, _ in peer.pre_tokenize_str(text)] for text in batch]
        return [[bytes(_BYTES[letter] for letter in piece) for piece in row] for row in pieces]

    return ours, theirs


def test_cuts_equal_the_regular_expressions(cutters):
    ours, theirs = cutters
    made = random.Random(0)
    parts = [*_DIGITS, *_SPACES, *_QUOTES, "a", " ", "'", ".", "\n", "é", "中", "0"]
    mixed = ["".join(made.choices(parts, k=made.randint(0, 8))) for _ in range(2000)]
    for batch in ([*parts, *mixed], LANGUAGES, tricky_texts(1500), paragraphs()[:100], [], ["", ""]):
        assert ours(batch) == theirs(batch)


@settings(max_examples=40)
@given(st.lists(texts, max_size=20))
def test_cuts_equal_the_regular_expressions_on_any_text(cutters, batch):
    ours, theirs = cutters
    assert ours(batch) == theirs(batch)


def test_every_characters_class(cutters):
    ours, theirs = cutters
    codes = [*range(0xD800), *range(0xE000, 0x40000), *range(0x40000, 0x110000, 61)]
    batch = ["a" + "".join(map(chr, codes[i : i + 64])) for i in range(0, len(codes), 64)]
    assert ours(batch) == theirs(batch)


def ids_of(tokenizer, batch):
    """tf_encode without its tf.function, for tracing takes longer than a few small batches do."""
    return tokenizer._graph()._encode(tf.constant(batch)).to_list()


@settings(max_examples=15)
@given(st.randoms(use_true_random=False), st.sampled_from(["", "b", "c"]))
def test_merges_of_any_order(made, left_out):
    """Also such as no training gives: a result that is used at a lower rank than its own."""
    pieces = ["a", "b", "ab", "ba", "aa", "bb", "aab", "abb", "bab", "abab", "aaa", "aaaa"]
    pieces = [piece for piece in pieces if not left_out or left_out not in piece]
    pairs = [(piece[:i], piece[i:]) for piece in pieces for i in range(1, len(piece))]
    pairs = [pair for pair in pairs if set(pair) <= set(pieces)]
    merges = made.sample(pairs, made.randint(0, len(pairs)))
    tokens = [letter for letter in pipeline.alphabet() if letter != left_out]
    tokens += [piece for piece in pieces if len(piece) > 1]
    tokenizer = BPETokenizer([*tokens, pipeline.MARK], merges=merges)
    batch = ["".join(made.choices("aaabbbc", k=made.randint(0, 40))) for _ in range(60)]
    assert ids_of(tokenizer, batch) == tokenizer.encode_batch(batch)


@pytest.mark.parametrize("learned", [True, False])
def test_words_of_many_blocks(learned):
    made = random.Random(1)
    merges = BPETokenizer.train(paragraphs()[:50], vocab_size=500).merges
    for _ in range(0 if learned else 12):  # some results are now used before their own rank
        merges.insert(made.randrange(len(merges)), merges.pop(made.randrange(len(merges))))
    tokens = [*pipeline.alphabet(), *(left + right for left, right in merges), pipeline.MARK]
    tokenizer = BPETokenizer(tokens, merges=merges)
    _, _, marked = graph.merge_table(merges, {token: i for i, token in enumerate(tokens)})
    assert marked != learned
    words = "".join(char for char in paragraphs()[0] if char.isalpha())
    batch = ["".join(made.choices("etaoin", k=k)) for k in (255, 256, 511, 512, 513, 1200)]
    batch += [words, "e" * 1201, "the" * 300 + "x" + "e" * 399, "er" * 600]
    assert tokenizer.tf_encode(batch).to_list() == tokenizer.encode_batch(batch)


def test_a_byte_that_is_not_in_the_vocabulary():
    tokens = [letter for letter in pipeline.alphabet() if letter not in "xy"] + ["ab", "aba", pipeline.MARK]
    batch = ["abxab", "xx", "axb yab", "", "ayxbya"]
    for unk in (None, pipeline.MARK):
        tokenizer = BPETokenizer(tokens, merges=["a b", "ab a"], unk_token=unk)
        ids = tokenizer.encode_batch(batch)
        assert ids_of(tokenizer, batch) == ids
        assert tokenizer.decode(ids[0]) == "abab" and ids[1] == ([] if unk is None else [256] * 2)


def test_a_very_long_word_takes_no_quadratic_time():
    tokenizer = BPETokenizer.train(["a" * 64, *paragraphs()[:50]], vocab_size=600)
    tokenizer.tf_encode(["traced"])
    seconds = []
    for length in (100, 10_000, 80_000):
        started = time.perf_counter()
        assert tokenizer.tf_encode(["a" * length]).to_list() == [tokenizer.encode("a" * length)]
        seconds.append(time.perf_counter() - started)
    assert seconds[2] < 24 * max(seconds[1], 0.05)  # quadratic: 64 times
