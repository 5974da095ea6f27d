"""The documents' LSTM language models: Embedding -> LSTM -> Dense, in all their forms."""

from collections.abc import Callable

import keras
from keras import layers, ops
from numpy.typing import ArrayLike

from lm_keras.layers.padding import packed_text
from lm_keras.layers.recurrent import LSTM
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


@register_builder(family="lstm")
def build_lstm_lm(
    vocab_size: int,
    *,
    embedding_dim: int | None = 128,
    hidden_dim: int = 256,
    num_layers: int = 1,
    dropout: float = 0.0,
    tie_embeddings: bool = False,
    embedding_matrix: ArrayLike | None = None,
    train_embeddings: bool = True,
    return_sequences: bool = True,
    initializer_range: float | None = None,
    seed: int | None = None,
    name: str = "lstm_lm",
) -> CausalLM:
    """LSTM language model: embedding, LSTM layers, output layer (Zaremba et al. 2014; documents 000, 002, 004).

    Args:
        vocab_size: Number of words V.
        embedding_dim: Width of the word vectors; None feeds one-hot vectors.
        hidden_dim: Width of each LSTM.
        num_layers: Number of LSTMs, one above the other.
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

    # === Layers ===
    init = initializers(initializer_range, seed)
    embed = word_embedding(vocab_size, embedding_dim, embedding_matrix, train_embeddings, init)
    lstms = [lstm_layer(hidden_dim, f"lstm_{i}", init) for i in range(num_layers)]
    drops = [layers.Dropout(dropout, seed=init.seed(), name=f"dropout_{i}") for i in range(num_layers + 1)]
    to_hidden, to_logits = output_layer(vocab_size, embed if tie_embeddings else None, init)

    def forward(x, state=None, mask=None):
        x = drops[0](x)  # (B, T, E)
        new_state = []
        for i, lstm in enumerate(lstms):
            before = state and state[2 * i : 2 * i + 2]
            x, h, c = lstm(x, initial_state=before, mask=mask)  # (B, T, H), (B, H), (B, H)
            x = drops[i + 1](x)
            new_state += [h, c]
        return x, new_state

    # === Functional model ===
    ids = keras.Input((None,), dtype="int32", name="ids")
    tokens, arrange = packed_text(ids)
    x = arrange(forward(embed(tokens))[0])
    hidden = to_hidden(x if return_sequences else x[:, -1])
    outputs = to_logits(hidden)

    # === Step view: the same layers, from a given state ===
    step_ids = keras.Input((None,), dtype="int32", name="step_ids")
    state = [keras.Input((hidden_dim,), name=f"{s}_{i}") for i in range(num_layers) for s in "hc"]
    embedded = word_vectors(embed, ops.maximum(step_ids, 0))
    x, new_state = forward(embedded, state, mask=step_ids >= 0)
    step_hidden = to_hidden(x)
    step = LogitsModel([step_ids, *state], [to_logits(step_hidden), *new_state], name=f"{name}_step")

    def initial_state(batch_size, length=None):
        return [ops.zeros((batch_size, hidden_dim)) for _ in state]

    views = Views(step, initial_state, hidden=hidden, step_hidden=step_hidden, step_embedded=embedded)
    return CausalLM(ids, outputs, views=views, name=name)


def lstm_layer(hidden_dim: int, name: str, init: Callable) -> LSTM:
    """The `LSTM` of a language model, x [B, T, D] -> h [B, T, H], h and c; its weights drawn by `init`."""
    return LSTM(
        hidden_dim,
        return_sequences=True,
        return_state=True,
        kernel_initializer=init(),
        recurrent_initializer=init("Orthogonal"),
        bias_initializer=init("zeros"),
        unit_forget_bias=init.scale is None,
        use_cudnn=False,  # cuDNN takes neither the step view's masks nor a server without GPU
        name=name,
    )
