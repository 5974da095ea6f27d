"""Self-training: what is learned in each round by hand, and a separable toy that a few labels leave open."""

import numpy as np
import pytest

import lm_keras as lk
from lm_keras.prompting import self_training
from lm_keras.prompting.self_training import most_confident
from lm_keras.serving.client.results import Classification

CLASSES = ("neg", "pos")


class ByWords:
    """Naive Bayes over words, of texts that it was trained on: fast, and as sure as it has seen words."""

    def __init__(self, texts, y):
        words = sorted({word for text in texts for word in text.split()})
        self.counts = {word: np.ones(2) for word in words}
        for text, label in zip(texts, y, strict=True):
            for word in text.split():
                self.counts[word][label] += 1
        self.totals = sum(self.counts.values())
        self.texts, self.y = list(texts), list(map(int, y))

    def classify(self, texts):
        found = []
        for text in texts:
            logs = sum((np.log(self.counts[w] / self.totals) for w in text.split() if w in self.counts), np.zeros(2))
            p = np.exp(logs - logs.max()) / np.exp(logs - logs.max()).sum()
            found.append(
                Classification(CLASSES[p.argmax()], float(p.max()), dict(zip(CLASSES, p.tolist(), strict=True)))
            )
        return found


class Recorder:
    """A trainer that keeps what it was given."""

    def __init__(self):
        self.calls = []

    def __call__(self, texts, y, seed):
        self.calls.append((list(texts), np.asarray(y).tolist(), seed))
        return ByWords(texts, y)


def separable(count, seed):
    """Each class has 30 words of its own, a text 6 of them: a chain of shared words leads from a few to all."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, count)
    return [" ".join(f"{'np'[label]}{i}" for i in rng.choice(30, 6, replace=False)) for label in y], y


def test_a_separable_toy_improves_with_every_text_learned():
    texts, y = separable(400, 0)
    labelled = [list(y).index(0), list(y).index(1)]
    dev = separable(200, 1)
    found = self_training(
        Recorder(), [texts[i] for i in labelled], y[labelled], texts[10:], rounds=4, growth=3, dev=dev
    )
    accuracies = [each.accuracy for each in found.rounds]
    assert accuracies[0] < 0.95 and accuracies[-1] == max(accuracies) > 0.99
    assert found.kept == int(np.argmax(accuracies)) and len(found.rounds) == 5
    answers = found.classify(dev[0])
    assert np.mean([CLASSES.index(a.label) == label for a, label in zip(answers, dev[1], strict=True)]) > 0.99


def test_what_each_round_learns():
    texts, y = separable(60, 2)
    chosen = [*np.flatnonzero(y == 0)[:2], *np.flatnonzero(y == 1)[:1]]
    trainer, unlabelled = Recorder(), separable(50, 3)[0]
    found = self_training(trainer, [texts[i] for i in chosen], y[chosen], unlabelled, rounds=2, growth=2, seed=7)
    for number, (some, labels, seed) in enumerate(trainer.calls):
        assert some[:3] == [texts[i] for i in chosen] and labels[:3] == y[chosen].tolist() and seed == 7
        if not number:
            assert len(some) == 3 and found.rounds[0].num_learned == {}
            continue
        scores = np.array(
            [list(a.scores.values()) for a in ByWords(*trainer.calls[number - 1][:2]).classify(unlabelled)]
        )
        wanted = []
        for label, size in enumerate((2 * 2**number, 1 * 2**number)):
            own = [i for i in range(50) if scores[i].argmax() == label]
            wanted += sorted(own, key=lambda i: -scores[i].max())[:size]
        assert some[3:] == [unlabelled[i] for i in wanted]
        assert labels[3:] == [int(scores[i].argmax()) for i in wanted]
        assert found.rounds[number].confidence == pytest.approx(np.mean([scores[i].max() for i in wanted]))
        assert sum(found.rounds[number].num_learned.values()) == len(wanted)
    assert found.kept == 2 and found.classifier.texts == trainer.calls[-1][0]


def test_several_trainers_learn_from_the_others():
    """The second sees the labels turned around: what the first learns is from it alone."""
    texts, y = separable(40, 4)
    one = Recorder()

    def turned(texts, y, seed):
        return ByWords(texts, 1 - np.asarray(y))

    self_training([one, turned], texts[:20], y[:20], texts[20:], rounds=1, growth=1.5)
    learned, labels, _ = one.calls[1]
    right = dict(zip(texts, y, strict=True))
    assert len(learned) > 20
    assert all(label != right[text] for text, label in zip(learned[20:], labels[20:], strict=True))


def test_nothing_is_learned_that_is_not_sure_enough():
    texts, y = separable(30, 5)
    trainer = Recorder()
    found = self_training(trainer, texts[:6], y[:6], ["unknown words alone"] * 9, rounds=2, confidence=0.9)
    assert [len(call[0]) for call in trainer.calls] == [6, 6, 6]
    assert found.rounds[1].num_learned == {}


def test_the_most_confident_of_each_class():
    scores = np.array([[0.6, 0.4], [0.9, 0.1], [0.2, 0.8], [0.9, 0.1], [0.45, 0.55]])
    assert most_confident(scores, [2, 2]) == [1, 3, 2, 4]
    assert most_confident(scores, [1, 2], confidence=0.7) == [1, 2]


def test_the_trainer_is_a_whole_model():
    """A network over the words, by lk.fit: few labels, many texts."""
    texts, y = separable(160, 6)
    tokenizer = lk.text.WordTokenizer.train(texts, vocab_size=100)

    def train(texts, y, seed):
        model = lk.models.build_cnn_classifier(
            tokenizer.vocab_size, num_classes=2, embedding_dim=8, kernel_sizes=(1,), num_filters=8, seed=seed
        )
        data = lk.data.labelled(texts, y, tokenizer, batch_size=8, max_length=6, seed=seed)
        config = lk.TrainingConfig(max_steps=60, learning_rate=0.02, warmup_steps=0, seed=seed)
        lk.fit(model, data, config=config)
        return lk.tasks.TextClassifier(model, tokenizer, CLASSES, max_length=6)

    dev = separable(100, 8)
    found = self_training(train, texts[:8], y[:8], texts[8:], rounds=2, growth=4, dev=dev, seed=1)
    assert found.rounds[found.kept].accuracy >= found.rounds[0].accuracy
    assert isinstance(found.classifier, lk.tasks.TextClassifier)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"train": []}, "train is no function"),
        ({"y": [0]}, "got 2 texts and y of shape"),
        ({"y": [0, -1]}, "give a class, 0 or above"),
        ({"unlabelled": []}, "no texts without labels"),
        ({"growth": 1}, "growth is 1"),
        ({"rounds": -1}, "rounds is -1"),
        ({"confidence": 2}, "confidence is 2"),
        ({"dev": (["a"], [])}, "dev is no pair"),
        ({"dev": (["a"], ["up"])}, "dev is no pair .* with a class, 0 or above"),
        ({"y": [0, 7], "train": lambda *_: ByWords(["a"], [0])}, "y has the class 7, and the classifier has 2"),
    ],
)
def test_what_cannot_be_is_named(change, says):
    given = {"train": Recorder(), "texts": ["a", "b"], "y": [0, 1], "unlabelled": ["a"]} | change
    with pytest.raises(lk.InputError, match=says):
        self_training(**given)
