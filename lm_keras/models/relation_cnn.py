"""Relation CNN: filters over words and their distances to two entities, the best answer of each in the sentence."""

from collections.abc import Sequence

import keras
from keras import layers, ops
from numpy.typing import ArrayLike

from lm_keras.errors import InputError
from lm_keras.layers.dense import Dense
from lm_keras.models.base import BuiltModel
from lm_keras.models.building import check_sizes, initializers, partly_trained_embedding, register_builder
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
    piecewise: bool = False,
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
        piecewise: Whether the largest answers of a filter are taken before, between and after both entities (Zeng et
            al. 2015), and not one over the sentence.
        dropout: Share of the features that are dropped in training; of the word vectors half as much, the same of
            all words of a text (Gal & Ghahramani 2016).
        embedding_matrix: Word vectors [V, E] that the embedding starts from; E replaces `embedding_dim`.
        train_embeddings: False freezes the embedding.
        trained_words: Of a frozen embedding, the first words, whose vectors have a trained part beside the frozen
            one, which is left out of half of the words in training.
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
    check_choice("lexical", lexical, (True, False)), check_choice("piecewise", piecewise, (True, False))
    check_whole("max_distance", max_distance, 2 if lexical else 1, MAX_INT32)  # else 1 is not only the next word
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
    drop_words, drop = word_dropout(dropout / 2, init), layers.Dropout(dropout, seed=init.seed(), name="dropout")
    hidden = Dense(hidden_dim, activation="tanh", kernel_initializer=init(), name="sentence")
    head = Dense(num_classes, kernel_initializer=init(), name="logits")

    # === Functional model ===
    inputs = {key: keras.Input((None,), dtype="int32", name=key) for key in ("words", "first", "second")}
    real = inputs["words"] != 0
    x, places = embed(inputs)  # (B, T, E), (B, T, 2 P)
    parts = _parts(inputs, real, max_distance + 1) if piecewise else [real]
    x_and_places = ops.concatenate([drop_words(x), places], -1)
    best = [best for conv in convs for best in _best_answers(x_and_places, real, parts, conv)]
    features = [hidden(ops.concatenate(best, axis=-1))]  # (B, H)
    if lexical:
        features += [
            mean_at(x, inputs[entity], max_distance + 1 + step)
            for entity in ("first", "second")
            for step in (-1, 0, 1)
        ]
    return BuiltModel(inputs, head(drop(ops.concatenate(features, axis=-1))), name=name)  # (B, C)


def relation_words(
    vocab_size, embedding_dim, matrix, train_embeddings, trained_words, position_dim, max_distance, init
):  # fmt: skip
    """`embed(inputs)`: the vectors of words [B, T, E], and of their distances to both entities [B, T, 2 P]."""
    words = partly_trained_embedding(vocab_size, embedding_dim, matrix, train_embeddings, trained_words, init)
    distances = {}
    for key in ("first", "second"):  # of the size of word vectors, beside which smaller ones would say little
        start = keras.initializers.RandomUniform(-0.5, 0.5, seed=init.seed())
        distances[key] = layers.Embedding(
            2 * max_distance + 2, position_dim, embeddings_initializer=start, name=f"{key}_position"
        )

    def embed(inputs):
        return words(inputs["words"]), ops.concatenate(
            [layer(inputs[key]) for key, layer in distances.items()], axis=-1
        )

    return embed


def word_dropout(rate, init):
    """Dropout of word vectors (B, T, E): the same numbers of all words of a text."""
    return layers.Dropout(rate, noise_shape=(None, 1, None), seed=init.seed(), name="word_dropout")


def _best_answers(x, real, parts, conv):
    """x (B, T, D) of words, where `real` (B, T) -> (B, F) a part: the largest answer of each filter in it (eq. 5).

    A filter sees the words around each word, zero vectors beyond the text; 0 of a part without any word.
    """
    (size,) = conv.kernel_size
    edges = ((0, 0), (size // 2, size - 1 - size // 2), (0, 0))
    answers = conv(ops.pad(ops.where(real[..., None], x, 0.0), edges))  # (B, T, F)
    found = []
    for part in parts:
        best = ops.max(ops.where(part[..., None], answers, -1e9), axis=1)
        found.append(ops.where(ops.any(part, axis=1, keepdims=True), best, 0.0))
    return found


def _parts(inputs, real, at):
    """The words before both entities, after both, and the others: bool (B, T) each."""
    first, second = inputs["first"], inputs["second"]
    before = ops.logical_and(real, ops.logical_and(first < at, second < at))
    after = ops.logical_and(real, ops.logical_and(first > at, second > at))
    return [before, ops.logical_and(real, ops.logical_not(ops.logical_or(before, after))), after]


def mean_at(x, distances, wanted):
    """The mean of x (B, T, E) over the words at that distance (B, T); 0 where there is none."""
    at = ops.cast(ops.equal(distances, wanted), x.dtype)[..., None]
    return ops.sum(x * at, axis=1) / ops.maximum(ops.sum(at, axis=1), 1.0)
