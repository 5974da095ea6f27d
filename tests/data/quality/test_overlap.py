"""overlap: the n-grams of the test texts that stand in the training text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lm_keras as lk
from lm_keras.data.quality.overlap import overlap
from lm_keras.errors import InputError

TEXTS = st.lists(st.text(st.sampled_from("ab "), max_size=12), min_size=1, max_size=6)


def ngrams(text, n):
    words = text.split()
    return [words[i : i + n] for i in range(len(words) - n + 1)] if len(words) > n else [words]


@given(TEXTS, TEXTS.filter(lambda texts: "".join(texts).strip()), st.integers(1, 4))
def test_shares_are_those_of_looking_for_each_ngram(train, test, n):
    found = overlap(iter(train), iter(test), n)
    known = [ngram for text in train for ngram in ngrams(text, n)]
    hits = {index: [ngram in known for ngram in ngrams(text, n)] for index, text in enumerate(test) if text.strip()}
    shares = {index: sum(row) / len(row) for index, row in hits.items()}
    hits, values = hits.values(), shares.values()
    assert found.num_texts == len(hits)
    assert found.num_ngrams == sum(map(len, hits))
    assert found.num_found == sum(map(sum, hits))
    assert found.share == found.num_found / found.num_ngrams
    assert found.num_touched == sum(share > 0 for share in values)
    assert found.num_contaminated == sum(share >= 0.7 for share in values)
    assert found.num_whole == sum(share == 1 for share in values)
    assert [(example.index, example.share) for example in found.worst] == sorted(
        ((index, share) for index, share in shares.items() if share), key=lambda pair: (-pair[1], pair[0])
    )


def test_blank_texts_do_not_count():
    test = ["", "one line of the test set that is new", " \n", "another new line"]
    assert overlap(["", "a line", "\t"], test)[:7] == (8, 2, 3, 0, 0, 0, 0)
    assert overlap(["", "another new line!"], test).worst == [(3, 1.0, "another new line")]


def test_the_worst_come_first_whatever_their_case_and_punctuation():
    news = lk.data.load("lee-news")
    train, test = news[:100], news[100:200]
    before = overlap(train, test, 13, num_worst=1)
    assert (before.num_touched, before.num_whole) == (1, 1), "one of these news items is there twice"
    assert test.pop(before.worst[0].index) in train
    assert overlap(train, test, 13).num_found == 0
    test = [*test, "He said: " + train[7].upper().replace(" ", "  "), "本报北京电记者今天从有关部门了解到"]
    after = overlap([*train, "本报北京电：记者今天从有关部门了解到，情况很好"], test, 13, num_worst=2)
    assert (after.num_contaminated, after.num_whole) == (2, 1)
    assert [(worst.index, worst.text) for worst in after.worst] == [(100, test[100]), (99, test[99])]


@pytest.mark.parametrize(
    ("train", "test", "n", "message"),
    [
        (["a"], ["a"], 0, "n is 0; it must be a whole number of at least 1"),
        (["a"], [], 8, "no test text"),
        ([""], ["", " "], 8, "no test text"),
        ("a b", ["a"], 8, "train: got one string"),
        (["a"], "a b", 8, "test: got one string"),
        (["a"], [None], 8, "got NoneType"),
        (None, ["a"], 8, "train: got NoneType"),
    ],
)
def test_bad_input_is_one_clear_line(train, test, n, message):
    with pytest.raises(InputError, match=message):
        lk.data.overlap(train, test, n)
