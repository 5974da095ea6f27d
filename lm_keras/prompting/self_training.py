"""Self-training: a classifier labels texts without labels, and the next one learns those that it was sure of."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from lm_keras.errors import InputError
from lm_keras.serving.client.results import Classification
from lm_keras.utils.checks import check_number, check_seed, check_sizes, check_texts

NOTHING = ([], [], 1.0, {})  # learned in the first round: texts, classes, their mean probability, how many of each


class SelfTrainingRound(NamedTuple):
    """What a round learned from and came to.

    Attributes:
        num_learned: Texts of each class, by its name, that were learned beside those with labels; {} in round 0.
        confidence: The mean probability of the classes that they were given; 1.0 in round 0.
        accuracy: On the `dev` texts; None without.
    """

    num_learned: dict[str, int]
    confidence: float
    accuracy: float | None


class SelfTraining:
    """What `self_training` returns.

    Attributes:
        classifiers: What the trainers returned in the round that was kept, one each.
        rounds: A `SelfTrainingRound` for each round, the first of them without any text that the model labelled.
        kept: The number of the round whose classifiers these are.
    """

    def __init__(self, classifiers: list, rounds: list[SelfTrainingRound], kept: int):
        self.classifiers, self.rounds, self.kept = classifiers, rounds, kept

    @property
    def classifier(self) -> object:
        """The classifier of the first trainer."""
        return self.classifiers[0]

    def classify(self, texts: str | Sequence[str]) -> list[Classification]:
        """Classifies texts by the mean of the probabilities of all classifiers."""
        names, scores = _mean_scores(self.classifiers, check_texts(texts))
        return [
            Classification(names[row.argmax()], float(row.max()), dict(zip(names, row.tolist(), strict=True)))
            for row in scores
        ]

    def __repr__(self) -> str:
        shown = ", ".join("?" if each.accuracy is None else f"{each.accuracy:.3f}" for each in self.rounds)
        return f"<SelfTraining {len(self.rounds)} rounds, kept {self.kept}, accuracy {shown}>"


def self_training(
    train: Callable | Sequence[Callable],
    texts: Sequence[str],
    y: Sequence[int],
    unlabelled: Sequence[str],
    *,
    rounds: int = 3,
    growth: float = 3.0,
    confidence: float = 0.0,
    dev: tuple[Sequence[str], Sequence[int]] | None = None,
    seed: int = 0,
) -> SelfTraining:
    """Trains on labelled texts, labels others, trains anew on both, in rounds (iPET, Schick & Schuetze 2021).

    In round r, of each class the texts that were found to be of it with the highest probability are learned beside
    the labelled ones: `growth` ** r times as many as the class has labels. With several trainers, such as prompts
    with different templates, each learns from the mean of the others, so that their mistakes do not add up.

    Args:
        train: A function `(texts, y, seed)` that trains a classifier from the start and returns it: whatever has
            `classify(texts)` -> `Classification`s, such as a `PromptClassifier` of a tuned prompt or of `lora(lm)`,
            or a `TextClassifier`. Or several such functions.
        texts: Texts with labels, those of every class among them.
        y: Their classes, places in `Classification.scores`.
        unlabelled: Texts without.
        rounds: Rounds after the first, which has the labels alone.
        growth: See above; more than 1.
        confidence: The least probability with which a text is learned.
        dev: Texts and classes on which each round is measured: the best round is kept (of equal ones the first), and
            not the last one.
        seed: The trainers get `seed`, the same in each round.

    Returns:
        A `SelfTraining`.

    Raises:
        InputError: For texts and labels of different numbers, and what is out of range.

    Example:

    ```python
    def train(texts, y, seed):
        adapted = lk.prompting.lora(lm, rank=8, seed=seed)
        classifier = lk.prompting.PromptClassifier(adapted, template, verbalizer)
        lk.fit(adapted, classifier.training_data(texts, y), config=lk.TrainingConfig(seed=seed))
        return classifier

    found = lk.prompting.self_training(train, texts, y, unlabelled, dev=dev)
    found.classify("I laughed all along")
    ```
    """
    trainers = [train] if callable(train) else list(train)
    texts, y, unlabelled = check_texts(texts), np.asarray(y), check_texts(unlabelled, "unlabelled")
    _check(trainers, texts, y, unlabelled, dev)
    check_sizes(least=0, rounds=rounds)
    check_number("growth", growth, above=1)
    check_number("confidence", confidence, least=0, most=1)
    seed = check_seed(seed)
    reports, kept, best, learned = [], None, -1.0, [NOTHING] * len(trainers)
    for number in range(rounds + 1):
        classifiers = [
            one([*texts, *more], np.concatenate([y, np.array(labels, y.dtype)]), seed)
            for one, (more, labels, *_) in zip(trainers, learned, strict=True)
        ]
        reports.append(_report(classifiers, learned, dev))
        if dev is None or reports[-1].accuracy > best:
            kept, best = (number, classifiers), reports[-1].accuracy
        if number < rounds:
            size = growth ** (number + 1)
            learned = [_learned(some, unlabelled, y, size, confidence) for some in _teachers(classifiers)]
    return SelfTraining(kept[1], reports, kept[0])


def most_confident(scores: np.ndarray, counts: Sequence[int], confidence: float = 0.0) -> list[int]:
    """Of each class c the `counts[c]` rows of scores [N, C] that are of it with the highest score, class by class."""
    found, best = scores.argmax(1), scores.max(1)
    chosen = []
    for name, count in enumerate(counts):
        own = np.flatnonzero((found == name) & (best >= confidence))
        chosen += own[np.argsort(-best[own], kind="stable")][:count].tolist()
    return chosen


def _teachers(classifiers):
    """Who labels the texts of each trainer: all others, or itself where it is alone."""
    if len(classifiers) == 1:
        return [classifiers]
    return [[other for other in classifiers if other is not one] for one in classifiers]


def _learned(teachers, unlabelled, y, size, confidence):
    """Texts, their classes, the mean probability of these, and how many there are of each by name."""
    names, scores = _mean_scores(teachers, unlabelled)
    counts = np.bincount(y, minlength=len(names))
    if len(counts) > len(names):
        raise InputError(f"y has the class {y.max()}, and the classifier has {len(names)}, counted from 0")
    chosen = most_confident(scores, [math.ceil(count * size) for count in counts], confidence)
    if not chosen:
        return NOTHING
    labels, sure = scores[chosen].argmax(1), float(scores[chosen].max(1).mean())
    told = dict(zip(names, np.bincount(labels, minlength=len(names)).tolist(), strict=True))
    return [unlabelled[i] for i in chosen], labels.tolist(), sure, told


def _mean_scores(classifiers, texts):
    """The names of the classes, and the mean of the probabilities [N, C]."""
    found = [classifier.classify(texts) for classifier in classifiers]
    names = list(found[0][0].scores) if texts else []
    for answers in found[1:]:
        if texts and list(answers[0].scores) != names:
            raise InputError(f"one classifier has the classes {names!r:.60}, another {list(answers[0].scores)!r:.60}")
    table = [[list(each.scores.values()) for each in answers] for answers in found]
    return names, np.array(table, float).reshape(len(found), len(texts), len(names)).mean(0)


def _report(classifiers, learned, dev):
    told = {}
    for *_, counts in learned:
        told = {name: told.get(name, 0) + count for name, count in counts.items()} or told
    accuracy = None
    if dev is not None:
        accuracy = float((_mean_scores(classifiers, list(dev[0]))[1].argmax(1) == np.asarray(dev[1])).mean())
    return SelfTrainingRound(told, float(np.mean([sure for _, _, sure, _ in learned])), accuracy)


def _check(trainers, texts, y, unlabelled, dev):
    if not trainers or not all(map(callable, trainers)):
        raise InputError("train is no function (texts, y, seed) -> classifier; give one, or a list of several")
    if not _are_places(y, texts):
        raise InputError(f"got {len(texts)} texts and y of shape {y.shape}; give a class, 0 or above, for each text")
    if not unlabelled:
        raise InputError("there are no texts without labels to learn from; give unlabelled=[...]")
    if dev is not None and (len(dev) != 2 or not _are_places(np.asarray(dev[1]), dev[0])):
        raise InputError(
            "dev is no pair (texts, y) with a class, 0 or above, for each text; give one, or leave it out"
        )


def _are_places(y, texts):
    return y.ndim == 1 and y.dtype.kind in "iu" and len(y) == len(texts) > 0 and y.min() >= 0
