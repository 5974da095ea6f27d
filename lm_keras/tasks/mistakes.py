"""The surest mistakes of a classifier, as a page of HTML: what to read first when a model is to become better."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lm_keras.errors import InputError
from lm_keras.tasks.classification import TextClassifier
from lm_keras.tasks.explain import Probabilities, Text, explain
from lm_keras.tasks.explanation import METHODS, escaped, isolated, legend, page, text_line, texts_of
from lm_keras.tasks.metrics import check_probabilities, class_table
from lm_keras.utils.atomic_files import path_of, replacing
from lm_keras.utils.checks import check_choice, check_sizes

STYLE = (
    "body{background:#fff;color:#111;font-family:sans-serif;line-height:1.5;max-width:60em;margin:1em auto;"
    "padding:0 1em;overflow-wrap:anywhere}"
    "article{border-top:1px solid #bbb;padding:0.6em 0}"
    "article>div{max-height:24em;overflow:auto}@media print{article>div{max-height:none}}"
    "table{border-collapse:collapse}td,th{padding:0.1em 0.8em 0.1em 0;text-align:left}"
    ".wrong{color:#a11}.right{color:#06502a}"
)


class Mistake(NamedTuple):
    """A text that was taken for another class.

    Attributes:
        place: Of the text.
        label: Its class; where it may have several, their names.
        answer: The class, or the classes, that it was taken for.
        probability: How sure that was: the probability of the answer; where a text may have several classes, that of
            its surest wrong decision.
        label_probability: The probability of the class that is right; of that decision.
        target: The class that the answer, or its surest wrong decision, is about.
    """

    place: int
    label: str
    answer: str
    probability: float
    label_probability: float
    target: str


def surest_mistakes(
    probabilities: ArrayLike, labels: ArrayLike, classes: Sequence[str], count: int | None = 20
) -> list[Mistake]:
    """Finds the mistakes of a classifier that it was surest of, which often are wrong labels.

    Args:
        probabilities: [N, C].
        labels: The classes of the texts, as `classification_report` takes them.
        classes: The names of the C classes.
        count: How many; None: all.

    Returns:
        A `Mistake` each, the surest first.

    Raises:
        InputError: For no text, and what are no probabilities or classes.
    """
    if count is not None:
        check_sizes(count=count)
    right, several = class_table("labels", labels, list(classes))
    found = np.asarray(probabilities, "float64")
    check_probabilities(found, right.shape, several)
    if several:
        wrong = (found >= 0.5) != right
        sure = np.where(wrong, np.maximum(found, 1 - found), -1)
        columns = sure.argmax(1)
    else:
        columns = found.argmax(1)
        wrong = ~right[np.arange(len(right)), columns][:, None]
        sure = np.where(wrong, found, -1)
    best = sure[np.arange(len(sure)), columns]
    places = np.argsort(-best, kind="stable")[: int(wrong.any(1).sum())][:count]

    def mistake(place):
        column, row = columns[place], found[place]
        answers = row >= 0.5 if several else np.arange(len(row)) == column
        own = 1 - best[place] if several else row[right[place]][0]
        names = (_names(classes, right[place]), _names(classes, answers))
        return Mistake(int(place), *names, float(best[place]), float(own), classes[column])

    return [mistake(place) for place in places]


def mistakes_page(
    classifier: Probabilities | ArrayLike,
    texts: Iterable[Text],
    labels: ArrayLike,
    path: str | os.PathLike,
    *,
    classes: Sequence[str] | None = None,
    count: int = 20,
    explain_by: str | None = "gradient_x_input",
    probabilities: ArrayLike | None = None,
) -> list[Mistake]:
    """Writes the surest mistakes to an HTML page: text, label, answer and probability, each word in color.

    It has no JavaScript and opens from the file.

    Args:
        classifier: A `TextClassifier`, `PromptClassifier` or `ConditionalLM`; or probabilities [N, C].
        texts: The texts, as the classifier reads them.
        labels: Their classes, as the classifier's `evaluate` takes them, or `classification_report`.
        path: Of the page, such as "mistakes.html"; it is whole or not there.
        classes: The names of the classes, with probabilities.
        count: How many mistakes.
        explain_by: "gradient_x_input": the words are colored by how much they speak for the answer, if the classifier
            is a TextClassifier that has gradients; "leave_one_out": of any classifier, which reads each text as often
            as it has words; None: no colors.
        probabilities: Those that the classifier gives for the texts, [N, C], where they are known already.

    Returns:
        The mistakes on the page.

    Raises:
        InputError: For no text, other numbers of labels, and what are no classes.
    """
    check_choice("explain_by", explain_by, (None, *METHODS))
    check_sizes(count=count)
    texts = [texts] if isinstance(texts, str) else list(texts)
    known = not isinstance(classifier, (np.ndarray, list, tuple))
    classes = list(classifier.classes if known else classes or ())
    if probabilities is None:
        probabilities = classifier.probabilities(texts) if known else classifier
    elif not known:
        raise InputError("probabilities are given twice; give a classifier with its probabilities, or these alone")
    table = np.asarray(probabilities)
    if len(table) != len(texts):
        raise InputError(
            f"there are {len(texts)} texts and probabilities of {len(table)}; give one row for each text"
        )
    if isinstance(classifier, TextClassifier):
        _, y = classifier.labelled(texts, labels)
        labels = y if classifier.multi_label else [classes[place] for place in y]
    every = surest_mistakes(table, labels, classes, None)
    shown, explanations = every[:count], []
    if known and explain_by and (explain_by == "leave_one_out" or isinstance(classifier, TextClassifier)):
        explanations = _explained(classifier, [(texts[one.place], one.target) for one in shown], explain_by)
    bodies = [_drawn(texts[one.place]) for one in shown] if not explanations else [e.colored() for e in explanations]
    some = _counted(len(every), "mistake") if every else "No mistakes"
    if len(shown) < len(every):
        some = f"{len(shown)} surest of {some}"
    said = f"{some} on {_counted(len(texts), 'text')}"
    colors = f"<p>{legend('the answer')} by {METHODS[explain_by]}</p>" if explanations else ""
    articles = [_article(number, *row) for number, row in enumerate(zip(shown, bodies, strict=True), 1)]
    body = "\n".join([f"<h1>{said}</h1>", _confusions(every), colors, *articles])
    with replacing(path_of(path)) as temporary:
        temporary.write_text(page(said, body, STYLE), encoding="utf-8")
    return shown


def _names(classes, chosen):
    return ", ".join(classes[i] for i in np.flatnonzero(chosen)) or "(none)"


def _explained(classifier, rows, method):
    """The explanations; none where the model has no gradients by its words."""
    try:
        return [explain(classifier, text, method, target) for text, target in rows]
    except InputError:
        if method == "leave_one_out":
            raise
        return []


# === HTML ===
def _counted(number, what):
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _drawn(text):
    return "".join(text_line(name, part, escaped(part)) for part, name in zip(*texts_of(text), strict=True))


def _article(number, mistake, body):
    sure = f"{mistake.probability:.1%}"
    about = "" if mistake.answer == mistake.target else f" (about {isolated(mistake.target)})"
    answer = f'<b class="wrong">{isolated(mistake.answer)}</b> {sure}{about}'
    label = f'<b class="right">{isolated(mistake.label)}</b> {mistake.label_probability:.1%}'
    place = f"{number}. text {mistake.place + 1}"
    return f"<article>{place}: {answer}, labelled {label}<div>{body}</div></article>"


def _confusions(mistakes):
    """The ten most frequent confusions."""
    counts = Counter((one.label, one.answer) for one in mistakes).most_common(10)
    if not counts:
        return ""
    rows = [
        f"<tr><td>{isolated(label)}</td><td>{isolated(answer)}</td><td>{number:,}</td></tr>"
        for (label, answer), number in counts
    ]
    return f"<table><tr><th>label</th><th>answer</th><th>texts</th></tr>{''.join(rows)}</table>"
