"""Texts that a model writes: as many of each class as asked for, what is left out and why, and the seed."""

import collections

import numpy as np
import pytest
from small_models import train_lm

import lm_keras as lk
from lm_keras.prompting import synthesize
from lm_keras.serving.client.results import Classification

WORDS = {"good": ("fine", "warm", "bright", "funny"), "bad": ("dull", "cold", "grey", "slow")}
PROMPTS = {name: f"{name}: a " for name in WORDS}


def lines():
    rng = np.random.default_rng(0)
    return [
        f"{name}: a {rng.choice(words)} and {rng.choice(words)} film\n"
        for name, words in WORDS.items()
        for _ in range(60)
    ]


@pytest.fixture(scope="module")
def lm():
    """A model that has learned the lines nearly by heart."""
    texts = lines()
    return train_lm(lk.text.CharTokenizer.train(texts), texts, 900, embedding_dim=16, hidden_dim=48, num_layers=1)


class ByWords:
    """Sure of a class as many of its words stand in a text."""

    def classify(self, texts):
        found = []
        for text in texts:
            hits = np.array([sum(word in text for word in words) for words in WORDS.values()]) + 0.01
            p = (hits / hits.sum()).tolist()
            scores = dict(zip(WORDS, p, strict=True))
            found.append(Classification(max(scores, key=scores.get), max(p), scores))
        return found


OPTIONS = {"max_new_tokens": 30, "stop": "\n", "temperature": 0.8, "top_p": 0.95}


def test_as_many_texts_of_each_class_as_asked_for(lm):
    made = synthesize(lm, PROMPTS, 8, min_chars=8, classifier=ByWords(), **OPTIONS)
    assert made.data.classes == ("good", "bad") and np.bincount(made.data.labels).tolist() == [8, 8]
    assert made.data.labels.dtype == np.int32
    for text, label in zip(made.data.texts, made.data.labels, strict=True):
        assert len(text) >= 8 and "\n" not in text
        (found,) = ByWords().classify([text])
        assert found.label == made.data.classes[label] and found.score >= 0.5
    assert len({text.casefold() for text in made.data.texts}) == 16
    for name, written in made.written.items():
        assert 8 <= written <= 32, name


def test_a_seed_decides_all_and_each_text_is_one_of_the_model(lm):
    one, same, other = (
        synthesize(lm, PROMPTS, 5, min_chars=1, seed=seed, **OPTIONS).data.texts for seed in (3, 3, 4)
    )
    assert one == same != other
    first = [made.text.strip() for made in lm.generate([PROMPTS["good"]] * 16, **OPTIONS, seed=3)]
    distinct = list(dict.fromkeys(first))
    assert one[:5] == distinct[:5]


def test_prompts_of_a_class_take_turns(lm):
    both = ["good: a fine", "good: a warm"]
    made = synthesize(lm, {"good": both, "bad": PROMPTS["bad"]}, 4, min_chars=1, seed=1, **OPTIONS)
    rows = lm.generate([both[i % 2] for i in range(16)], **OPTIONS, seed=1)
    assert made.data.texts[:4] == list(dict.fromkeys(row.text.strip() for row in rows))[:4]


def test_what_is_left_out_and_why(lm):
    plain = synthesize(lm, PROMPTS, 4, min_chars=1, **OPTIONS)
    assert set(plain.dropped) <= {"copy", "short"}
    known = [text.upper() + "!" for text in plain.data.texts]
    again = synthesize(lm, PROMPTS, 4, min_chars=1, known=known, **OPTIONS)
    assert not set(again.data.texts) & set(plain.data.texts) and again.dropped["copy"] >= 4
    for options, reason in (
        ({"min_chars": 1000, "max_chars": 2000}, "short"),
        ({"min_chars": 1, "max_chars": 2}, "long"),
        ({"min_log_prob": 0.0, "min_chars": 1}, "unlikely"),
        ({"classifier": ByWords(), "confidence": 1.0, "min_chars": 1}, "unsure"),
    ):
        made = synthesize(lm, PROMPTS, 2, tries=3, **options, **OPTIONS)
        assert made.data.texts == [] and made.written == {"good": 6, "bad": 6}
        counts = collections.Counter(made.dropped)
        assert sum(counts.values()) == 12 and counts[reason] > 0, counts


def test_likely_texts_alone(lm):
    """The mean of the tokens' log-probabilities, as `generate` gives them."""
    rows = lm.generate([PROMPTS["good"]] * 16, **OPTIONS, seed=0)
    middle = float(np.median([np.mean(row.log_probs) for row in rows]))
    made = synthesize(lm, PROMPTS, 3, min_log_prob=middle, min_chars=1, seed=0, **OPTIONS)
    likely = [row.text.strip() for row in rows if np.mean(row.log_probs) >= middle]
    assert made.data.texts[:3] == list(dict.fromkeys(likely))[:3]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"lm": "gpt"}, "takes a LanguageModel that writes, got str"),
        ({"prompts": "good"}, "prompts is no mapping of two classes"),
        ({"prompts": {"good": "a"}}, "prompts is no mapping of two classes"),
        ({"prompts": {"good": "a", "bad": []}}, "there is no prompt for 'bad'"),
        ({"num": 0}, "num is 0"),
        ({"confidence": 3}, "confidence is 3"),
        ({"temperature": -1}, "temperature is -1"),
    ],
)
def test_what_cannot_be_is_named(change, says, lm):
    with pytest.raises(lk.InputError, match=says):
        synthesize(**({"lm": lm, "prompts": PROMPTS, "num": 2} | change))


def test_a_classifier_of_other_classes_is_named(lm):
    with pytest.raises(lk.InputError, match="the classifier knows good, bad, and there is a prompt for 'fair'"):
        synthesize(lm, {"fair": "good: ", "bad": "bad: "}, 2, min_chars=1, classifier=ByWords(), **OPTIONS)
