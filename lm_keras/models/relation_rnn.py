"""Relation RNN: an LSTM in each direction reads a sentence with two entities, and attention weighs its words."""

import keras
from keras import layers, ops
from numpy.typing import ArrayLike

from lm_keras.layers.dense import Dense
from lm_keras.models.base import BuiltModel
from lm_keras.models.building import check_sizes, initializers, register_builder
from lm_keras.models.lstm import lstm_layer
from lm_keras.models.relation_cnn import mean_at, relation_words, word_dropout
from lm_keras.utils.checks import MAX_INT32, check_choice, check_whole


@register_builder
def build_relation_rnn(
    vocab_size: int,
    *,
    num_classes: int,
    embedding_dim: int = 50,
    position_dim: int = 10,
    max_distance: int = 30,
    hidden_dim: int = 200,
    entity_states: bool = True,
    dropout: float = 0.6,
    embedding_matrix: ArrayLike | None = None,
    train_embeddings: bool = True,
    trained_words: int = 0,
    seed: int | None = None,
    name: str = "relation_rnn",
) -> BuiltModel:
    """Bidirectional LSTM with attention for the relation of two entities (Zhou et al. 2016); id 0 is padding.

    h_t = h_t forward + h_t backward (eq. 8); a = softmax(w^T tanh(H)), r = H a^T, h* = tanh(r) (eq. 9 to 12). Where
    the entities are say vectors of distances beside those of words, in place of the paper's marks in the text; and
    beside h* stand the mean states of both entities, which the paper does not have.

    Args:
        vocab_size: Number of words V.
        num_classes: Number of relations C, at least 2.
        embedding_dim: Width of the word vectors.
        position_dim: Width of the vectors of distances.
        max_distance: Number of words D from which on all distances are one; ids of distances are 1 to 2 D + 1, of
            the entity itself D + 1.
        hidden_dim: Width of the LSTM of each direction.
        entity_states: Whether the states of both entities are read beside h*.
        dropout: Share of the values that are dropped in training: this of h*; of h_t 0.6 times as much, and of the
            word vectors, the same of all words of a text (Gal & Ghahramani 2016). The paper has 0.5, 0.3 and 0.3.
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
    check_sizes(dropout, vocab_size=vocab_size, embedding_dim=embedding_dim, hidden_dim=hidden_dim)
    check_sizes(position_dim=position_dim, max_distance=max_distance)
    check_whole("num_classes", num_classes, 2, MAX_INT32)
    check_choice("entity_states", entity_states, (True, False))

    # === Layers ===
    init = initializers(None, seed)
    embed = relation_words(
        vocab_size, embedding_dim, embedding_matrix, train_embeddings, trained_words, position_dim, max_distance, init
    )
    forward, backward = (lstm_layer(hidden_dim, way, init) for way in ("forward", "backward"))
    drop_words = word_dropout(0.6 * dropout, init)
    drops = [
        layers.Dropout(rate, seed=init.seed(), name=f"dropout_{i}") for i, rate in enumerate((0.6 * dropout, dropout))
    ]
    weigh = Dense(1, use_bias=False, kernel_initializer=init(), name="attention")
    head = Dense(num_classes, kernel_initializer=init(), name="logits")

    # === Functional model ===
    inputs = {key: keras.Input((None,), dtype="int32", name=key) for key in ("words", "first", "second")}
    real = inputs["words"] != 0  # (B, T)
    words, places = embed(inputs)
    x = ops.concatenate([drop_words(words), places], axis=-1)
    ahead, *_ = forward(x, mask=real)
    back, *_ = backward(ops.flip(x, 1), mask=ops.flip(real, 1))
    states = drops[0](ahead + ops.flip(back, 1))  # (B, T, H)
    scores = ops.where(real[..., None], weigh(ops.tanh(states)), -1e9)  # (B, T, 1)
    attention = ops.where(real[..., None], ops.softmax(scores, axis=1), 0.0)  # 0 in a text without words
    features = [ops.tanh(ops.sum(attention * states, axis=1))]  # (B, H)
    if entity_states:
        features += [mean_at(states, inputs[entity], max_distance + 1) for entity in ("first", "second")]
    return BuiltModel(inputs, head(drops[1](ops.concatenate(features, axis=-1))), name=name)  # (B, C)
