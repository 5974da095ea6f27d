"""Recurrent language models: the documents' simple recurrent network, its form with a skip, and the GRU."""

from collections.abc import Callable
from typing import Literal

import keras
from keras import layers, ops
from numpy.typing import ArrayLike

from lm_keras.errors import InputError
from lm_keras.layers.activations import check_activation
from lm_keras.layers.padding import packed_text
from lm_keras.layers.recurrent import SkipRNN
from lm_keras.models.base import LogitsModel
from lm_keras.models.building import (
    check_sizes,
    check_tied,
    initializers,
    output_layer,
    register_builder,
    word_embedding,
)
from lm_keras.models.causal_lm import CausalLM, Views, word_vectors


@register_builder(family="rnn")
def build_rnn_lm(
    vocab_size: int,
    *,
    embedding_dim: int | None = 128,
    hidden_dim: int = 256,
    num_layers: int = 1,
    cell: Literal["rnn", "gru"] = "rnn",
    skip: int | None = None,
    activation: str = "tanh",
    dropout: float = 0.0,
    tie_embeddings: bool = False,
    embedding_matrix: ArrayLike | None = None,
    train_embeddings: bool = True,
    return_sequences: bool = True,
    initializer_range: float | None = None,
    seed: int | None = None,
    name: str = "rnn_lm",
) -> CausalLM:
    """Recurrent language model, h_t = σ(W_hx x_t + W_hh h_{t-1} + b) (documents 000 and 002).

    h is zero before the text begins.

    Args:
        vocab_size: Number of words V.
        embedding_dim: Width of the word vectors; None feeds one-hot vectors.
        hidden_dim: Width of each recurrent layer.
        num_layers: Number of recurrent layers, one above the other.
        cell: "rnn", or "gru" for gates (Cho et al. 2014), the reset gate after the recurrent product.
        skip: Adds U h_{t-skip}, for "rnn" (document 004, section 4.2, with the input that it leaves out).
        activation: σ, and the GRU's candidate's, one of `keras.activations`.
        dropout: Share of the values that are dropped in training, on all but the recurrent connections.
        tie_embeddings: Score words with the embedding's transpose (Press & Wolf 2017).
        embedding_matrix: Word vectors [V, E] that the embedding starts from; E replaces `embedding_dim`.
        train_embeddings: False freezes the embedding.
        return_sequences: False is the last-word form of documents 000, 002 and 004: logits [B, V].
        initializer_range: Draw every weight from U(-x, x) (Zaremba et al. 2014); None: Keras' defaults.
        seed: Seed of the starting weights and of dropout.
        name: Name of the model.

    Returns:
        A `CausalLM`, ids int32 [B, T] -> logits [B, T, V].

    Raises:
        InputError: For impossible sizes and options.
    """
    check_tied(tie_embeddings, embedding_dim)
    check_sizes(dropout, vocab_size=vocab_size, hidden_dim=hidden_dim, num_layers=num_layers)
    _check_cell(cell, skip, activation)

    # === Layers ===
    init = initializers(initializer_range, seed)
    embed = word_embedding(vocab_size, embedding_dim, embedding_matrix, train_embeddings, init)
    rnns = [recurrent_layer(f"{cell}_{i}", hidden_dim, cell, skip, activation, init) for i in range(num_layers)]
    drops = [layers.Dropout(dropout, seed=init.seed(), name=f"dropout_{i}") for i in range(num_layers + 1)]
    to_hidden, to_logits = output_layer(vocab_size, embed if tie_embeddings else None, init)

    def forward(x, state=None, mask=None):
        x = drops[0](x)  # (B, T, E)
        new_state = []
        for i, (rnn, drop) in enumerate(zip(rnns, drops[1:], strict=True)):
            x, h = rnn(x, initial_state=state and state[i], mask=mask)  # (B, T, H), (B, H) or (B, k, H)
            x, new_state = drop(x), [*new_state, h]
        return x, new_state

    # === Functional model ===
    ids = keras.Input((None,), dtype="int32", name="ids")
    tokens, arrange = packed_text(ids)
    x = arrange(forward(embed(tokens))[0])
    hidden = to_hidden(x if return_sequences else x[:, -1])
    outputs = to_logits(hidden)

    # === Step view: the same layers, from a given state ===
    step_ids = keras.Input((None,), dtype="int32", name="step_ids")
    memory = (hidden_dim,) if skip is None else (skip, hidden_dim)
    state = [keras.Input(memory, name=f"h_{i}") for i in range(num_layers)]
    embedded = word_vectors(embed, ops.maximum(step_ids, 0))
    x, new_state = forward(embedded, state, mask=step_ids >= 0)
    step_hidden = to_hidden(x)
    step = LogitsModel([step_ids, *state], [to_logits(step_hidden), *new_state], name=f"{name}_step")

    def initial_state(batch_size, length=None):
        return [ops.zeros((batch_size, *memory)) for _ in state]

    views = Views(step, initial_state, hidden=hidden, step_hidden=step_hidden, step_embedded=embedded)
    return CausalLM(ids, outputs, views=views, name=name)


