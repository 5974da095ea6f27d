"""Examples: balanced and random choices counted, the nearest by brute force, orders, seeds."""

import collections
import math
import re

import numpy as np
import pytest

import lm_keras as lk
from lm_keras.prompting import NearestExamples, select_examples
from lm_keras.prompting.examples import ordered

LABELS = [0] * 10 + [1] * 10 + [2] * 10
TEXTS = [
    "the cat sat on the mat",
    "a dog and a cat",
    "stocks fell on monday",
    "the stocks of the bank rose",
    "the bank of the river",
    "a dog sat on the river bank",
    "红楼梦是一部小说",
    "小说里的故事",
]


def counts(chosen):
    return collections.Counter(LABELS[i] for i in chosen)


@pytest.mark.parametrize("seed", range(5))
def test_balanced_has_as_many_of_each_class(seed):
    assert counts(select_examples(LABELS, 6, "balanced", seed=seed)) == {0: 2, 1: 2, 2: 2}
    assert sorted(counts(select_examples(LABELS, 7, "balanced", seed=seed)).values()) == [2, 2, 3]
    assert len(counts(select_examples(LABELS, 3, "balanced", seed=seed))) == 3


def test_which_class_has_one_more_is_drawn():
    assert len({counts(select_examples(LABELS, 1, seed=seed)).most_common(1)[0][0] for seed in range(20)}) == 3


def test_a_class_of_few_texts_gives_all_and_the_others_fill_up():
    chosen = select_examples([0] * 20 + [1], 8, "balanced", seed=2)
    assert len(set(chosen)) == 8 and 20 in chosen


def test_random_takes_any_and_each_is_drawn_at_times():
    drawn = [select_examples(LABELS, 4, "random", seed=seed) for seed in range(60)]
    assert all(len(set(chosen)) == 4 for chosen in drawn)
    assert {i for chosen in drawn for i in chosen} == set(range(30))
    assert any(len(counts(chosen)) < 3 for chosen in drawn)


@pytest.mark.parametrize("select", ["random", "balanced"])
def test_seed_and_order(select):
    first = select_examples(LABELS, 9, select, seed=4)
    assert first == select_examples(LABELS, 9, select, seed=4) != select_examples(LABELS, 9, select, seed=5)
    assert select_examples(LABELS, 9, select, seed=4, order="given") == sorted(first) != first


def test_none_is_no_example():
    assert select_examples(LABELS, 0) == []


# === The nearest ===


def words(text):
    found = re.findall(r"[\u4e00-\u9fff]|[^\W\u4e00-\u9fff]+", text.lower())
    return collections.Counter(found + [" ".join(pair) for pair in zip(found, found[1:], strict=False)])


def tfidf_cosine(one, other):
    """By the formulas, of dictionaries: (1 + log tf) (1 + log((1 + N) / (1 + df)))."""
    lists = [words(text) for text in TEXTS]
    df = collections.Counter(word for each in lists for word in each)

    def vector(text):
        rows = {w: (1 + math.log(n)) * (1 + math.log((1 + len(TEXTS)) / (1 + df[w]))) for w, n in words(text).items()}
        return {w: value for w, value in rows.items() if w in df}

    a, b = vector(one), vector(other)
    lengths = math.sqrt(sum(v * v for v in a.values()) * sum(v * v for v in b.values()))
    return sum(value * b.get(word, 0) for word, value in a.items()) / lengths if lengths else 0


QUERIES = ["the cat of the bank", "stocks rose and fell", "a river", "这部小说", "nothing known here", ""]


def test_tfidf_equals_brute_force():
    found = NearestExamples(TEXTS)(QUERIES, 4)
    for query, row in zip(QUERIES, found, strict=True):
        similar = [tfidf_cosine(query, text) for text in TEXTS]
        best = sorted(range(len(TEXTS)), key=lambda i: (-round(similar[i], 6), i))
        np.testing.assert_allclose([similar[i] for i in row], [similar[i] for i in best[:4]], atol=1e-6)
    assert found[4].tolist() == found[5].tolist() == [0, 1, 2, 3]  # nothing in common: the first
    assert TEXTS[found[3, 0]] == "红楼梦是一部小说"


