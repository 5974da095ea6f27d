"""Texts that are longer than an encoder: windows that overlap by half, and words made of tokens."""

from typing import NamedTuple

import tensorflow as tf

from lm_keras.tasks.model_inputs import ragged
from lm_keras.text.word_places import tf_word_places, word_places


class Words(NamedTuple):
    """Texts cut into words (`text.word_places`) and these into tokens, each word by itself.

    `tokens`: ids of each word, ragged [W, (n)]; `splits` [B + 1]: the words of text b are splits[b] to splits[b + 1].
    """

    tokens: tf.RaggedTensor
    splits: tf.Tensor

    def of_texts(self):
        """The ids of each text, ragged [B, (n)]."""
        token_splits = tf.gather(self.tokens.row_splits, self.splits)
        return tf.RaggedTensor.from_row_splits(self.tokens.flat_values, token_splits, validate=False)


WORDS = Words(tf.RaggedTensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int64))


def words_of(tokenizer, texts):
    """The Words of a list of strings, and where they are in each: [[(start, end)]]."""
    places = [word_places(text) for text in texts]
    tokens = tokenizer.encode_batch(
        [text[start:end] for text, row in zip(texts, places, strict=True) for start, end in row]
    )
    splits = tf.concat([[0], tf.cumsum(tf.constant([len(row) for row in places], tf.int64))], 0)
    return Words(ragged(tokens), splits), places


def tf_words_of(tokenizer, texts):
    """The Words of strings [B] in the graph, and their starts and ends, [W] each."""
    words, starts, ends = tf_word_places(texts)
    return Words(tokenizer.tf_encode(words.flat_values), words.row_splits), starts.flat_values, ends.flat_values


class Windows(NamedTuple):
    """Windows over rows of tokens: of each its row, its first token and the one after its last, [M]; of each row
    its first window and how many there are, [B].
    """

    row: tf.Tensor
    start: tf.Tensor
    end: tf.Tensor
    first: tf.Tensor
    count: tf.Tensor


def windows(lengths, room):
    """Windows of `room` [B] tokens, every room // 2 tokens, until the row's end; a row always has one."""
    stride = tf.maximum(room // 2, 1)
    count = 1 + (tf.maximum(lengths - room, 0) + stride - 1) // stride
    row = tf.repeat(tf.range(tf.size(lengths)), count)
    first = tf.cumsum(count, exclusive=True)
    start = (tf.range(tf.size(row)) - tf.gather(first, row)) * tf.gather(stride, row)
    end = tf.minimum(start + tf.gather(room, row), tf.gather(lengths, row))
    return Windows(row, start, end, first, count)


def in_windows(ids, found):
    """The tokens of ragged ids [B, (n)] in each window, ragged [M, (n)]."""
    offset = tf.gather(tf.cast(ids.row_splits, tf.int32), found.row)
    index = tf.ragged.range(offset + found.start, offset + found.end)
    return index.with_flat_values(tf.gather(ids.flat_values, index.flat_values))
