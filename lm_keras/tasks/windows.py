"""Texts that are longer than an encoder: windows that overlap by half, and words made of tokens."""

from typing import NamedTuple

import tensorflow as tf

from lm_keras.tasks.model_inputs import BATCH, ragged
from lm_keras.text.word_places import tf_word_places, word_places


class TokenizedWords(NamedTuple):
    """Texts cut into words (`text.word_places`) and these into tokens, each word by itself.

    `tokens`: ids of each word, ragged [W, (n)]; `splits` [B + 1]: the words of text b are splits[b] to splits[b + 1].
    """

    tokens: tf.RaggedTensor
    splits: tf.Tensor

    def of_texts(self):
        """The ids of each text, ragged [B, (n)]."""
        token_splits = tf.gather(self.tokens.row_splits, self.splits)
        return tf.RaggedTensor.from_row_splits(self.tokens.flat_values, token_splits, validate=False)


WORDS = TokenizedWords(tf.RaggedTensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int64))


def words_of(tokenizer, texts):
    """The TokenizedWords of a list of strings, and where they are in each: [[(start, end)]]."""
    places = [word_places(text) for text in texts]
    tokens = tokenizer.encode_batch(
        [text[start:end] for text, row in zip(texts, places, strict=True) for start, end in row]
    )
    splits = tf.concat([[0], tf.cumsum(tf.constant([len(row) for row in places], tf.int64))], 0)
    return TokenizedWords(ragged(tokens), splits), places


def tf_words_of(tokenizer, texts):
    """The TokenizedWords of strings [B] in the graph, and their starts and ends, [W] each."""
    words, starts, ends = tf_word_places(texts)
    return (
        TokenizedWords(tokenizer.tf_encode(words.flat_values), words.row_splits),
        starts.flat_values,
        ends.flat_values,
    )


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


def tokens_of(ids, found):
    """The places of each window's tokens among all tokens of ragged ids [B, (n)], ragged [M, (n)]."""
    offset = tf.gather(tf.cast(ids.row_splits, tf.int32), found.row)
    return tf.ragged.range(offset + found.start, offset + found.end)


def by_pieces(run, found, outputs):
    """`run(some of the windows)`, a tuple of tensors [n, ...] that tell of them in order, over all windows.

    A few windows at a time, so that the memory of a long text is bounded. `outputs`: a TensorSpec of each tensor.
    """
    count = tf.size(found.row)

    def body(start, i, *arrays):
        piece = slice(start, start + BATCH)
        made = run(found._replace(row=found.row[piece], start=found.start[piece], end=found.end[piece]))
        return start + BATCH, i + 1, *(array.write(i, part) for array, part in zip(arrays, made, strict=True))

    arrays = [
        tf.TensorArray(spec.dtype, 0, dynamic_size=True, infer_shape=False, element_shape=spec.shape)
        for spec in outputs
    ]
    _, _, *arrays = tf.while_loop(lambda start, *_: start < count, body, [0, 0, *arrays])
    return [array.concat() for array in arrays]
