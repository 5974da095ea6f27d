"""Names, places and other spans in a text: a class for each word, and the spans that the words make."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from lm_keras.data.corpora.records import TaggedSentence
from lm_keras.data.tagged import ENDS, STARTS, TaggedText, parts, tag_spans
from lm_keras.errors import InputError
from lm_keras.layers.crf import marginals, viterbi
from lm_keras.serving.client.results import Span
from lm_keras.serving.export.signatures import Served, example_texts, signature, utf8
from lm_keras.tasks.inputs import by_pieces, checked_classes, in_batches, tokens_of, windows
from lm_keras.tasks.word_inputs import PieceInputs, WordInputs
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.text.tokenizers.word.tokenizer import WordTokenizer
from lm_keras.text.unicode import valid
from lm_keras.text_model import TextModel, register_text_model
from lm_keras.utils.checks import check_texts
from lm_keras.utils.functions import function

if TYPE_CHECKING:
    from pathlib import Path

    from gensim.models import KeyedVectors

    from lm_keras.tasks.tagging_metrics import TaggingReport
    from lm_keras.training.config import TrainingConfig

_ESCAPES = {chr(code): f"\\u{code:04x}" for code in range(32)} | {'"': '\\"', "\\": "\\\\"}


@register_text_model
class TextTagger(TextModel):
    """Names, places and other spans in a text; an export has the signature `tag`.

    `TextTagger.train(sentences)` makes one of texts with spans; the constructor takes a model that is trained.

    A text is cut into words (`text.word_offsets`): at every mark for an encoder of word pieces, where a word's tag is
    that of its first piece; else marks inside of words stay. Words of one label that follow each other are a span,
    whose score is the mean of its words' probabilities. A text that is too long for the encoder is read in windows
    that overlap by half; a word is told from the window that has it in its middle.

    Args:
        model: A functional `keras.Model` of ids [B, T] or BERT's inputs, such as `models.token_classifier` makes, or
            of {"words", "characters"}, such as `models.build_bilstm_tagger` makes -> logits [B, T, C], or potentials
            [B, T, C, C] of `layers.crf`: then the tags are the best sequence.
        tokenizer: Its tokenizer: a WordPieceTokenizer, which cuts at words; or for a model of words a WordTokenizer
            of language None, which has an id for each.
        classes: The C tags in the order of the labels, such as "O", "B-PER", "I-PER".
        max_length: The most tokens of a window; None: the encoder's, or no limit.
        characters: The characters that a model of words and characters knows; id 2 is the first one.

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
        characters: str | None = None,
    ):
        by_words = isinstance(tokenizer, WordTokenizer) and tokenizer.language is None
        if not tokenizer.cuts_at_words and not by_words:  # the tokens of a text are not those of its words
            kind = type(tokenizer).__name__
            raise InputError(
                "a tagger needs a tokenizer that cuts at words; give a WordPieceTokenizer, or a WordTokenizer of "
                f"language None, not a {kind}"
            )
        if not by_words and characters is not None:
            raise InputError("characters are for models of words; leave them out with a WordPieceTokenizer")
        self.tokenizer, self.classes = tokenizer, checked_classes(model, (3, 4), classes)
        self.history: dict[str, list[float]] = {}  # of `train`
        options = {"classes": self.classes, "max_length": max_length, "characters": characters}
        super().__init__(model, {"tokenizer": tokenizer}, options)
        self.inputs = (
            WordInputs(model, tokenizer, characters, max_length)
            if by_words
            else PieceInputs(model, tokenizer, max_length)
        )
        self._compiled = function(self._tags, input_signature=[self.inputs.spec])

    @classmethod
    def train(
        cls,
        sentences: Iterable[TaggedText | TaggedSentence],
        *,
        encoder: str | keras.Model = "bilstm",
        word_vectors: str | Path | KeyedVectors | None = None,
        crf: bool = True,
        validation: float | Iterable[TaggedText | TaggedSentence] | None = None,
        config: TrainingConfig | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        max_length: int | None = None,
        seed: int = 0,
        **options: Any,
    ) -> TextTagger:
        """Makes a tagger of texts with spans: words, model and training.

        The learning rate falls to zero over all epochs. `early_stopping_patience=` stops when the loss of the
        validation texts no longer falls, and keeps the weights of its best epoch; F1 may still rise then.

        Args:
            sentences: `lk.data.TaggedText`, or `lk.data.TaggedSentence` of words and tags (BIO, IOB1, BIOES, BILOU),
                as `lk.data.read_spans` and `lk.data.read_conll` return them.
            encoder: What reads the text. "bilstm" (`models.build_bilstm_tagger`) starts from random weights or
                `word_vectors`; it reads characters, too, where the text is not Chinese. The name of a pretrained
                encoder ("all-minilm-l6-v2"), the folder of a BERT-type checkpoint or of a saved `TextEmbedder`, or a
                `keras.Model` of tokens -> vectors are trained on, with their own word pieces.
            word_vectors: Of "bilstm", what its words start from: gensim's KeyedVectors, a file that
                `lk.embeddings.load_glove` reads, or "glove-6b-50d-400k", which is fetched. Its words are known, too.
            crf: Of "bilstm", whether tags are a chain.
            validation: Sentences that are measured after each epoch; or a share of the sentences, drawn by `seed` (a
                tenth, if None).
            config: The settings of the training; None: those of the encoder (`lk.tasks.tagging_training.SETTINGS`).
            epochs: In place of the config's: the passes over the sentences.
            batch_size: In place of the config's.
            learning_rate: In place of the config's.
            max_length: The most tokens of a text in training, and of a window; None: 256.
            seed: Of the starting weights, dropout, the order of the sentences and the validation sentences.
            **options: Other settings of `TrainingConfig`; and arguments of the builder, such as `hidden_dim` or
                `dropout`, of a pretrained encoder those of `models.token_classifier`.

        Returns:
            The TextTagger; `history` has the measures of each epoch.

        Raises:
            InputError: Spans that overlap, no span at all, an unknown encoder or option.

        Example:

        ```python
        sentences = lk.data.read_conll("train.txt")
        tagger = lk.tasks.TextTagger.train(sentences, validation=lk.data.read_conll("valid.txt"))
        print(tagger.evaluate(lk.data.read_conll("test.txt")))
        print(tagger.tag("Angela Merkel spoke in Paris.")[0])
        ```
        """
        from lm_keras.tasks.tagging_training import train_tagger

        given = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
        return train_tagger(
            cls,
            sentences,
            encoder=encoder,
            word_vectors=word_vectors,
            crf=crf,
            validation=validation,
            config=config,
            settings={name: value for name, value in given.items() if value is not None},
            max_length=max_length,
            seed=seed,
            options=options,
        )

    # === Answers ===
    def tag(self, texts: str | Sequence[str]) -> list[list[Span]]:
        """Finds the spans of texts.

        Args:
            texts: A string or several.

        Returns:
            For each text the list of its Spans.
        """

        def run(some):
            words, places = self.inputs.words_of(some)
            tags, scores = (part.numpy().tolist() for part in self._compiled(words))
            found, at = [], 0
            for text, row in zip(some, places, strict=True):
                mine = slice(at, at + len(row))
                names = [self.classes[i] if i >= 0 else "O" for i in tags[mine]]
                found.append(spans(text, row, names, scores[mine]))
                at += len(row)
            return found

        return in_batches([valid(text) for text in check_texts(texts)], run)

    def evaluate(
        self, sentences: Iterable[TaggedText | TaggedSentence], *, level: float = 0.95, seed: int = 0
    ) -> TaggingReport:
        """Measures the tagger: precision, recall and F1 of the spans, each right only as a whole, with intervals.

        Of a sentence that is given in words, a word has a tag where its first character is in a span. So the figures
        are those of the corpus's own words, whatever the tagger takes for one.

        Args:
            sentences: As in `train`.
            level: Of the intervals.
            seed: Of the bootstrap.

        Returns:
            A `lk.tasks.TaggingReport`; `print` shows it as a table.

        Raises:
            InputError: For no sentence, and for what is none.
        """
        from lm_keras.tasks.tagging_metrics import gold_and_found, tagging_report

        gold, found = gold_and_found(self, sentences)
        return tagging_report(gold, found, level=level, seed=seed)

    def _tags(self, words):
        """The tag of each word, int32 [W] (-1: it has no token), and its probability."""
        inputs = self.inputs
        ids = inputs.of_texts(words)
        lengths = tf.cast(ids.row_lengths(), tf.int32)
        room = inputs.room()
        found = windows(lengths, tf.fill(tf.shape(lengths), room))

        def answers(some):
            """Tags and probabilities of all tokens of some windows, one after the other."""
            places = tokens_of(ids, some)
            outputs = self.model(inputs.of_places(words, places), training=False)
            tags, scores = (part[:, inputs.marks :] for part in _best(outputs))
            real = tf.sequence_mask(places.row_lengths(), tf.shape(tags)[1])
            return tf.boolean_mask(tags, real), tf.boolean_mask(scores, real)

        tags, scores = by_pieces(answers, found, [tf.TensorSpec([None], dtype) for dtype in (tf.int32, tf.float32)])

        # Of each token, the place in `tags` of the window that has it in its middle.
        row = tf.cast(ids.value_rowids(), tf.int32)
        place = tf.range(tf.size(row)) - tf.cast(tf.gather(ids.row_splits, row), tf.int32)  # in its text
        middle = (place - room // 4) // max(room // 2, 1)
        window = tf.gather(found.first, row) + tf.clip_by_value(middle, 0, tf.gather(found.count, row) - 1)
        before = tf.cumsum(found.end - found.start, exclusive=True)  # tokens of the windows before
        place += tf.gather(before - found.start, window)

        has, first = inputs.first_tokens(words)
        at = tf.gather(tf.concat([place, [0]], 0), first)  # never empty
        tags, scores = (tf.gather(tf.pad(part, [[0, 1]]), at) for part in (tags, scores))
        return tf.where(has, tags, -1), scores

    # === Export ===
    def tf_tag(self, texts: tf.Tensor) -> FoundSpans:
        """The spans of strings [B] of valid UTF-8, in the graph."""
        words, starts, ends = self.inputs.tf_words_of(texts)
        tags, scores = self._tags(words)
        return tf_spans(self.classes, words.splits, starts, ends, tags, scores)

    def signatures(self) -> Served:
        """What `export` writes: `tag`, text -> spans, the JSON text of a list of Spans."""

        def tag(text):
            text = utf8(text)
            return {"spans": tf_json(text, self.tf_tag(text))}

        def answer(name, inputs):
            return {"spans": [as_json(found) for found in self.tag(inputs["text"])]}

        return Served(
            signatures={"tag": signature(tag, ("text", tf.string))},
            examples={"tag": {"text": example_texts(self.tokenizer)}},
            answer=answer,
            facts={"classes": self.classes, "max_length": self.inputs.max_length},
        )


def _best(outputs):
    """The best tag of each token and its probability, int32 and float32 [M, T].

    Of logits [M, T, C]; of potentials [M, T, C, C] the best sequence, and the marginal probability of each tag.
    """
    if len(outputs.shape) == 4:
        tags = viterbi(outputs)
        return tags, tf.gather(marginals(outputs), tags, batch_dims=2)
    p = tf.nn.softmax(tf.cast(outputs, tf.float32))
    return tf.argmax(p, -1, tf.int32), tf.reduce_max(p, -1)


# === From tags of words to spans of text: in Python and, as JSON, in the graph ===


def spans(text: str, places: Sequence[tuple[int, int]], tags: Sequence[str], scores: Sequence[float]) -> list[Span]:
    """The Spans of one text (`data.tagged.tag_spans`): its words' (start, end), tags and scores."""
    found = []
    for first, last, label in tag_spans(tags):
        start, end = places[first][0], places[last - 1][1]
        found.append(Span(start, end, label, float(np.mean(scores[first:last])), text[start:end]))
    return found


def as_json(found: Sequence[Span]) -> str:
    """The JSON text of a list of Spans; that of `tf_json` has the same content but for the rounding of scores."""
    return json.dumps([span._asdict() for span in found], ensure_ascii=False)


class FoundSpans(NamedTuple):
    """Spans in the graph, those of a text one after the other: [S] each.

    Attributes:
        text: Which text a span is of, int64.
        start: Its first character, int32.
        end: The one after its last, int32.
        label: The place of its label in `labels`, int32.
        score: float32.
        labels: The names of all labels.
    """

    text: tf.Tensor
    start: tf.Tensor
    end: tf.Tensor
    label: tf.Tensor
    score: tf.Tensor
    labels: list[str]


def labels_of(classes: Sequence[str]) -> list[str]:
    """The labels of tags, sorted."""
    return sorted({label for _, label in map(parts, classes) if label is not None})


def tf_spans(
    classes: Sequence[str],
    word_splits: tf.Tensor,
    starts: tf.Tensor,
    ends: tf.Tensor,
    tags: tf.Tensor,
    scores: tf.Tensor,
) -> FoundSpans:
    """`spans` in the graph. All is of the words, [W]: `tags` int32 are places in `classes`, -1: none."""
    told, labels = [parts(name) for name in classes], labels_of(classes)
    label_of = tf.constant([-1 if label is None else labels.index(label) for _, label in told] + [-1])
    begin_of = tf.constant([prefix in tuple(STARTS) for prefix, _ in told] + [False])
    end_of = tf.constant([prefix in tuple(ENDS) for prefix, _ in told] + [True])

    tags = tf.where(tags < 0, len(classes), tags)
    size = tf.size(tags, tf.int64)
    row = tf.RaggedTensor.from_row_splits(tags, word_splits, validate=False).value_rowids()
    label, ended = tf.gather(label_of, tags), tf.gather(end_of, tags)
    fresh = row != tf.concat([[-1], row], 0)[:size]
    other = label != tf.concat([[-1], label], 0)[:size]
    begins = (label >= 0) & (fresh | other | tf.gather(begin_of, tags) | tf.concat([[True], ended], 0)[:size])
    inside = tf.where(label >= 0)[:, 0]
    which = tf.gather(tf.cumsum(tf.cast(begins, tf.int32)) - 1, inside)
    first = tf.where(begins)[:, 0]
    count = tf.size(first)
    end = tf.math.unsorted_segment_max(tf.gather(ends, inside), which, count)
    score = tf.math.unsorted_segment_mean(tf.gather(scores, inside), which, count)
    row, start, label = (tf.gather(part, first) for part in (row, starts, label))
    return FoundSpans(row, start, end, label, score, labels)


def tf_json(texts: tf.Tensor, found: FoundSpans) -> tf.Tensor:
    """The spans of texts, strings [B] of valid UTF-8, as JSON: [B], each a list of objects with the fields of a Span.

    A score has four decimals: what float32 sums differ by from batch to batch is mostly smaller. Not always, for
    any rounding can tie, so only the rest of the string is the same to the character in every batch.
    """
    names = tf.constant([*(json.dumps(label, ensure_ascii=False) for label in found.labels), ""])
    # Characters are picked one by one: a copy of its whole text for each span would take memory by the square.
    chars = _escaped_characters(texts)
    offset = tf.gather(tf.cast(chars.row_splits, tf.int32), found.text)
    places = tf.ragged.range(offset + found.start, offset + found.end)
    text = tf.strings.reduce_join(places.with_flat_values(tf.gather(chars.flat_values, places.flat_values)), axis=-1)
    objects = tf.strings.join(
        ['{"start": ', tf.strings.as_string(found.start), ', "end": ', tf.strings.as_string(found.end),
         ', "label": ', tf.gather(names, found.label), ', "score": ', tf.strings.as_string(found.score, precision=4),
         ', "text": "', text, '"}']
    )  # fmt: skip
    return tf_json_lists(objects, found.text, tf.size(texts, tf.int64))


def tf_json_lists(objects: tf.Tensor, text: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """JSON objects [S], each of a text [S], those of a text one after the other, as a list for each of them [B]."""
    lists = tf.RaggedTensor.from_value_rowids(objects, text, nrows=size, validate=False)
    return tf.strings.join(["[", tf.strings.reduce_join(lists, axis=-1, separator=", "), "]"])


def escaped(text: str) -> str:
    """A text as it stands between the quotes of a JSON string, as `tf_escaped` writes it."""
    return text.translate(str.maketrans(_ESCAPES))


def tf_escaped(texts: tf.Tensor) -> tf.Tensor:
    """Strings [B] of valid UTF-8 as they stand between the quotes of a JSON string."""
    return tf.strings.reduce_join(_escaped_characters(texts), axis=-1)


def _escaped_characters(texts):
    """The characters of strings [B], ragged [B, (n)], each as it stands in a JSON string."""
    chars = tf.strings.unicode_split(texts, "UTF-8")
    codes = tf.strings.unicode_decode(texts, "UTF-8").flat_values
    special = (codes < 32) | (codes == 34) | (codes == 92)
    table = tf.constant([_ESCAPES.get(chr(code), "") for code in range(93)])
    return chars.with_flat_values(tf.where(special, tf.gather(table, tf.where(special, codes, 0)), chars.flat_values))
