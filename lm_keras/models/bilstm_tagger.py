"""BiLSTM tagger: word vectors and what a word's characters say, read in both directions, a chain of tags above."""

import keras
from keras import layers, ops
from numpy.typing import ArrayLike

from lm_keras.layers.crf import CRF
from lm_keras.layers.dense import Dense
from lm_keras.layers.padding import CutPadding
from lm_keras.models.base import BuiltModel
from lm_keras.models.building import check_sizes, initializers, partly_trained_embedding, register_builder
from lm_keras.models.lstm import lstm_layer
from lm_keras.utils.checks import MAX_INT32, check_choice, check_whole


@register_builder
def build_bilstm_tagger(
    vocab_size: int,
    *,
    num_classes: int,
    num_characters: int | None = None,
    word_length: int = 20,
    character_dim: int = 30,
    character_filters: int = 60,
    embedding_dim: int = 100,
    hidden_dim: int = 200,
    dropout: float = 0.4,
    embedding_matrix: ArrayLike | None = None,
    train_embeddings: bool = True,
    trained_words: int = 0,
    crf: bool = True,
    seed: int | None = None,
    name: str = "bilstm_tagger",
) -> BuiltModel:
    """Tagger of words: an LSTM in each direction, and a chain of tags (BiLSTM-CRF, Huang et al. 2015).

    A word's vector stands beside the largest answer of each filter over three of its characters (Ma & Hovy 2016).
    Id 0 is padding, of words and of characters, wherever it is.

    Args:
        vocab_size: Number of words V.
        num_classes: Number of tags C, at least 2.
        num_characters: Number of character ids, 0 among them; None: words alone are read.
        word_length: Number of characters of a word that are read.
        character_dim: Width of the vectors of characters.
        character_filters: Number of filters over characters.
        embedding_dim: Width of the word vectors.
        hidden_dim: Width of each LSTM.
        dropout: Share of the values that are dropped in training, below and above the LSTMs and below the filters.
        embedding_matrix: Word vectors [V, E] that the embedding starts from; E replaces `embedding_dim`.
        train_embeddings: False freezes the embedding.
        trained_words: Of a frozen embedding, the first words, whose vectors have a trained part beside the frozen
            one, which is left out of half of the words in training. So an optimizer moves no vector of words that
            no training text has, and such words can be read, too.
        crf: Whether tags are a chain (`layers.crf`): the answer is one sequence. False: each word for itself.
        seed: Seed of the starting weights and of dropout.
        name: Name of the model.

    Returns:
        A `BuiltModel` of {"words": int32 [B, T], "characters": int32 [B, T, `word_length`]} ("words" alone without
        `num_characters`) -> potentials [B, T, C, C] of `layers.crf`, or logits [B, T, C].

    Raises:
        InputError: For impossible sizes and options.
    """
    check_sizes(dropout, vocab_size=vocab_size, embedding_dim=embedding_dim, hidden_dim=hidden_dim)
    check_sizes(word_length=word_length, character_dim=character_dim, character_filters=character_filters)
    check_whole("num_classes", num_classes, 2, MAX_INT32)
    if num_characters is not None:
        check_whole("num_characters", num_characters, 2, MAX_INT32)
    check_choice("crf", crf, (True, False))

    # === Layers ===
    init = initializers(None, seed)
    embed = partly_trained_embedding(
        vocab_size, embedding_dim, embedding_matrix, train_embeddings, trained_words, init
    )
    forward, backward = (lstm_layer(hidden_dim, way, init) for way in ("forward", "backward"))
    below, above = (layers.Dropout(dropout, seed=init.seed(), name=name) for name in ("dropout_0", "dropout_1"))
    emissions = Dense(num_classes, kernel_initializer=init(), name="emissions" if crf else "logits")

    # === Functional model ===
    words = keras.Input((None,), dtype="int32", name="words")
    inputs, real = {"words": words}, words != 0  # (B, T)
    x = embed(words)  # (B, T, E)
    if num_characters is not None:
        inputs["characters"] = keras.Input((None, word_length), dtype="int32", name="characters")
        spelled = _spelling(inputs["characters"], num_characters, character_dim, character_filters, dropout, init)
        x = ops.concatenate([x, spelled], axis=-1)  # (B, T, E + F)
    x = below(x)
    ahead, *_ = forward(x, mask=real)  # (B, T, H)
    back, *_ = backward(ops.flip(x, 1), mask=ops.flip(real, 1))
    scores = emissions(above(ops.concatenate([ahead, ops.flip(back, 1)], axis=-1)))  # (B, T, C)
    return BuiltModel(inputs, CRF(name="crf")(scores, valid=real) if crf else scores, name=name)


def _spelling(characters, num_characters, character_dim, character_filters, dropout, init):
    """Characters [B, T, L] -> the largest answer of each filter over three of them [B, T, F]; 0 of no word."""
    drop = layers.Dropout(dropout, seed=init.seed(), name="character_dropout")
    embed = layers.Embedding(
        num_characters, character_dim, embeddings_initializer=init("RandomUniform"), name="character_embedding"
    )
    conv = Dense(character_filters, kernel_initializer=init(), name="character_filters")
    characters = CutPadding(name="longest_word")(characters)  # most words are much shorter than L
    real = (characters != 0)[..., None]
    x = drop(ops.where(real, embed(characters), 0.0))  # (B, T, L, D)
    padded = ops.pad(x, [(0, 0), (0, 0), (1, 1), (0, 0)])
    answers = conv(ops.concatenate([padded[:, :, :-2], x, padded[:, :, 2:]], axis=-1))  # (B, T, L, F)
    best = ops.max(ops.where(real, answers, -1e9), axis=2)
    return ops.where(ops.any(real, axis=2), best, 0.0)
