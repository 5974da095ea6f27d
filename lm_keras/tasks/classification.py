"""Which class, or which classes, a text or a pair of texts is of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from lm_keras.data.labelled import LabelledTexts
from lm_keras.data.labelled_batches import pair_mark
from lm_keras.errors import InputError
from lm_keras.serving.client.results import Classification, MultiLabelClassification
from lm_keras.serving.export.signatures import Served, example_texts, signature
from lm_keras.tasks.inputs import IDS, ModelInputs, checked_classes, in_batches, ragged
from lm_keras.tasks.labels import places_of, texts_and_labels
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.text_model import TextModel, register_text_model
from lm_keras.utils.checks import check_choice, check_texts, check_whole
from lm_keras.utils.functions import function

if TYPE_CHECKING:
    from lm_keras.tasks.explanation import Explanation
    from lm_keras.tasks.metrics import ClassificationReport
    from lm_keras.training.config import TrainingConfig

THRESHOLD = 0.5  # the least probability of a class that a text has, where it may have several


@register_text_model
class TextClassifier(TextModel):
    """The class of a text; an export has the signature `classify`.

    `TextClassifier.train(texts, labels)` makes one of labelled texts; the constructor takes a model that is trained.

    Args:
        model: A functional `keras.Model` of ids [B, T] or BERT's inputs -> logits [B, C], such as
            `models.sequence_classifier`, `models.build_cnn_classifier` and `models.build_rnn_classifier` make.
        tokenizer: Its tokenizer.
        classes: The names of the C classes in the order of the labels.
        max_length: The number of tokens after which a text is cut; None: the encoder's, or nothing is cut.
        multi_label: Whether a text may have several classes, or none: each with a probability of at least 0.5, by a
            sigmoid of its logit. False: one class, by a softmax.
        pairs: Whether it reads pairs of texts: as two segments with BERT's inputs, else with the tokenizer's end mark
            between both.

    Raises:
        InputError: The parts do not fit each other.
    """

    def __init__(
        self,
        model: keras.Model,
        tokenizer: Tokenizer,
        classes: Sequence[str],
        *,
        max_length: int | None = None,
        multi_label: bool = False,
        pairs: bool = False,
    ):
        check_choice("multi_label", multi_label, (True, False)), check_choice("pairs", pairs, (True, False))
        self.tokenizer, self.classes = tokenizer, checked_classes(model, 2, classes)
        self.multi_label, self.pairs = multi_label, pairs
        self.history: dict[str, list[float]] = {}  # of `train`
        options = {"classes": self.classes, "max_length": max_length, "multi_label": multi_label, "pairs": pairs}
        super().__init__(model, {"tokenizer": tokenizer}, options)
        self._inputs = ModelInputs(model, tokenizer, max_length)
        if pairs and not self._inputs.bert:
            pair_mark(tokenizer)
            if self._inputs.max_length is not None:  # a token of each text, and the mark
                check_whole("max_length", self._inputs.max_length, 3)
        self._compiled = function(self._scores, input_signature=[IDS, IDS] if pairs else [IDS])

    @classmethod
    def train(
        cls,
        texts: Iterable[str | tuple[str, str]] | LabelledTexts,
        labels: Iterable[Any] | None = None,
        *,
        encoder: str | keras.Model = "cnn",
        classes: Sequence[str] | None = None,
        validation: float | tuple | LabelledTexts | None = None,
        multi_label: bool = False,
        class_weight: str | dict[str | int, float] | None = None,
        config: TrainingConfig | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        max_length: int | None = None,
        tokenizer: Tokenizer | None = None,
        seed: int = 0,
        **options: Any,
    ) -> TextClassifier:
        """Makes a classifier of labelled texts: tokenizer, model and training.

        Training stops when the loss of the validation texts no longer falls, and the weights of its best epoch stay.

        Args:
            texts: Strings, or pairs of strings; or what `lk.data.read_labelled` returns, which has its labels.
            labels: The class of each text: its name, or a whole number (a place in `classes`, if these are given and
                no numbers themselves).
                With `multi_label` a list of names for each text, or rows [N, C] of 0 and 1.
            encoder: What reads the text. "cnn" (Kim 2014), "lstm", "bilstm", "gru", "bigru" and "bert" start from
                random weights, with a tokenizer of these texts: words, word pieces for "bert", characters where most
                characters are Chinese. The name of a pretrained encoder ("all-minilm-l6-v2"), the folder of a
                BERT-type checkpoint or of a saved `TextEmbedder`, or a `keras.Model` of tokens -> vectors are trained
                on, with their own tokenizer.
            classes: The names of the classes in their order; None: the names that occur, sorted.
            validation: `(texts, labels)` or `LabelledTexts` to stop by; or a share of the texts, drawn by `seed` (a
                tenth, if None).
            multi_label: Whether a text may have several classes, or none.
            class_weight: "balanced": each class weighs as much as the others, however many texts it has. Or
                `{class: weight}`, 1 for other classes; a class is a name or a number, as in `labels`. With
                `multi_label` what a yes of the class weighs; balanced: as many as there are noes to a yes.
            config: The settings of the training; None: those of the encoder (`lk.tasks.encoders.SETTINGS`). Each may
                also be an argument by its name, such as `dtype` or `weight_decay`, which takes its place.
            epochs: In place of the config's: the most passes over the texts.
            batch_size: In place of the config's.
            learning_rate: In place of the config's.
            max_length: The number of tokens after which a text is cut; None: 512, of recurrent and BERT-type encoders
                256, or what a sentence encoder was trained for.
            tokenizer: In place of the encoder's; a `keras.Model` without one needs it.
            seed: Of the starting weights, dropout, the order of the texts and the validation texts.
            **options: Other settings of `TrainingConfig`; and arguments of the builder, such as `hidden_dim`,
                `num_filters` or `embedding_matrix`, of a pretrained encoder those of `models.sequence_classifier`.

        Returns:
            The TextClassifier; `history` has the measures of each epoch.

        Raises:
            InputError: Labels that do not fit the texts, fewer than two classes, an unknown encoder or option.

        Example:

        ```python
        train, test = lk.data.split_texts(lk.data.read_labelled("my.csv", text="text", label="label"))
        classifier = lk.tasks.TextClassifier.train(train, encoder="cnn")
        print(classifier.evaluate(test))
        print(classifier.classify("What a film!")[0].label)
        ```
        """
        from lm_keras.tasks.training import train_classifier

        given = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
        return train_classifier(
            cls,
            texts,
            labels,
            encoder=encoder,
            classes=classes,
            validation=validation,
            multi_label=multi_label,
            class_weight=class_weight,
            config=config,
            settings={name: value for name, value in given.items() if value is not None},
            max_length=max_length,
            tokenizer=tokenizer,
            seed=seed,
            options=options,
        )

    @property
    def width(self) -> int | None:
        """The number of tokens that every text is filled up to; None: the model masks padding, as long as it is."""
        return self._inputs.fixed

    @property
    def segments(self) -> bool:
        """Whether the model reads BERT's three inputs, and not ids alone."""
        return self._inputs.bert

    # === Answers ===
    def classify(self, texts: str | Sequence[str] | Sequence[tuple[str, str]]) -> list[Classification]:
        """Classifies texts.

        Args:
            texts: A string or several; a pair of strings or several, for a classifier of pairs.

        Returns:
            A Classification of each text. With `multi_label` a MultiLabelClassification, which has the `labels` too:
            the classes of a probability of at least 0.5, in the order of `classes`.
        """
        found = []
        for row in self.probabilities(texts).tolist():
            best = int(np.argmax(row))
            parts = self.classes[best], row[best], dict(zip(self.classes, row, strict=True))
            found.append(MultiLabelClassification(*parts, self._labels(row)) if self.multi_label else parts)
        return found if self.multi_label else [Classification(*parts) for parts in found]

    def probabilities(self, texts: str | Sequence[str] | Sequence[tuple[str, str]]) -> np.ndarray:
        """Returns the probability of each class for each text: float32 [N, C], in the order of `classes`."""
        sides = [self.tokenizer.encode_batch(side) for side in self._sides(texts)]
        if not sides[0]:
            return np.zeros([0, len(self.classes)], np.float32)

        def run(some):
            return self._compiled(*(ragged(side) for side in zip(*some, strict=True))).numpy()

        return np.stack(in_batches(list(zip(*sides, strict=True)), run, lambda row: sum(map(len, row))))

    def evaluate(
        self,
        texts: Iterable[str | tuple[str, str]] | LabelledTexts,
        labels: Iterable[Any] | None = None,
        *,
        level: float = 0.95,
        seed: int = 0,
    ) -> ClassificationReport:
        """Measures the classifier: accuracy, precision, recall and F1 of each class, with intervals.

        Args:
            texts: Texts, as in `classify`; or what `lk.data.read_labelled` returns.
            labels: Their classes, as in `train`; whole numbers are places in `classes`.
            level: Of the intervals.
            seed: Of the bootstrap.

        Returns:
            A `lk.tasks.ClassificationReport`; `print` shows it as a table.

        Raises:
            InputError: For no text, and for labels that are none of the classes.
        """
        from lm_keras.tasks.metrics import classification_report

        texts, y = self.labelled(texts, labels)
        y = y if self.multi_label else [self.classes[place] for place in y]
        return classification_report(y, self.probabilities(texts), self.classes, level=level, seed=seed)

    def explain(
        self, text: str | tuple[str, str], method: str = "leave_one_out", target: str | int | None = None
    ) -> Explanation:
        """Says how much each word speaks for a class: see `lk.tasks.explain`."""
        from lm_keras.tasks.explain import explain

        return explain(self, text, method, target)

    def labelled(
        self, texts: Iterable[str | tuple[str, str]] | LabelledTexts, labels: Iterable[Any] | None = None
    ) -> tuple[list, np.ndarray]:
        """Returns texts, and their labels as places in `classes`: int32 [N], or [N, C] of 0 and 1.

        Raises:
            InputError: For no text, and for labels that are none of the classes.
        """
        texts, labels, named = texts_and_labels(texts, labels)
        return texts, places_of(labels, self.classes, self.multi_label, named)

    def _sides(self, texts):
        """The texts as one list; of pairs the first ones and the second ones."""
        if not self.pairs:
            return [check_texts(texts)]
        alone = isinstance(texts, tuple) and len(texts) == 2 and all(isinstance(part, str) for part in texts)
        rows = [texts] if alone else [texts] if isinstance(texts, str) else list(texts)
        for row in rows:
            if not isinstance(row, (tuple, list)) or len(row) != 2 or not all(isinstance(part, str) for part in row):
                raise InputError(f"this classifier reads pairs of texts, got {row!r:.60}; give (first, second)")
        return [[row[0] for row in rows], [row[1] for row in rows]]

    def _labels(self, row):
        return [name for name, p in zip(self.classes, row, strict=True) if p >= THRESHOLD]

    def _scores(self, ids, second=None):
        """Probabilities [B, C] of texts given as token ids, ragged [B, (n)]."""
        inputs = self._inputs(ids) if second is None else self._inputs.pair(ids, second)
        logits = tf.cast(self.model(inputs, training=False), tf.float32)
        return tf.sigmoid(logits) if self.multi_label else tf.nn.softmax(logits)

    # === Export ===
    def tf_probabilities(self, *texts: tf.Tensor) -> tf.Tensor:
        """`probabilities` of strings [B] in the graph; of pairs the first and the second ones."""
        return self._scores(*map(self.tokenizer.tf_encode, texts))

    def signatures(self) -> Served:
        """What `export` writes: `classify`, text -> label, score, scores [B, C], classes [B, C].

        Of pairs there is `text_pair` beside `text`; with `multi_label` the output `labels`, a JSON list of names.
        """

        def classify(*texts):
            scores = self.tf_probabilities(*texts)
            names = tf.constant(self.classes)
            outputs = {
                "label": tf.gather(names, tf.argmax(scores, -1)),
                "score": tf.reduce_max(scores, -1),
                "scores": scores,
                "classes": tf.tile(names[None], [tf.shape(scores)[0], 1]),
            }
            return outputs | (
                {"labels": tf_json_names(self.classes, scores >= THRESHOLD)} if self.multi_label else {}
            )

        def answer(name, inputs):
            rows = list(zip(inputs["text"], inputs["text_pair"], strict=True)) if self.pairs else inputs["text"]
            found = self.classify(rows)
            outputs = {"label": [c.label for c in found], "score": [c.score for c in found]}
            outputs["scores"] = [list(c.scores.values()) for c in found]
            if self.multi_label:
                outputs["labels"] = [json.dumps(c.labels, ensure_ascii=False) for c in found]
            return {**outputs, "classes": [self.classes] * len(found)}

        texts = example_texts(self.tokenizer)
        example = {"text": texts} | ({"text_pair": texts[::-1]} if self.pairs else {})
        facts = {"classes": self.classes, "max_length": self._inputs.max_length}
        return Served(
            signatures={"classify": signature(classify, *((name, tf.string) for name in example))},
            examples={"classify": example},
            answer=answer,
            facts=facts | {name: True for name in ("multi_label", "pairs") if getattr(self, name)},
        )


def tf_json_names(names: Sequence[str], chosen: tf.Tensor) -> tf.Tensor:
    """The chosen names, bool [B, C], of each row as a JSON list, strings [B]."""
    quoted = tf.constant([json.dumps(name, ensure_ascii=False) for name in names])
    rows = tf.ragged.boolean_mask(tf.tile(quoted[None], [tf.shape(chosen)[0], 1]), chosen)
    return tf.strings.join(["[", tf.strings.reduce_join(rows, axis=1, separator=", "), "]"])
