"""The relation of two marked spans of a text: what causes what, who works for whom."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from lm_keras.data.corpora.records import Relation
from lm_keras.data.relations import checked_relation, relation_of_marks
from lm_keras.errors import InputError
from lm_keras.serving.client.results import Classification
from lm_keras.serving.export.signatures import Served, example_texts, signature, utf8
from lm_keras.tasks.inputs import BATCH, TokenizedWords, checked_classes
from lm_keras.tasks.labels import places_of
from lm_keras.tasks.relation_inputs import Rows, relation_inputs, tf_word_spans, word_spans
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.text_model import TextModel, register_text_model
from lm_keras.utils.functions import function

if TYPE_CHECKING:
    from gensim.models import KeyedVectors

    from lm_keras.tasks.extraction import InformationExtractor
    from lm_keras.tasks.relation_metrics import RelationReport
    from lm_keras.tasks.tagging import TextTagger
    from lm_keras.training.config import TrainingConfig

NONE = ("no_relation", "none", "other")  # names of the class of pairs without a relation, the plainest first
PLACES = ("first_start", "first_end", "second_start", "second_end")  # inputs of the export, in characters


@register_text_model
class RelationExtractor(TextModel):
    """The relation of two entities of a text; an export has the signature `relation`.

    `RelationExtractor.train(records)` makes one of labelled texts; the constructor takes a model that is trained.
    `with_tagger` puts it behind a tagger: texts in, entities and relations out. Of a long text the words around both
    entities are read.

    Args:
        model: A functional `keras.Model` of {"words", "first", "second"}, such as `models.build_relation_cnn` and
            `models.build_relation_rnn` make, or of BERT's inputs and {"first", "second"}, such as
            `models.relation_classifier` makes -> logits [B, C].
        tokenizer: Its tokenizer: a WordTokenizer of language None, or the WordPieceTokenizer of an encoder.
        classes: The names of the C relations in the order of the labels. One whose name ends in (e1,e2) or (e2,e1)
            has a direction.
        max_length: The number of words, or tokens, that are read; None: 256, or the encoder's.

    Raises:
        InputError: The parts do not fit each other.
    """

    def __init__(
        self, model: keras.Model, tokenizer: Tokenizer, classes: Sequence[str], *, max_length: int | None = None
    ):
        self.tokenizer, self.classes = tokenizer, checked_classes(model, 2, classes)
        self.history: dict[str, list[float]] = {}  # of `train`
        super().__init__(model, {"tokenizer": tokenizer}, {"classes": self.classes, "max_length": max_length})
        self.inputs = relation_inputs(model, tokenizer, max_length)
        spec = Rows(tf.RaggedTensorSpec([None, None], tf.int32), tf.TensorSpec([None, 4], tf.int32))
        self._compiled = function(self._scores, input_signature=[spec])

    @classmethod
    def train(
        cls,
        records: Iterable[Relation],
        *,
        encoder: str | keras.Model = "cnn",
        classes: Sequence[str] | None = None,
        word_vectors: str | Path | KeyedVectors | None = None,
        validation: float | Iterable[Relation] | None = None,
        class_weight: str | dict[str | int, float] | None = None,
        swap: bool = False,
        config: TrainingConfig | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        max_length: int | None = None,
        seed: int = 0,
        **options: Any,
    ) -> RelationExtractor:
        """Makes an extractor of texts with two entities and their relation: words, model and training.

        The learning rate falls to zero over all epochs. `early_stopping_patience=` stops when the loss of the
        validation records no longer falls, and keeps the weights of its best epoch; F1 may still rise then.

        Args:
            records: `lk.data.Relation`, as `lk.data.read_relations` returns them. A label is a name, or a whole
                number: a place in `classes`.
            encoder: What reads the text. "cnn" (Zeng et al. 2014) and "bilstm" (with attention, Zhou et al. 2016)
                start from random weights or `word_vectors`. The name of a pretrained encoder ("all-minilm-l6-v2"),
                the folder of a BERT-type checkpoint or of a saved `TextEmbedder`, or a `keras.Model` of tokens ->
                vectors are trained on, with their own word pieces and marks around the entities (Wu & He 2019).
            classes: The names of the relations in their order; None: the names that occur, sorted.
            word_vectors: Of "cnn" and "bilstm", what their words start from: gensim's KeyedVectors, a file that
                `lk.embeddings.load_glove` reads, or "glove-6b-50d-400k", which is fetched. Its words are known, too.
            validation: Records that are measured after each epoch; or a share of the records, drawn by `seed` (a
                tenth, if None); records of one text stay together.
            class_weight: {label: weight} in the training loss, 1 where none is given: a class "Other" of more weight
                makes fewer and surer relations. Or "balanced": each weighs as much as the others.
            swap: Whether each record is learnt with its entities exchanged, too, as the other direction of its
                relation: for labels that end in (e1,e2) and (e2,e1). An epoch has twice as many records then.
            config: The settings of the training; None: those of the encoder (`lk.tasks.relation_training.SETTINGS`).
            epochs: In place of the config's: the passes over the records.
            batch_size: In place of the config's.
            learning_rate: In place of the config's.
            max_length: The number of words, or tokens, that are read; None: 256, or the encoder's.
            seed: Of the starting weights, dropout, the order of the records and the validation records.
            **options: Other settings of `TrainingConfig`; and arguments of the builder, such as `hidden_dim` or
                `dropout`, of a pretrained encoder those of `models.relation_classifier`.

        Returns:
            The RelationExtractor; `history` has the measures of each epoch.

        Raises:
            InputError: Entities that are not within their text, fewer than two relations, an unknown encoder or
                option.

        Example:

        ```python
        train, test = (lk.data.load("semeval2010-task8", split) for split in ("train", "test"))
        names = lk.data.classes("semeval2010-task8")
        extractor = lk.tasks.RelationExtractor.train(train, encoder="bilstm", classes=names)
        print(extractor.evaluate(test))
        print(extractor.classify("The <e1>author</e1> uses a <e2>disassembler</e2>.")[0].label)
        ```
        """
        from lm_keras.tasks.relation_training import train_extractor

        given = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
        return train_extractor(
            cls,
            records,
            encoder=encoder,
            classes=classes,
            word_vectors=word_vectors,
            validation=validation,
            class_weight=class_weight,
            swap=swap,
            config=config,
            settings={name: value for name, value in given.items() if value is not None},
            max_length=max_length,
            seed=seed,
            options=options,
        )

    @property
    def none(self) -> str | None:
        """The class of pairs without a relation, which counts for none: "no_relation", "none" or "Other".

        It is the first of these that is there, in upper or lower case.
        """
        named = {name.lower(): name for name in reversed(self.classes)}
        return next((named[name] for name in NONE if name in named), None)

    # === Answers ===
    def classify(self, records: str | Relation | Sequence[str | Relation]) -> list[Classification]:
        """Finds the relation of two entities.

        Args:
            records: One or several: `lk.data.Relation` (its label is not looked at), or strings with both entities
                in marks, `The <e1>author</e1> uses a <e2>disassembler</e2>.`

        Returns:
            A Classification of each.

        Raises:
            InputError: For an entity that is not within its text, and marks that are not there.
        """
        found = []
        for row in self.probabilities(records).tolist():
            best = int(np.argmax(row))
            found.append(Classification(self.classes[best], row[best], dict(zip(self.classes, row, strict=True))))
        return found

    def probabilities(self, records: str | Relation | Sequence[str | Relation]) -> np.ndarray:
        """Returns the probability of each relation for each record: float32 [N, C], in the order of `classes`."""
        records = relations_of(records)
        if not records:
            return np.zeros([0, len(self.classes)], np.float32)
        rows = self.rows(records)
        order, found = np.argsort(rows.ids.row_lengths().numpy(), kind="stable"), []
        for start in range(0, len(order), BATCH):
            found.append(self._compiled(rows_at(rows, order[start : start + BATCH])).numpy())
        return np.concatenate(found)[np.argsort(order, kind="stable")]

    def rows(self, records: Sequence[Relation]) -> Rows:
        """Returns what the model reads of checked records, before they are filled up."""
        texts = {text: i for i, text in enumerate(dict.fromkeys(record.text for record in records))}
        words, places = self.inputs.words_of(list(texts))
        text = [texts[record.text] for record in records]
        spans = word_spans(places, [(record.first, record.second) for record in records], text)
        return self.inputs.rows(words, tf.constant(spans), tf.constant(text, tf.int32))

    def evaluate(self, records: Iterable[Relation], *, level: float = 0.95, seed: int = 0) -> RelationReport:
        """Measures the extractor by the rule of SemEval-2010 task 8, with intervals.

        Args:
            records: As in `train`; whole numbers are places in `classes`.
            level: Of the intervals.
            seed: Of the bootstrap.

        Returns:
            A `lk.tasks.RelationReport`; `print` shows it as a table.

        Raises:
            InputError: For no record, and for labels that are none of the classes.
        """
        from lm_keras.tasks.relation_metrics import relation_report

        records = relations_of(records)
        y = places_of([record.label for record in records], self.classes, False)
        answers = self.probabilities(records).argmax(1)
        return relation_report(y, answers, self.classes, none=self.none, level=level, seed=seed)

    def with_tagger(self, tagger: TextTagger, *, neighbors: int = 8) -> InformationExtractor:
        """Returns both behind each other: texts in, entities and relations out.

        Args:
            tagger: What finds the entities.
            neighbors: How many entities after it an entity is paired with, in both directions.

        Raises:
            InputError: This extractor has no class of pairs without a relation ("none").
        """
        from lm_keras.tasks.extraction import InformationExtractor

        return InformationExtractor.of(tagger, self, neighbors=neighbors)

    def scores(self, words: TokenizedWords, spans: tf.Tensor, text: tf.Tensor | None = None) -> tf.Tensor:
        """Probabilities [M, C] of pairs of spans, in a graph; the arguments are those of `inputs`."""
        return self._scores(self.inputs.rows(words, spans, text))

    def _scores(self, rows):
        logits = self.model(self.inputs.dense(rows), training=False)
        return tf.nn.softmax(tf.cast(logits, tf.float32))

    # === Export ===
    def signatures(self) -> Served:
        """What `export` writes: `relation`, a text and the places of two entities -> label, score, scores, classes.

        The places are numbers, as in `Relation`, for a text may itself hold `<e1>`. What is beyond the text is cut.
        """

        def relation(text, *places):
            words, starts, ends = self.inputs.tf_words_of(utf8(text))
            scores = self.scores(words, tf_word_spans(words.splits, starts, ends, tf.stack(places, axis=1)))
            names = tf.constant(self.classes)
            return {
                "label": tf.gather(names, tf.argmax(scores, -1)),
                "score": tf.reduce_max(scores, -1),
                "scores": scores,
                "classes": tf.tile(names[None], [tf.shape(scores)[0], 1]),
            }

        def answer(name, inputs):
            rows = zip(inputs["text"], *(inputs[place] for place in PLACES), strict=True)
            found = self.classify([Relation(text, (a, b), (c, d)) for text, a, b, c, d in rows])
            return {
                "label": [one.label for one in found],
                "score": [one.score for one in found],
                "scores": [list(one.scores.values()) for one in found],
                "classes": [self.classes] * len(found),
            }

        return Served(
            signatures={"relation": signature(relation, ("text", tf.string), *((name, tf.int32) for name in PLACES))},
            examples={"relation": _example(self)},
            answer=answer,
            facts={"classes": self.classes, "max_length": self.inputs.max_length},
        )


def _example(extractor):
    """Texts of a few words, the first and the last of which are the entities."""
    texts = [text for text in example_texts(extractor.tokenizer, (5, 9, 3)) if text.strip()]
    rows = {"text": texts, **{name: [] for name in PLACES}}
    for row in extractor.inputs.words_of(texts)[1]:
        for name, at in zip(PLACES, (*row[0], *row[-1]), strict=True):
            rows[name].append(at)
    return rows


def relations_of(records: str | Relation | Iterable[str | Relation]) -> list[Relation]:
    """Returns one or several records, or texts with marks, as checked relations."""
    alone = isinstance(records, str) or (
        isinstance(records, tuple)
        and len(records) in (3, 4)
        and isinstance(records[0], str)
        and not isinstance(records[1], str)
    )
    if not alone and not isinstance(records, Iterable):
        raise InputError(f"records is a {type(records).__name__}; give lk.data.Relation, or a list of them")
    rows = [records] if alone else records
    return [
        relation_of_marks(row) if isinstance(row, str) else checked_relation(row, f"record {i}")
        for i, row in enumerate(rows)
    ]


def rows_at(rows: Rows, places: np.ndarray | tf.Tensor) -> Rows:
    """Some of the rows."""
    return Rows(tf.gather(rows.ids, places), tf.gather(rows.spans, places))
