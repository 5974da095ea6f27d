"""GPT-2 (Radford et al. 2019): a stack of causal transformer blocks over words and learned positions."""

import itertools

import keras
from keras import layers

from lm_keras.errors import InputError
from lm_keras.layers.attention import SelfAttention
from lm_keras.layers.gelu import Gelu
from lm_keras.layers.output import WordEmbedding
from lm_keras.models.building import register_builder
from lm_keras.models.decoder import decoder
from lm_keras.models.parts import check_sizes

# The four released models: build_gpt2(**SIZES["gpt2"]).
SIZES = {
    "gpt2": {"hidden_dim": 768, "num_layers": 12, "num_heads": 12},  # 124 M parameters
    "gpt2-medium": {"hidden_dim": 1024, "num_layers": 24, "num_heads": 16},  # 355 M
    "gpt2-large": {"hidden_dim": 1280, "num_layers": 36, "num_heads": 20},  # 774 M
    "gpt2-xl": {"hidden_dim": 1600, "num_layers": 48, "num_heads": 25},  # 1,558 M
}


@register_builder(family="gpt2", small={"hidden_dim": 128, "num_layers": 4, "num_heads": 4})
def build_gpt2(
    vocab_size=50257,
    max_length=1024,
    hidden_dim=768,
    num_layers=12,
    num_heads=12,
    dropout=0.0,
    *,
    seed=None,
    name="gpt2",
):
    """GPT-2, ids int32 [B, T] -> logits [B, T, V], T <= max_length (documents 001 and 003).

    A block is x + Attention(LayerNorm(x)), then x + FeedForward(LayerNorm(x)), with GELU in between and four
    times the width; positions are learned; the output layer is the embedding's transpose. Starting weights
    N(0, 0.02), those that write to the residual stream divided by sqrt(2 num_layers). Raises InputError for
    impossible sizes. `SIZES` has those of the four released models.
    """
    sizes = {"vocab_size": vocab_size, "max_length": max_length, "hidden_dim": hidden_dim}
    check_sizes(dropout, **sizes, num_layers=num_layers, num_heads=num_heads)
    if hidden_dim % num_heads:
        raise InputError(f"hidden_dim {hidden_dim} must be a multiple of num_heads {num_heads}; heads share it")

    # === Layers ===
    seeds = itertools.count(seed) if seed is not None else itertools.repeat(None)
    start = _normal(0.02, seeds)
    tokens = WordEmbedding(vocab_size, hidden_dim, embeddings_initializer=start(), name="tokens")
    places = layers.Embedding(max_length, hidden_dim, embeddings_initializer=start(), name="positions")
    drop = layers.Dropout(dropout, seed=next(seeds), name="dropout")
    blocks = [_block(i, hidden_dim, num_layers, num_heads, dropout, seeds) for i in range(num_layers)]
    norm = layers.LayerNormalization(epsilon=1e-5, name="norm")

    def forward(ids, positions, visible, memories, arrange):
        x = drop(tokens(ids) + places(positions))  # (B, T, E)
        kept = []
        for block, memory in zip(blocks, memories, strict=True):
            x, *seen = block(x, visible, memory)
            kept.append(seen)
        hidden = arrange(norm(x))
        return tokens(hidden, reverse=True), hidden, kept  # (B, T, V)

    # === Both views ===
    sizes = {"num_layers": num_layers, "num_kv_heads": num_heads, "head_dim": hidden_dim // num_heads}
    return decoder(forward, **sizes, max_length=max_length, name=name)


def _block(i, hidden_dim, num_layers, num_heads, dropout, seeds):
    """block(x, visible, memory) -> x, weights, keys, values."""
    start, to_stream = _normal(0.02, seeds), _normal(0.02 / (2 * num_layers) ** 0.5, seeds)
    attention_norm = layers.LayerNormalization(epsilon=1e-5, name=f"attention_norm_{i}")
    attention = SelfAttention(
        num_heads,
        hidden_dim // num_heads,
        dropout=dropout,
        kernel_initializer=start(),
        output_initializer=to_stream(),
        seed=next(seeds),
        name=f"attention_{i}",
    )
    feed_norm = layers.LayerNormalization(epsilon=1e-5, name=f"feed_forward_norm_{i}")
    expand = layers.Dense(4 * hidden_dim, kernel_initializer=start(), name=f"expand_{i}")
    gelu = Gelu(approximate=True, name=f"gelu_{i}")
    contract = layers.Dense(hidden_dim, kernel_initializer=to_stream(), name=f"contract_{i}")
    drops = [layers.Dropout(dropout, seed=next(seeds), name=f"{part}_dropout_{i}") for part in ("attention", "feed")]

    def block(x, visible, memory):
        mixed, *seen = attention(attention_norm(x), visible, memory=memory)
        x = x + drops[0](mixed)
        x = x + drops[1](contract(gelu(expand(feed_norm(x)))))
        return x, *seen

    return block


def _normal(stddev, seeds):
    """Each call: an initializer N(0, stddev) of its own seed."""
    return lambda: keras.initializers.RandomNormal(0.0, stddev, seed=next(seeds))
