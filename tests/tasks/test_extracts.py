"""Lead and oracle: what a summarizer is compared with, and what it learns."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score import rouge_scorer

import lm_keras as lk
from lm_keras.data import Summary, TextPair
from lm_keras.errors import InputError
from lm_keras.tasks import lead, oracle_sentences
from lm_keras.tasks.extracts import documents_of, language_of, sentence_rouge, summaries_of

SCORER = rouge_scorer.RougeScorer(["rouge1", "rouge2"], use_stemmer=True)
WORDS = ["cats", "cat", "run", "running", "fast", "a", "the", "dogs"]
words = st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join)
documents = st.lists(words.filter(bool), min_size=1, max_size=5)


def by_the_library(sentences, places, summaries):
    """The mean of ROUGE-1 and ROUGE-2 of some sentences, by rouge-score."""
    text = " ".join(sentences[i] for i in places)
    found = [SCORER.score(summary, text) for summary in summaries]
    return max((one["rouge1"].fmeasure + one["rouge2"].fmeasure) / 2 for one in found)


def test_the_first_sentences():
    text = "One is here. Two is there! Three. Four."
    assert lead(text, 2) == "One is here. Two is there!" and lead(["a", "b"]) == "a b" and lead("") == ""


@settings(max_examples=100, deadline=None)
@given(documents, st.lists(words, min_size=1, max_size=3))
def test_one_sentence_is_the_best_of_all(sentences, summaries):
    scores = [by_the_library(sentences, [i], summaries) for i in range(len(sentences))]
    np.testing.assert_allclose(sentence_rouge(sentences, summaries), scores, atol=1e-12)
    found = oracle_sentences(sentences, summaries, 1)
    if max(scores) == 0:
        assert found == []
    else:
        (place,) = found
        assert scores[place] == pytest.approx(max(scores), abs=1e-12)
        assert place == min(i for i, score in enumerate(scores) if score > max(scores) - 1e-12)


@settings(max_examples=60, deadline=None)
@given(documents, st.lists(words, min_size=1, max_size=2), st.integers(2, 4))
def test_each_further_sentence_raises_rouge_most(sentences, summaries, k):
    found = oracle_sentences(sentences, summaries, k)
    assert found == sorted(set(found)) and len(found) <= k
    places = range(len(sentences))
    every = [row for n in range(1, k + 1) for row in combinations(places, min(n, len(sentences)))]
    best = max(by_the_library(sentences, row, summaries) for row in every)
    reached = by_the_library(sentences, found, summaries)
    assert max(sentence_rouge(sentences, summaries)) - 1e-12 <= reached <= best + 1e-12
    if len(found) < k:  # no sentence raises it further
        rest = [i for i in range(len(sentences)) if i not in found]
        assert all(by_the_library(sentences, sorted([*found, i]), summaries) <= reached + 1e-12 for i in rest)


def test_two_halves_of_a_summary():
    sentences = ["It rains in Rome.", "Nothing else happened.", "Trains are late in Milan."]
    assert oracle_sentences(sentences, "Rain in Rome, late trains in Milan", 3) == [0, 2]
    assert oracle_sentences(sentences, ["It is Monday.", "Nothing happened"], 1) == [1]
    assert oracle_sentences(sentences, "rain", 1, orders=(2,)) == [] == oracle_sentences(sentences, "", 2)
    chinese = ["今天下雨。", "火车晚点了。"]
    assert oracle_sentences("".join(chinese), "火车晚点", language="zh") == [1]
    assert oracle_sentences("".join(chinese), "火车晚点") == [] and language_of([chinese]) == "zh"


def test_documents_of_all_kinds():
    record = Summary("A. B.", ("s", "t"), sentences=("A. B.", "C"))
    rows = documents_of(["One. Two.", ["One. Two."], record, TextPair("Us. Them.", "all")])
    assert rows == [["One.", "Two."], ["One. Two."], ["A. B.", "C"], ["Us.", "Them."]]
    assert documents_of("One. Two.") == [["One.", "Two."]] and documents_of([]) == [] == documents_of(())
    assert summaries_of([record, TextPair("Us.", "all")], None) == ([["A. B.", "C"], ["Us."]], [["s", "t"], ["all"]])
    assert lk.tasks.lead(record.sentences, 1) == "A. B."


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: lead("a", 0), "k is 0"),
        (lambda: oracle_sentences("a", []), "give a summary of the document"),
        (lambda: oracle_sentences("a", "a", orders=()), "orders is empty"),
        (lambda: oracle_sentences("a", "a", language="xx"), "language"),
        (lambda: oracle_sentences(3, "a"), "a document is 3"),
        (lambda: documents_of([["a", 3]]), "a list of its sentences"),
        (lambda: documents_of(3), "documents is a int"),
        (lambda: summaries_of("text", "summary"), "no list"),
        (lambda: summaries_of(["text"], None), "there are no summaries"),
        (lambda: summaries_of(["text"], ["a", "b"]), "1 documents and 2 summaries"),
        (lambda: summaries_of(["text"], [[]]), "give a summary of the document"),
    ],
)
def test_what_is_refused(call, said):
    with pytest.raises(InputError, match=said):
        call()
