"""A causal convolutional language model with gates (Dauphin et al. 2017)."""

import keras
from keras import layers, ops
from numpy.typing import ArrayLike

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


@register_builder(family="cnn")
def build_cnn_lm(
    vocab_size: int,
    *,
    embedding_dim: int | None = 128,
    hidden_dim: int = 256,
    num_layers: int = 4,
    kernel_size: int = 3,
    dilation_growth: int = 1,
    dropout: float = 0.0,
    tie_embeddings: bool = False,
    embedding_matrix: ArrayLike | None = None,
    train_embeddings: bool = True,
    initializer_range: float | None = None,
    seed: int | None = None,
    name: str = "cnn_lm",
) -> CausalLM:
    """Causal convolutional language model with gates (Dauphin et al. 2017, equation 1 and section 2).

    Each layer adds (X * W + b) ⊗ σ(X * V + c) to its input X, which is zero before the text begins. A word is
    predicted from the last 1 + (kernel_size - 1) (1 + growth + growth^2 + ...) words.

    Args:
        vocab_size: Number of words V.
        embedding_dim: Width of the word vectors; None feeds one-hot vectors.
        hidden_dim: Width of the layers.
        num_layers: Number of convolutions.
        kernel_size: Number of positions that a convolution spans, the present one the last.
        dilation_growth: Those of layer i are dilation_growth^i apart (2: WaveNet, van den Oord et al. 2016).
        dropout: Share of the values that are dropped in training, after the embedding and each layer.
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
    check_sizes(dropout, vocab_size=vocab_size, hidden_dim=hidden_dim, num_layers=num_layers,
                kernel_size=kernel_size, dilation_growth=dilation_growth)  # fmt: skip

    # === Layers ===
    init = initializers(initializer_range, seed)
    embed = word_embedding(vocab_size, embedding_dim, embedding_matrix, train_embeddings, init)
    widen = _dense(hidden_dim, "to_hidden", init)  # the layers add to their input, so all have its width
    windows = [ContextWindow(kernel_size, dilation_growth**i, name=f"window_{i}") for i in range(num_layers)]
    convolutions = [_dense(2 * hidden_dim, f"convolution_{i}", init) for i in range(num_layers)]  # [W, V], [b, c]
    drops = [layers.Dropout(dropout, seed=init.seed(), name=f"dropout_{i}") for i in range(num_layers + 1)]
    to_hidden, to_logits = output_layer(vocab_size, embed if tie_embeddings else None, init)

    def forward(x, past=None):
        x = drops[0](widen(x))  # (B, T, E) -> (B, T, H)
        inputs = []
        for i, (window, convolution, drop) in enumerate(zip(windows, convolutions, drops[1:], strict=True)):
            inputs.append(x)
            x = x + drop(ops.glu(convolution(window(x, past and past[i]))))  # (B, T, kH) -> (B, T, 2H) -> (B, T, H)
        return x, inputs

    # === Functional model ===
    ids = keras.Input((None,), dtype="int32", name="ids")
    tokens, arrange = packed_text(ids)
    hidden = to_hidden(arrange(forward(embed(tokens))[0]))

    output = (to_hidden, to_logits)
    step, initial_state, named = _step_view(embed, forward, output, windows, hidden_dim, name)
    views = Views(step, initial_state, hidden=hidden, **named)
    return CausalLM(ids, to_logits(hidden), views=views, name=name)


def _step_view(embed, forward, output, windows, hidden_dim, name):
    """The same layers after the past: of each layer, as many of its last inputs as its window reaches back."""
    step_ids = keras.Input((None,), dtype="int32", name="step_ids")
    past = [keras.Input((window.reach, hidden_dim), name=f"past_{i}") for i, window in enumerate(windows)]
    ids, places, count = PackTokens(name="pack")(step_ids)
    embedded = word_vectors(embed, ops.maximum(ids, 0))
    x, inputs = forward(embedded, past)
    remember = Remember(name="remember")
    new_past = [remember(before, new, count) for before, new in zip(past, inputs, strict=True)]
    to_hidden, to_logits = output
    hidden = to_hidden(UnpackTokens(name="unpack")(x, places))
    step = LogitsModel([step_ids, *past], [to_logits(hidden), *new_past], name=f"{name}_step")

    def initial_state(batch_size, length=None):
        return [ops.zeros((batch_size, *before.shape[1:])) for before in past]

    return step, initial_state, {"step_hidden": hidden, "step_embedded": embedded}


def _dense(width, name, init):
    return Dense(width, kernel_initializer=init(), bias_initializer=init("zeros"), name=name)
