"""duplicates: what repeats is found, nothing else is, and what is kept is like nothing that is kept."""

import random
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lm_keras as lk
from lm_keras.data.quality import duplicates as near_duplicates
from lm_keras.data.quality.duplicates import (
    NUM_HASHES,
    band_hasher,
    bands,
    duplicates,
    jaccard,
    normalize,
    runs,
    units,
    without_duplicates,
)
from lm_keras.errors import InputError


def similarity(a, b, size=3):
    """The definition, by words that are looked up one by one."""
    a, b = ({tuple(run.split(" ")) for run in runs(text, size)} for text in (a, b))
    return sum(run in b for run in a) / len(a | b)


def brute_force(texts, threshold):
    """{index: the first kept text that is like it}, by comparing all pairs."""
    kept, gone = [], {}
    for index, text in enumerate(texts):
        first = next((k for k in kept if similarity(texts[k], text) >= threshold), None)
        if first is None:
            kept.append(index)
        else:
            gone[index] = first
    return gone


def changed(text, number, rng):
    """The same text with `number` of its words replaced."""
    found = text.split()
    for place in rng.sample(range(len(found)), number):
        found[place] = f"word{rng.randrange(10**6)}"
    return " ".join(found)


@pytest.fixture(scope="module")
def edited(news):
    """News items cut to 60 words, each with three versions that differ more and more, in random order."""
    rng = random.Random(0)
    items = [" ".join(item.split()[:60]) for item in news[:25]]
    texts = [changed(item, number, rng) for item in items for number in (0, 1, 2, 8)]
    rng.shuffle(texts)
    return texts


# === Exact ===
FORMS = st.sampled_from(["a", "A", "b", " ", "  ", "\n", "é", "e\u0301", "Ａ", "ß", "ss", "."])


@given(st.lists(st.lists(FORMS, max_size=3).map("".join), max_size=12))
def test_exact_duplicates_are_what_normalises_to_the_same(texts):
    firsts = {}
    expected = []
    for index, text in enumerate(texts):
        first = firsts.setdefault(normalize(text), index)
        if first != index:
            expected.append((index, first, 1.0, "exact"))
    assert duplicates(texts, threshold=None) == expected
    kept = without_duplicates(texts, threshold=None)
    assert [normalize(text) for text in kept] == list(firsts)
    assert without_duplicates(kept, threshold=None) == kept


def test_what_counts_as_the_same():
    assert normalize("Ｈｅｌｌｏ \n World ") == normalize("hello world") == "hello world"
    assert normalize("caf\u00e9") == normalize("cafe\u0301") != normalize("cafe")
    assert normalize("Hello, world") != normalize("hello world"), "punctuation counts"


# === Near ===
@pytest.mark.parametrize("threshold", [0.5, 0.8])
def test_near_duplicates_are_those_of_all_pairs(edited, threshold):
    expected = brute_force(edited, threshold)
    found = duplicates(edited, threshold)
    assert {pair.index: pair.of for pair in found} == expected
    assert len(expected) >= 25, "the test has something to find"
    for pair in found:
        assert pair.similarity == similarity(edited[pair.of], edited[pair.index]) >= threshold
    assert {pair.kind for pair in found} == {"near"}


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8, 0.95, 1.0])
def test_bands_find_a_pair_at_the_threshold_as_often_as_they_promise(threshold):
    num_bands, rows = bands(threshold)
    assert num_bands * rows <= NUM_HASHES
    band_keys, rng = band_hasher(num_bands, rows, seed=1), np.random.default_rng(0)
    size, found = 60, 0
    common = round(2 * size * threshold / (1 + threshold))
    for _ in range(200):
        names = [str(name) for name in rng.integers(0, 2**60, 2 * size - common)]
        a, b = set(names[:size]), set(names[size - common :])
        assert jaccard(a, b) == pytest.approx(threshold, abs=0.02)
        found += bool((band_keys(a) == band_keys(b)).any())
    assert found >= 194  # 99 % of 200 on average; fewer than 194 once in a thousand


def test_kept_texts_are_like_no_other_and_stand_in_their_order(edited):
    texts = [*edited, *(text.upper() for text in edited[:20]), "", " "]
    kept = without_duplicates(texts)
    assert kept == [text for text in texts if text in set(kept)]
    assert not any(similarity(a, b) >= 0.8 for i, a in enumerate(kept) for b in kept[:i])
    found = duplicates(texts)
    assert {pair.of for pair in found}.isdisjoint(pair.index for pair in found), "each is like a text that is kept"
    assert len(kept) + len(found) == len(texts)
    assert found[-1] == (len(texts) - 1, len(texts) - 2, 1.0, "exact")


