"""Why a text is of a class: how much each word raises its log-odds, by leave-one-out and by gradients."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.tasks.classification import TextClassifier
from lm_keras.tasks.explanation import METHODS, Explanation, texts_of
from lm_keras.tasks.inputs import ModelInputs, ragged
from lm_keras.text.segmentation import load_jieba
from lm_keras.text.unicode import valid
from lm_keras.text.word_offsets import word_places
from lm_keras.utils.checks import check_choice
from lm_keras.utils.keras_internals import flatten_layers

# The least probability that counts; of a sigmoid, whose rest is 1 - p, what float32 tells from 1.
LEAST = {False: float(np.finfo("float32").tiny), True: 2.0**-25}
Text = str | tuple[str, str] | Mapping[str, str]


class Probabilities(Protocol):
    """What `explain` asks of a classifier: the names of its classes, and their probabilities, float [N, C].

    Where a text may have several classes, it has `multi_label` True.
    """

    classes: Sequence[str]

    def probabilities(self, texts: Any) -> np.ndarray: ...


def explain(
    classifier: Probabilities,
    text: Text,
    method: str = "leave_one_out",
    target: str | int | None = None,
    *,
    segment: Callable[[str], Sequence[tuple[int, int]]] | str | None = None,
) -> Explanation:
    """Says how much each word of a text speaks for a class.

    Both methods tell of the log-odds of the class, log(p / (1 - p)). Leave-one-out is what they fall by when a word
    is taken out of the text (and the space beside it); it works for every classifier and reads as many texts as there
    are words. Gradient x input (Shrikumar et al. 2017) is, for each token, the scalar product of its vector and the
    gradient by it, summed over the tokens of a word; it reads the text once. Both are the same for a model that is
    linear in the vectors. What the marks ([CLS], [SEP]) add belongs to no word, and words behind the place where a
    text is cut have 0.

    Args:
        classifier: A `TextClassifier`, `PromptClassifier` or `ConditionalLM`, or whatever has `classes` and
            `probabilities(texts)`.
        text: The text: a string; a pair of strings, or a dict of fields, where the classifier reads those.
        method: "leave_one_out"; "gradient_x_input", of a TextClassifier.
        target: The class, by its name or its place; None: the likeliest.
        segment: What words are: a function of a text that returns (start, end) of each; "jieba", for Chinese words;
            None: what is between spaces and punctuation marks, and each Chinese character (`text.word_offsets`), or
            jieba's words where the classifier's tokenizer has these.

    Returns:
        An `Explanation`, which shows itself in a notebook.

    Raises:
        InputError: For an unknown class or method, and gradients of a classifier that has none: one that is no
            TextClassifier, or whose model looks up no embedding at the places of the tokens.

    Example:

    ```python
    why = lk.tasks.explain(classifier, "A dull plot, and wonderful actors.")
    print(why)
    why.save("why.html")
    ```
    """
    check_choice("method", method, METHODS)
    text = _checked(text)
    texts, names = texts_of(text)
    row = np.asarray(classifier.probabilities([text]), "float64")[0]
    place = _place(classifier.classes, row, target)
    cut = _segmenter(classifier, segment)
    spans = [[tuple(map(int, span)) for span in cut(part)] for part in texts]
    if method == "leave_one_out":
        scores = _leave_one_out(classifier, text, texts, spans, place, row)
    else:
        scores = _gradient_x_input(classifier, texts, spans, place)
    return Explanation(
        texts=texts,
        names=names,
        words=[part[start:end] for part, row in zip(texts, spans, strict=True) for start, end in row],
        places=np.repeat(np.arange(len(texts)), [len(row) for row in spans]),
        spans=[span for row in spans for span in row],
        scores=scores,
        target=classifier.classes[place],
        probability=float(row[place]),
        method=method,
    )


def without(text: str, start: int, end: int) -> str:
    """Returns a text without what stands from `start` to `end`, and without one of the spaces around it."""
    before, after = text[:start], text[end:]
    if after[:1].isspace() and (not before or before[-1].isspace()):
        after = after[1:]
    elif before[-1:].isspace() and not after[:1].isalnum():
        before = before[:-1]
    return before + after


def _checked(text):
    """The text; its strings are valid Unicode, so that places in them are those that the tokenizer counts."""
    if isinstance(text, str):
        return valid(text)
    if isinstance(text, Mapping) and text and all(isinstance(part, str) for part in text.values()):
        return {name: valid(part) for name, part in text.items()}
    if isinstance(text, (tuple, list)) and len(text) == 2 and all(isinstance(part, str) for part in text):
        return tuple(valid(part) for part in text)
    raise InputError(f"text is {text!r:.60}; give one string, a pair of strings, or a dict of a template's fields")


def _place(classes, row, target):
    if target is None:
        return int(row.argmax())
    if target in classes:
        return list(classes).index(target)
    if isinstance(target, (int, np.integer)) and not isinstance(target, bool) and 0 <= target < len(classes):
        return int(target)
    raise InputError(f"target is {target!r:.40}; give one of {', '.join(classes):.200}, or its place")


# === Words ===
def _segmenter(classifier, segment):
    if callable(segment):
        return segment
    if segment not in (None, "jieba"):
        raise InputError(f"segment is {segment!r:.40}; give 'jieba', a function of a text, or None")
    tokenizer = getattr(classifier, "tokenizer", None)
    by_jieba = tokenizer is not None and (tokenizer.kind, tokenizer.language) == ("word", "zh")
    return _jieba_places if by_jieba or segment else word_places


def _jieba_places(text):
    return [(start, end) for word, start, end in load_jieba().tokenize(text) if not word.isspace()]


# === Leave-one-out ===
def _log_odds(table, place, several):
    """Of a class, from probabilities [N, C]."""
    own = table[:, place]
    rest = 1 - own if several else np.delete(table, place, 1).sum(1)
    return np.log(np.maximum(own, LEAST[several])) - np.log(np.maximum(rest, LEAST[several]))


def _leave_one_out(classifier, text, texts, spans, place, row):
    variants = [
        _again(text, [*texts[:i], without(part, *span), *texts[i + 1 :]])
        for i, part in enumerate(texts)
        for span in spans[i]
    ]
    if not variants:
        return np.zeros(0)
    table = np.concatenate([row[None], np.asarray(classifier.probabilities(variants), "float64")])
    log_odds = _log_odds(table, place, getattr(classifier, "multi_label", False))
    return log_odds[0] - log_odds[1:]


def _again(text, parts):
    """Other strings in the form of `text`."""
    if isinstance(text, str):
        return parts[0]
    return dict(zip(text, parts, strict=True)) if isinstance(text, Mapping) else tuple(parts)


# === Gradient x input ===
def _gradient_x_input(classifier, texts, spans, place):
    if not isinstance(classifier, TextClassifier):
        kind = type(classifier).__name__
        raise InputError(f"gradient_x_input is for a TextClassifier, not a {kind}; give method='leave_one_out'")
    sides = classifier.tokenizer.encode_batch(list(texts))
    inputs = ModelInputs(classifier.model, classifier.tokenizer, classifier.options["max_length"])
    rows = [ragged([ids]) for ids in sides]
    x = inputs(*rows) if len(rows) == 1 else inputs.pair(*rows)
    ids = np.asarray(x["token_ids"] if inputs.bert else x)[0]
    of_tokens = _token_scores(classifier, x, ids, place)
    scores, at = [], int(inputs.bert)
    for part, places, own in zip(texts, spans, sides, strict=True):
        kept = _common(ids[at:], own)
        scores.append(_word_scores(classifier.tokenizer, part, places, of_tokens[at : at + kept]))
        at += kept + 1  # the mark behind it
    return np.concatenate(scores)


def _token_scores(classifier, x, ids, place):
    """Gradient of the log-odds of a class by the vector of each token, times the vector: float64 [T].

    The gradient by an embedding's table has a row for each place that was looked up, which is what is wanted.
    """
    layers = [layer for layer in flatten_layers(classifier.model) if isinstance(layer, keras.layers.Embedding)]
    tables = [layer.embeddings.value for layer in layers if isinstance(layer.embeddings, keras.Variable)]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        for table in tables:
            tape.watch(table)
        logits = tf.cast(classifier.model(x, training=False), tf.float32)[0]
        goal = logits[place]
        if not getattr(classifier, "multi_label", False):
            others = [i for i in range(len(classifier.classes)) if i != place]
            goal -= tf.reduce_logsumexp(tf.gather(logits, others))
    scores = []
    for table, slope in zip(tables, tape.gradient(goal, tables), strict=True):
        if isinstance(slope, tf.IndexedSlices) and np.array_equal(slope.indices, ids):  # no table of positions
            vectors = tf.gather(table, ids)
            scores.append(np.sum(np.float64(slope.values) * np.float64(vectors), -1))
    if not scores:
        raise InputError(
            f"{classifier.model.name} has no keras.layers.Embedding that is looked up at the token ids; "
            "give method='leave_one_out'"
        )
    return np.sum(scores, 0)


def _common(ids, own):
    """How many of a text's tokens were read: what `ids` begins with; a mark, which no text has, ends it."""
    size = min(len(ids), len(own))
    differs = np.flatnonzero(ids[:size] != np.asarray(own[:size], ids.dtype))
    return int(differs[0]) if differs.size else size


def _word_scores(tokenizer, text, places, of_tokens):
    """The sum over the tokens of each word; a token of several words counts for the first of them."""
    if not places:
        return np.zeros(0)
    ends = np.maximum.accumulate([len(ids) for ids in tokenizer.encode_batch([text[:end] for _, end in places])])
    word = np.searchsorted(ends, np.arange(len(of_tokens)), side="right")
    inside = word < len(places)
    return np.bincount(word[inside], weights=of_tokens[inside], minlength=len(places))
