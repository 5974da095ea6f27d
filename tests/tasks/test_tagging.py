"""Words, where they stand, and spans of them: Python's rules by example, the graph's by Python's."""

import json
from pathlib import Path

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import lm_keras as lk
from lm_keras.tasks.tagging import as_json, spans, tf_escaped, tf_json, tf_spans
from lm_keras.text.word_offsets import tf_word_places, word_places

TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "S-LOC", "E-PER", "MISC", 'I-"odd\\']
in_graph = tf.function(tf_word_places, input_signature=[tf.TensorSpec([None], tf.string)])
spans_in_graph = tf.function(
    lambda texts, *words: tf_json(texts, tf_spans(TAGS, *words)),
    input_signature=[
        tf.TensorSpec([None], dtype) for dtype in (tf.string, tf.int64, tf.int32, tf.int32, tf.int32, tf.float32)
    ],
)


@pytest.mark.parametrize(
    "text, words",
    [
        ("He said: it's 5€ (ok)", ["He", "said", ":", "it", "'", "s", "5€", "(", "ok", ")"]),
        ("今天好 abc今", ["今", "天", "好", "abc", "今"]),
        ("  a\tb\nc\x00d  ", ["a", "b", "c\x00d"]),
        ("e\u0301te\u0301 naïve", ["e\u0301te\u0301", "naïve"]),
        ("", []),
    ],
)
def test_words_are_berts(text, words):
    assert [text[start:end] for start, end in word_places(text)] == words


@settings(max_examples=60)
@given(st.lists(st.text(max_size=30), max_size=5))
def test_the_graph_finds_the_same_words(texts):
    words, starts, ends = in_graph(tf.constant(texts, tf.string, [len(texts)]))
    expected = [word_places(text) for text in texts]
    assert [list(zip(*row, strict=True)) for row in zip(starts.to_list(), ends.to_list(), strict=True)] == expected
    cut = [[text[a:b].encode() for a, b in row] for text, row in zip(texts, expected, strict=True)]
    assert words.to_list() == cut


def test_word_by_word_gives_berts_tokens_of_real_text(news):
    tokenizer = lk.text.WordPieceTokenizer.train(news, vocab_size=600, lowercase=True)
    for text in [*news, *lk.data.load("wiki-excerpt")[:300], "New\x7fYork c\x00d a\u200bb"]:
        pieces = [i for start, end in word_places(text) for i in tokenizer.encode(text[start:end])]
        assert pieces == tokenizer.encode(text)


@pytest.mark.parametrize(
    "tags, found",
    [
        ("O B-PER I-PER O I-PER", [("PER", 1, 3), ("PER", 4, 5)]),
        ("B-PER B-PER I-LOC I-LOC B-LOC", [("PER", 0, 1), ("PER", 1, 2), ("LOC", 2, 4), ("LOC", 4, 5)]),
        ("S-LOC S-LOC I-LOC", [("LOC", 0, 1), ("LOC", 1, 2), ("LOC", 2, 3)]),
        ("B-PER I-PER E-PER I-PER", [("PER", 0, 3), ("PER", 3, 4)]),
        ("MISC MISC O MISC", [("MISC", 0, 2), ("MISC", 3, 4)]),
        ("O O", []),
    ],
)
def test_tags_become_spans(tags, found):
    tags = tags.split()
    text = " ".join("abcdefg"[: len(tags)])
    places = [(2 * i, 2 * i + 1) for i in range(len(tags))]
    made = spans(text, places, tags, [0.5 + i / 10 for i in range(len(tags))])
    assert [(s.label, s.start, s.end, s.text) for s in made] == [
        (label, 2 * a, 2 * b - 1, text[2 * a : 2 * b - 1]) for label, a, b in found
    ]
    for span, (_, a, b) in zip(made, found, strict=True):
        assert span.score == pytest.approx(0.5 + (a + b - 1) / 20)


@settings(max_examples=60)
@given(st.lists(st.text(max_size=20), max_size=4), st.data())
def test_the_graph_writes_the_same_spans_as_json(texts, data):
    places = [word_places(text) for text in texts]
    count = sum(map(len, places))
    tags = data.draw(st.lists(st.integers(-1, len(TAGS) - 1), min_size=count, max_size=count))
    scores = [(i * 37 % 100) / 128 for i in range(count)]
    splits = [sum(map(len, places[:i])) for i in range(len(places) + 1)]
    flat = [place for row in places for place in row]
    made = spans_in_graph(
        tf.constant(texts, tf.string, [len(texts)]),
        tf.constant(splits, tf.int64),
        tf.constant([a for a, _ in flat], tf.int32, [count]),
        tf.constant([b for _, b in flat], tf.int32, [count]),
        tf.constant(tags, tf.int32, [count]),
        tf.constant(scores, tf.float32, [count]),
    )
    for i, (text, row) in enumerate(zip(texts, places, strict=True)):
        mine = slice(splits[i], splits[i + 1])
        named = [TAGS[tag] if tag >= 0 else "O" for tag in tags[mine]]
        expected = json.loads(as_json(spans(text, row, named, scores[mine])))
        found = json.loads(made[i].numpy())
        assert [{**span, "score": None} for span in found] == [{**span, "score": None} for span in expected]
        assert [s["score"] for s in found] == pytest.approx([s["score"] for s in expected], abs=5.1e-5)  # 4 decimals


def peak():
    """The most memory since the mark was set back, in KB."""
    return int(next(line.split()[1] for line in Path("/proc/self/status").open() if line.startswith("VmHWM")))


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux alone tells the peak of memory")
def test_spans_of_a_long_text_take_no_copy_of_it_each():
    """32 KB and 8,192 spans: with a copy of the text for each, 268 MB."""
    count = 8192
    starts, tags = tf.range(count) * 4, tf.fill([count], TAGS.index("S-LOC"))
    Path("/proc/self/clear_refs").write_text("5")
    before = peak()
    (made,) = spans_in_graph(
        tf.constant(["ab, " * count]),
        tf.constant([0, count], tf.int64),
        starts,
        starts + 2,
        tags,
        tf.fill([count], 0.123456),
    )
    assert peak() - before < 100_000
    found = json.loads(made.numpy())
    assert len(found) == count and {span["text"] for span in found} == {"ab"} and found[-1]["score"] == 0.1235


@settings(max_examples=60)
@given(st.text())
def test_any_text_is_a_json_string(text):
    assert json.loads(b'"' + tf_escaped(tf.constant([text]))[0].numpy() + b'"') == text