@register_builder(family="gru")
def build_gru_lm(
    vocab_size: int,
    *,
    embedding_dim: int | None = 128,
    hidden_dim: int = 256,
    num_layers: int = 1,
    activation: str = "tanh",
    dropout: float = 0.0,
    tie_embeddings: bool = False,
    embedding_matrix: ArrayLike | None = None,
    train_embeddings: bool = True,
    return_sequences: bool = True,
    initializer_range: float | None = None,
    seed: int | None = None,
    name: str = "gru_lm",
) -> CausalLM:
    """Gated recurrent language model (Cho et al. 2014): `build_rnn_lm(cell="gru")`.

    Args:
        vocab_size: Number of words V.
        embedding_dim: Width of the word vectors; None feeds one-hot vectors.
        hidden_dim: Width of each GRU.
        num_layers: Number of GRUs, one above the other.
        activation: That of the candidate state, one of `keras.activations`.
        dropout: Share of the values that are dropped in training, on all but the recurrent connections.
        tie_embeddings: Score words with the embedding's transpose (Press & Wolf 2017).
        embedding_matrix: Word vectors [V, E] that the embedding starts from; E replaces `embedding_dim`.
        train_embeddings: False freezes the embedding.
        return_sequences: False is the last-word form of documents 000, 002 and 004: logits [B, V].
        initializer_range: Draw every weight from U(-x, x) (Zaremba et al. 2014); None: Keras' defaults.
        seed: Seed of the starting weights and of dropout.
        name: Name of the model.

    Returns:
        A `CausalLM`, ids int32 [B, T] -> logits [B, T, V].

    Raises:
        InputError: For impossible sizes and options.
    """
    return build_rnn_lm(
        vocab_size,
        embedding_dim=embedding_dim,
        hidden_dim=hidden_dim,
        num_layers=num_layers,
        cell="gru",
        activation=activation,
        dropout=dropout,
        tie_embeddings=tie_embeddings,
        embedding_matrix=embedding_matrix,
        train_embeddings=train_embeddings,
        return_sequences=return_sequences,
        initializer_range=initializer_range,
        seed=seed,
        name=name,
    )


def recurrent_layer(
    name: str, hidden_dim: int, cell: str, skip: int | None, activation: object, init: Callable
) -> keras.layers.Layer:
    """x [B, T, D] -> h [B, T, H] and the last state."""
    options = {
        "activation": activation,
        "kernel_initializer": init(),
        "bias_initializer": init("zeros"),
        "name": name,
    }
    if skip is not None:
        # Two rotations at half their size enlarge no state together, as one does not in the simple form.
        def half():
            return init() if init.scale is not None else keras.initializers.Orthogonal(0.5, seed=init.seed())

        return SkipRNN(hidden_dim, skip, recurrent_initializer=half(), skip_initializer=half(), **options)
    options |= {"recurrent_initializer": init("Orthogonal"), "return_sequences": True, "return_state": True}
    if cell == "gru":
        return layers.GRU(hidden_dim, use_cudnn=False, **options)  # cuDNN: see lstm.py
    return layers.SimpleRNN(hidden_dim, **options)


def _check_cell(cell, skip, activation):
    if cell not in ("rnn", "gru"):
        raise InputError(f'cell is {cell!r}; it must be "rnn" or "gru" (for "lstm" there is build_lstm_lm)')
    if skip is not None:
        check_sizes(skip=skip)
        if cell == "gru":
            raise InputError('skip is an option of cell="rnn"; a GRU has its gates to remember further back')
    check_activation(activation)
