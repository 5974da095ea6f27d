"""Unigram and Kneser-Ney perplexity against brute force written from the equations."""

import math
import random
from collections import Counter, defaultdict

import numpy as np
import pytest

from lm_keras.errors import InputError
from lm_keras.training.baselines import kneser_ney_perplexity, kneser_ney_probabilities, unigram_perplexity

EOS, V = 0, 40  # ids 1..39 are words


def texts(count, seed):
    """Texts with repetitions, so that counts of 1, 2, 3 and more occur at every order."""
    rng = random.Random(seed)
    return [[min(int(rng.expovariate(0.15)) + 1, V - 1) for _ in range(rng.randint(0, 7))] for _ in range(count)]


TRAIN, VALID = texts(60, 1), texts(8, 2)


class KneserNey:
    """Chen & Goodman 1998, section 3.1: dictionaries and one recursion, nothing shared with the code."""

    def __init__(self, train, vocab_size, order, eos, discount=None):
        self.events, self.order, self.discount, self.eos = vocab_size, order, discount, eos
        top = Counter()
        for text in train:
            padded = [eos] * (order - 1) + text + [eos]
            top.update(tuple(padded[i : i + order]) for i in range(len(text) + 1))
        self.counts = {order: top}
        for n in range(order - 1, 0, -1):
            left = defaultdict(set)
            for gram in self.counts[n + 1]:
                left[gram[1:]].add(gram[0])
            self.counts[n] = Counter({gram: len(words) for gram, words in left.items()})

    def probability(self, word, context):
        n = len(context) + 1
        lower = self.probability(word, context[1:]) if context else 1 / self.events
        counts = self.counts[n]
        total = sum(c for gram, c in counts.items() if gram[:-1] == context)
        if not total:
            return lower
        types = sum(1 for gram in counts if gram[:-1] == context)
        n1, n2 = (sum(1 for c in counts.values() if c == k) for k in (1, 2))
        assert n1 and n2, "the toy corpus must let every order estimate its discount"
        d = self.discount or n1 / (n1 + 2 * n2)
        return (max(counts[(*context, word)] - d, 0) + d * types * lower) / total

    def of(self, text):
        padded = [self.eos] * (self.order - 1) + text + [self.eos]
        places = range(self.order - 1, len(padded))
        return [self.probability(padded[i], tuple(padded[i - self.order + 1 : i])) for i in places]


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("discount", [None, 0.75])
def test_kneser_ney_equals_the_equations(order, discount):
    oracle = KneserNey(TRAIN, V, order, EOS, discount)
    expected = [p for text in VALID for p in oracle.of(text)]
    got = kneser_ney_probabilities(TRAIN, VALID, V, order, discount, eos_id=EOS)
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    perplexity = kneser_ney_perplexity(TRAIN, VALID, V, order, discount, eos_id=EOS)
    assert perplexity == pytest.approx(math.exp(-np.mean(np.log(expected))), rel=1e-12)


def test_without_eos_id_the_eos_is_one_more_event():
    oracle = KneserNey(TRAIN, V + 1, 3, V)
    expected = [p for text in VALID for p in oracle.of(text)]
    np.testing.assert_allclose(kneser_ney_probabilities(TRAIN, VALID, V), expected, rtol=1e-12)


@pytest.mark.parametrize("order", [2, 3])
def test_the_oracle_equals_nltk_above_the_unigrams(order):
    """nltk's unigrams are continuation counts without a uniform share: put them under the oracle's recursion."""
    from nltk.lm import KneserNeyInterpolated

    def padded(text):
        return ["s"] * (order - 1) + [str(word) for word in text] + ["e"]

    # nltk counts whatever n-grams it is given: exactly those that end in a target.
    ends = [(padded(text), i) for text in TRAIN for i in range(order - 1, order + len(text))]
    model = KneserNeyInterpolated(order, discount=0.75)
    model.fit(
        [[tuple(words[i - n : i + 1]) for words, i in ends for n in range(order)]],
        vocabulary_text=[*map(str, range(1, V)), "e", "s"],
    )
    oracle = KneserNey(TRAIN, V, order, EOS, 0.75)
    unigrams, recursion = oracle.counts[1], oracle.probability
    oracle.probability = lambda word, context: (
        recursion(word, context) if context else unigrams[(word,)] / sum(unigrams.values())
    )
    for text in VALID:
        words = padded(text)
        expected = [model.score(words[i], words[i - order + 1 : i]) for i in range(order - 1, len(words))]
        np.testing.assert_allclose(oracle.of(text), expected, rtol=1e-9)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("context", [[], [1], [2, 1], [1, 1, 3], [5, 5, 5]])
def test_probabilities_sum_to_one_in_every_context(order, context):
    of_words = [kneser_ney_probabilities(TRAIN, [[*context, w]], V, order, eos_id=EOS)[-2] for w in range(1, V)]
    of_eos = kneser_ney_probabilities(TRAIN, [context], V, order, eos_id=EOS)[-1]
    assert sum(of_words) + of_eos == pytest.approx(1, abs=1e-12)
    assert min(*of_words, of_eos) > 0


def test_unseen_words_have_a_share_and_the_sum_stays_one():
    wide = 2 * V
    of_words = [kneser_ney_probabilities(TRAIN, [[1, w]], wide, eos_id=EOS)[1] for w in range(1, wide)]
    of_eos = kneser_ney_probabilities(TRAIN, [[1]], wide, eos_id=EOS)[1]
    assert sum(of_words) + of_eos == pytest.approx(1, abs=1e-12)
    assert min(of_words) > 0


def test_unigrams_by_hand():
    # train 1 1 2 eos: counts 1, 2, 1, 0 for the ids 0..3; valid 1 3 eos
    expected = (3 / 8 * 1 / 8 * 2 / 8) ** (-1 / 3)
    assert unigram_perplexity([[1, 1, 2]], [[1, 3]], 4, eos_id=0) == pytest.approx(expected)
    expected = (3 / 9 * 1 / 9 * 2 / 9) ** (-1 / 3)
    assert unigram_perplexity([[1, 1, 2]], [[1, 3]], 4) == pytest.approx(expected)


def test_context_helps_on_text_with_order():
    ordered = [[1, 2, 3, 4, 5] * 3 for _ in range(20)]
    trigram = kneser_ney_perplexity(ordered, ordered, V, eos_id=EOS)
    assert trigram < 1.5 < unigram_perplexity(ordered, ordered, V, eos_id=EOS)


@pytest.mark.parametrize(
    "arguments, says",
    [
        (([], [[1]], 4), "no text"),
        (([[1]], [], 4), "no text"),
        (([[4]], [[1]], 4), "vocabulary of 4"),
        (([[-1]], [[1]], 4), "from -1"),
        (([[1]], [[1]], 4, 0), "order"),
        (([[1]], [[1]], 4, 2, 1.5), "discount"),
    ],
)
def test_input_errors(arguments, says):
    with pytest.raises(InputError, match=says):
        kneser_ney_perplexity(*arguments)


def test_empty_texts_count_their_eos():
    assert len(kneser_ney_probabilities([[]], [[], [1]], 4)) == 3
