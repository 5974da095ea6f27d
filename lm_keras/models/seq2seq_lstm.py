"""Sequence to sequence with LSTMs, without attention and with it."""

from collections.abc import Callable
from typing import Literal

import keras
from keras import layers, ops

from lm_keras.layers.alignment import Alignment, check_score
from lm_keras.layers.dense import Dense
from lm_keras.models.base import LogitsModel
from lm_keras.models.building import check_sizes, initializers, output_layer, register_builder
from lm_keras.models.lstm import lstm_layer
from lm_keras.models.seq2seq import Seq2SeqLM, Seq2SeqViews, source_and_target


@register_builder
def build_seq2seq_lstm(
    source_vocab_size: int,
    *,
    target_vocab_size: int | None = None,
    embedding_dim: int = 128,
    hidden_dim: int = 256,
    num_layers: int = 1,
    bidirectional: bool = False,
    attention: Literal["additive", "multiplicative"] | None = "additive",
    dropout: float = 0.0,
    initializer_range: float | None = None,
    seed: int | None = None,
    name: str = "seq2seq_lstm",
) -> Seq2SeqLM:
    """Encoder and decoder LSTMs (Sutskever et al. 2014), with attention (Bahdanau et al. 2015; Luong et al. 2015).

    The decoder starts from the encoder's last state, layer by layer. With attention its state h_t looks at all states
    of the encoder, and the logits come from tanh(W_c [c_t; h_t]) (Luong et al. 2015, equation 5).

    Args:
        source_vocab_size: Number of words of the source.
        target_vocab_size: Number of words V of the target; None: the source's.
        embedding_dim: Width of the word vectors.
        hidden_dim: Width of each LSTM.
        num_layers: Number of LSTMs in the encoder, and in the decoder.
        bidirectional: A second LSTM reads the source backwards in each layer of the encoder, and a dense layer maps
            both last states to the decoder's.
        attention: How a score comes about, "additive" or "multiplicative"; None: no attention.
        dropout: Share of the values that are dropped in training, on all but the recurrent connections.
        initializer_range: Draw every weight from U(-x, x) (Zaremba et al. 2014); None: Keras' defaults.
        seed: Seed of the starting weights and of dropout.
        name: Name of the model.

    Returns:
        A `Seq2SeqLM`, {"source_ids" int32 [B, S], "target_ids" int32 [B, T]} -> logits [B, T, V].

    Raises:
        InputError: For impossible sizes and options.
    """
    target_vocab_size = source_vocab_size if target_vocab_size is None else target_vocab_size
    check_sizes(dropout, vocab_size=source_vocab_size, hidden_dim=hidden_dim, num_layers=num_layers)
    check_sizes(vocab_size=target_vocab_size, embedding_dim=embedding_dim)
    if attention is not None:
        check_score(attention)

    # === Layers ===
    init = initializers(initializer_range, seed)
    embed = layers.Embedding(source_vocab_size, embedding_dim, init("RandomUniform"), name="source_embedding")
    encode = lstm_encoder(
        lambda ids: embed(ops.maximum(ids, 0)), hidden_dim, num_layers, bidirectional, dropout, init
    )
    decode = _decoder(target_vocab_size, embedding_dim, hidden_dim, num_layers, attention, dropout, init)
    to_keys = Dense(hidden_dim, use_bias=False, kernel_initializer=init(), name="keys")

    def remember(source_ids):
        x, state = encode(source_ids)
        valid = source_ids >= 0
        x = ops.where(valid[..., None], x, 0)  # a source without any token gives nothing
        return state, [to_keys(x), x, ops.cast(valid, "int32")] if attention else []

    # === Functional model ===
    inputs = source_and_target()
    state, memory = remember(inputs["source_ids"])
    logits, hidden, weights, _ = decode(inputs["target_ids"], state, memory, sparing=False)
    looks = keras.Model(inputs, weights[:, None], name=f"{name}_attention") if attention else None

    # === Decoding: the source once, then the target from a given state ===
    encoder = LogitsModel(inputs["source_ids"], [*state, *memory], name=f"{name}_encoder")
    ids = keras.Input((None,), dtype="int32", name="step_ids")
    given = [keras.Input(x.shape[1:], dtype=x.dtype, name=f"state_{i}") for i, x in enumerate(encoder.outputs)]
    step_logits, step_hidden, _, after = decode(ids, given[: 2 * num_layers], given[2 * num_layers :], sparing=True)
    step = LogitsModel([ids, *given], [step_logits, *after], name=f"{name}_step")

    views = Seq2SeqViews(
        encoder, step, lambda batch_size, length: [], attention_model=looks, hidden=hidden, step_hidden=step_hidden
    )
    return Seq2SeqLM(inputs, logits, views=views, name=name)


