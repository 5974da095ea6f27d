"""The feed-forward language model of Bengio et al. 2003: the last n words, side by side, through hidden layers."""

from collections.abc import Sequence

import keras
from keras import layers, ops
from numpy.typing import ArrayLike

from lm_keras.errors import InputError
from lm_keras.layers.activations import activation_layer
from lm_keras.layers.dense import Dense
from lm_keras.layers.padding import PackTokens, Remember, UnpackTokens, packed_text
from lm_keras.layers.positions import ContextWindow
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


@register_builder(family="feedforward")
def build_feedforward_lm(
    vocab_size: int,
    *,
    context_length: int = 5,
    embedding_dim: int | None = 128,
    hidden_dim: int | Sequence[int] = 256,
    num_layers: int = 1,
    activation: str = "tanh",
    dropout: float = 0.0,
    batch_norm: bool = False,
    direct_connections: bool = False,
    tie_embeddings: bool = False,
    embedding_matrix: ArrayLike | None = None,
    train_embeddings: bool = True,
    initializer_range: float | None = None,
    seed: int | None = None,
    name: str = "feedforward_lm",
) -> CausalLM:
    """Feed-forward language model over the last words, side by side (Bengio et al. 2003; document 004, section 4.1).

    h(0) is the word vectors up to the present word, zero before the text begins, and
    h(l) = σ(W(l) h(l-1) + b(l)).

    Args:
        vocab_size: Number of words V.
        context_length: Number of words that a prediction sees.
        embedding_dim: Width of the word vectors; None feeds one-hot vectors.
        hidden_dim: Width of the hidden layers, or one for each layer, which is then their number.
        num_layers: Number of hidden layers.
        activation: σ, one of `keras.activations`.
        dropout: Share of the values that are dropped in training, of word vectors and hidden layers.
        batch_norm: Normalize what goes into σ (Ioffe & Szegedy 2015), while training over all words of a batch.
        direct_connections: Add W h(0) to the logits (Bengio et al. 2003, equation 1).
        tie_embeddings: Score words with the embedding's transpose (Press & Wolf 2017).
        embedding_matrix: Word vectors [V, E] that the embedding starts from; E replaces `embedding_dim`.
        train_embeddings: False freezes the embedding.
        initializer_range: Draw every weight from U(-x, x) (Zaremba et al. 2014); None: Keras' defaults.
        seed: Seed of the starting weights and of dropout.
        name: Name of the model.

    Returns:
        A `CausalLM`, ids int32 [B, T] -> logits [B, T, V].

    Raises:
        InputError: For impossible sizes and options.
    """
    check_tied(tie_embeddings, embedding_dim)
    widths = _widths(hidden_dim, num_layers)
    check_sizes(dropout, vocab_size=vocab_size, context_length=context_length)

    # === Layers ===
    init = initializers(initializer_range, seed)
    embed = word_embedding(vocab_size, embedding_dim, embedding_matrix, train_embeddings, init)
    window = ContextWindow(context_length, name="context")
    drops = [layers.Dropout(dropout, seed=init.seed(), name=f"dropout_{i}") for i in range(len(widths) + 1)]
    hidden_layers = [_hidden_layer(i, width, activation, batch_norm, init) for i, width in enumerate(widths)]
    to_hidden, to_logits = output_layer(vocab_size, embed if tie_embeddings else None, init)
    direct = Dense(vocab_size, use_bias=False, kernel_initializer=init(), name="direct")

    def forward(x, past=None, arrange=lambda x: x):
        context = h = window(drops[0](x), past)  # (B, T, n E)
        for layer, drop in zip(hidden_layers, drops[1:], strict=True):
            h = drop(layer(h))  # (B, T, H)
        h = to_hidden(arrange(h))
        logits = to_logits(h)
        return logits + direct(arrange(context)) if direct_connections else logits, h

    # === Functional model ===
    ids = keras.Input((None,), dtype="int32", name="ids")
    tokens, arrange = packed_text(ids)
    outputs, hidden = forward(embed(tokens), arrange=arrange)

    step, initial_state, named = _step_view(embed, forward, context_length, name)
    views = Views(step, initial_state, hidden=hidden, **named)
    return CausalLM(ids, outputs, views=views, name=name)


def _step_view(embed, forward, context_length, name):
    """The same layers from a state: the last words' vectors [B, n - 1, E]; zeros where the text had not begun."""
    step_ids = keras.Input((None,), dtype="int32", name="step_ids")
    ids, places, count = PackTokens(name="pack")(step_ids)
    unpack, embedded = UnpackTokens(name="unpack"), word_vectors(embed, ops.maximum(ids, 0))
    past = keras.Input((context_length - 1, embedded.shape[-1]), name="past")
    logits, hidden = forward(embedded, past, arrange=lambda x: unpack(x, places))
    new_past = Remember(name="remember")(past, embedded, count)
    step = LogitsModel([step_ids, past], [logits, new_past], name=f"{name}_step")

    def initial_state(batch_size, length=None):
        return [ops.zeros((batch_size, *past.shape[1:]))]

    return step, initial_state, {"step_hidden": hidden, "step_embedded": embedded}


def _hidden_layer(index, width, activation, batch_norm, init):
    """σ(W x + b); with batch normalization, whose shift is the bias, σ(norm(W x))."""
    dense = Dense(width, use_bias=not batch_norm, kernel_initializer=init(), bias_initializer=init("zeros"),
                         name=f"hidden_{index}")  # fmt: skip
    # Keras' momentum, 0.99, remembers hundreds of batches, more than a short run has.
    norm = layers.BatchNormalization(momentum=0.9, name=f"batch_norm_{index}") if batch_norm else lambda x: x
    sigma = activation_layer(activation, f"activation_{index}")
    return lambda x: sigma(norm(dense(x)))


def _widths(hidden_dim, num_layers):
    """The hidden layers' widths, one at least, as a list."""
    check_sizes(num_layers=num_layers)
    if not isinstance(hidden_dim, (list, tuple)):
        check_sizes(hidden_dim=hidden_dim)
        return [hidden_dim] * num_layers
    if not hidden_dim:
        raise InputError(f"hidden_dim is {hidden_dim!r}; give a size, or one for each layer, such as (256,)")
    if num_layers not in (1, len(hidden_dim)):
        raise InputError(
            f"hidden_dim has {len(hidden_dim)} sizes and num_layers is {num_layers}; leave num_layers out"
        )
    check_sizes(**{f"hidden_dim[{i}]": width for i, width in enumerate(hidden_dim)})
    return list(hidden_dim)
