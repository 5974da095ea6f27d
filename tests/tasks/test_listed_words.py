"""Listed words and phrases in texts: in Python, in the graph, and by a search of all places."""

import gzip
import json

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from lm_keras.errors import InputError
from lm_keras.tasks.listed_words import ListedWords, read_words
from lm_keras.tasks.tagging import as_json, tf_json
from lm_keras.text.folding import folded
from lm_keras.text.unicode import valid
from lm_keras.text.word_offsets import word_places

LISTS = {
    "money": ["free money", "free", "free money now", "c++"],
    "names": ["Café", "money now then", "money", "发票", "f**k", "Straße"],
    "none": [],
}
PARTS = [
    "free",
    "FREE",
    "money",
    " ",
    "  ",
    "now",
    "then",
    ".",
    "-",
    "\u00ad",
    "ｆｒｅｅ",
    "Cafe\u0301",
    "café",
    "发",
    "票",
]
PARTS += ["f**k", "*", "c++", "c", "+", "strasse", "ß", "\u0301", "…", "½", "\x00", "😀", "\n", "x"]
rows_of_texts = st.lists(st.lists(st.sampled_from(PARTS), max_size=14).map("".join), max_size=4)


def by_search(lists, text):
    """What `find` gives, by a look at every place for every phrase."""

    def words(text):
        key, places = folded(text)
        return [(key[start:end], places[start], places[end - 1] + 1) for start, end in word_places(key)]

    here, found = words(text), {}
    for name, phrases in lists.items():
        for phrase in phrases:
            wanted = [word for word, *_ in words(phrase)]
            for at in range(len(here) - len(wanted) + 1):
                if [word for word, *_ in here[at : at + len(wanted)]] == wanted:
                    found.setdefault((at, at + len(wanted)), []).append(name)
    kept = [
        (first, last)
        for first, last in sorted(found)
        if not any(a <= first and last <= b and (a, b) != (first, last) for a, b in found)
    ]
    spans = [(here[first][1], here[last - 1][2], found[first, last][0]) for first, last in kept]
    return spans, [name for name in lists if any(name in some for some in found.values())]


def test_words_and_phrases():
    words = ListedWords(LISTS)
    assert words.most_words == 4 and words.names == ["money", "names", "none"], "f * * k"
    text = "Get FREE  money now then, not freedom: ｆｒｅｅ CAFE\u0301!"
    spans, names = words.find(text)
    assert [(span.text, span.label) for span in spans] == [
        ("FREE  money now", "money"),
        ("money now then", "names"),
        ("ｆｒｅｅ", "money"),
        ("CAFE\u0301", "names"),
    ]
    assert names == ["money", "names"] and all(text[span.start : span.end] == span.text for span in spans)
    assert words.find("freely c+ f*k fuck free-dom")[1] == ["money"], "a word with a hyphen is two"
    assert [span.text for span in words.find("开发票吗")[0]] == ["发票"]
    assert ListedWords(["a", "b c"]).lists == {"words": ["a", "b c"]}


@settings(max_examples=150, deadline=None)
@given(rows_of_texts)
def test_they_are_those_of_a_search(rows):
    words = ListedWords(LISTS)
    for text in rows:
        spans, names = words.find(text)
        assert ([span[:3] for span in spans], names) == by_search(LISTS, text)


def in_graph(words):
    """`find` of strings [B] by the graph: the spans as JSON, and bool [B, K]."""

    def find(texts):
        spans, hits = words.tf_find(texts)
        return tf_json(texts, spans), hits

    return tf.function(find, input_signature=[tf.TensorSpec([None], tf.string)])


def test_the_graph_finds_alike():
    words = ListedWords(LISTS)
    find = in_graph(words)

    @settings(max_examples=25, deadline=None)
    @given(rows_of_texts, st.lists(st.text(max_size=20), max_size=6))
    def alike(rows, others):
        rows = [valid(row) for row in [*rows, *others, "free money"]]
        (spans, hits), found = find(tf.constant(rows)), [words.find(row) for row in rows]
        answers = [json.loads(row) for row in spans.numpy()]
        assert answers == [json.loads(as_json(some)) for some, _ in found]
        names = [[name for name, is_in in zip(words.names, row, strict=True) if is_in] for row in hits.numpy()]
        assert names == [some for _, some in found]

    alike()


def test_no_text_and_no_word():
    words = ListedWords(["a"])
    for texts in ([], ["", " "]):
        spans, hits = words.tf_find(tf.constant(texts, tf.string))
        assert spans.start.shape == (0,) and hits.numpy().tolist() == [[False]] * len(texts)
    assert words.find("") == ([], [])


@pytest.mark.parametrize(
    "lists, message",
    [
        ([], "hold no word"),
        ({"a": []}, "hold no word"),
        (["  "], r"list 'words' has '  ', of 0 words; give 1 to 16"),
        (["\u200b"], "of 0 words"),
        ({"long": ["a " * 17]}, "of 17 words"),
        ("word", "give several words"),
        ({"a": "word"}, "list 'a' is 'word'; give several words"),
        ([1], "list 'words' has a int; give strings"),
        ({"": ["a"]}, "has the name ''"),
        (7, "give several words"),
    ],
)
def test_bad_lists(lists, message):
    with pytest.raises(InputError, match=message):
        ListedWords(lists)


def test_a_file_of_words(tmp_path):
    path = tmp_path / "words.txt.gz"
    path.write_bytes(gzip.compress("free  money\r\n\n # tag \nCafé\n".encode()))
    assert read_words(path) == ["free money", "# tag", "Café"]
    (tmp_path / "empty.txt").write_text("\n \n")
    with pytest.raises(InputError, match="empty.txt"):
        read_words(tmp_path / "empty.txt")
