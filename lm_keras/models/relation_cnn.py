"""Relation CNN: filters over words and their distances to two entities, the best answer of each over the sentence."""

from collections.abc import Sequence

import keras
from keras import layers, ops
from numpy.typing import ArrayLike

from lm_keras.errors import InputError
from lm_keras.layers.dense import Dense
from lm_keras.models.base import BuiltModel
from lm_keras.models.building import check_sizes, initializers, register_builder, word_embedding
from lm_keras.utils.checks import MAX_INT32, check_choice, check_whole


@register_builder
def build_relation_cnn(
    vocab_size: int,
    *,
    num_classes: int,
    embedding_dim: int = 50,
    position_dim: int = 5,
    max_distance: int = 30,
    kernel_sizes: Sequence[int] = (3,),
    num_filters: int = 200,
    hidden_dim: int = 100,
    lexical: bool = True,
    dropout: float = 0.5,
    embedding_matrix: ArrayLike | None = None,
    train_embeddings: bool = True,
    trained_words: int = 0,
    seed: int | None = None,
    name: str = "relation_cnn",
) -> BuiltModel:
    """Convolutional model of the relation of two entities (Zeng et al. 2014); id 0 is padding, wherever it is.

    A word is its vector and those of its distances to both entities (section 3.4.2). Filters over a few words, the
    largest answer of each over the sentence, and a tanh layer make the sentence's features (eq. 4 to 6); the vectors
    of both entities and of the words beside them are the lexical ones (section 3.3, without WordNet).

    Args:
        vocab_size: Number of words V.
        num_classes: Number of relations C, at least 2.
        embedding_dim: Width of the word vectors.
        position_dim: Width of the vectors of distances.
        max_distance: Number of words D from which on all distances are one; ids of distances are 1 to 2 D + 1, of
            the entity itself D + 1.
        kernel_sizes: Number of words that a filter sees, for each kind of filter; the paper has 3.
        num_filters: Number of filters of each kind.
        hidden_dim: Width of the tanh layer.
        lexical: Whether the entities and the words beside them are features of their own.
        dropout: Share of the values that are dropped in training, of the words and of the features.
        embedding_matrix: Word vectors [V, E] that the embedding starts from; E replaces `embedding_dim`.
        train_embeddings: False freezes the embedding.
        trained_words: Of a frozen embedding, the first words, whose vectors have a trained part beside the frozen
            one.
        seed: Seed of the starting weights and of dropout.
        name: Name of the model.

    Returns:
        A `BuiltModel` of {"words", "first", "second"}, int32 [B, T] each, the words and their distances to both
        entities -> logits [B, C].

    Raises:
        InputError: For impossible sizes and options.
    """
    check_sizes(dropout, vocab_size=vocab_size, embedding_dim=embedding_dim, num_filters=num_filters)
    check_sizes(hidden_dim=hidden_dim, position_dim=position_dim, max_distance=max_distance)
    check_whole("num_classes", num_classes, 2, MAX_INT32)
    check_choice("lexical", lexical, (True, False))
    if not isinstance(kernel_sizes, (list, tuple)) or not kernel_sizes:
        raise InputError(f"kernel_sizes is {kernel_sizes!r}; give a list of words a filter sees, such as (3,)")
    for size in kernel_sizes:
        check_whole("kernel_sizes", size, 1, MAX_INT32)

    # === Layers ===
    init = initializers(None, seed)
    embed = relation_words(
        vocab_size, embedding_dim, embedding_matrix, train_embeddings, trained_words, position_dim, max_distance, init
    )
    convs = [
        layers.Conv1D(num_filters, size, kernel_initializer=init(), name=f"conv_{i}")
        for i, size in enumerate(kernel_sizes)
    ]
    below, above = (layers.Dropout(dropout, seed=init.seed(), name=name) for name in ("dropout_0", "dropout_1"))
    hidden = Dense(hidden_dim, activation="tanh", kernel_initializer=init(), name="sentence")
    head = Dense(num_classes, kernel_initializer=init(), name="logits")

    # === Functional model ===
    inputs = {key: keras.Input((None,), dtype="int32", name=key) for key in ("words", "first", "second")}
    real = inputs["words"] != 0
    x, places = embed(inputs)  # (B, T, E), (B, T, 2 P)
    best = [_best_answers(below(ops.concatenate([x, places], -1)), real, conv) for conv in convs]
    features = [hidden(ops.concatenate(best, axis=-1))]  # (B, H)
    if lexical:
        features += [
            _mean_at(x, inputs[entity], max_distance + 1 + step)
            for entity in ("first", "second")
            for step in (-1, 0, 1)
        ]
    return BuiltModel(inputs, head(above(ops.concatenate(features, axis=-1))), name=name)  # (B, C)


def relation_words(
    vocab_size, embedding_dim, matrix, train_embeddings, trained_words, position_dim, max_distance, init
):  # fmt: skip
    """`embed(inputs)`: the vectors of words [B, T, E], and of their distances to both entities [B, T, 2 P]."""
    check_whole("trained_words", trained_words, 0, vocab_size)
    if trained_words and train_embeddings:
        raise InputError("trained_words is of a frozen embedding; give train_embeddings=False, or leave it out")
    words = word_embedding(vocab_size, embedding_dim, matrix, train_embeddings, init)
    shift = None
    if trained_words:
        shift = layers.Embedding(trained_words, embedding_dim, embeddings_initializer="zeros", name="trained_part")
    distances = {
        key: layers.Embedding(
            2 * max_distance + 2, position_dim, embeddings_initializer=init("RandomUniform"), name=f"{key}_position"
        )
        for key in ("first", "second")
    }

    def embed(inputs):
        ids = inputs["words"]
        x = words(ids)
        if shift is not None:
            known = ids < trained_words
            x += ops.where(known[..., None], shift(ops.where(known, ids, 0)), 0.0)
        return x, ops.concatenate([layer(inputs[key]) for key, layer in distances.items()], axis=-1)

    return embed


def _best_answers(x, real, conv):
    """x (B, T, D) of words, where `real` (B, T) -> (B, F): the largest answer of each filter (eq. 5).

    A filter sees every window that touches the text, as if zero vectors stood around it; 0 without any word.
    """
    (size,), real = conv.kernel_size, real[..., None]
    edges = ((0, 0), (size - 1, size - 1), (0, 0))
    answers = conv(ops.pad(ops.where(real, x, 0.0), edges))  # (B, T + size - 1, F)
    touching = ops.max_pool(ops.pad(ops.cast(real, "float32"), edges), size, 1) > 0
    best = ops.max(ops.where(touching, answers, -1e9), axis=1)
    return ops.where(ops.any(real, axis=1), best, 0.0)


def _mean_at(x, distances, wanted):
    """The mean of x (B, T, E) over the words at that distance (B, T); 0 where there is none."""
    at = ops.cast(ops.equal(distances, wanted), x.dtype)[..., None]
    return ops.sum(x * at, axis=1) / ops.maximum(ops.sum(at, axis=1), 1.0)
