"""A recurrent language model that looks back at its own states (document 004, section 3.3)."""

from typing import Literal

import keras
from keras import layers, ops
from numpy.typing import ArrayLike

from lm_keras.errors import InputError
from lm_keras.layers.alignment import Alignment, Append, check_score
from lm_keras.layers.cache import slots
from lm_keras.layers.dense import Dense
from lm_keras.layers.padding import packed_text
from lm_keras.layers.positions import Positions, Within
from lm_keras.models.base import LogitsModel
from lm_keras.models.building import (
    check_sizes,
    check_tied,
    initializers,
    output_layer,
    register_builder,
    word_embedding,
)
from lm_keras.models.causal_lm import CausalLM, Views, counted, word_vectors
from lm_keras.models.lstm import lstm_layer
from lm_keras.models.rnn import recurrent_layer


@register_builder(family="attention_rnn")
def build_attention_rnn_lm(
    vocab_size: int,
    *,
    max_length: int = 1024,
    embedding_dim: int | None = 128,
    hidden_dim: int = 256,
    num_layers: int = 1,
    attention: Literal["additive", "multiplicative"] = "additive",
    cell: Literal["lstm", "gru", "rnn"] = "lstm",
    dropout: float = 0.0,
    tie_embeddings: bool = False,
    embedding_matrix: ArrayLike | None = None,
    train_embeddings: bool = True,
    initializer_range: float | None = None,
    seed: int | None = None,
    name: str = "attention_rnn_lm",
) -> CausalLM:
    """Recurrent language model that looks back at its own states (document 004, section 3.3).

    The state h_t of the last layer looks at h_1, ..., h_t with weights α, the context is c_t = Σ α_s h_s, and logits
    come from tanh(W_c [c_t; h_t]) (Luong et al. 2015, equation 5). h_t itself is among them: the first word has
    nothing else to look at.

    Args:
        vocab_size: Number of words V.
        max_length: Most tokens that it looks back at; longer texts are decoded in windows.
        embedding_dim: Width of the word vectors; None feeds one-hot vectors.
        hidden_dim: Width of each recurrent layer.
        num_layers: Number of recurrent layers, one above the other.
        attention: The scores, "additive" (Bahdanau et al. 2015) or "multiplicative" (Luong et al. 2015).
        cell: "lstm", "gru" or "rnn".
        dropout: Share of the values that are dropped in training, on all but the recurrent connections.
        tie_embeddings: Score words with the embedding's transpose (Press & Wolf 2017).
        embedding_matrix: Word vectors [V, E] that the embedding starts from; E replaces `embedding_dim`.
        train_embeddings: False freezes the embedding.
        initializer_range: Draw every weight from U(-x, x) (Zaremba et al. 2014); None: Keras' defaults.
        seed: Seed of the starting weights and of dropout.
        name: Name of the model.

    Returns:
        A `CausalLM`, ids int32 [B, T] -> logits [B, T, V], T <= max_length.

    Raises:
        InputError: For impossible sizes and options.
    """
    check_tied(tie_embeddings, embedding_dim)
    sizes = {"vocab_size": vocab_size, "hidden_dim": hidden_dim, "num_layers": num_layers, "max_length": max_length}
    check_sizes(dropout, **sizes)
    check_score(attention)

    # === Layers ===
    init = initializers(initializer_range, seed)
    embed = word_embedding(vocab_size, embedding_dim, embedding_matrix, train_embeddings, init)
    rnns = [_cell_layer(cell, hidden_dim, f"{cell}_{i}", init) for i in range(num_layers)]
    drops = [layers.Dropout(dropout, seed=init.seed(), name=f"dropout_{i}") for i in range(num_layers + 1)]
    to_keys = Dense(hidden_dim, use_bias=False, kernel_initializer=init(), name="keys")
    alignment = Alignment(attention, init(), init(), name="alignment")
    combine = Dense(hidden_dim, "tanh", use_bias=False, kernel_initializer=init(), name="combine")  # W_c
    to_hidden, to_logits = output_layer(vocab_size, embed if tie_embeddings else None, init)

    def recur(x, state=None, mask=None):
        after = []
        for i, rnn in enumerate(rnns):
            x, *new = rnn(drops[i](x), initial_state=state and state[i], mask=mask)  # (B, T, H), (B, H) each
            after += new
        return x, after

    def look_back(h, keys, values, visible, sparing, arrange=lambda x: x):
        context, weights = alignment(h, keys, values, visible, sparing=sparing)  # (B, T, H), (B, T, S)
        hidden = to_hidden(arrange(drops[-1](combine(ops.concatenate([context, h], -1)))))
        return to_logits(hidden), hidden, weights[:, None]

    # === Both views ===
    ids = keras.Input((None,), dtype="int32", name="ids")
    place, within = Positions(max_length, name="places")(ids), Within(max_length, name="within")
    tokens, arrange = packed_text(ids)
    h, _ = recur(embed(tokens))
    visible = place[:, None] <= place[:, :, None]  # (1, T, T)
    logits, hidden, weights = look_back(h, to_keys(h), h, visible, False, lambda x: within(arrange(x)))
    sizes = (hidden_dim, num_layers, cell, max_length)
    step, initial_state, named = _step_view(embed, recur, to_keys, look_back, *sizes, name)
    looks = keras.Model(ids, weights, name=f"{name}_attention")
    options = {"context_length": max_length, "attention_model": looks}
    views = Views(step, initial_state, **options, hidden=hidden, **named)
    return CausalLM(ids, logits, views=views, name=name)


