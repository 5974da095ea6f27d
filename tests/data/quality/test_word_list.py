"""The word list of a ContentFilter: whole words in spite of disguises, and nothing else."""

import re

import pytest

import lm_keras as lk
from lm_keras.data.quality.content_filter import ContentFilter, read_word_list
from lm_keras.errors import InputError

WORDS = {"rude": ["darn", "ass", "cunt", "shit"], "threat": ["eat my hat"], "中文": ["坏蛋"]}


@pytest.mark.parametrize(
    "text",
    [
        "Scunthorpe is a classic town; the assassin passes Essex",
        "a classy bass: Darnley, shitake, mishit, Massachusetts",
        "take the A55 or 455 to the as s. bus; it's hit and miss",
        "He will eat my hatter; meat my hat",
        "a*b*c, 2*3, s*, *, d... @@@ !!",
        "坏 人打了蛋",
        "",
    ],
)
def test_harmless_words_stay(text):
    assert ContentFilter(WORDS).reason(text) is None


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("Oh DARN!", "rude"),
        ("oh, (darn) it", "rude"),
        ("'darn'", "rude"),
        ("ｄａｒｎ dárn", "rude"),
        ("daaaarn", "rude"),
        ("asssss", "rude"),
        ("5h1t! $hit", "rude"),
        ("@ss", "rude"),
        ("$hit happens", "rude"),
        ("d*rn and s**t", "rude"),
        ("a darn's worth, the darn’s end", "rude"),
        ("da\u200brn, \u00addarn", "rude"),
        ("d a r n it", "rude"),
        ("so d.a.r.n. bad", "rude"),
        ("s-h-i-t", "rude"),
        ("I'll EAT  my\nhat!", "threat"),
        ("他是坏蛋。", "中文"),
        ("坏 蛋", "中文"),
    ],
)
def test_disguises_are_seen_through(text, category):
    assert ContentFilter(WORDS).reason(text) == f"word list: {category}"


def test_an_apostrophe_of_any_form_is_one():
    for written in ("I'll eat my hat", "I’ll eat my hat"):
        assert ContentFilter(["i'll eat"]).reason(written) and ContentFilter(["i’ll eat"]).reason(written)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"rude": "darn"}, "the words of 'rude' are one string, 'darn'; put them into a list"),
        *((["good", word], f"{word!r} would never be found") for word in ("c++", "!!!", "ass*", "'tis", "$")),
        ([3], "3, which is no word"),
    ],
)
def test_words_that_could_not_be_found_are_refused(words, message):
    with pytest.raises(InputError, match=re.escape(message)):
        ContentFilter(words)


def test_the_packaged_list():
    words = read_word_list()
    assert len(words) >= 4 and all(words.values())
    listed = [word for category in words.values() for word in category]
    assert len(set(listed)) == len(listed)
    packaged = ContentFilter()
    assert all(packaged.reason(f"You {word}, he said.") for word in listed)
    assert packaged.reason("Scunthorpe is a classic town") is None
    kept = list(packaged.filter(lk.data.load("lee-news", "all")))
    assert len(kept) == 300, "no news item is dropped"


def test_a_list_of_ones_own(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("# mine\nblue  # a colour\n\n[fruit]\napple pie\npear\n", encoding="utf-8")
    assert read_word_list(path) == {"unwanted": ["blue"], "fruit": ["apple pie", "pear"]}
    own = ContentFilter(words=path)
    dropped = []
    texts = ["one pear", "red", "Apple  pie!", "BLUE", "pears"]
    assert list(own.filter(iter(texts), dropped)) == ["red", "pears"]
    assert dropped == [
        (0, "one pear", "word list: fruit"),
        (2, "Apple  pie!", "word list: fruit"),
        (3, "BLUE", "word list: unwanted"),
    ]
    assert ContentFilter(words=["red"]).reason("red") == "word list: unwanted"
    assert ContentFilter(words=()).reason("fuck") is None


@pytest.mark.parametrize(("content", "message"), [("[fruit\na", "no category"), ("[ ]", "no category")])
def test_a_wrong_list_is_one_clear_line(tmp_path, content, message):
    path = tmp_path / "words.txt"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        ContentFilter(path)
