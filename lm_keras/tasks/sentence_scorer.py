"""What scores the sentences of a document: their features, the same in Python and in the graph, and a small network.

Of each sentence the scorer sees where it stands, how long it is and how much of the document's words it has (the
classical features: Edmundson 1969; the centroid of Radev et al. 2004), and, with an encoder, its vector beside the
mean vector of the document: content and salience of SummaRuNNer (Nallapati et al. 2017, equation 7) as products and
differences.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from lm_keras.layers.retrieval import idf
from lm_keras.models.base import LogitsModel
from lm_keras.tasks.inputs import model_of_parts, ragged
from lm_keras.tasks.retrieval_index import is_mark
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.utils.checks import check_number, check_whole

FEATURES = 10
# About the mean of each feature, and one over its deviation, in abstracts and news.
USUAL = (0.5, *(0.15,) * 5, 2.1, 3.0, 1.0, 0.4)
SCALES = (3.0, *(3.0,) * 5, 2.0, 2.0, 2.0, 6.0)
NEVER = -1e9  # the logit where a document has no sentence


class Documents(NamedTuple):
    """Documents as tokens: ids of each sentence, ragged int32 [N, (n)]; those of document b are N's splits[b] to
    splits[b + 1], int64 [B + 1].
    """

    ids: tf.RaggedTensor
    splits: tf.Tensor


def documents(tokenizer: Tokenizer, texts: Sequence[Sequence[str]]) -> Documents:
    """Returns the sentences of documents as tokens.

    Args:
        tokenizer: The tokenizer.
        texts: The sentences of each document.
    """
    rows = tokenizer.encode_batch([sentence for row in texts for sentence in row])
    splits = np.concatenate([[0], np.cumsum(list(map(len, texts)), dtype=np.int64)])
    return Documents(ragged(rows), tf.constant(splits, tf.int64))


def word_weights(tokenizer: Tokenizer, texts: Sequence[Sequence[str]]) -> np.ndarray:
    """Returns the weight of each token, float32 [V]: log((1 + N) / (1 + n)) + 1, n of N documents having it.

    Marks, and words that are not known, which cannot be told apart, weigh 0.

    Args:
        tokenizer: The tokenizer.
        texts: The sentences of each document.
    """
    counts = Counter()
    for row in texts:
        counts.update({i for ids in tokenizer.encode_batch(list(row)) for i in ids})
    weights = np.array([idf("tfidf", len(texts), counts[i]) for i in range(tokenizer.vocab_size)], "float32")
    for i, token in enumerate(tokenizer.tokens):
        if i == tokenizer.unk_id or is_mark(token.removeprefix("##")):
            weights[i] = 0.0
    return weights


def sentence_features(found: Documents, weights: tf.Tensor) -> tf.Tensor:
    """Returns what is known of each sentence without a model: float32 [N, 10].

    Its place from 0 to 1; whether it is the first, second, third, last, last but one; the number of sentences of its
    document and of its words (logarithms); this in shares of the document's mean; and the cosine of its words and
    those of its document by TF-IDF. Each less its `USUAL` value, times its scale.

    Args:
        found: The sentences.
        weights: Of each token, float32 [V].
    """
    num, counts = found.ids.nrows(), found.splits[1:] - found.splits[:-1]
    document = tf.repeat(tf.range(tf.size(counts, tf.int64)), counts)
    place, count = tf.range(num) - tf.gather(found.splits, document), tf.gather(counts, document)
    sentence, token = found.ids.value_rowids(), found.ids.flat_values
    weight, own = tf.gather(weights, token), tf.gather(document, sentence)
    in_sentence, in_document = (_times(rows, token, tf.size(weights, tf.int64)) for rows in (sentence, own))

    def sums(values, rows, size):
        return tf.math.unsorted_segment_sum(values, rows, size)

    square = weight**2
    product = sums(square * in_document, sentence, num)
    lengths = sums(square * in_sentence, sentence, num), sums(square * in_document, own, tf.size(counts, tf.int64))
    cosine = tf.math.divide_no_nan(product, tf.sqrt(lengths[0] * tf.gather(lengths[1], document)))
    words = sums(tf.cast(weight > 0, tf.float32), sentence, num)
    size = tf.cast(count, tf.float32)
    mean = tf.gather(sums(words, document, tf.size(counts, tf.int64)), document) / size
    behind = count - 1 - place
    columns = [
        tf.cast(place, tf.float32) / tf.maximum(size - 1, 1.0),
        *(tf.cast(place == i, tf.float32) for i in range(3)),
        *(tf.cast(behind == i, tf.float32) for i in range(2)),
        tf.math.log1p(size),
        tf.math.log1p(words),
        tf.minimum(tf.math.divide_no_nan(words, mean), 5.0),
        cosine,
    ]
    return tf.ensure_shape((tf.stack(columns, -1) - USUAL) * SCALES, [None, FEATURES])


def _times(rows, tokens, vocab_size):
    """Of each token how often it is in its row, float32."""
    _, place, count = tf.unique_with_counts(rows * vocab_size + tf.cast(tokens, tf.int64))
    return tf.cast(tf.gather(count, place), tf.float32)


def by_document(values: tf.Tensor, splits: tf.Tensor) -> tf.Tensor:
    """Values [N, ...] of sentences -> [B, S, ...] of documents, filled up with 0; S is at least 1.

    Args:
        values: Of each sentence.
        splits: As of `Documents`.
    """
    dense = tf.RaggedTensor.from_row_splits(values, splits, validate=False).to_tensor()
    missing = tf.maximum(1 - tf.shape(dense)[1], 0)
    return tf.pad(dense, [[0, 0], [0, missing], *([[0, 0]] * (len(values.shape) - 1))])


def mask_of(splits: tf.Tensor) -> tf.Tensor:
    """Where a document has a sentence: float32 [B, S] of 1 and 0, S at least 1."""
    return by_document(tf.ones([splits[-1]], tf.float32), splits)


def build_sentence_scorer(
    vector_dim: int | None = None,
    *,
    hidden_dim: int = 64,
    dropout: float = 0.5,
    seed: int | None = None,
    name: str = "sentence_scorer",
) -> LogitsModel:
    """Returns a network of two layers that scores the sentences of a document.

    Args:
        vector_dim: The numbers D of a sentence's vector; None: it sees the features alone.
        hidden_dim: Width of the hidden layer.
        dropout: Share of the numbers of vectors that are dropped in training; of the hidden layer half of that.
        seed: Of the starting weights and of dropout.
        name: Name of the model.

    Returns:
        A `keras.Model` of {"features" [B, S, 10], "mask" [B, S]} and "vectors" [B, S, D] -> logits [B, S], -1e9
        where the mask is 0.

    Raises:
        InputError: For impossible sizes.
    """
    check_whole("hidden_dim", hidden_dim)
    check_number("dropout", dropout, least=0, below=1)
    start = keras.initializers.GlorotUniform(seed=seed)
    inputs = {"features": keras.Input((None, FEATURES), name="features"), "mask": keras.Input((None,), name="mask")}
    seen = []
    if vector_dim is not None:
        check_whole("vector_dim", vector_dim)
        vectors = inputs["vectors"] = keras.Input((None, vector_dim), name="vectors")
        here = inputs["mask"][..., None]
        mean = ops.sum(vectors * here, 1, keepdims=True) / ops.maximum(ops.sum(here, 1, keepdims=True), 1.0)
        scale = math.sqrt(vector_dim)  # of vectors of length 1, so that a number is about 1
        seen += [scale * vectors, scale**2 * vectors * mean, scale * (vectors - mean)]
        seen = [layers.Dropout(dropout, seed=seed, name="drop")(layers.Concatenate(name="seen")(seen))]
    hidden = layers.Concatenate(name="all")([inputs["features"], *seen]) if seen else inputs["features"]
    hidden = layers.Dense(hidden_dim, "relu", kernel_initializer=start, name="hidden")(hidden)
    hidden = layers.Dropout(dropout / 2, seed=seed, name="drop_hidden")(hidden)
    logits = layers.Dense(1, kernel_initializer=start, name="score")(hidden)[..., 0]
    return LogitsModel(inputs, ops.where(inputs["mask"] > 0, logits, NEVER), name=name)


def summarizer_model(scorer: keras.Model, weights: np.ndarray, encoder: keras.Model | None = None) -> LogitsModel:
    """Returns the model of an `ExtractiveSummarizer`, of which the scorer is trained.

    Args:
        scorer: As `build_sentence_scorer` makes it.
        weights: Of each token, float32 [V].
        encoder: Of a scorer with vectors: BERT's inputs -> {"sequence_output" [B, T, D], ...}.
    """
    ids = keras.Input((None,), dtype="int32", name="words")
    table = layers.Embedding(len(weights), 1, name="weights", trainable=False)
    parts = {"words": keras.Model(ids, table(ids), name="words"), "scorer": scorer}
    table.set_weights([weights[:, None]])
    return model_of_parts(parts | ({} if encoder is None else {"encoder": encoder}), "extractive_summarizer")
