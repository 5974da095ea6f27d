"""Names, places and other spans in a text: a class for each word, and the spans that the words make."""

import json
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.serving.client.results import Span
from lm_keras.serving.export.signatures import Served, example_texts, signature, utf8
from lm_keras.tasks.inputs import (
    WORDS,
    ModelInputs,
    by_pieces,
    checked_classes,
    in_batches,
    tf_words_of,
    tokens_of,
    windows,
    words_of,
)
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.text.unicode import valid
from lm_keras.text_model import TextModel, register_text_model
from lm_keras.utils.checks import check_texts
from lm_keras.utils.functions import function

STARTS, ENDS = "BSU", "ESLU"  # BIO: B- starts; BIOES and BILOU: S-, U- are a span alone, E-, L- end one
_ESCAPES = {chr(code): f"\\u{code:04x}" for code in range(32)} | {'"': '\\"', "\\": "\\\\"}


@register_text_model
class TextTagger(TextModel):
    """Names, places and other spans in a text; an export has the signature `tag`.

    A text is cut into words (`text.word_offsets`), a word's tag is that of its first token, and words of one label
    that follow each other are a span. A text that is too long for the encoder is read in windows that overlap by
    half; a word is told from the window that has it in its middle.

    Args:
        model: A functional `keras.Model` of ids [B, T] or BERT's inputs -> logits [B, T, C], such as
            `models.token_classifier` makes.
        tokenizer: Its tokenizer, which cuts at words: a WordPieceTokenizer.
        classes: The C tags in the order of the labels, such as "O", "B-PER", "I-PER".
        max_length: The most tokens of a window; None: the encoder's.

    Raises:
        InputError: The parts do not fit each other.
    """

    def __init__(
        self, model: keras.Model, tokenizer: Tokenizer, classes: Sequence[str], *, max_length: int | None = None
    ):
        if not tokenizer.cuts_at_words:  # of others, the tokens of a text are not those of its words
            kind = type(tokenizer).__name__
            raise InputError(
                f"a tagger needs a tokenizer that cuts at words; give a WordPieceTokenizer, not a {kind}"
            )
        self.tokenizer, self.classes = tokenizer, checked_classes(model, 3, classes)
        super().__init__(model, {"tokenizer": tokenizer}, {"classes": self.classes, "max_length": max_length})
        self._inputs = ModelInputs(model, tokenizer, max_length)
        self._compiled = function(self._tags, input_signature=[WORDS])

    def tag(self, texts: str | Sequence[str]) -> list[list[Span]]:
        """Finds the spans of texts.

        Args:
            texts: A string or several.

        Returns:
            For each text the list of its Spans.
        """

        def run(some):
            words, places = words_of(self.tokenizer, some)
            tags, scores = (part.numpy().tolist() for part in self._compiled(words))
            found, at = [], 0
            for text, row in zip(some, places, strict=True):
                mine = slice(at, at + len(row))
                names = [self.classes[i] if i >= 0 else "O" for i in tags[mine]]
                found.append(spans(text, row, names, scores[mine]))
                at += len(row)
            return found

        return in_batches([valid(text) for text in check_texts(texts)], run)

    def _tags(self, words):
        """The tag of each word, int32 [W] (-1: it has no token), and its probability."""
        ids = words.of_texts()
        lengths = tf.cast(ids.row_lengths(), tf.int32)
        room, marks = self._inputs.room(), int(self._inputs.bert)
        found = windows(lengths, tf.fill(tf.shape(lengths), room))

        def probabilities(some):
            """Of all tokens of some windows, one after the other."""
            places = tokens_of(ids, some)
            inputs = self._inputs(places.with_flat_values(tf.gather(ids.flat_values, places.flat_values)))
            logits = tf.cast(self.model(inputs, training=False), tf.float32)[:, marks:]
            real = tf.sequence_mask(places.row_lengths(), tf.shape(logits)[1])
            return (tf.nn.softmax(tf.boolean_mask(logits, real)),)

        (p,) = by_pieces(probabilities, found, [tf.TensorSpec([None, len(self.classes)], tf.float32)])

        # Of each token, the place in `p` of the window that has it in its middle.
        row = tf.cast(ids.value_rowids(), tf.int32)
        place = tf.range(tf.size(row)) - tf.cast(tf.gather(ids.row_splits, row), tf.int32)  # in its text
        middle = (place - room // 4) // max(room // 2, 1)
        window = tf.gather(found.first, row) + tf.clip_by_value(middle, 0, tf.gather(found.count, row) - 1)
        before = tf.cumsum(found.end - found.start, exclusive=True)  # tokens of the windows before
        place += tf.gather(before - found.start, window)

        has = words.tokens.row_lengths() > 0
        first = tf.where(has, words.tokens.row_splits[:-1], 0)
        p = tf.gather(tf.pad(p, [[0, 1], [0, 0]]), tf.gather(tf.concat([place, [0]], 0), first))  # never empty
        return tf.where(has, tf.argmax(p, -1, tf.int32), -1), tf.reduce_max(p, -1)

    def signatures(self) -> Served:
        """What `export` writes: `tag`, text -> spans, the JSON text of a list of Spans."""

        def tag(text):
            text = utf8(text)
            words, starts, ends = tf_words_of(self.tokenizer, text)
            tags, scores = self._tags(words)
            return {"spans": tf_spans(text, self.classes, words.splits, starts, ends, tags, scores)}

        def answer(name, inputs):
            return {"spans": [as_json(found) for found in self.tag(inputs["text"])]}

        return Served(
            signatures={"tag": signature(tag, ("text", tf.string))},
            examples={"tag": {"text": example_texts(self.tokenizer)}},
            answer=answer,
            facts={"classes": self.classes, "max_length": self._inputs.max_length},
        )


# === From tags of words to spans of text: BIO, BIOES and plain tags, in Python and, as JSON, in the graph ===


def parts(tag: str) -> tuple[str, str | None]:
    """(prefix, label) of a tag: ("B", "PER") of "B-PER", ("", "PER") of "PER", ("", None) of "O"."""
    if tag == "O":
        return "", None
    prefix, dash, label = tag.partition("-")
    return (prefix, label) if dash and label and prefix in set("BI" + STARTS + ENDS) else ("", tag)


def spans(text: str, places: Sequence[tuple[int, int]], tags: Sequence[str], scores: Sequence[float]) -> list[Span]:
    """The Spans of one text: its words' (start, end), tags and scores.

    A word goes on with the span of the word before it if both have the same label, unless its tag starts a span or
    the one before ends one. So an I- after O or another label starts a span too (as CoNLL's own evaluation reads it).
    """
    found, before = [], ("", None)
    for (start, end), tag, score in zip(places, tags, scores, strict=True):
        prefix, label = parts(tag)
        if label is not None:
            if before[1] != label or prefix in tuple(STARTS) or before[0] in tuple(ENDS):
                found.append((label, start, []))
            found[-1][2].append((end, score))
        before = prefix, label
    return [_span(text, label, start, words) for label, start, words in found]


def _span(text, label, start, words):
    end = words[-1][0]
    return Span(start, end, label, float(np.mean([score for _, score in words])), text[start:end])


def as_json(found: Sequence[Span]) -> str:
    """The JSON text of a list of Spans; that of `tf_spans` has the same content but for the rounding of scores."""
    return json.dumps([span._asdict() for span in found], ensure_ascii=False)


def tf_spans(
    texts: tf.Tensor,
    classes: Sequence[str],
    word_splits: tf.Tensor,
    starts: tf.Tensor,
    ends: tf.Tensor,
    tags: tf.Tensor,
    scores: tf.Tensor,
) -> tf.Tensor:
    """`spans` in the graph, as JSON: strings [B], each a list of objects with the fields of a Span.

    texts: valid UTF-8 [B]. All else is of the words, [W]: `tags` int32 are places in `classes`, -1: none.
    A score has four decimals: what float32 sums differ by from batch to batch is mostly smaller. Not always, for
    any rounding can tie, so only the rest of the string is the same to the character in every batch.
    """
    told = [parts(name) for name in classes]
    labels = sorted({label for _, label in told if label is not None})
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
    start, row = tf.gather(starts, first), tf.gather(row, first)
    end = tf.math.unsorted_segment_max(tf.gather(ends, inside), which, count)
    score = tf.math.unsorted_segment_mean(tf.gather(scores, inside), which, count)
    name = tf.gather(
        tf.constant([*(json.dumps(label, ensure_ascii=False) for label in labels), ""]), tf.gather(label, first)
    )
    # Characters are picked one by one: a copy of its whole text for each span would take memory by the square.
    chars = _escaped_characters(texts)
    offset = tf.gather(tf.cast(chars.row_splits, tf.int32), row)
    places = tf.ragged.range(offset + start, offset + end)
    text = tf.strings.reduce_join(places.with_flat_values(tf.gather(chars.flat_values, places.flat_values)), axis=-1)
    objects = tf.strings.join(
        ['{"start": ', tf.strings.as_string(start), ', "end": ', tf.strings.as_string(end), ', "label": ', name,
         ', "score": ', tf.strings.as_string(score, precision=4), ', "text": "', text, '"}']
    )  # fmt: skip
    lists = tf.RaggedTensor.from_value_rowids(objects, row, nrows=tf.size(texts, tf.int64), validate=False)
    return tf.strings.join(["[", tf.strings.reduce_join(lists, axis=-1, separator=", "), "]"])


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
