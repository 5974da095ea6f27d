"""The sentences of a document, cut alike in Python and in the graph."""

import functools

import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lm_keras.text import document_sentences, joined_sentences
from lm_keras.text.sentence_splitting import SEPARATOR, tf_document_sentences
from lm_keras.text.unicode import valid


@pytest.mark.parametrize(
    "document, sentences",
    [
        ("Dr. Yi met J. R. Bo of the U.S. Army. He left!", ["Dr. Yi met J. R. Bo of the U.S. Army.", "He left!"]),
        ('She: "Go!" Then… so. (So be it.) 3.5, e.g., x', ['She: "Go!"', "Then… so.", "(So be it.) 3.5, e.g., x"]),
        ("Really?! ¿Qué? Да. Нет. Wang et al. Show it", ["Really?!", "¿Qué?", "Да.", "Нет.", "Wang et al. Show it"]),
        ("今天天气很好。去公园吧！“好的。”他说：走", ["今天天气很好。", "去公园吧！", "“好的。”", "他说：走"]),
        ("a line\r\n\n  another   one\u2028third", ["a line", "another one", "third"]),
        ("no end. in lower case", ["no end. in lower case"]),
        (" \n\x1f\t ", []),
        ("", []),
        ("One. Two.\x1e \x1eThree.\nFour.", ["One. Two.", "Three. Four."]),
    ],
)  # fmt: skip
def test_where_sentences_end(document, sentences):
    assert document_sentences(document) == sentences
    assert document_sentences(joined_sentences(sentences)) == sentences


pieces = st.sampled_from(
    ["Dr.", "U.S.", " ", "  ", ". ", "! ", "…", "A", "b", "We go", "é", "Ω", "。", "”", '"', "(", "\n", "\x1e",
     "\x1f", "\x00", "天气", "et al.", "e.g.", "\ud800", "\U0001f600", "\u2028", "\xa0", "?", "3", "ش"]
)  # fmt: skip
documents = st.one_of(st.text(max_size=40), st.lists(pieces, max_size=30).map("".join))
graph = functools.cache(
    lambda: tf.function(tf_document_sentences, input_signature=[tf.TensorSpec([None], tf.string)])
)


@settings(max_examples=150, deadline=None)
@given(texts=st.lists(documents, min_size=1, max_size=4))
@example(["", " ", "\x1e", "a", "A. B. C! D"])
def test_the_graph_cuts_as_python_does(texts):
    found = graph()(tf.constant([valid(text) for text in texts]))
    assert [[part.decode() for part in row] for row in found.to_list()] == [document_sentences(t) for t in texts]


@settings(max_examples=100, deadline=None)
@given(documents)
def test_nothing_but_white_space_is_lost(text):
    found = document_sentences(text)
    assert "".join("".join(found).split()) == "".join(valid(text).split())
    assert all(sentence == " ".join(sentence.split()) and SEPARATOR not in sentence for sentence in found)
    assert document_sentences(joined_sentences(found)) == found