def lstm_encoder(
    embed: Callable, hidden_dim: int, num_layers: int, bidirectional: bool, dropout: float, init: Callable
) -> Callable:
    """encode(ids [B, S]) -> the last layer's states [B, S, H or 2 H] and all last ones [h, c, ...] [B, H].

    `embed(ids)` gives the word vectors, of ids below 0 (no token) any; `init` is of `initializers`.
    """
    drops = [layers.Dropout(dropout, seed=init.seed(), name=f"source_dropout_{i}") for i in range(num_layers)]
    forward = [lstm_layer(hidden_dim, f"encoder_{i}", init) for i in range(num_layers)]
    if bidirectional:
        backward = [lstm_layer(hidden_dim, f"encoder_backward_{i}", init) for i in range(num_layers)]
        bridges = [[_dense(hidden_dim, f"bridge_{part}_{i}", init) for part in "hc"] for i in range(num_layers)]

    def encode(ids):
        x, state = embed(ids), []
        for i in range(num_layers):
            below = drops[i](x)
            x, *last = forward[i](below, mask=ids >= 0)  # (B, S, H), 2 x (B, H)
            if bidirectional:
                y, *first = backward[i](ops.flip(below, 1), mask=ops.flip(ids, 1) >= 0)
                x = ops.concatenate([x, ops.flip(y, 1)], -1)
                pairs = zip(bridges[i], last, first, strict=True)
                last = [bridge(ops.concatenate(both, -1)) for bridge, *both in pairs]
            state += last
        return x, state

    return encode


def _decoder(vocab_size, embedding_dim, hidden_dim, num_layers, attention, dropout, init):
    """decode(ids [B, T], state, memory, sparing) -> logits, hidden vectors, weights [B, T, S] or None, new state."""
    embed = layers.Embedding(vocab_size, embedding_dim, init("RandomUniform"), name="target_embedding")
    recur, drop = lstm_decoder(hidden_dim, num_layers, dropout, init)
    _, to_logits = output_layer(vocab_size, None, init)
    if attention:
        alignment = Alignment(attention, init(), init(), name="alignment")
        combine = Dense(hidden_dim, "tanh", use_bias=False, kernel_initializer=init(), name="combine")  # W_c

    def decode(ids, state, memory, sparing):
        (x, after), weights = recur(embed(ops.maximum(ids, 0)), state, ids >= 0), None
        if attention:
            keys, values, valid = memory
            context, weights = alignment(x, keys, values, valid[:, None] > 0, sparing=sparing)
            x = combine(ops.concatenate([context, x], -1))
        hidden = drop(x)
        return to_logits(hidden), hidden, weights, after

    return decode


def lstm_decoder(hidden_dim: int, num_layers: int, dropout: float, init: Callable) -> tuple[Callable, Callable]:
    """recur(x [B, T, E], state, mask [B, T]) -> h [B, T, H] and the new state [h, c, ...]; and a last dropout."""
    drops = [layers.Dropout(dropout, seed=init.seed(), name=f"target_dropout_{i}") for i in range(num_layers + 1)]
    lstms = [lstm_layer(hidden_dim, f"decoder_{i}", init) for i in range(num_layers)]

    def recur(x, state, mask):
        after = []
        for i, lstm in enumerate(lstms):
            x, *new = lstm(drops[i](x), initial_state=state[2 * i : 2 * i + 2], mask=mask)
            after += new
        return x, after

    return recur, drops[-1]


def _dense(width, name, init):
    return Dense(width, kernel_initializer=init(), bias_initializer=init("zeros"), name=name)
