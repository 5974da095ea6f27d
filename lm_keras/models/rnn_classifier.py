"""Recurrent text classifier: an LSTM or a GRU reads a text, in both directions, and the best answer of each unit."""

from typing import Literal

import keras
from keras import layers, ops
from numpy.typing import ArrayLike

from lm_keras.models.base import BuiltModel
from lm_keras.models.building import check_sizes, initializers, register_builder, word_embedding
from lm_keras.models.lstm import lstm_layer
from lm_keras.models.rnn import recurrent_layer
from lm_keras.utils.checks import MAX_INT32, check_choice, check_whole

CELLS, POOLINGS = ("lstm", "gru"), ("max", "mean", "last")


@register_builder
def build_rnn_classifier(
    vocab_size: int,
    *,
    num_classes: int,
    cell: Literal["lstm", "gru"] = "lstm",
    bidirectional: bool = True,
    embedding_dim: int = 128,
    hidden_dim: int = 128,
    num_layers: int = 1,
    pooling: Literal["max", "mean", "last"] = "max",
    dropout: float = 0.5,
    embedding_matrix: ArrayLike | None = None,
    train_embeddings: bool = True,
    seed: int | None = None,
    name: str = "rnn_classifier",
) -> BuiltModel:
    """Recurrent text classifier; id 0 is padding, wherever it is: no layer takes a step there.

    In both directions, x_t is read with what is before and after it: h_t = [h_t forward, h_t backward] (Schuster &
    Paliwal 1997). The largest h_t of each unit makes a sentence's vector (Conneau et al. 2017, BiLSTM-max).

    Args:
        vocab_size: Number of words V.
        num_classes: Number of classes C, at least 2.
        cell: "lstm" (Hochreiter & Schmidhuber 1997) or "gru" (Cho et al. 2014).
        bidirectional: Read the text from its end as well; False: from its beginning alone.
        embedding_dim: Width of the word vectors.
        hidden_dim: Width of each recurrent layer in each direction.
        num_layers: Number of recurrent layers, one above the other.
        pooling: How the h_t become one vector: "max" or "mean" over the words, or the "last" state of each direction.
        dropout: Share of the values that are dropped in training, below each recurrent layer and the output layer.
        embedding_matrix: Word vectors [V, E] that the embedding starts from; E replaces `embedding_dim`.
        train_embeddings: False freezes the embedding.
        seed: Seed of the starting weights and of dropout.
        name: Name of the model.

    Returns:
        A `BuiltModel`, ids int32 [B, T] -> logits [B, C].

    Raises:
        InputError: For impossible sizes and options.
    """
    check_sizes(dropout, vocab_size=vocab_size, embedding_dim=embedding_dim, hidden_dim=hidden_dim)
    check_sizes(num_layers=num_layers)
    check_whole("num_classes", num_classes, 2, MAX_INT32)
    check_choice("cell", cell, CELLS), check_choice("pooling", pooling, POOLINGS)
    check_choice("bidirectional", bidirectional, (True, False))

    # === Layers ===
    init = initializers(None, seed)
    embed = word_embedding(vocab_size, embedding_dim, embedding_matrix, train_embeddings, init)
    directions = ("forward", "backward") if bidirectional else ("forward",)
    rnns = [[_rnn(cell, hidden_dim, f"{way}_{i}", init) for way in directions] for i in range(num_layers)]
    drops = [layers.Dropout(dropout, seed=init.seed(), name=f"dropout_{i}") for i in range(num_layers + 1)]
    head = layers.Dense(num_classes, kernel_initializer=init(), name="logits")

    # === Functional model ===
    ids = keras.Input((None,), dtype="int32", name="ids")
    real = ids != 0  # (B, T)
    x = embed(ids)  # (B, T, E)
    for both, drop in zip(rnns, drops, strict=False):
        x, last = _read(both, drop(x), real)  # (B, T, H or 2 H), (B, H or 2 H)
    vector = last if pooling == "last" else _pooled(x, real, pooling)
    return BuiltModel(ids, head(drops[-1](vector)), name=name)  # (B, C)


def _rnn(cell, hidden_dim, name, init):
    """x [B, T, D] -> h [B, T, H] and the last state, h first."""
    if cell == "lstm":
        return lstm_layer(hidden_dim, name, init)
    return recurrent_layer(name, hidden_dim, cell, None, "tanh", init)


def _read(rnns, x, real):
    """x [B, T, D] -> the states of all directions at each word [B, T, n H], and the last of each [B, n H]."""
    forward, *backward = rnns
    states, last, *_ = forward(x, mask=real)
    if not backward:
        return states, last
    after, first, *_ = backward[0](ops.flip(x, 1), mask=ops.flip(real, 1))
    return ops.concatenate([states, ops.flip(after, 1)], -1), ops.concatenate([last, first], -1)


def _pooled(x, real, pooling):
    """x [B, T, D] at the words -> [B, D]; 0 for a text without words."""
    words = real[..., None]
    if pooling == "max":
        best = ops.max(ops.where(words, x, -2.0), axis=1)  # a state is above -1
        return ops.where(ops.any(words, axis=1), best, 0.0)
    total = ops.sum(ops.where(words, x, 0.0), axis=1)
    return total / ops.maximum(ops.sum(ops.cast(words, x.dtype), axis=1), 1.0)
