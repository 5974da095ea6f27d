"""From texts with two spans to what a relation model reads, the same in Python and in the graph.

`WordRelationInputs` is for models of words and their distances to both spans, `PieceRelationInputs` for encoders of
word pieces, which read marks around the spans. Both cut a text into words, and a span is the words it touches.
"""

from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.tasks.inputs import (
    BERT,
    WORDS,
    TokenizedWords,
    check_unpadded,
    checked_limits,
    input_of,
    tf_words_of,
    words_of,
)
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.text.tokenizers.word.tokenizer import WordTokenizer
from lm_keras.text.word_offsets import joined_word_places, tf_joined_word_places
from lm_keras.utils.checks import check_whole

SPANS = ("first", "second")
MARKS = ("$", "#")  # of the first and of the second span, before and after it (R-BERT, Wu & He 2019)
_TEXT = 2**32  # more than any place in a text
LONGEST = 256  # words, or tokens, of a text that are read: those around both spans


class Rows(NamedTuple):
    """What is read of each pair of spans, before it is filled up.

    Attributes:
        ids: Of the words or tokens around both spans, ragged int32 [M, (n)].
        spans: The first word of each span in a row of `ids`, and the word after its last: int32 [M, 4]. With marks,
            the places of the opening and of the closing one.
    """

    ids: tf.RaggedTensor
    spans: tf.Tensor


