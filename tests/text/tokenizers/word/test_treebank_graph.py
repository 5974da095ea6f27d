import itertools

import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from texts import LANGUAGES, nltk_words, paragraphs, sentences, texts, tricky_texts

from lm_keras.text.tokenizers.word.treebank import tf_words


def graph_words(batch):
    return [[word.decode() for word in row] for row in tf_words(tf.constant(batch, tf.string)).to_list()]


def assert_equal(batch):
    for text, row in zip(batch, graph_words(batch), strict=True):
        assert row == nltk_words(text), repr(text)


def test_corpora():
    assert len(sentences()) > 20_000
    assert_equal(sentences()[::3])  # those of test_segmentation.py, whose answers by NLTK are remembered
    assert_equal(paragraphs()[::3])


def test_languages():
    assert_equal(LANGUAGES)


def test_rules_that_meet():
    parts = ["'tis", "'twas", "cannot", "gonna", "more'n", "d'ye", "wanna", "lemme", " ", "'", "n't ", "-", "''", "."]
    assert_equal(["".join(row) for row in itertools.product(parts, repeat=3)])


def test_every_character():
    codes = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000 and code % 307 == 0 or code < 0x2100]
    assert_equal([f"{chr(code)}'tis'{chr(code)} cannot{chr(code)}b, '{chr(code)}:{chr(code)}." for code in codes])


def test_tricky_text():
    assert_equal(tricky_texts())


@settings(max_examples=50)
@given(st.lists(texts, max_size=20))
def test_any_text(batch):
    assert_equal(batch)
