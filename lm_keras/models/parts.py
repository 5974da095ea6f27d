"""What the recurrent and feed-forward language models share: starting weights, embedding, output layer, checks."""

import itertools

import keras
from keras import layers, ops

from lm_keras.errors import InputError
from lm_keras.layers.output import Logits, WordEmbedding
from lm_keras.utils.checks import MAX_INT32, check_number, check_whole


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
    check_sizes(vocab_size=vocab_size, embedding_dim=embedding_dim)
    start = init("RandomUniform") if matrix is None else keras.initializers.Constant(matrix)
    return WordEmbedding(
        vocab_size, embedding_dim, embeddings_initializer=start, trainable=trainable, name="embedding"
    )


def output_layer(vocab_size, tied, init):
    """`(to_hidden, to_logits)`: x [B, T, H] -> the hidden vectors that are scored -> logits [B, T, V].

    Without an embedding `tied`, a dense layer scores x itself; else x is mapped to its width, and it is read in
    reverse (Press & Wolf 2017).
    """
    if tied is None:
        logits = Logits(vocab_size, kernel_initializer=init(), bias_initializer=init("zeros"), name="logits")
        return lambda x: x, logits
    tied.supports_masking = True  # in reverse it reads what a masked layer wrote
    to_embedding = layers.Dense(tied.output_dim, use_bias=False, kernel_initializer=init(), name="to_embedding")
    return to_embedding, lambda hidden: tied(hidden, reverse=True)


def check_tied(tie_embeddings, embedding_dim):
    """Raises InputError for one-hot inputs with an embedding to tie."""
    if tie_embeddings and embedding_dim is None:
        raise InputError("tie_embeddings=True needs an embedding_dim: one-hot inputs have no embedding to tie")


def check_sizes(dropout: float = 0.0, **sizes: int) -> None:
    """Raises InputError for a size that is no whole number of at least 1 (2 words), or an impossible dropout."""
    for name, value in sizes.items():
        check_whole(name, value, 2 if name == "vocab_size" else 1, MAX_INT32)
    check_number("dropout", dropout, least=0, below=1)
