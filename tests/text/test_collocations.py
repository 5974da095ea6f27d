import math
from collections import Counter
from itertools import pairwise

import nltk
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lm_keras import text
from lm_keras.data.corpora.records import Labelled
from lm_keras.errors import InputError
from lm_keras.text.collocations import MEASURES


@given(st.lists(st.sampled_from(["a", "b", "", "é", "语言"]), max_size=12), st.integers(1, 6))
def test_ngrams_are_those_of_nltk(words, n):
    assert text.ngrams(words, n) == list(nltk.ngrams(words, n))


def _likelihood_ratio(pair, first, second, total):
    """Dunning's G², from the table of two words: 2 Σ observed · ln(observed / expected)."""
    table = [[pair, first - pair], [second - pair, total - first - second + pair]]
    rows, columns = (first, total - first), (second, total - second)
    cells = [(table[i][j], rows[i] * columns[j] / total) for i in range(2) for j in range(2)]
    return 2 * sum(seen * math.log(seen / expected) for seen, expected in cells if seen)


def test_collocations_of_the_news_against_the_formulas(news, monkeypatch):
    monkeypatch.setattr(nltk.data, "path", [])  # needs no download
    texts = [text.words(item) for item in news]
    singles, pairs = Counter(), Counter()
    for words in texts:
        singles.update(words)
        pairs.update(pairwise(words))
    total = singles.total()
    kept = {
        pair: count
        for pair, count in pairs.items()
        if count >= 4 and all(any(c.isalpha() for c in w) and w.lower() not in text.stop_words() for w in pair)
    }
    ratio = {pair: _likelihood_ratio(count, *(singles[w] for w in pair), total) for pair, count in kept.items()}
    pmi = {pair: math.log2(count * total / math.prod(singles[w] for w in pair)) for pair, count in kept.items()}
    for measure, expected in (("likelihood_ratio", ratio), ("pmi", pmi)):
        found = text.collocations(news, 10_000, measure, min_count=4)
        assert [c.score for c in found] == sorted((c.score for c in found), reverse=True)
        assert {c.words: c.count for c in found} == kept
        assert {c.words: c.score for c in found} == pytest.approx(expected, rel=1e-6)
    best = [c.words for c in text.collocations(news, 5)]
    assert best == [c.words for c in text.collocations(texts, 5)]
    assert ("New", "South") in best or ("South", "Wales") in best


def test_no_collocation_over_the_end_of_a_text():
    found = text.collocations([["red", "wine"], ["red", "wine"]] * 3, min_count=1)
    assert [(c.words, c.count) for c in found] == [(("red", "wine"), 6)]


def test_collocations_of_three_words_and_of_any_case():
    texts = ["New South Wales won.", "In new South Wales it rained.", "New South Wales lost."]
    three = text.collocations(texts, size=3, min_count=3, lowercase=True)
    assert [(c.words, c.count) for c in three] == [(("new", "south", "wales"), 3)]
    assert text.collocations(texts, size=3) == []


@pytest.mark.parametrize("measure", list(MEASURES))
def test_every_measure_puts_a_fixed_pair_before_a_chance_pair(measure):
    words = ("ice cream ice cream ice cream red car red house red car blue car blue house " * 3).split()
    found = {c.words: c.score for c in text.collocations([words], 100, measure, min_count=1)}
    assert found["ice", "cream"] > max(found["red", "car"], found["blue", "car"])


def test_input_that_does_not_fit():
    for n in (1.5, "2"):
        with pytest.raises(InputError, match=f"n is {n!r}; it must be a whole number of at least 1"):
            text.ngrams(["a"], n)
    with pytest.raises(InputError, match="n is -1; it must"):
        text.collocations(["a b"], -1)
    with pytest.raises(InputError, match="not a text"):
        text.ngrams("abc", 2)
    with pytest.raises(InputError, match="n is 0; it must"):
        text.ngrams(["a"], 0)
    with pytest.raises(InputError, match=r"give \[text\]"):
        text.collocations("a b c")
    with pytest.raises(InputError, match="text 1 is a Labelled; give its text, one of text, label"):
        text.collocations(["a b", Labelled("a b", 0)])
    with pytest.raises(InputError, match="measure is 'tf'; it must be one of likelihood_ratio"):
        text.collocations(["a"], measure="tf")
    with pytest.raises(InputError, match="size is 4; it must be one of 2, 3"):
        text.collocations(["a"], size=4)
    with pytest.raises(InputError, match="nearly all of the text"):
        text.collocations([["pen"] * 9], min_count=1)
