"""The cut that keeps marks inside of words: Python's rules by example, the graph's by Python's."""

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from lm_keras.text.word_offsets import joined_word_places, tf_joined_word_places

in_graph = tf.function(tf_joined_word_places, input_signature=[tf.TensorSpec([None], tf.string)])
MARKS = st.text(st.sampled_from("aSlDrve9.,:-'’/&_ #京"), max_size=14)


@pytest.mark.parametrize(
    "text, words",
    [
        ("Mr. J. Smith of the U.S. said.", ["Mr", ".", "J.", "Smith", "of", "the", "U.S.", "said", "."]),
        ("O'Brien's well-known AT&T", ["O'Brien", "'s", "well-known", "AT&T"]),
        ("they’ll 've didn't 'quoted'", ["they", "’ll", "'ve", "didn't", "'", "quoted", "'"]),
        ("3.5% at 12:30, 1,000 a,b 1:", ["3.5", "%", "at", "12:30", ",", "1,000", "a", ",", "b", "1", ":"]),
        ("6-3 1996-08-22 -- .5 a/b_c", ["6-3", "1996-08-22", "-", "-", ".", "5", "a/b_c"]),
        ("it's. e.g. we're.", ["it", "'s", ".", "e.g.", "we", "'re", "."]),
        ("今天2024年 iPhone15好", ["今", "天", "2024", "年", "iPhone15", "好"]),
        ("", []),
    ],
)
def test_marks_inside_of_words_stay(text, words):
    assert [text[start:end] for start, end in joined_word_places(text)] == words


@settings(max_examples=30)
@given(st.lists(MARKS | st.text(max_size=20), max_size=30))
def test_the_graph_finds_the_same_words(texts):
    words, starts, ends = in_graph(tf.constant(texts, tf.string, [len(texts)]))
    expected = [joined_word_places(text) for text in texts]
    assert [list(zip(*row, strict=True)) for row in zip(starts.to_list(), ends.to_list(), strict=True)] == expected
    cut = [[text[a:b].encode() for a, b in row] for text, row in zip(texts, expected, strict=True)]
    assert words.to_list() == cut


@settings(max_examples=50)
@given(MARKS | st.text())
def test_what_is_in_no_word_is_white_space(text):
    at = 0
    for start, end in [*joined_word_places(text), (len(text), len(text))]:
        assert at <= start and not text[at:start].strip() and (start < end or start == len(text))
        at = end