class _RelationInputs:
    """What both kinds share.

    Args:
        model: Of {"words", "first", "second"}, or of an encoder's inputs and {"first", "second"}.
        tokenizer: Its tokenizer.
        max_length: The most words or tokens that are read; None: the model's, or `LONGEST`.
    """

    spec = WORDS

    def __init__(self, model: keras.Model, tokenizer: Tokenizer, max_length: int | None):
        self.tokenizer, most = tokenizer, checked_limits(model, tokenizer)
        if tokenizer.pad_id is None:
            raise InputError(f"this {type(tokenizer).__name__} has no padding token, which texts need")
        if max_length is not None:
            check_whole("max_length", max_length, 16, most)
        self.max_length = max_length or min(filter(None, (most, LONGEST)))

    def checked(self, model: keras.Model) -> None:
        """InputError where padding changes what the model says, or it gives probabilities."""
        short = [i % self.tokenizer.vocab_size or 1 for i in (7, 11, 5)]
        spans = [[0, 1, 2, 3]] * 2
        alone, beside = (
            self(_plain_words(rows), tf.constant(spans[: len(rows)], tf.int32))
            for rows in ([short], [short, 2 * short])
        )
        check_unpadded(model, alone, beside, self.tokenizer.pad_id)

    def __call__(
        self, words: TokenizedWords, spans: tf.Tensor, text: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        """What the model reads of pairs of spans.

        Args:
            words: The words of texts.
            spans: Of each pair the first word of the first span, in its text, the word after its last, and the same
                of the second one: int32 [M, 4].
            text: Which text a pair is of, int32 [M]; None: pair i is of text i.
        """
        return self.dense(self.rows(words, spans, text))

    def _around(self, splits, spans, text, room):
        """The tokens around both spans: the first and the one after the last, among all; [M] each.

        splits: where the tokens of each text begin and end among all; spans: the same places of the spans, [M, 4].
        """
        begin, end = tf.gather(splits, text), tf.gather(splits, text + 1)
        middle = (tf.minimum(spans[:, 0], spans[:, 2]) + tf.maximum(spans[:, 1], spans[:, 3])) // 2
        start = tf.clip_by_value(middle - room // 2, begin, tf.maximum(end - room, begin))
        return start, tf.minimum(start + room, end)


class WordRelationInputs(_RelationInputs):
    """The inputs of a model of words and distances, such as `models.build_relation_cnn` makes."""

    def __init__(self, model: keras.Model, tokenizer: Tokenizer, max_length: int | None):
        if not isinstance(tokenizer, WordTokenizer) or tokenizer.language is not None:
            kind = type(tokenizer).__name__
            raise InputError(f"{model.name} reads words; give a WordTokenizer of language None, not a {kind}")
        super().__init__(model, tokenizer, max_length)
        recipe = getattr(model, "recipe", None)
        distance = recipe.arguments.get("max_distance") if recipe is not None else None
        if distance is None:
            raise InputError(
                f"{model.name} does not say the largest distance it knows; give a model whose builder has "
                "max_distance, such as build_relation_cnn"
            )
        self.max_distance = distance
        self.checked(model)

    def words_of(self, texts: Sequence[str]) -> tuple[TokenizedWords, list[list[tuple[int, int]]]]:
        """The words of a list of strings, an id each, and where they are in each: [[(start, end)]]."""
        places = [joined_word_places(text) for text in texts]
        words = [text[start:end] for text, row in zip(texts, places, strict=True) for start, end in row]
        different = list(dict.fromkeys(words))  # each is looked up once
        rows = zip(different, self.tokenizer.encode_batch(different), strict=True)
        known = {word: row[0] if row else self.tokenizer.unk_id for word, row in rows}
        ids = tf.constant([known[word] for word in words], tf.int32)
        return TokenizedWords(_one_each(ids), tf.constant(np.cumsum([0, *map(len, places)], dtype=np.int64))), places

    def tf_words_of(self, texts: tf.Tensor) -> tuple[TokenizedWords, tf.Tensor, tf.Tensor]:
        """`words_of` strings [B] in the graph, and the starts and ends of the words, [W] each."""
        words, starts, ends = tf_joined_word_places(texts)
        ids = self.tokenizer.tf_encode(words.flat_values)
        has = ids.row_lengths() > 0
        first = tf.gather(tf.concat([ids.flat_values, [0]], 0), tf.where(has, ids.row_splits[:-1], 0))
        ids = tf.where(has, first, self.tokenizer.unk_id)
        return TokenizedWords(_one_each(ids), words.row_splits), starts.flat_values, ends.flat_values

    def rows(self, words: TokenizedWords, spans: tf.Tensor, text: tf.Tensor | None = None) -> Rows:
        """As the call, before texts are filled up."""
        text = tf.range(tf.shape(spans)[0]) if text is None else text
        splits = tf.cast(words.splits, tf.int32)
        spans += tf.gather(splits, text)[:, None]
        start, end = self._around(splits, spans, text, self.max_length)
        places = tf.ragged.range(start, end)
        ids = places.with_flat_values(tf.gather(words.tokens.flat_values, places.flat_values))
        return Rows(ids, spans - start[:, None])

    def dense(self, rows: Rows, multiple: int = 1) -> dict[str, tf.Tensor]:
        """What the model reads: the longest row decides the width, filled up to a multiple.

        The id of a distance is 1 to 2 D + 1, of the span's own words D + 1; 0 is padding.
        """
        words, real = _filled(rows.ids, 0, multiple)
        made, place = {"words": words}, tf.range(tf.shape(words)[1])[None]
        for i, name in enumerate(SPANS):
            start, end = rows.spans[:, 2 * i, None], rows.spans[:, 2 * i + 1, None]
            steps = tf.minimum(place - start, 0) + tf.maximum(place - end + 1, 0)
            ids = tf.clip_by_value(steps, -self.max_distance, self.max_distance) + self.max_distance + 1
            made[name] = tf.where(real, ids, 0)
        return made


class PieceRelationInputs(_RelationInputs):
    """The inputs of an encoder of word pieces under `models.relation_classifier`."""

    def __init__(self, model: keras.Model, tokenizer: Tokenizer, max_length: int | None):
        if not tokenizer.cuts_at_words or not tokenizer.encodes_pairs:
            kind = type(tokenizer).__name__
            raise InputError(f"{model.name} reads the pieces of words; give a WordPieceTokenizer, not a {kind}")
        super().__init__(model, tokenizer, max_length)
        marks = (tokenizer.encode(mark) for mark in MARKS)
        self.marks = [ids[0] if len(ids) == 1 else tokenizer.unk_id for ids in marks]
        self.checked(model)

    def words_of(self, texts: Sequence[str]) -> tuple[TokenizedWords, list[list[tuple[int, int]]]]:
        """The words of a list of strings, and where they are in each: [[(start, end)]]."""
        return words_of(self.tokenizer, texts)

    def tf_words_of(self, texts: tf.Tensor) -> tuple[TokenizedWords, tf.Tensor, tf.Tensor]:
        """`words_of` strings [B] in the graph, and the starts and ends of the words, [W] each."""
        return tf_words_of(self.tokenizer, texts)

    def rows(self, words: TokenizedWords, spans: tf.Tensor, text: tf.Tensor | None = None) -> Rows:
        """As the call, before texts are filled up."""
        text = tf.range(tf.shape(spans)[0]) if text is None else text
        firsts, splits = (tf.cast(part, tf.int32) for part in (words.tokens.row_splits, words.splits))
        spans = tf.gather(firsts, spans + tf.gather(splits, text)[:, None])  # of tokens, among all
        start, end = self._around(tf.gather(firsts, splits), spans, text, self.max_length - 6)
        spans = tf.clip_by_value(spans, start[:, None], end[:, None])

        # Five parts of a row with the four marks between; a span that ends where another begins ends first.
        order = tf.argsort(4 * spans + tf.constant([[2, 0, 3, 1]]), axis=-1)  # (M, 4)
        cuts = tf.gather(spans, order, batch_dims=1)
        edges = tf.concat([start[:, None], cuts, end[:, None]], axis=1)
        marks = tf.gather(tf.constant([mark for mark in self.marks for _ in range(2)], tf.int32), order)
        parts = [tf.fill([tf.size(text), 1], self.tokenizer.cls_id)]
        for i in range(5):
            places = tf.ragged.range(edges[:, i], edges[:, i + 1])
            parts.append(places.with_flat_values(tf.gather(words.tokens.flat_values, places.flat_values)))
            parts.append(marks[:, i : i + 1] if i < 4 else tf.fill([tf.size(text), 1], self.tokenizer.sep_id))
        at = 1 + cuts - start[:, None] + tf.range(4)[None]  # of the marks, in their order
        return Rows(tf.concat(parts, axis=1), tf.gather(at, tf.argsort(order, axis=-1), batch_dims=1))

    def dense(self, rows: Rows, multiple: int = 1) -> dict[str, tf.Tensor]:
        """What the model reads: the longest row decides the width, filled up to a multiple.

        A span is its tokens and both marks.
        """
        ids, real = _filled(rows.ids, self.tokenizer.pad_id, multiple)
        made = {"token_ids": ids, "segment_ids": tf.zeros_like(ids), "padding_mask": tf.cast(real, tf.int32)}
        place = tf.range(tf.shape(ids)[1])[None]
        for i, name in enumerate(SPANS):
            inside = (place >= rows.spans[:, 2 * i, None]) & (place <= rows.spans[:, 2 * i + 1, None])
            made[name] = tf.cast(inside & real, tf.int32)
        return made


def relation_inputs(
    model: keras.Model, tokenizer: Tokenizer, max_length: int | None
) -> WordRelationInputs | PieceRelationInputs:
    """The inputs of a relation model of either kind; InputError for another model."""
    given = input_of(model)
    names = set(given) if isinstance(given, dict) else set()
    if names == {"words", *SPANS}:
        return WordRelationInputs(model, tokenizer, max_length)
    if names == {*BERT, *SPANS}:
        return PieceRelationInputs(model, tokenizer, max_length)
    told = f"reads {', '.join(sorted(names))}" if names else "does not read inputs by name"
    raise InputError(
        f"{model.name} {told}; give a model of words, first and second, as build_relation_cnn makes, or of "
        "models.relation_classifier on a BERT-type encoder"
    )


# === Spans: from characters to words ===


def word_spans(
    places: Sequence[Sequence[tuple[int, int]]], spans: Sequence[Sequence[tuple[int, int]]], text: Sequence[int]
) -> np.ndarray:
    """The words that spans touch: of each the first one, and the one after its last.

    Args:
        places: `(start, end)` of the words of each text.
        spans: `(start, end)` of both spans, in characters, in each of M rows.
        text: Which text a row is of, [M].

    Returns:
        int32 [M, 4]: the words' places in their text.
    """
    edges = [np.array(row, np.int64).reshape(-1, 2).T for row in places]
    found = []
    for some, at in zip(spans, text, strict=True):
        starts, ends = edges[at]
        for start, end in some:
            first = int(np.searchsorted(ends, start, side="right"))
            found.append((first, max(first, int(np.searchsorted(starts, end, side="left")))))
    return np.array(found, np.int32).reshape(-1, 4)


def tf_word_spans(
    splits: tf.Tensor, starts: tf.Tensor, ends: tf.Tensor, spans: tf.Tensor, text: tf.Tensor | None = None
) -> tf.Tensor:
    """`word_spans` in the graph.

    Args:
        splits: Where the words of each text begin and end, [B + 1].
        starts: Of the words, in characters, int32 [W].
        ends: Their ends, int32 [W].
        spans: The start and end of each span, in characters, int32 [M, 2 S]; of any place.
        text: Which text a row is of, int32 [M]; None: row i is of text i.
    """
    row = tf.RaggedTensor.from_row_splits(starts, splits, validate=False).value_rowids()
    text = tf.range(tf.shape(spans)[0]) if text is None else text

    def search(edges, wanted, side):
        """Where each wanted place stands among the edges of its text; a text's are one part of a sorted list."""
        keys = row * _TEXT + tf.cast(edges, tf.int64)
        values = tf.cast(text, tf.int64)[:, None] * _TEXT + tf.cast(tf.maximum(wanted, 0), tf.int64)
        at = tf.searchsorted(keys, tf.reshape(values, [-1]), side=side)
        return tf.reshape(at, tf.shape(wanted)) - tf.gather(tf.cast(splits, tf.int32), text)[:, None]

    first = search(ends, spans[:, ::2], "right")
    last = tf.maximum(first, search(starts, spans[:, 1::2], "left"))
    return tf.reshape(tf.stack([first, last], axis=-1), tf.shape(spans))


def _one_each(ids):
    """Ids [W] as ragged [W, (1)]."""
    return tf.RaggedTensor.from_row_splits(ids, tf.range(tf.size(ids, tf.int64) + 1), validate=False)


def _plain_words(rows):
    """Texts of these ids, a token a word."""
    ids = tf.constant([i for row in rows for i in row], tf.int32)
    return TokenizedWords(_one_each(ids), tf.constant(np.cumsum([0, *map(len, rows)], dtype=np.int64)))


def _filled(ids, pad, multiple):
    """[M, (n)] -> [M, T] of at least one column, and where no padding is."""
    wide = -(-tf.maximum(tf.cast(ids.bounding_shape(1), tf.int32), 1) // multiple) * multiple
    dense = ids.to_tensor(pad, shape=tf.stack([-1, wide]))
    return dense, tf.sequence_mask(ids.row_lengths(), wide)
