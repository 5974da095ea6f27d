"""How good a classifier is: precision, recall, F1 and accuracy (by scikit-learn), with bootstrap intervals.

`classification_report` measures one classifier, `paired_test` compares two on the same texts, `bootstrap_interval` is
for any other measure. docs/classification.md says what the measures mean.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from sklearn import metrics as scores

from lm_keras.errors import InputError
from lm_keras.tasks.class_counts import bootstrap
from lm_keras.tasks.confusion_plots import confusion_figure, decisions_figure, short_name
from lm_keras.tasks.intervals import RESAMPLES, Interval, wilson
from lm_keras.tasks.intervals import bootstrap_interval as bootstrap_interval
from lm_keras.tasks.labels import is_whole, shown
from lm_keras.tasks.paired_tests import PairedTest as PairedTest
from lm_keras.tasks.paired_tests import paired_test as paired_test
from lm_keras.utils.checks import check_number, check_seed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_SHOWN = 30  # classes of a printed table


class ClassMetrics(NamedTuple):
    """The measures of one class.

    Attributes:
        name: Of the class.
        precision: Share of the texts that were found to be of it which are; 0 where there is none.
        recall: Share of its texts which were found; 0 where there is none.
        f1: Their harmonic mean.
        support: Its texts.
    """

    name: str
    precision: float
    recall: float
    f1: float
    support: int


class ClassificationReport:
    """The measures of a classifier on labelled texts; printed, it is a table.

    Attributes:
        classes: The names of the C classes.
        multi_label: Whether a text may have any number of the classes.
        num_texts: N.
        level: Of the intervals.
        accuracy: Share of the texts whose class was found; with `multi_label`, of which every class is right.
        macro_precision: The mean of the precision over the classes that occur, as a label or as an answer.
        macro_recall: That of the recall.
        macro_f1: That of F1.
        micro_f1: F1 of the counts of all classes together; with one class a text it is the accuracy.
        weighted_f1: The mean of F1 weighted by the texts of each class.
        per_class: A `ClassMetrics` for each class.
        confusion: int [C, C], a row a label and a column an answer; with `multi_label` [C, 2, 2], one for each class.
        log_loss: Mean nats of the right class (of all decisions about a text, with `multi_label`); None where answers
            were given, and not probabilities.

    Args:
        labels: bool [N, C], whether a text is of a class.
        answers: The same as the classifier has it.
        classes: The names of the classes.
        multi_label: As above.
        log_loss: As above.
        level: As above.
        seed: Of the resamples.
    """

    def __init__(
        self,
        labels: np.ndarray,
        answers: np.ndarray,
        classes: Sequence[str],
        *,
        multi_label: bool = False,
        log_loss: float | None = None,
        level: float = 0.95,
        seed: int = 0,
    ):
        self.classes, self.multi_label, self.num_texts = tuple(classes), multi_label, len(labels)
        self.log_loss, self.level, self._seed = log_loss, level, seed
        self._labels, self._answers = labels, answers
        y, found = (labels, answers) if multi_label else (labels.argmax(1), answers.argmax(1))
        self.accuracy = float(scores.accuracy_score(y, found))
        places = list(range(len(classes)))
        by_class = scores.precision_recall_fscore_support(y, found, labels=places, average=None, zero_division=0)
        columns = [*(part.tolist() for part in by_class[:3]), by_class[3].astype(int).tolist()]
        self.per_class = [ClassMetrics(*row) for row in zip(self.classes, *columns, strict=True)]
        occurring = (labels | answers).any(0)
        count = max(int(occurring.sum()), 1)  # texts without any class have measures of 0
        self.macro_precision, self.macro_recall, self.macro_f1 = (
            float(part[occurring].sum() / count) for part in by_class[:3]
        )
        average = {"labels": places, "zero_division": 0}
        self.micro_f1 = float(scores.f1_score(y, found, average="micro", **average))
        self.weighted_f1 = float(scores.f1_score(y, found, average="weighted", **average))
        matrix = scores.multilabel_confusion_matrix if multi_label else scores.confusion_matrix
        self.confusion = matrix(y, found, labels=places)

    @property
    def exact_match(self) -> float:
        """The accuracy by its other name: the share of the texts of which every class is right."""
        return self.accuracy

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """The bootstrap intervals (BCa, 2,000 resamples) of "accuracy", "macro_f1", "micro_f1" and "weighted_f1".

        Where every answer is right, or every one wrong, resamples are all alike; the interval of the accuracy is
        Wilson's then, and those of F1 are points.
        """
        measures = {
            "accuracy": lambda counts: counts.accuracy,
            "macro_f1": lambda counts: counts.macro_f1,
            "micro_f1": lambda counts: counts.micro_f1,
            "weighted_f1": lambda counts: counts.weighted_f1,
        }
        found = {name: self._bootstrap.interval(measure, self.level) for name, measure in measures.items()}
        if self.accuracy in (0, 1):
            found["accuracy"] = wilson(round(self.accuracy) * self.num_texts, self.num_texts, self.level)
        return found

    @cached_property
    def class_intervals(self) -> dict[str, Interval]:
        """The bootstrap interval of F1 of each class, by its name."""
        return {
            name: self._bootstrap.interval(lambda counts, place=place: counts.f1[..., place], self.level)
            for place, name in enumerate(self.classes)
        }

    @cached_property
    def _bootstrap(self):
        return bootstrap(self._labels, self._answers, RESAMPLES, self._seed)

    def as_dict(self) -> dict[str, Any]:
        """Returns all measures and intervals as numbers, lists and dicts, which JSON can hold."""
        names = ("accuracy", "macro_precision", "macro_recall", "macro_f1", "micro_f1", "weighted_f1", "log_loss")
        return {
            "texts": self.num_texts,
            **{name: getattr(self, name) for name in names},
            "level": self.level,
            "intervals": {name: list(ends) for name, ends in self.intervals.items()},
            "classes": {
                each.name: {**each._asdict(), "f1_interval": list(self.class_intervals[each.name])}
                for each in self.per_class
            },
            "confusion": self.confusion.tolist(),
        }

    # === For people ===
    def __str__(self) -> str:
        shown, head = self.per_class, f"{self.num_texts:,} texts, {len(self.classes)} classes"
        if len(shown) > MOST_SHOWN:
            shown = sorted(shown, key=lambda each: each.f1)[:MOST_SHOWN]
            head += f"; the {MOST_SHOWN} of the lowest F1"
        rows = [("", "precision", "recall", "F1", "texts")]
        rows += [(short_name(each.name), *map(_percent, each[1:4]), f"{each.support:,}") for each in shown]
        macro = (self.macro_precision, self.macro_recall, self.macro_f1)
        rows += [("mean of the classes", *map(_percent, macro), "")]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = []
        for name, *cells in rows:
            right = "  ".join(f"{cell:>{size}}" for cell, size in zip(cells, widths[1:], strict=True))
            lines.append(f"{name:<{widths[0]}}  {right}")
        said = {"accuracy": "exact match" if self.multi_label else "accuracy", "macro_f1": "macro F1"}
        if self.multi_label:
            said["micro_f1"] = "micro F1"
        last = [
            f"{name} {_percent(getattr(self, key))} % ({self.level:.0%} interval {_ends(self.intervals[key])})"
            for key, name in said.items()
        ]
        if self.log_loss is not None:
            last.append(f"log loss {self.log_loss:.3f} nats")
        return "\n".join([head, *(line.rstrip() for line in lines), *last])

    def __repr__(self) -> str:
        figures = f"accuracy {self.accuracy:.4f}, macro_f1 {self.macro_f1:.4f}"
        return f"<ClassificationReport of {self.num_texts} texts, {len(self.classes)} classes: {figures}>"

    def plot_confusion(self) -> "Figure":
        """Draws the confusion matrix: a row is a label, its cells are the shares of its texts by answer.

        Where a text may have several classes there is no one matrix: then it draws for each class how many of its
        texts were found and were missed, and how many others were taken for it.

        Returns:
            A matplotlib `Figure`.
        """
        return (decisions_figure if self.multi_label else confusion_figure)(self.confusion, self.classes)


def classification_report(
    y: ArrayLike,
    answers_or_probabilities: ArrayLike,
    classes: Sequence[str],
    *,
    level: float = 0.95,
    seed: int = 0,
) -> ClassificationReport:
    """Measures the answers of a classifier.

    Args:
        y: The class of each text [N], by its name; or by its place in `classes`, unless these are other numbers.
            Where a text may have several: 0 or 1 for each text and class, [N, C].
        answers_or_probabilities: The answers, in the same form; or the probabilities, floats [N, C], of which the
            highest is the answer, or with several classes a text each of at least 0.5.
        classes: The names of the C classes.
        level: The share of such intervals that hold the true value.
        seed: Of the resamples of the intervals.

    Returns:
        A `ClassificationReport`.

    Raises:
        InputError: For no text, what is no class, other numbers of answers, and what are no probabilities.

    Example:

    ```python
    y = [test.classes[place] for place in test.labels]  # names: the classifier may have another order
    report = lk.tasks.classification_report(y, classifier.probabilities(test.texts), classifier.classes)
    print(report)
    report.plot_confusion().savefig("confusion.png")
    ```
    """
    check_number("level", level, above=0, below=1)
    seed, classes = check_seed(seed), _checked_classes(classes)
    labels, multi_label = class_table("y", y, classes)
    found = _array(answers_or_probabilities)
    log_loss = None
    if found.ndim == 2 and found.dtype.kind == "f":
        check_probabilities(found, labels.shape, multi_label)
        log_loss = _log_loss(labels, found, multi_label)
        answers = found >= 0.5 if multi_label else np.eye(len(classes), dtype=bool)[found.argmax(1)]
        several = multi_label
    else:
        answers, several = class_table("answers", found, classes)
    if several != multi_label or len(answers) != len(labels):
        raise InputError(
            f"y has the shape {list(np.shape(y))} and the answers {list(found.shape)}; give one answer for each text"
        )
    told = {"multi_label": multi_label, "log_loss": log_loss, "level": level, "seed": seed}
    return ClassificationReport(labels, answers, classes, **told)


# === What is given, as bool [N, C] ===
def _checked_classes(classes):
    names = None if isinstance(classes, str) else list(classes)
    if not names or len(set(names)) < len(names) or not all(isinstance(name, str) for name in names):
        raise InputError(f"classes is {classes!r:.60}; give a list with a different string for each class")
    return names


def _numbers_elsewhere(classes):
    """Whether a class is called by a whole number that is not its place."""
    return any(is_whole(name) and name != str(place) for place, name in enumerate(classes))


def _array(given):
    """An array of what is given; of names or lists as they are: NumPy's strings have no NUL at their end."""
    rows = None if hasattr(given, "dtype") else list(given)
    if rows and any(isinstance(one, str) for one in rows):
        return _objects(rows)
    try:
        return np.asarray(given if rows is None else rows)
    except ValueError:  # rows of different lengths
        return _objects(rows)


