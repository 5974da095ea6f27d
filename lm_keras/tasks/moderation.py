"""Moderation: whether a text is allowed, by a classifier, by lists of words, or by both."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import tensorflow as tf

from lm_keras.data.labelled import LabelledTexts
from lm_keras.errors import InputError
from lm_keras.models.base import LogitsModel
from lm_keras.serving.client.results import Moderation
from lm_keras.serving.export.signatures import Served, example_texts, signature, utf8
from lm_keras.tasks.classification import TextClassifier, tf_json_names
from lm_keras.tasks.labels import name_of, texts_and_labels
from lm_keras.tasks.listed_words import ListedWords
from lm_keras.tasks.moderation_metrics import REFUSED
from lm_keras.tasks.tagging import FoundSpans, as_json, tf_json
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.text.unicode import valid
from lm_keras.text_model import TextModel, register_text_model
from lm_keras.utils.checks import check_number, check_texts

if TYPE_CHECKING:
    from lm_keras.tasks.moderation_metrics import ModerationReport

THRESHOLD = 0.5
LISTED = "word list: "  # before the name of a list in a reason


@register_text_model
class Moderator(TextModel):
    """Whether a text is allowed; an export has the signature `moderate`.

    `Moderator.train(texts, labels)` makes one of labelled texts; `Moderator.of` of a trained classifier, lists of
    words, or both. A text is refused where it has a listed word, or where the probability of the refused classes is
    at least the threshold: p(refused) = sum of p(class) over them, for they exclude each other; where a text may have
    several classes, the highest of them.

    It errs in both directions, and a share of right answers alone hides which: see `tasks.moderation_report`.

    Args:
        model: The classifier's `keras.Model`; without a classifier the one that `Moderator.of` makes.
        tokenizer: The classifier's; None without one.
        classes: The classifier's classes; None without one.
        words: {name: words and phrases}, see `tasks.listed_words`; None: no lists.
        refused: The classes that are not allowed.
        threshold: The least probability of the refused classes at which a text is refused, over 0.
        max_length: The classifier's.
        multi_label: The classifier's.

    Raises:
        InputError: There is neither a classifier nor a word; `refused` has no class of the classifier's.
    """

    def __init__(
        self,
        model: keras.Model,
        tokenizer: Tokenizer | None = None,
        /,
        *,
        classes: Sequence[str] | None = None,
        words: Mapping[str, Iterable[str]] | Iterable[str] | None = None,
        refused: Sequence[str] = REFUSED,
        threshold: float = THRESHOLD,
        max_length: int | None = None,
        multi_label: bool = False,
    ):
        self.classifier = None
        if tokenizer is not None:
            limits = {"max_length": max_length, "multi_label": multi_label}
            self.classifier = TextClassifier(model, tokenizer, classes or (), **limits)
        elif classes is not None:
            raise InputError("classes are a classifier's, and there is no tokenizer; Moderator.of takes both")
        elif words is None:
            raise InputError("a moderator needs a classifier, lists of words, or both; Moderator.of takes them")
        self.words = None if words is None else ListedWords(words)
        self.refused = check_refused(refused, self.classifier and self.classifier.classes)
        self.threshold = check_number("threshold", threshold, above=0, most=1)
        names = self.classifier.classes if self.classifier else []
        self._places = [names.index(name) for name in self.refused] if self.classifier else []
        listed = self.words.names if self.words else []
        self._reasons = [LISTED + name for name in listed] + [names[place] for place in self._places]
        options = {"classes": self.classifier and self.classifier.classes, "words": self.words and self.words.lists}
        options |= {"refused": self.refused, "threshold": self.threshold}
        options |= {"max_length": max_length, "multi_label": multi_label}
        super().__init__(model, {} if tokenizer is None else {"tokenizer": tokenizer}, options)

    @classmethod
    def of(
        cls,
        classifier: TextClassifier | None = None,
        words: Mapping[str, Iterable[str]] | Iterable[str] | None = None,
        refused: Sequence[str] = REFUSED,
        threshold: float = THRESHOLD,
    ) -> Moderator:
        """Returns a moderator of a trained classifier, of lists of words, or of both.

        Args:
            classifier: A TextClassifier of single texts.
            words: {name: words and phrases}; or the words of one list, called "words".
            refused: The classes of the classifier that are not allowed.
            threshold: The least probability of these classes at which a text is refused.

        Raises:
            InputError: There is neither a classifier nor a word; `refused` has no class of the classifier's.

        Example:

        ```python
        moderator = lk.tasks.Moderator.of(classifier, {"scams": ["free money"]}, refused=["hate", "offensive"])
        print(moderator.moderate("Get FREE money!")[0])
        ```
        """
        if classifier is None:
            text = keras.Input((), name="none")
            return cls(
                LogitsModel(text, keras.layers.Identity()(text), name="word_lists"), words=words, refused=refused
            )
        if not isinstance(classifier, TextClassifier) or classifier.pairs:
            kind = "one of pairs" if isinstance(classifier, TextClassifier) else f"a {type(classifier).__name__}"
            raise InputError(f"a moderator takes a TextClassifier of single texts, got {kind}")
        given = {name: classifier.options[name] for name in ("classes", "max_length", "multi_label")}
        model, tokenizer = classifier.model, classifier.tokenizer
        return cls(model, tokenizer, words=words, refused=refused, threshold=threshold, **given)

    @classmethod
    def train(
        cls,
        texts: Iterable[str] | LabelledTexts,
        labels: Iterable[Any] | None = None,
        *,
        words: Mapping[str, Iterable[str]] | Iterable[str] | None = None,
        refused: Sequence[str] = REFUSED,
        threshold: float = THRESHOLD,
        **options: Any,
    ) -> Moderator:
        """Makes a moderator of labelled texts.

        Args:
            texts: Strings, or what `lk.data.read_labelled` returns, which has its labels.
            labels: The class of each text, or its classes, as in `TextClassifier.train`.
            words: Lists of words that are not allowed either.
            refused: The classes that are not allowed.
            threshold: The least probability of these classes at which a text is refused.
            **options: Arguments of `TextClassifier.train`, such as `encoder`, `validation` or `seed`.

        Returns:
            The Moderator; `classifier.history` has the measures of each epoch.

        Raises:
            InputError: `refused` has no class of the labels, and what `TextClassifier.train` refuses.

        Example:

        ```python
        names = lk.data.classes("hate-offensive")
        parts = {}
        for split in lk.data.splits("hate-offensive"):
            rows = lk.data.load("hate-offensive", split)
            parts[split] = [row.text for row in rows], [names[row.label] for row in rows]
        moderator = lk.tasks.Moderator.train(*parts["train"], validation=parts["validation"], encoder="cnn")
        print(moderator.evaluate(*parts["test"]))
        ```
        """
        if options.get("pairs"):
            raise InputError("a moderator reads single texts; leave pairs out")
        if words is not None:  # what is wrong with them is said before the training
            words = ListedWords(words).lists
        check_number("threshold", threshold, above=0, most=1)
        classifier = TextClassifier.train(texts, labels, **options)
        made = cls.of(classifier, words, refused, threshold)
        made.classifier.history = classifier.history
        return made

    # === Answers ===
    def moderate(self, texts: str | Sequence[str]) -> list[Moderation]:
        """Says which texts are allowed.

        Args:
            texts: A string or several.

        Returns:
            A `Moderation(allowed, reasons, spans, score)` of each: the reasons are "word list: NAME" and the refused
            classes; the spans are the listed words in the text; the score is the probability of the refused classes,
            or 1 where there is a listed word.
        """
        texts = [valid(text) for text in check_texts(texts)]
        if not texts:
            return []
        found = [self.words.find(text) if self.words else ([], []) for text in texts]
        listed = [[LISTED + name for name in names] for _, names in found]
        if self.classifier is None:
            return [
                Moderation(not names, names, spans, float(bool(names)))
                for names, (spans, _) in zip(listed, found, strict=True)
            ]
        scores, chosen = (part.numpy() for part in self._judged(tf.constant(self.classifier.probabilities(texts))))
        made = []
        for names, (spans, _), score, flags in zip(listed, found, scores.tolist(), chosen.tolist(), strict=True):
            reasons = names + [name for name, flag in zip(self.refused, flags, strict=True) if flag]
            made.append(Moderation(not reasons, reasons, spans, 1.0 if names else score))
        return made

    def evaluate(
        self,
        texts: Iterable[str] | LabelledTexts,
        labels: Iterable[Any] | None = None,
        *,
        level: float = 0.95,
        seed: int = 0,
    ) -> ModerationReport:
        """Measures the moderator: how many of the texts to refuse, and how many of the harmless ones, it gets right.

        Args:
            texts: Texts; or what `lk.data.read_labelled` returns.
            labels: Their classes, names or places in the classifier's classes; of `multi_label` a list for each.
            level: Of the intervals.
            seed: Of the bootstrap.

        Returns:
            A `lk.tasks.ModerationReport`; `print` shows it as a table.

        Raises:
            InputError: For no text, and labels that are none.
        """
        from lm_keras.tasks.moderation_metrics import moderation_report

        texts, y = self.labelled(texts, labels)
        return moderation_report(y, self.moderate(texts), self.refused, level=level, seed=seed)

    def labelled(
        self, texts: Iterable[str] | LabelledTexts, labels: Iterable[Any] | None = None
    ) -> tuple[list[str], list[list[str]]]:
        """Returns texts, and the names of the classes of each.

        Raises:
            InputError: For no text, and for labels that are none of the classifier's classes.
        """
        if self.classifier is not None:
            texts, places = self.classifier.labelled(texts, labels)
            names = self.classifier.classes
            rows = [row.nonzero()[0] if self.classifier.multi_label else [row] for row in places]
            return texts, [[names[place] for place in row] for row in rows]
        texts, labels, named = texts_and_labels(texts, labels)
        several = [label if isinstance(label, (list, tuple)) else [label] for label in labels]
        return texts, [[name_of(label, named) for label in row] for row in several]

    def _judged(self, p):
        """Probabilities [B, C] -> the score [B] of the refused classes R, and which are reasons, bool [B, R]."""
        p = tf.gather(p, self._places, axis=1)
        score = tf.reduce_max(p, -1) if self.classifier.multi_label else tf.minimum(tf.reduce_sum(p, -1), 1.0)
        likeliest = tf.one_hot(tf.argmax(p, -1), len(self._places), True, False, dtype=tf.bool)
        limit = tf.constant(self.threshold, tf.float32)
        return score, (score >= limit)[:, None] & (likeliest | (p >= limit))

    # === Export ===
    def tf_moderate(self, texts: tf.Tensor, before: str = "") -> Moderated:
        """`moderate` in the graph.

        Args:
            texts: Strings [B] of valid UTF-8.
            before: What stands before each reason.
        """
        size = tf.size(texts, tf.int64)
        none = tf.zeros([0], tf.int32)
        spans = FoundSpans(tf.zeros([0], tf.int64), none, none, none, tf.zeros([0]), [])
        score, chosen = tf.zeros([size]), tf.zeros([size, 0], tf.bool)
        if self.classifier is not None:
            score, chosen = self._judged(self.classifier.tf_probabilities(texts))
        if self.words is not None:
            spans, hits = self.words.tf_find(texts)
            score = tf.where(tf.reduce_any(hits, -1), 1.0, score)
            chosen = tf.concat([hits, chosen], -1)
        names = [before + reason for reason in self._reasons]
        return Moderated(~tf.reduce_any(chosen, -1), tf_json_names(names, chosen), spans, score)

    def signatures(self) -> Served:
        """What `export` writes: `moderate`, text -> allowed, reasons, spans, score.

        Reasons are a JSON list of names, spans the JSON text of a list of Spans.
        """

        def moderate(text):
            text = utf8(text)
            found = self.tf_moderate(text)
            return {**found._asdict(), "spans": tf_json(text, found.spans)}

        def answer(name, inputs):
            found = self.moderate(inputs["text"])
            return {
                "allowed": [one.allowed for one in found],
                "reasons": [json.dumps(one.reasons, ensure_ascii=False) for one in found],
                "spans": [as_json(one.spans) for one in found],
                "score": [one.score for one in found],
            }

        texts = example_texts(self.classifier.tokenizer) if self.classifier else ["a text", "another, longer one", ""]
        if self.words is not None:
            phrases = [phrase for some in self.words.lists.values() for phrase in some]
            texts = [*texts, f"{phrases[0]} and {phrases[-1]}"]
        facts = {"refused": list(self.refused), "threshold": self.threshold}
        facts |= {"classes": self.classifier.classes} if self.classifier else {}
        facts |= {"word_lists": {name: len(some) for name, some in self.words.lists.items()}} if self.words else {}
        return Served(
            signatures={"moderate": signature(moderate, ("text", tf.string))},
            examples={"moderate": {"text": texts}},
            answer=answer,
            facts=facts,
        )


class Moderated(NamedTuple):
    """Moderations in the graph: whether texts are allowed, bool [B]; reasons as JSON [B]; their spans; scores [B]."""

    allowed: tf.Tensor
    reasons: tf.Tensor
    spans: FoundSpans
    score: tf.Tensor


def check_refused(refused: Iterable[str], classes: Sequence[str] | None) -> list[str]:
    """Returns the classes that are refused; without a classifier any names, for `evaluate`.

    Raises:
        InputError: They are no names, each once, of some of the classes.
    """
    names = [] if isinstance(refused, str) or not isinstance(refused, Iterable) else list(refused)
    if not names or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise InputError(f"refused is {refused!r:.60}; give the names of the classes that are not allowed, each once")
    known = names if classes is None else classes
    if unknown := [name for name in names if name not in known]:
        raise InputError(
            f"{unknown[0]!r:.40} is to be refused, and is none of the classes {', '.join(known):.200}; give others"
        )
    return names