def _step_view(embed, recur, to_keys, look_back, hidden_dim, num_layers, cell, max_length, name):
    """The same layers from a given state: `filled`, that of each layer, keys and values of all tokens so far."""
    parts = "hc" if cell == "lstm" else "h"
    ids = keras.Input((None,), dtype="int32", name="step_ids")
    filled = keras.Input((), dtype="int32", name="filled")
    state = [[keras.Input((hidden_dim,), name=f"{part}_{i}") for part in parts] for i in range(num_layers)]
    caches = [keras.Input((1, None, hidden_dim), name=f"past_{part}") for part in ("keys", "values")]
    place, after = slots(ids, filled)  # (B, t), (B,)
    embedded = word_vectors(embed, ops.maximum(ids, 0))
    h, new_state = recur(embedded, state, mask=ids >= 0)
    append = Append(name="append")
    keys, values = (append(cache, new, place, ids) for cache, new in zip(caches, (to_keys(h), h), strict=True))
    slot = counted(ops.cast(caches[0][:1, 0, :, 0], "int32"))[:, None]  # (1, 1, L + 1)
    logits, hidden, _ = look_back(h, keys[:, 0], values[:, 0], slot <= place[:, :, None], sparing=True)
    state = [part for layer in state for part in layer]
    step = LogitsModel([ids, filled, *state, *caches], [logits, after, *new_state, keys, values], name=f"{name}_step")

    def initial_state(batch_size, length=None):
        room = max_length if length is None else ops.minimum(length, max_length)
        empty = [ops.zeros((batch_size, 1, room + 1, hidden_dim)) for _ in caches]
        return [ops.zeros((batch_size,), "int32"), *(ops.zeros((batch_size, hidden_dim)) for _ in state), *empty]

    return step, initial_state, {"step_hidden": hidden, "step_embedded": embedded}


def _cell_layer(cell, hidden_dim, name, init):
    """x [B, T, D] -> h [B, T, H] and the last state; InputError for an unknown cell."""
    if cell not in ("lstm", "gru", "rnn"):
        raise InputError(f'cell is {cell!r}; it must be "lstm", "gru" or "rnn"')
    if cell == "lstm":
        return lstm_layer(hidden_dim, name, init)
    return recurrent_layer(name, hidden_dim, cell, None, "tanh", init)
