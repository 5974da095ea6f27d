"""What the recurrent and feed-forward language models share: starting weights, embedding, output layer, checks."""

import itertools
import sys

import keras
import numpy as np
from keras import layers, ops

from lm_keras.errors import InputError
from lm_keras.layers.output import Logits, WordEmbedding

_MOST = 2**31 - 1  # places and words are int32


def initializers(scale, seed):
    """`init(name)`: a Keras initializer, or U(-scale, scale); each takes the next seed, as `init.seed()` does."""
    seeds = itertools.count(seed) if seed is not None else itertools.repeat(None)

    def init(default="GlorotUniform"):
        if scale is not None:
            return keras.initializers.RandomUniform(-scale, scale, seed=next(seeds))
        return "zeros" if default == "zeros" else getattr(keras.initializers, default)(seed=next(seeds))

    init.scale, init.seed = scale, lambda: next(seeds)
    return init


def word_embedding(vocab_size, embedding_dim, matrix, trainable, init):
    """ids [B, T] -> vectors [B, T, E]; one-hot vectors [B, T, V] with `embedding_dim=None`."""
    if embedding_dim is None:
        return lambda ids: ops.one_hot(ids, vocab_size)
    start = init("RandomUniform") if matrix is None else keras.initializers.Constant(matrix)
    return WordEmbedding(
        vocab_size, embedding_dim, embeddings_initializer=start, trainable=trainable, name="embedding"
    )


def logits_head(vocab_size, embedding_dim, tied, init):
    """x (B, T, H) -> logits (B, T, V): a Dense layer, or through the embedding `tied`, read in reverse."""
    if tied is None:
        return Logits(vocab_size, kernel_initializer=init(), bias_initializer=init("zeros"), name="logits")
    tied.supports_masking = True  # in reverse it reads what a masked layer wrote
    to_embedding = layers.Dense(embedding_dim, use_bias=False, kernel_initializer=init(), name="to_embedding")
    return lambda x: tied(to_embedding(x), reverse=True)


def check_sizes(dropout=0.0, **sizes):
    """Raises InputError for a size that is no whole number of at least 1 (2 words), or an impossible dropout."""
    for key, value in sizes.items():
        least = 2 if key == "vocab_size" else 1
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InputError(f"{key} is {value!r}; it must be a whole number of at least {least}")
        if value > _MOST:
            raise InputError(f"{key} is {value!r:.40}; it must be at most {_MOST:,}, what an int32 holds")
    if not 0 <= dropout < 1:
        raise InputError(f"dropout is {dropout!r}; it must be at least 0 and less than 1")


def check_positive(**numbers):
    """Raises InputError for what is no finite number above 0: a model of it would give no numbers."""
    for key, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= sys.float_info.max:
            raise InputError(f"{key} is {value!r:.40}; it must be a number above 0")


def check_finite(name, values, advice):
    """Raises InputError when a weight that was read holds NaN or infinity, of which every answer would be made."""
    if not np.isfinite(values).all():
        raise InputError(f"{name} holds NaN or infinity; {advice}")


def check_savable(model):
    """Raises InputError for weights that no function which loads would take: what is saved already is to stay."""
    for weight in model.weights:
        advice = "the training has diverged: train again with a lower learning rate; nothing was written"
        check_finite(weight.path, np.asarray(weight), advice)


def check_embedding(vocab_size, embedding_dim, tie_embeddings, matrix):
    """Raises InputError for an embedding that cannot be tied or a matrix of another vocabulary."""
    if tie_embeddings and embedding_dim is None:
        raise InputError("tie_embeddings=True needs an embedding_dim: one-hot inputs have no embedding to tie")
    if matrix is not None and matrix.shape[0] != vocab_size:
        raise InputError(f"embedding_matrix has {matrix.shape[0]} rows; it needs one a word: {vocab_size}")
