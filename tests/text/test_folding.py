"""Folded text: what Unicode says is equal, in Python and in the graph."""

import unicodedata

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from lm_keras.text.folding import folded, tf_folded
from lm_keras.text.unicode import valid

ODD = "aAſßﬁＡＥéÉе́\u0301\u0323\u0302ệắİıΣςⅣ½…㍿한\u1112\u1161\u11ab　 "
ODD += "\u00ad\u200b\u200d\ufe0f\u034f😀\x00\ufffd\U0001d400"
texts = st.lists(st.text(st.one_of(st.sampled_from(ODD), st.characters(codec="utf-8")), max_size=12), max_size=4)


@pytest.mark.parametrize(
    "one, other",
    [
        ("CAFÉ", "cafe\u0301"),
        ("ﬁne", "FINE"),
        ("ｆｒｅｅ", "free"),
        ("Straße", "STRASSE"),
        ("so\u00adft \u200bspace", "soft space"),
        ("ệ", "e\u0302\u0323"),
        ("한", "\u1112\u1161\u11ab"),
    ],
)
def test_equal_words(one, other):
    assert folded(one)[0] == folded(other)[0]


def test_places_are_those_of_the_text():
    assert folded("ﬁ\u00adÀ!") == ("fia\u0300!", [0, 0, 2, 2, 3])
    assert folded("Ab c") == ("ab c", [0, 1, 2, 3])
    assert folded("") == ("", [])


@settings(max_examples=150, deadline=None)
@given(texts)
def test_it_is_the_caseless_match_of_unicode(rows):
    """D146 of Unicode; without U+0345, which is a letter after folding and a mark before."""
    for text in (row.replace("\u0345", "") for row in rows):
        key, places = folded(text)
        for form in ("NFC", "NFD", "NFKC", "NFKD"):
            assert folded(unicodedata.normalize(form, text))[0] == key
        assert unicodedata.normalize("NFKD", key) == key and folded(key)[0] == key
        assert folded(text.casefold())[0] == key
        assert len(places) == len(key) and places == sorted(places)


@settings(max_examples=100, deadline=None)
@given(texts)
def test_the_graph_folds_alike(rows):
    rows = [valid(row) for row in [*rows, "one", ""]]
    codes, places = tf_folded(tf.constant(rows))
    found = [folded(row) for row in rows]
    assert ["".join(map(chr, row)) for row in codes.to_list()] == [key for key, _ in found]
    assert places.numpy().tolist() == [place for _, row in found for place in row]