def letters(texts):
    """Counts of letters, not of length 1."""
    return np.array([[text.count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts], float)


def test_a_function_equals_brute_force():
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("abcdefgh"), 12)) for _ in range(300)]
    queries = ["".join(rng.choice(list("abcdefgh"), 12)) for _ in range(270)]  # more than are compared at a time
    found = NearestExamples(texts, letters)(queries, 5)
    unit = [row / np.linalg.norm(row) for row in letters(texts)]
    for query, row in zip(queries, found, strict=True):
        vector = letters([query])[0]
        similar = np.array([vector @ other for other in unit]) / np.linalg.norm(vector)
        np.testing.assert_allclose(similar[row], np.sort(similar)[::-1][:5], atol=1e-6)


@pytest.fixture(scope="module")
def embedder():
    tokenizer = lk.text.WordPieceTokenizer.train(TEXTS, vocab_size=120)
    encoder = lk.models.build_bert(
        tokenizer.vocab_size, max_length=24, hidden_dim=8, num_layers=1, num_heads=2, initializer_range=0.5, seed=0
    )
    return lk.tasks.TextEmbedder(encoder, tokenizer)


def test_an_embedder_equals_brute_force(embedder):
    found = NearestExamples(TEXTS, embedder)(QUERIES, len(TEXTS))
    vectors = [embedder.embed(text)[0] for text in TEXTS]
    for query, row in zip(QUERIES, found, strict=True):
        similar = [float(embedder.embed(query)[0] @ vector) for vector in vectors]
        np.testing.assert_allclose([similar[i] for i in row], sorted(similar, reverse=True), atol=1e-5)


def test_a_text_of_the_pool_is_nearest_to_itself(embedder):
    for nearest in (NearestExamples(TEXTS), NearestExamples(TEXTS, embedder)):
        assert nearest(TEXTS, 1)[:, 0].tolist() == list(range(len(TEXTS)))


def test_orders():
    nearest = np.array([[3, 0, 2], [1, 4, 0]])
    assert ordered(nearest, ["a", "b"]).tolist() == [[2, 0, 3], [0, 4, 1]]
    assert ordered(nearest, ["a", "b"], "given").tolist() == [[0, 2, 3], [0, 1, 4]]
    mixed = [ordered(nearest, ["a", "b"], "random", seed).tolist() for seed in range(8)]
    assert all(sorted(row) == sorted(own) for both in mixed for row, own in zip(both, nearest.tolist(), strict=True))
    assert len({str(both) for both in mixed}) > 1
    # The text alone decides, whatever stands beside it.
    assert ordered(nearest[1:], ["b"], "random", 3).tolist() == [
        ordered(nearest, ["a", "b"], "random", 3)[1].tolist()
    ]


@pytest.mark.parametrize(
    ("does", "says"),
    [
        (lambda: select_examples([0, 1], 3), "k is 3 and there are 2 labelled texts"),
        (lambda: select_examples([0, 1], 1, "nearest"), "select is 'nearest'; it must be one of random, balanced"),
        (lambda: select_examples([0, 1], 1, order="nearest last"), "order is 'nearest last'"),
        (lambda: select_examples([0, 1], -1), "k is -1"),
        (lambda: NearestExamples([]), "there are no labelled texts"),
        (lambda: NearestExamples(["..."]), "have no word to compare"),
        (lambda: NearestExamples(TEXTS, 3), "embedder is a int"),
        (lambda: NearestExamples(TEXTS, lambda texts: np.zeros(3)), r"an array of shape \(3,\) for 8 texts"),
        (lambda: NearestExamples(TEXTS, letters)(["a"], 9), "k is 9 and there are 8 labelled texts"),
    ],
)
def test_what_cannot_be_is_named(does, says):
    with pytest.raises(lk.InputError, match=says):
        does()
