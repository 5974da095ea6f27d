"""A decoder as today's open models have it (Touvron et al. 2023; Llama 2 and 3, Mistral, Qwen2, SmolLM2)."""

import keras
import tensorflow as tf
from keras import layers

from lm_keras.errors import InputError
from lm_keras.layers.activations import silu
from lm_keras.layers.attention import SelfAttention, mask_of, tokens_as_rows
from lm_keras.layers.blocks import Dropout, Seeds, TransformerBlock, recomputable
from lm_keras.layers.fused_loss import WordEmbedding
from lm_keras.layers.positions import Rotary, check_scaling
from lm_keras.models.building import check_sizes, register_builder
from lm_keras.models.causal_lm import CausalLM, decoder
from lm_keras.utils.checks import check_positive


@keras.saving.register_keras_serializable("lm_keras")
class LlamaBlock(TransformerBlock):
    """x + Attention(RMSNorm(x)), then x + W_down(SiLU(W_gate y) * W_up y) of y = RMSNorm(x) (SwiGLU, Shazeer 2020).

    Args:
        hidden_dim: D, the width of what enters and leaves.
        num_heads: H, the heads of the queries.
        num_kv_heads: K, the heads of keys and values, which groups of queries share.
        head_dim: the width of a head.
        feed_forward_dim: F, the width of the gate.
        qkv_bias: biases on queries, keys and values, as Qwen2 has them.
        norm_epsilon: of both norms.
        dropout: the rate after both sublayers and of the attention's weights.
        initializer_range: the standard deviation of the starting weights.
        seed: the first of eight seeds.
    """

    num_seeds = 8

    def __init__(
        self,
        hidden_dim: int,
        num_heads: int,
        num_kv_heads: int,
        head_dim: int,
        feed_forward_dim: int,
        *,
        qkv_bias: bool = False,
        norm_epsilon: float = 1e-5,
        dropout: float = 0.0,
        initializer_range: float = 0.02,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.options = {
            "hidden_dim": hidden_dim,
            "num_heads": num_heads,
            "num_kv_heads": num_kv_heads,
            "head_dim": head_dim,
            "feed_forward_dim": feed_forward_dim,
            "qkv_bias": qkv_bias,
            "norm_epsilon": norm_epsilon,
            "dropout": dropout,
            "initializer_range": initializer_range,
            "seed": seed,
        }
        seeds = Seeds(seed)

        def normal():
            return keras.initializers.RandomNormal(0.0, initializer_range, seed=seeds.next())

        def dense(width, name):
            return layers.Dense(width, use_bias=False, kernel_initializer=normal(), name=name)

        self.attention_norm = layers.RMSNormalization(epsilon=norm_epsilon, name="attention_norm")
        self.attention = SelfAttention(
            num_heads,
            head_dim,
            num_kv_heads=num_kv_heads,
            qkv_bias=qkv_bias,
            output_bias=False,
            dropout=dropout,
            kernel_initializer=normal(),
            output_initializer=normal(),
            seed=seeds.next(),
            name="attention",
        )
        gate, up, down = dense(feed_forward_dim, "gate"), dense(feed_forward_dim, "up"), dense(hidden_dim, "down")
        self.attention_dropout = Dropout(dropout, seed=seeds.next(), name="attention_dropout")
        self.feed_forward_norm = layers.RMSNormalization(epsilon=norm_epsilon, name="feed_forward_norm")
        self.gate, self.up, self.down = gate, up, down
        self.feed_forward_dropout = Dropout(dropout, seed=seeds.next(), name="feed_forward_dropout")

    def build(self, x_shape):
        for layer in (self.attention_norm, self.attention, self.feed_forward_norm, self.gate, self.up):
            layer.build(x_shape)
        self.down.build((*x_shape[:-1], self.options["feed_forward_dim"]))

    @recomputable
    def call(self, x, visible, turns, memory=None, training=None):
        # x (B, T, D); visible (B, T, L): which of the L tokens each may look at, or the `Mask` of a pass; turns: of
        # the positions, `Rotary`
        mask, shape, x = mask_of(x, visible), tf.shape(x), tokens_as_rows(x)  # (B T, D)
        y = self.attention_norm(x)
        y, weights, keys, values = self.attention(y, mask, turns=turns, memory=memory, training=training)
        x += self.attention_dropout(y, training=training)
        y = self.feed_forward_norm(x)
        y = self.down(silu(self.gate(y), training) * self.up(y))  # (B T, F) -> (B T, D)
        x += self.feed_forward_dropout(y, training=training)
        return tf.reshape(x, shape), weights, keys, values  # (B, T, D), (B, H, T, L), (B, K, L, head_dim) twice

    def compute_output_spec(self, x, visible, turns, memory=None, training=None):
        return self.attention.compute_output_spec(x, visible, turns=turns, memory=memory)

    def get_config(self):
        return {**super().get_config(), **self.options}


@register_builder(family="llama", small={"hidden_dim": 128, "num_layers": 4, "num_heads": 4})
def build_llama(
    vocab_size: int,
    *,
    max_length: int = 2048,
    hidden_dim: int = 576,
    num_layers: int = 30,
    num_heads: int = 9,
    num_kv_heads: int | None = None,
    head_dim: int | None = None,
    feed_forward_dim: int | None = None,
    rope_base: float = 10000.0,
    rope_scaling: dict | None = None,
    norm_epsilon: float = 1e-5,
    tie_embeddings: bool = True,
    qkv_bias: bool = False,
    dropout: float = 0.0,
    initializer_range: float = 0.02,
    seed: int | None = None,
    name: str = "llama",
) -> CausalLM:
    """Llama-style decoder: rotary positions, RMSNorm and gated feed-forward networks in each block.

    The blocks are the layers block_0, block_1, ... The defaults are SmolLM2-135M's width and depth.

    Args:
        vocab_size: Number of words V.
        max_length: The most tokens of a text.
        hidden_dim: Width D of the vectors between the blocks.
        num_layers: Number of blocks.
        num_heads: Heads of the queries.
        num_kv_heads: Heads of keys and values, which groups of queries share (Ainslie et al. 2023); None: num_heads.
        head_dim: Width of a head, even; None: hidden_dim / num_heads.
        feed_forward_dim: Width of the gate; None: 8/3 of hidden_dim, up to a multiple of 32.
        rope_base: How slowly the last features of a head turn (Su et al. 2021).
        rope_scaling: A checkpoint's `rope_scaling` of type "linear" or "llama3", or None.
        norm_epsilon: What each norm adds to the mean square.
        tie_embeddings: Score words with the embedding's transpose; False: with a matrix of its own.
        qkv_bias: Biases on queries, keys and values, as Qwen2 has them.
        dropout: Share of the values that are dropped in training, as in `build_gpt2`.
        initializer_range: Standard deviation of the starting weights.
        seed: Seed of the starting weights and of dropout.
        name: Name of the model.

    Returns:
        A `CausalLM`, ids int32 [B, T] -> logits [B, T, V], T <= max_length.

    Raises:
        InputError: For impossible sizes, and a scaling that is not built here.
    """
    check_sizes(dropout, vocab_size=vocab_size, max_length=max_length, hidden_dim=hidden_dim, num_layers=num_layers)
    num_kv_heads, head_dim = _heads(hidden_dim, num_heads, num_kv_heads, head_dim)
    feed_forward_dim = -(-8 * hidden_dim // 96) * 32 if feed_forward_dim is None else feed_forward_dim
    check_sizes(feed_forward_dim=feed_forward_dim)
    check_positive(rope_base=rope_base, norm_epsilon=norm_epsilon, initializer_range=initializer_range)
    check_scaling(rope_scaling)

    # === Layers ===
    seeds = Seeds(seed)
    start = keras.initializers.RandomNormal(0.0, initializer_range, seed=seeds.next())
    tokens = WordEmbedding(vocab_size, hidden_dim, tie_embeddings, start, name="tokens")
    drop = layers.Dropout(dropout, seed=seeds.next(), name="dropout")
    rotary = Rotary(head_dim, rope_base, rope_scaling, name="rotary")
    sizes = (hidden_dim, num_heads, num_kv_heads, head_dim, feed_forward_dim)
    options = {"norm_epsilon": norm_epsilon, "dropout": dropout, "initializer_range": initializer_range}
    blocks = [
        LlamaBlock(*sizes, qkv_bias=qkv_bias, **options, seed=seeds.next(LlamaBlock.num_seeds), name=f"block_{i}")
        for i in range(num_layers)
    ]
    norm = layers.RMSNormalization(epsilon=norm_epsilon, name="norm")

    def forward(x, positions, visible, memories, arrange):
        x, turns = drop(x), rotary(positions)  # (B, T, D), (B, 1, T, head_dim / 2) twice
        kept = []
        for block, memory in zip(blocks, memories, strict=True):
            x, *seen = block(x, visible, turns, memory)
            kept.append(seen)
        x = arrange(norm(x))
        return tokens(x, reverse=True), x, kept  # (B, T, V), (B, T, D), weights, keys and values of each block

    # === Both views ===
    sizes = {"num_layers": num_layers, "num_kv_heads": num_kv_heads, "head_dim": head_dim}
    return decoder(tokens, forward, **sizes, max_length=max_length, name=name)


def _heads(hidden_dim, num_heads, num_kv_heads, head_dim):
    """The heads of keys and values and the width of a head, as given or worked out."""
    num_kv_heads = num_heads if num_kv_heads is None else num_kv_heads
    check_sizes(num_heads=num_heads, num_kv_heads=num_kv_heads)
    if num_heads % num_kv_heads:
        raise InputError(f"num_heads {num_heads} is no multiple of num_kv_heads {num_kv_heads}; they share in groups")
    return num_kv_heads, _head_dim(hidden_dim, num_heads, head_dim)


def _head_dim(hidden_dim, num_heads, head_dim):
    if head_dim is None:
        if hidden_dim % num_heads or hidden_dim // num_heads % 2:
            raise InputError(f"hidden_dim {hidden_dim} over num_heads {num_heads} must be an even whole number")
        return hidden_dim // num_heads
    check_sizes(head_dim=head_dim)
    if head_dim % 2:
        raise InputError(f"head_dim is {head_dim}; rotary positions turn pairs of numbers, so it must be even")
    return head_dim
