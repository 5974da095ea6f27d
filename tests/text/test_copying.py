"""Ids of words that a vocabulary has not: in Python, in the graph, and back to the text."""

import functools

import hypothesis.strategies as st
import pytest
import tensorflow as tf
from hypothesis import given, settings
from texts import texts

import lm_keras as lk

VOCABULARY = ["my", "name", "is", "Ann", ",", "and", "yours", "?", "(", "it", "was", "Bob", "'s", ")", "."]
SLOTS = 3


def copying(language="en", lowercase=False, more=()):
    tokens = ["<pad>", "<unk>", "<eos>", *dict.fromkeys(w.lower() if lowercase else w for w in [*VOCABULARY, *more])]
    return lk.text.CopyingTokenizer(lk.text.WordTokenizer(tokens, language, lowercase), SLOTS)


KINDS = {"en": {}, "lower": {"lowercase": True}, "none": {"language": None}}
BOTH = {name: copying(**options) for name, options in KINDS.items()}
ODD = ["Xu", "xu", "Xu.", "Zo", "“", "``", "''", '"', "$", "’", "s", "n't", "!", "<unk>", ". ", "..", "\U0001f600"]
odd = st.lists(st.sampled_from([*VOCABULARY, *ODD])).map(" ".join)


@functools.cache
def graph(kind):
    """Strings [B], the id before -> ids and words of sources, and the text of these ids; traced once."""
    made = BOTH[kind]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string), tf.TensorSpec([], tf.int32)])
    def run(strings, previous):
        ids, words = made.tf_encode(strings)
        return ids, words, made.tf_decode(ids, words, previous)

    def call(texts, previous=-1):
        ids, words, decoded = run(tf.constant(texts, tf.string), previous)
        assert words.shape == (len(texts), SLOTS)
        words = [[word.decode() for word in row if word] for row in words.numpy()]
        return (
            [[i for i in row if i >= 0] for row in ids.numpy().tolist()],
            words,
            [text.decode() for text in decoded.numpy()],
        )

    return call


def test_unknown_words_are_numbered_as_they_come():
    made, first = BOTH["en"], BOTH["en"].tokenizer.vocab_size
    source = made.encode("my name is Xu, and Zo was Xu's (Xu.)")
    assert source.words == ["Xu", "Zo"]
    assert [i - first for i in source if i >= first] == [0, 1, 0, 0]
    assert made.decode(source, source.words) == "my name is Xu, and Zo was Xu's (Xu.)"
    many = made.encode("A B Ann C D A D")
    assert many.words == ["A", "B", "C"] and many[-3:] == [made.unk_id, first, made.unk_id]
    assert made.encode_target("Zo is Ann and Qi", source.words)[0] == first + 1
    assert made.encode_target("Qi", source.words) == [made.unk_id]
    assert made.encode("").words == made.encode("") == []
    assert (made.token(first + 1, source.words), made.token(3, [])) == ("Zo", "my")


@pytest.mark.parametrize("kind", KINDS)
def test_the_graph_equals_python(kind):
    made = BOTH[kind]

    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.one_of(odd, texts), max_size=4), st.sampled_from([-1, made.eos_id, 3]))
    def check(batch, previous):
        rows = [made.encode(text) for text in batch]
        expected = [rows, [row.words for row in rows], [made.decode(row, row.words, previous) for row in rows]]
        assert list(graph(kind)(batch, previous)) == expected
        for text, row in zip(batch, rows, strict=True):
            assert graph(kind)([text])[0] == [row]  # a row depends on its own text alone
            assert made.tokenizer.encode(text) == [i if i < made.tokenizer.vocab_size else made.unk_id for i in row]

    check()


@pytest.mark.parametrize("kind", KINDS)
def test_copied_words_stand_as_those_of_the_vocabulary_do(kind):
    """The text of the ids is the one that a vocabulary with these words gives."""
    made, marks = BOTH[kind], ["Xu", "$", "n't", "''", "``", "’", "!", "<b>"]
    larger = copying(**KINDS[kind], more=marks).tokenizer

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.sampled_from([*VOCABULARY, *marks]), max_size=9))
    def check(words):
        lower = [word.lower() for word in words] if made.tokenizer.lowercase else words
        known = {word: i for i, word in enumerate(made.tokenizer.tokens)}
        own = list(dict.fromkeys(word for word in lower if word not in known))[:SLOTS]
        place = {**known, **{word: len(known) + j for j, word in enumerate(own)}}
        kept = [word for word in lower if word in place]
        ids, table = [place[word] for word in kept], tf.constant([[*own, *[""] * (SLOTS - len(own))]])
        expected = larger.decode([larger.tokens.index(word) for word in kept])
        assert made.decode(ids, own) == expected
        assert made.tf_decode(tf.ragged.constant([ids], tf.int32, 1), table).numpy()[0].decode() == expected

    check()


def test_ids_of_no_word_are_nothing():
    made = BOTH["en"]
    first = made.tokenizer.vocab_size
    ids = [first + 1, 3, first, 0, 2, -1, first + SLOTS, first + 2, 4]
    assert made.decode(ids, ["Xu"]) == "my Xu name"
    assert made.tf_decode(tf.constant([ids]), tf.constant([["Xu", "", ""]])).numpy() == [b"my Xu name"]


def test_other_tokenizers_do_not_copy():
    with pytest.raises(lk.InputError, match="needs a WordTokenizer, and this is a CharTokenizer"):
        lk.text.CopyingTokenizer(lk.text.CharTokenizer.train(["a"]), 3)
