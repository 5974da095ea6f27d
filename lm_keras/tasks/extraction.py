"""Entities and the relations between them: a tagger finds the ones, a relation extractor asks of each pair."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from lm_keras.data.corpora.records import RelatedText, Relation
from lm_keras.data.relations import pairs_of
from lm_keras.errors import InputError
from lm_keras.serving.client.results import Extraction, FoundRelation, Span
from lm_keras.serving.export.signatures import Served, example_texts, signature, utf8
from lm_keras.tasks.inputs import Windows, by_pieces, input_of, model_of_parts, named_inputs
from lm_keras.tasks.relation_inputs import SPANS, tf_word_spans
from lm_keras.tasks.relations import RelationExtractor
from lm_keras.tasks.tagging import TextTagger, as_json, labels_of, tf_json, tf_json_lists
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.text.unicode import valid
from lm_keras.text_model import TextModel, register_text_model
from lm_keras.utils.checks import check_texts, check_whole

if TYPE_CHECKING:
    from lm_keras.tasks.extraction_metrics import ExtractionReport

NEIGHBORS = 8
MAX_TEXT_BYTES = 2**14  # each pair of entities has the words around it read


@register_text_model
class InformationExtractor(TextModel):
    """The entities of a text and the relations between them; an export has the signature `extract`.

    `InformationExtractor.train(texts)` makes one; `RelationExtractor.with_tagger` puts two trained models together.

    An entity is paired with the `neighbors` entities after it, in both directions, so the number of pairs grows with
    the text and not by its square; a relation between entities that are further apart is not found. Of a pair, the
    `max_length` words around it are read.

    Args:
        model: A functional `keras.Model` whose layers are the tagger's model and the relation extractor's, as
            `InformationExtractor.of` makes it.
        tagger_tokenizer: The tagger's tokenizer.
        tokenizer: The relation extractor's.
        tags: The tagger's classes.
        classes: The relation extractor's; one is "none" or "Other", of pairs without a relation.
        characters: The tagger's characters.
        tagger_max_length: The tagger's max_length.
        max_length: The relation extractor's.
        neighbors: How many entities after it an entity is paired with.
        kinds: {relation: [[label, label], ...]}, the labels of entities that it can be between (Roth & Yih 2004's
            constraints); None: of any.

    Raises:
        InputError: The parts do not fit each other.
    """

    def __init__(
        self,
        model: keras.Model,
        tagger_tokenizer: Tokenizer,
        tokenizer: Tokenizer,
        *,
        tags: Sequence[str],
        classes: Sequence[str],
        characters: str | None = None,
        tagger_max_length: int | None = None,
        max_length: int | None = None,
        neighbors: int = NEIGHBORS,
        kinds: Mapping[str, Sequence[Sequence[str]]] | None = None,
    ):
        tagger, relations = _parts(model)
        self.tagger = TextTagger(tagger, tagger_tokenizer, tags, max_length=tagger_max_length, characters=characters)
        self.relations = RelationExtractor(relations, tokenizer, classes, max_length=max_length)
        if self.relations.none is None:
            raise InputError(
                f"classes are {', '.join(classes):.200}; name that of pairs without a relation none, or Other"
            )
        self.neighbors = check_whole("neighbors", neighbors, 1, 1000)
        self.kinds = (
            None if kinds is None else {name: [list(pair) for pair in pairs] for name, pairs in kinds.items()}
        )
        options = {"tags": self.tagger.classes, "classes": self.relations.classes, "characters": characters}
        options |= {"tagger_max_length": tagger_max_length, "max_length": max_length}
        options |= {"neighbors": self.neighbors, "kinds": self.kinds}
        super().__init__(model, {"tagger_tokenizer": tagger_tokenizer, "tokenizer": tokenizer}, options)
        self.history: dict[str, dict[str, list[float]]] = {}  # of `train`
        self.labels = labels_of(self.tagger.classes)
        self._allowed = _allowed(self.labels, self.relations.classes, self.relations.none, self.kinds)
        self._none = self.relations.classes.index(self.relations.none)

    @classmethod
    def of(
        cls,
        tagger: TextTagger,
        relations: RelationExtractor,
        *,
        neighbors: int = NEIGHBORS,
        kinds: Mapping[str, Sequence[Sequence[str]]] | None = None,
    ) -> InformationExtractor:
        """Returns an extractor of a trained tagger and a trained relation extractor.

        Args:
            tagger: What finds the entities.
            relations: What finds their relation.
            neighbors: How many entities after it an entity is paired with.
            kinds: {relation: [[label, label], ...]}, the labels of entities that it can be between; None: of any.

        Raises:
            InputError: The relation extractor has no class of pairs without a relation.
        """
        parts = {"tag": tagger.model, "relation": relations.model}
        return cls(
            model_of_parts(parts, "information_extractor"),
            tagger.tokenizer,
            relations.tokenizer,
            tags=tagger.classes,
            classes=relations.classes,
            characters=tagger.options["characters"],
            tagger_max_length=tagger.options["max_length"],
            max_length=relations.options["max_length"],
            neighbors=neighbors,
            kinds=kinds,
        )

    @classmethod
    def train(
        cls,
        texts: Iterable[RelatedText],
        *,
        validation: float | Iterable[RelatedText] | None = None,
        tagger: Mapping[str, Any] | None = None,
        relations: Mapping[str, Any] | None = None,
        neighbors: int = NEIGHBORS,
        by_kind: bool = True,
        seed: int = 0,
    ) -> InformationExtractor:
        """Makes an extractor of texts with entities and relations: a tagger, then an extractor of relations.

        Args:
            texts: `lk.data.RelatedText`, as `lk.data.read_related` returns them.
            validation: Texts that are measured after each epoch; or a share of the texts, drawn by `seed` (a tenth,
                if None).
            tagger: Arguments of `TextTagger.train`, such as {"encoder": "bilstm", "word_vectors": "glove.txt"}.
            relations: Arguments of `RelationExtractor.train`.
            neighbors: How many entities after it an entity is paired with, in training and in answers.
            by_kind: Whether a relation is looked for only between entities of such labels as it has in the texts.
            seed: Of both trainings.

        Returns:
            The InformationExtractor; `history` has the measures of each epoch, {"tagger": ..., "relations": ...}.

        Raises:
            InputError: Entities that overlap, no relation at all, and what both trainings refuse.

        Example:

        ```python
        train, valid, test = (lk.data.load("conll04", split) for split in ("train", "validation", "test"))
        extractor = lk.tasks.InformationExtractor.train(train, validation=valid)
        print(extractor.evaluate(test))
        found = extractor.extract("Lee Harvey Oswald shot John F. Kennedy in Dallas.")[0]
        ```
        """
        from lm_keras.tasks.extraction_training import train_both

        options = {"validation": validation, "tagger": tagger or {}, "relations": relations or {}}
        return train_both(cls, texts, **options, neighbors=neighbors, by_kind=by_kind, seed=seed)

    # === Answers ===
    def extract(self, texts: str | Sequence[str]) -> list[Extraction]:
        """Finds entities and relations.

        Args:
            texts: A string or several.

        Returns:
            For each text an `Extraction(entities, relations)`: Spans, and FoundRelations between two of them, each
            given by its place.
        """
        texts = check_texts(texts)
        return self.between(texts, self.tagger.tag(texts))

    def between(self, texts: Sequence[str], entities: Sequence[Sequence[Span]]) -> list[Extraction]:
        """Finds the relations between entities that are known.

        Args:
            texts: A string or several.
            entities: The Spans of each text, in their order; their scores are not looked at.

        Raises:
            InputError: For a label that is none of the tagger's, and a Span that is not within its text.
        """
        texts = [valid(text) for text in check_texts(texts)]
        if len(texts) != len(entities):
            raise InputError(f"there are {len(texts)} texts and entities of {len(entities)}; give a list for each")
        for at, row in enumerate(entities):
            if other := next((type(one).__name__ for one in row if not isinstance(one, Span)), None):
                raise InputError(f"entities of text {at} have a {other}; give lk.tasks.Span")
        place = {label: i for i, label in enumerate(self.labels)}
        if unknown := next((one.label for row in entities for one in row if one.label not in place), None):
            raise InputError(f"an entity is a {unknown!r:.40}, and the labels are {', '.join(self.labels):.200}")
        pairs = [(at, *pair) for at, found in enumerate(entities) for pair in pairs_of(len(found), self.neighbors)]
        records = [
            Relation(texts[at], entities[at][first][:2], entities[at][second][:2]) for at, first, second in pairs
        ]
        found: list[Extraction] = [Extraction(list(row), []) for row in entities]
        for (at, first, second), p in zip(pairs, self.relations.probabilities(records), strict=True):
            kinds = (place[entities[at][i].label] for i in (first, second))
            best = int(np.where(self._allowed[tuple(kinds)], p, -1.0).argmax())
            if best != self._none:
                label = self.relations.classes[best]
                found[at].relations.append(FoundRelation(first, second, label, float(p[best])))
        return found

    def evaluate(self, texts: Iterable[RelatedText], *, level: float = 0.95, seed: int = 0) -> ExtractionReport:
        """Measures entities and relations, each right only as a whole, with intervals.

        Args:
            texts: Texts with entities and relations.
            level: Of the intervals.
            seed: Of the bootstrap.

        Returns:
            An `ExtractionReport`; `print` shows it as a table.

        Raises:
            InputError: For no text, and what is no such text.
        """
        from lm_keras.data.relations import checked_related
        from lm_keras.tasks.extraction_metrics import extraction_report

        gold = [checked_related(record, f"text {i}") for i, record in enumerate(texts)]
        return extraction_report(gold, self.extract([record.text for record in gold]), level=level, seed=seed)

    # === Export ===
    def signatures(self) -> Served:
        """What `export` writes: `extract`, text -> entities, relations: JSON lists of Spans and of FoundRelations."""

        def extract(text):
            text = utf8(text)
            entities = self.tagger.tf_tag(text)
            return {"entities": tf_json(text, entities), "relations": self._tf_relations(text, entities)}

        def answer(name, inputs):
            found = self.extract(inputs["text"])
            return {
                "entities": [as_json(one.entities) for one in found],
                "relations": [relations_as_json(one.relations) for one in found],
            }

        texts = example_texts(self.tagger.tokenizer, (12, 24, 1, 0))
        return Served(
            signatures={"extract": signature(extract, ("text", tf.string))},
            examples={"extract": {"text": texts}},
            answer=answer,
            facts={"tags": self.tagger.classes, "classes": self.relations.classes, "neighbors": self.neighbors},
            max_text_bytes=MAX_TEXT_BYTES,
        )

    def _tf_relations(self, texts, entities):
        """The relations between entities, a JSON list for each text."""
        first, second = tf_pairs(entities.text, self.neighbors)
        text = tf.gather(tf.cast(entities.text, tf.int32), first)
        words, starts, ends = self.relations.inputs.tf_words_of(texts)
        places = tf.stack([entities.start, entities.end], axis=1)
        spans = tf_word_spans(words.splits, starts, ends, places, tf.cast(entities.text, tf.int32))
        spans = tf.concat([tf.gather(spans, first), tf.gather(spans, second)], axis=1)

        def probabilities(some):
            chosen = some.row
            return (self.relations.scores(words, tf.gather(spans, chosen), tf.gather(text, chosen)),)

        pair = tf.range(tf.size(first))
        width = len(self.relations.classes)
        (p,) = by_pieces(
            probabilities, Windows(pair, pair, pair, pair, pair), [tf.TensorSpec([None, width], tf.float32)]
        )
        p = tf.reshape(p, [-1, width])
        kinds = tf.stack([tf.gather(entities.label, first), tf.gather(entities.label, second)], axis=1)
        best = tf.argmax(tf.where(tf.gather_nd(tf.constant(self._allowed), kinds), p, -1.0), -1, tf.int32)
        found = tf.where(best != self._none)[:, 0]
        best, text, p = (tf.gather(part, found) for part in (best, text, p))
        score = tf.gather(p, best, batch_dims=1)
        # Places among the entities of the text.
        before = tf.gather(tf.searchsorted(entities.text, tf.range(tf.size(texts, tf.int64))), text)
        places = (tf.strings.as_string(tf.gather(part, found) - before) for part in (first, second))
        names = tf.constant([json.dumps(name, ensure_ascii=False) for name in self.relations.classes])
        objects = tf.strings.join(
            ['{"first": ', next(places), ', "second": ', next(places), ', "label": ', tf.gather(names, best),
             ', "score": ', tf.strings.as_string(score, precision=4), "}"]
        )  # fmt: skip
        return tf_json_lists(objects, tf.cast(text, tf.int64), tf.size(texts, tf.int64))


def relations_as_json(found: Sequence[FoundRelation]) -> str:
    """The JSON text of a list of FoundRelations."""
    return json.dumps([one._asdict() for one in found], ensure_ascii=False)


def tf_pairs(text: tf.Tensor, neighbors: int) -> tuple[tf.Tensor, tf.Tensor]:
    """`data.relations.pairs_of` entities, of which `text` [S] says whose they are: the places of both, int32 [M]."""
    size, steps = tf.size(text), tf.range(1, neighbors + 1)
    one = tf.repeat(tf.range(size), neighbors)
    two = one + tf.tile(steps, [size])
    near = two < size
    one, two = tf.boolean_mask(one, near), tf.boolean_mask(two, near)
    same = tf.gather(text, one) == tf.gather(text, two)
    one, two = tf.boolean_mask(one, same), tf.boolean_mask(two, same)
    return tuple(tf.reshape(tf.stack(both, axis=1), [-1]) for both in ((one, two), (two, one)))


def _parts(model):
    """The tagger's model and the relation extractor's, layers of one model."""
    input_of(model)
    inner = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    relations = [part for part in inner if set(SPANS) <= set(named_inputs(part))]
    taggers = [part for part in inner if part not in relations]
    if len(relations) != 1 or len(taggers) != 1:
        raise InputError(
            f"{model.name} does not hold a tagger and a relation model; InformationExtractor.of(tagger, relations) "
            "makes one that does"
        )
    return taggers[0], relations[0]


def _allowed(labels, classes, none, kinds):
    """Whether a relation can be between entities of two labels: bool [L, L, C]."""
    allowed = np.full([len(labels), len(labels), len(classes)], kinds is None)
    allowed[..., classes.index(none)] = True
    for name, pairs in (kinds or {}).items():
        if name not in classes:
            raise InputError(f"kinds has {name!r:.40}, which is none of the relations {', '.join(classes):.200}")
        for pair in pairs:
            if len(pair) != 2 or not set(pair) <= set(labels):
                raise InputError(f"kinds of {name} has {pair!r:.60}; give two of the labels {', '.join(labels):.200}")
            allowed[labels.index(pair[0]), labels.index(pair[1]), classes.index(name)] = True
    return allowed