def _objects(rows):
    made = np.empty(len(rows), object)
    made[:] = rows
    return made


def class_table(name: str, given: ArrayLike, classes: Sequence[str]) -> tuple[np.ndarray, bool]:
    """Returns classes of texts as bool [N, C], and whether a text may have several.

    Args:
        name: Of what is given, for messages.
        given: Names or places [N], or 0 and 1 for each class [N, C].
        classes: The names of the classes.

    Raises:
        InputError: For anything else.
    """
    given = _array(given)
    if not given.size or given.ndim not in (1, 2):
        raise InputError(f"{name} has the shape {list(given.shape)}; give a class for each of at least one text")
    if given.ndim == 1 and isinstance(given[0], (list, tuple)):
        raise InputError(
            f"{name} has {given[0]!r:.40}, which is none of the classes; for several classes a text give 0 or 1 for "
            f"each of the {len(classes)} classes, [N, C]"
        )
    if given.ndim == 2:
        if given.shape[1] != len(classes) or not np.isin(given, (0, 1)).all():
            raise InputError(
                f"{name} has the shape {list(given.shape)}; for several classes a text give 0 or 1 for each of the "
                f"{len(classes)} classes"
            )
        return given.astype(bool), True
    if given.dtype.kind in "UO":
        places, rows = {known: place for place, known in enumerate(classes)}, given.tolist()
        for one in rows:
            if not isinstance(one, str) or one not in places:
                raise InputError(f"{name} has {one!r:.40}, which is none of the classes {', '.join(classes):.200}")
        return np.eye(len(classes), dtype=bool)[[places[one] for one in rows]], False
    if given.dtype.kind == "b":
        given = given.astype(int)
    if given.dtype.kind not in "iu" or given.min() < 0 or given.max() >= len(classes):
        raise InputError(f"{name} are names of classes, or places from 0 to {len(classes) - 1}, got {given[:3]}")
    if _numbers_elsewhere(classes):  # a 1 may be the class "1" or the class at place 1
        raise InputError(
            f"{name} are numbers, and classes are called by numbers, {shown(classes)}; give names, '1' for 1"
        )
    return np.eye(len(classes), dtype=bool)[given], False


def check_probabilities(found: np.ndarray, shape: tuple[int, int], multi_label: bool) -> None:
    """Raises InputError unless these are probabilities [N, C], which sum to 1 where a text has one class."""
    if found.shape != shape:
        raise InputError(f"the probabilities have the shape {list(found.shape)}; give [N, C], here {list(shape)}")
    if not ((found >= -1e-6) & (found <= 1 + 1e-3)).all():
        raise InputError("the probabilities are not between 0 and 1; give probabilities, not logits")
    if not multi_label and not np.allclose(found.sum(1), 1, atol=1e-2):
        raise InputError("the probabilities of a text do not sum to 1; give those of all classes")


def _log_loss(labels, found, multi_label):
    """Mean nats; a probability of 0 counts as the smallest that float32 holds, where scikit-learn takes 1e-16."""
    least = np.finfo("float32").tiny
    nats = -np.log(np.maximum(np.where(labels, found, 1 - found.astype("float64")), least))
    return float(nats.mean() if multi_label else nats[labels].mean())


# === Table ===
def _percent(share):
    return f"{100 * share:.1f}"


def _ends(interval):
    return f"{_percent(interval.low)} to {_percent(interval.high)}"
