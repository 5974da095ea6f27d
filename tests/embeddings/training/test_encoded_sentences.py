"""Sentences that are read once and gone over many times."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lm_keras as lk
from lm_keras.data.corpora.records import Labelled, Translation
from lm_keras.embeddings.training import encoded_sentences
from lm_keras.embeddings.training.encoded_sentences import END, EncodedSentences

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4)


@pytest.fixture(scope="module", autouse=True)
def small_pieces():
    """A few words are many: pieces of 8 ids, a file from 20 ids on, sentences in parts of 9 words."""
    with pytest.MonkeyPatch.context() as patch:
        for name, size in (("CHUNK", 8), ("IN_MEMORY", 20), ("LONGEST", 9)):
            patch.setattr(encoded_sentences, name, size)
        yield


@given(st.lists(st.lists(WORDS, max_size=7), min_size=1).filter(any))
def test_sentences_come_back(sentences):
    read = EncodedSentences(iter(sentences))
    counts = Counter(word for sentence in sentences for word in sentence)
    assert dict(zip(read.words, read.counts.tolist(), strict=True)) == counts
    assert read.num_words == counts.total()
    for _ in range(2):  # as often as you like
        assert list(read) == [sentence for sentence in sentences if sentence]


def test_many_words_are_in_a_file_and_long_sentences_in_parts():
    sentences = [[f"w{i}" for i in range(20)], ["a"], *(["b", f"c{i}"] for i in range(20))]
    read = EncodedSentences(sentences)
    assert not isinstance(read._ids, np.ndarray)
    assert list(read) == [sentences[0][:9], sentences[0][9:18], sentences[0][18:], *sentences[1:]]
    for ids in read.chunks():
        assert ids[-1] == END  # whole sentences
    assert len(list(read.chunks())) > 3


def test_an_iterable_is_read_once_and_one_sentence_at_a_time():
    class Lines:
        def __init__(self):
            self.read = self.started = 0

        def __iter__(self):
            self.started += 1
            for sentence in (["a", "b"], ["c"]):
                self.read += 1
                yield sentence

    lines = Lines()
    assert list(EncodedSentences(lines)) == list(EncodedSentences(lines)) == [["a", "b"], ["c"]]
    assert (lines.started, lines.read) == (2, 4)


def test_strings_are_split_in_their_language():
    texts = ["Dr. Smith's cat didn't move.", "", "Yes\ud800!"]
    assert list(EncodedSentences(texts)) == [lk.text.words(texts[0]), ["Yes\ufffd", "!"]]
    assert list(EncodedSentences(["a, b", ["c, d"]], language=None)) == [["a,", "b"], ["c, d"]]


def test_frequent_words():
    read = EncodedSentences([["a", "b", "b"], ["c", "c", "d"]])
    assert [read.words[i] for i in read.frequent(1)] == ["b", "c", "a", "d"]
    assert [read.words[i] for i in read.frequent(2)] == ["b", "c"]
    with pytest.raises(lk.InputError, match="no word of the sentences occurs 3 times, the most frequent 2 times"):
        read.frequent(3)


@pytest.mark.parametrize(
    ("sentences", "message"),
    [
        ("my.txt", r"sentences is 'my.txt'; give lk.data.read_texts\(path\), a list of texts, or of lists of words"),
        (b"bytes", "sentences is b'bytes'; give lk.data.read_texts"),
        (Path("my.txt"), r"sentences is PosixPath\('my.txt'\); give lk.data.read_texts"),
        (Labelled("a text", 1), "sentences is a Labelled; give its text, one of text, label"),
        ([Labelled("a text", 1)], "a sentence is a Labelled; give its text, one of text, label"),
        (["a b", Translation("a", "b", "c")], "a sentence is a Translation; give its text, one of en, de, fr"),
        (7, "takes an iterable of sentences, got a int"),
        ([], "there are no words"),
        (iter([]), "there are no words"),
        (["", []], "there are no words"),
        ([["a"], 3], "a sentence is a list of words or a string, got 3"),
        ([["a", 3]], "a word of a sentence is 3"),
        ([["a", ""]], "a word of a sentence is ''"),
        ([[["a"]]], "a sentence is a list of words"),
        ([b"abc"], "a word of a sentence is 97"),
        ([["a\ud800"]], "half of a character"),
    ],
)
def test_what_is_no_sentences(sentences, message):
    with pytest.raises(lk.InputError, match=message):
        EncodedSentences(sentences)


def test_unknown_language():
    with pytest.raises(lk.InputError, match="language 'xx' is not known"):
        EncodedSentences(["a"], language="xx")
