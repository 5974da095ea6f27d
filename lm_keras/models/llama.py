"""A decoder as today's open models have it (Touvron et al. 2023; Llama 2 and 3, Mistral, Qwen2, SmolLM2)."""

import itertools

import keras
from keras import layers

from lm_keras.errors import InputError
from lm_keras.layers.attention import SelfAttention
from lm_keras.layers.output import WordEmbedding
from lm_keras.layers.rotary import check_scaling
from lm_keras.models.building import register_builder
from lm_keras.models.decoder import decoder
from lm_keras.models.parts import check_sizes
from lm_keras.utils.checks import check_positive


@register_builder(family="llama", small={"hidden_dim": 128, "num_layers": 4, "num_heads": 4})
def build_llama(
    vocab_size,
    *,
    max_length=2048,
    hidden_dim=576,
    num_layers=30,
    num_heads=9,
    num_kv_heads=None,
    head_dim=None,
    intermediate_dim=None,
    rope_base=10000.0,
    rope_scaling=None,
    norm_epsilon=1e-5,
    tie_embeddings=True,
    qkv_bias=False,
    dropout=0.0,
    seed=None,
    name="llama",
):
    """Llama-style decoder, ids int32 [B, T] -> logits [B, T, V].

    A block is x + Attention(RMSNorm(x)), then x + W_down(SiLU(W_gate y) * W_up y) of y = RMSNorm(x) (SwiGLU,
    Shazeer 2020); rotary positions (Su et al. 2021); `num_kv_heads` < `num_heads` shares keys and values
    (Ainslie et al. 2023). `intermediate_dim`: 8/3 of hidden_dim, up to a multiple of 32, unless given.
    The defaults are SmolLM2-135M's width and depth. Raises InputError for impossible sizes.
    """
    num_kv_heads = num_heads if num_kv_heads is None else num_kv_heads
    sizes = {"vocab_size": vocab_size, "max_length": max_length, "hidden_dim": hidden_dim, "num_layers": num_layers}
    check_sizes(dropout, **sizes, num_heads=num_heads, num_kv_heads=num_kv_heads)
    if num_heads % num_kv_heads:
        raise InputError(f"num_heads {num_heads} is no multiple of num_kv_heads {num_kv_heads}; they share in groups")
    head_dim = _head_dim(hidden_dim, num_heads, head_dim)
    intermediate_dim = -(-8 * hidden_dim // 96) * 32 if intermediate_dim is None else intermediate_dim
    check_sizes(intermediate_dim=intermediate_dim)
    check_positive(rope_base=rope_base, norm_epsilon=norm_epsilon)
    check_scaling(rope_scaling)

    # === Layers ===
    seeds = itertools.count(seed) if seed is not None else itertools.repeat(None)
    start = _normal(seeds)
    tokens = WordEmbedding(vocab_size, hidden_dim, tie_embeddings, start, name="tokens")
    drop = layers.Dropout(dropout, seed=next(seeds), name="dropout")
    heads = {"num_heads": num_heads, "num_kv_heads": num_kv_heads, "head_dim": head_dim, "qkv_bias": qkv_bias}
    heads["rotary"] = {"base": rope_base, "scaling": rope_scaling}
    blocks = [_block(i, hidden_dim, intermediate_dim, heads, norm_epsilon, dropout, seeds) for i in range(num_layers)]
    norm = layers.RMSNormalization(epsilon=norm_epsilon, name="norm")

    def forward(ids, positions, visible, memories, arrange):
        x = drop(tokens(ids))  # (B, T, E)
        kept = []
        for block, memory in zip(blocks, memories, strict=True):
            x, *seen = block(x, visible, positions, memory)
            kept.append(seen)
        hidden = arrange(norm(x))
        return tokens(hidden, reverse=True), hidden, kept  # (B, T, V)

    # === Both views ===
    sizes = {"num_layers": num_layers, "num_kv_heads": num_kv_heads, "head_dim": head_dim}
    return decoder(forward, **sizes, max_length=max_length, name=name)


def _block(i, hidden_dim, intermediate_dim, heads, norm_epsilon, dropout, seeds):
    """block(x, visible, positions, memory) -> x, weights, keys, values."""

    def dense(width, name):
        return layers.Dense(width, use_bias=False, kernel_initializer=_normal(seeds), name=f"{name}_{i}")

    attention_norm = layers.RMSNormalization(epsilon=norm_epsilon, name=f"attention_norm_{i}")
    attention = SelfAttention(
        **heads,
        output_bias=False,
        kernel_initializer=_normal(seeds),
        output_initializer=_normal(seeds),
        dropout=dropout,
        seed=next(seeds),
        name=f"attention_{i}",
    )
    feed_norm = layers.RMSNormalization(epsilon=norm_epsilon, name=f"feed_forward_norm_{i}")
    gate, up = dense(intermediate_dim, "gate"), dense(intermediate_dim, "up")
    down = dense(hidden_dim, "down")
    silu = layers.Activation("silu", name=f"silu_{i}")
    drops = [layers.Dropout(dropout, seed=next(seeds), name=f"{part}_dropout_{i}") for part in ("attention", "feed")]

    def block(x, visible, positions, memory):
        mixed, *seen = attention(attention_norm(x), visible, positions, memory)
        x = x + drops[0](mixed)
        y = feed_norm(x)
        x = x + drops[1](down(silu(gate(y)) * up(y)))
        return x, *seen

    return block


def _head_dim(hidden_dim, num_heads, head_dim):
    if head_dim is None:
        if hidden_dim % num_heads or hidden_dim // num_heads % 2:
            raise InputError(f"hidden_dim {hidden_dim} over num_heads {num_heads} must be an even whole number")
        return hidden_dim // num_heads
    check_sizes(head_dim=head_dim)
    if head_dim % 2:
        raise InputError(f"head_dim is {head_dim}; rotary positions turn pairs of numbers, so it must be even")
    return head_dim


def _normal(seeds):
    return keras.initializers.RandomNormal(0.0, 0.02, seed=next(seeds))