def test_what_is_like_a_dropped_text_only_is_kept():
    words = [f"w{i}" for i in range(40)]
    a, b, c = " ".join(words[:32]), " ".join(words[4:36]), " ".join(words[8:40])
    assert similarity(a, b) == similarity(b, c) > 0.7 > similarity(a, c)
    assert without_duplicates([a, b, c], 0.7) == [a, c]
    again = duplicates([a, b, b.upper()], 0.7)
    assert [(pair.index, pair.of, pair.kind) for pair in again] == [(1, 0, "near"), (2, 0, "near")]


def test_form_letters_take_no_quadratic_time(monkeypatch):
    """All of them are a little less alike than the threshold, and so a candidate for all others."""
    compared = []
    monkeypatch.setattr(near_duplicates, "jaccard", lambda a, b: compared.append(0) or jaccard(a, b))
    monkeypatch.setattr(near_duplicates, "CROWD", 10)
    letter = " ".join(f"common{i}" for i in range(30))
    texts = [f"{letter} a{i} b{i} c{i} d{i}" for i in range(400)]
    assert 0.75 < similarity(*texts[:2]) < 0.8
    assert duplicates(texts[:200]) == []
    half = len(compared)
    assert duplicates(texts) == []
    assert len(compared) - half < 2.5 * half
    again = [f"{text[: text.rindex(' ')]} e" for text in texts[::10]]
    assert [(pair.index, pair.of) for pair in duplicates(texts + again)] == [(400 + i, 10 * i) for i in range(40)]


def test_chinese_is_compared_by_characters():
    text = "今天天气很好，我们去公园散步，然后回家吃晚饭。"
    assert units(normalize("我们 buy 3 books，好")) == ["我", "们", "buy", "3", "books", "好"]
    other = text.replace("晚饭", "午饭").replace("，", " ")
    assert duplicates([text, other], 0.6) == [(1, 0, similarity(text, other), "near")]
    assert duplicates([text, "明天有雨，我们留在家里看书写字，不出门。"], 0.6) == []


@given(st.text(st.sampled_from("ab _1'.-\n"), max_size=30))
def test_ascii_words_are_cut_as_all_others(text):
    assert units(normalize(text)) == units(normalize(text + " ж"))[:-1]


def test_words_of_other_scripts_stay_whole():
    assert units(normalize("नमस्ते दुनिया — שָׁלוֹם, Привет l’été")) == ["नमस्ते", "दुनिया", "שָׁלוֹם", "привет", "l’été"]


# === Input ===
class Stream:
    def __init__(self, texts):
        self.texts, self.reads = texts, 0

    def __iter__(self):
        self.reads += 1
        return iter(self.texts)


def test_streams_and_iterators_give_what_a_list_gives(edited):
    stream = Stream(edited)
    assert duplicates(stream) == duplicates(iter(edited)) == duplicates(edited)
    assert stream.reads == 2
    assert without_duplicates(iter(edited)) == without_duplicates(edited)
    assert duplicates([]) == [] == without_duplicates([])


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        ("one text", {}, "got one string"),
        (None, {}, "texts: got NoneType; give an iterable of texts"),
        (["a"], {"threshold": "0.8"}, "threshold is '0.8'; it must be a number"),
        (["a", None], {}, "must be a str, got NoneType"),
        (["a"], {"threshold": 0.1}, "threshold is 0.1; it must be a number of at least 0.2 and at most 1"),
        (["a"], {"threshold": float("nan")}, "threshold is nan"),
        (["a"], {"shingle_size": 0}, "shingle_size is 0; it must be a whole number of at least 1"),
    ],
)
def test_bad_input_is_one_clear_line(texts, options, message):
    with pytest.raises(InputError, match=message):
        lk.data.without_duplicates(texts, **options)


def test_without_datasketch_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasketch", None)
    with pytest.raises(InputError, match=r"needs datasketch: run pip install lm_keras\[analysis\]"):
        lk.data.duplicates(["a", "b"])
    assert lk.data.duplicates(["a", "A"], threshold=None) == [(1, 0, 1.0, "exact")]
