"""Classifiers that are trained as prompts: tuned vectors, LoRA, the whole model; in rounds, beside ordinary text."""

import numpy as np
import pytest

import lm_keras as lk
from lm_keras import prompting

WORDS = {"neg": " bad", "pos": " fine"}
TEMPLATE = "{text}:"
NAMES = ("ab", "cd")  # the letters of each class


def separable(count, seed):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, count)
    return ["".join(rng.choice(list(NAMES[label] + "xyz"), 6)) + NAMES[label][0] for label in y], y.tolist()


@pytest.fixture(scope="module")
def lm():
    """A small Llama that has seen such texts with their words now and then, but more often with either."""
    texts, y = separable(300, 0)
    rng = np.random.default_rng(1)
    words = list(WORDS.values())
    lines = [text + ":" + words[label if rng.random() < 0.7 else rng.integers(2)] for text, label in zip(texts, y)]  # noqa: B905
    tokenizer = lk.text.CharTokenizer.train(lines)
    model = lk.models.build_llama(
        tokenizer.vocab_size, hidden_dim=32, num_layers=2, num_heads=2, max_length=64, initializer_range=0.1, seed=0
    )
    made = lk.LanguageModel(model, tokenizer)
    windows = lk.data.lm_windows(lines, tokenizer, length=32, batch_size=16, seed=0)
    lk.fit(made, windows, config=lk.TrainingConfig(max_steps=40, learning_rate=0.003, warmup_steps=5, seed=0))
    return made


def tuned_prompt(lm, seed):
    return prompting.PromptTuning(lm, num_tokens=4, seed=seed)


def adapted(lm, seed):
    return prompting.lora(lm, rank=4, seed=seed)


def whole(lm, seed):
    copy = lm.model.from_config(lm.model.get_config())
    copy.set_weights(lm.model.get_weights())
    return lm.with_model(copy)


def trainer(lm, make, steps=40, rate=0.02):
    def train(texts, y, seed):
        language_model = make(lm, seed)
        classifier = prompting.PromptClassifier(language_model, TEMPLATE, WORDS)
        config = lk.TrainingConfig(
            max_steps=steps, learning_rate=rate, weight_decay=0.0, warmup_steps=0, batch_size=8, seed=seed
        )
        history = lk.fit(language_model, classifier.training_data(texts, y), config=config).history["loss"]
        assert 0 < history[-1] < history[0]
        return classifier

    return train


@pytest.mark.parametrize("make", [tuned_prompt, adapted, whole])
def test_every_trainer_learns_and_leaves_the_given_model(lm, make):
    before = lm.model.get_weights()
    dev = separable(100, 3)
    frozen = prompting.PromptClassifier(lm, TEMPLATE, WORDS)
    classifier = trainer(lm, make, rate=0.005 if make is whole else 0.05)(*separable(64, 2), 0)
    # Nats of the right word among all words, which is what is trained.
    nats = [
        lk.evaluate(each.language_model.training_model, each.training_data(*dev))["loss"]
        for each in (frozen, classifier)
    ]
    assert nats[1] < nats[0]
    assert np.abs(classifier.probabilities(dev[0]) - frozen.probabilities(dev[0])).max() > 0.01
    assert all(np.array_equal(a, b) for a, b in zip(before, lm.model.get_weights(), strict=True))


def test_self_training_of_adapters_improves_or_equals(lm):
    texts, y = separable(8, 4)
    dev, unlabelled = separable(100, 5), separable(80, 6)[0]
    found = prompting.self_training(trainer(lm, adapted, 30), texts, y, unlabelled, rounds=1, growth=4, dev=dev)
    assert found.rounds[found.kept].accuracy >= found.rounds[0].accuracy
    assert sum(found.rounds[1].num_learned.values()) > 10
    assert found.classifier.evaluate(*dev)["accuracy"] == pytest.approx(found.rounds[found.kept].accuracy)


def test_joint_training_on_prompts_and_ordinary_text(lm):
    """Labelled prompts alone let the model forget other text; beside it, it learns the labels and forgets less."""
    texts, y = separable(60, 7)
    ordinary = ["the day is warm and the night is cold "] * 30
    held_out = "the night is warm and the day is cold "
    classifier = prompting.PromptClassifier(lm, TEMPLATE, WORDS)
    prompts = classifier.training_data(texts, y)
    windows = lk.data.lm_windows(ordinary, lm.tokenizer, length=24, batch_size=8, seed=0)
    scores = {}
    for name, data in (("alone", prompts), ("joint", lk.data.mix(prompts, windows, weights=[1, 1], num_batches=60))):
        copy = whole(lm, 0)
        lk.fit(copy, data, config=lk.TrainingConfig(max_steps=60, learning_rate=0.003, warmup_steps=0, seed=0))
        accuracy = classifier.with_model(copy).evaluate(*separable(100, 8))["accuracy"]
        scores[name] = accuracy, copy.score(held_out)[0].log_prob
    assert scores["alone"][0] > 0.8 and scores["joint"][0] > 0.8
    assert scores["joint"][1] > scores["alone"][1] + 1


def test_what_the_model_writes_trains_a_classifier(lm):
    """Prompts of classes in the form that the model has learned: text, colon, word, text, ..."""
    made = prompting.synthesize(
        lm, {"neg": "abxyaba: bad", "pos": "cdxycdc: fine"}, 6, min_chars=1, max_new_tokens=8, seed=0, stop=None
    )
    assert np.bincount(made.data.labels, minlength=2).tolist() == [6, 6]
    classifier = trainer(lm, adapted, 10)(made.data.texts, made.data.labels, 0)
    assert classifier.evaluate(*separable(20, 9))["examples"] == 20
