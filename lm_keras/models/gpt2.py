"""GPT-2 (Radford et al. 2019): a stack of causal transformer blocks over words and learned positions."""

import keras
import tensorflow as tf
from keras import layers

from lm_keras.errors import InputError
from lm_keras.layers.activations import Gelu
from lm_keras.layers.attention import SelfAttention, mask_of, tokens_as_rows
from lm_keras.layers.blocks import Dropout, Seeds, TransformerBlock, recomputable
from lm_keras.layers.fused_loss import WordEmbedding
from lm_keras.layers.normalization import LayerNormalization
from lm_keras.models.building import check_sizes, register_builder
from lm_keras.models.causal_lm import CausalLM, decoder
from lm_keras.utils.checks import check_positive

# The four released models: build_gpt2(**SIZES["gpt2"]).
SIZES = {
    "gpt2": {"hidden_dim": 768, "num_layers": 12, "num_heads": 12},  # 124 M parameters
    "gpt2-medium": {"hidden_dim": 1024, "num_layers": 24, "num_heads": 16},  # 355 M
    "gpt2-large": {"hidden_dim": 1280, "num_layers": 36, "num_heads": 20},  # 774 M
    "gpt2-xl": {"hidden_dim": 1600, "num_layers": 48, "num_heads": 25},  # 1,558 M
}


@keras.saving.register_keras_serializable("lm_keras")
class GPT2Block(TransformerBlock):
    """x + Attention(LayerNorm(x)), then x + FeedForward(LayerNorm(x)) with GELU in between.

    Args:
        hidden_dim: D, the width of what enters and leaves.
        num_heads: the heads of the attention, which share the width.
        feed_forward_dim: F, the width between the two dense layers.
        dropout: the rate after both sublayers and of the attention's weights.
        initializer_range: the standard deviation of the starting weights.
        residual_range: that of the weights which write to the residual stream.
        seed: the first of seven seeds.
    """

    num_seeds = 7

    def __init__(
        self,
        hidden_dim: int,
        num_heads: int,
        feed_forward_dim: int,
        *,
        dropout: float = 0.0,
        initializer_range: float = 0.02,
        residual_range: float = 0.02,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.options = {
            "hidden_dim": hidden_dim,
            "num_heads": num_heads,
            "feed_forward_dim": feed_forward_dim,
            "dropout": dropout,
            "initializer_range": initializer_range,
            "residual_range": residual_range,
            "seed": seed,
        }
        seeds = Seeds(seed)

        def normal(stddev):
            return keras.initializers.RandomNormal(0.0, stddev, seed=seeds.next())

        self.attention_norm = LayerNormalization(epsilon=1e-5, name="attention_norm")
        self.attention = SelfAttention(
            num_heads,
            hidden_dim // num_heads,
            dropout=dropout,
            kernel_initializer=normal(initializer_range),
            output_initializer=normal(residual_range),
            seed=seeds.next(),
            name="attention",
        )
        expand, contract = normal(initializer_range), normal(residual_range)
        self.attention_dropout = Dropout(dropout, seed=seeds.next(), name="attention_dropout")
        self.feed_forward_norm = LayerNormalization(epsilon=1e-5, name="feed_forward_norm")
        self.expand = layers.Dense(feed_forward_dim, kernel_initializer=expand, name="expand")
        self.gelu = Gelu(approximate=True, name="gelu")
        self.contract = layers.Dense(hidden_dim, kernel_initializer=contract, name="contract")
        self.feed_forward_dropout = Dropout(dropout, seed=seeds.next(), name="feed_forward_dropout")

    def build(self, x_shape):
        for layer in (self.attention_norm, self.attention, self.feed_forward_norm, self.expand):
            layer.build(x_shape)
        for layer in (self.gelu, self.contract):
            layer.build((*x_shape[:-1], self.options["feed_forward_dim"]))

    @recomputable
    def call(self, x, visible, memory=None, training=None):
        # x (B, T, D); visible (B, T, L): which of the L tokens each may look at, or the `Mask` of a pass
        mask, shape, x = mask_of(x, visible), tf.shape(x), tokens_as_rows(x)  # (B T, D)
        y, weights, keys, values = self.attention(self.attention_norm(x), mask, memory=memory, training=training)
        x += self.attention_dropout(y, training=training)
        y = self.expand(self.feed_forward_norm(x))  # (B T, F)
        y = self.contract(self.gelu(y, training=training))  # (B T, D)
        x += self.feed_forward_dropout(y, training=training)
        return tf.reshape(x, shape), weights, keys, values  # (B, T, D), (B, H, T, L), (B, H, L, D / H) twice

    def compute_output_spec(self, x, visible, memory=None, training=None):
        return self.attention.compute_output_spec(x, visible, memory=memory)

    def get_config(self):
        return {**super().get_config(), **self.options}


@register_builder(family="gpt2", small={"hidden_dim": 128, "num_layers": 4, "num_heads": 4})
def build_gpt2(
    vocab_size: int = 50257,
    *,
    max_length: int = 1024,
    hidden_dim: int = 768,
    num_layers: int = 12,
    num_heads: int = 12,
    feed_forward_dim: int | None = None,
    dropout: float = 0.0,
    initializer_range: float = 0.02,
    seed: int | None = None,
    name: str = "gpt2",
) -> CausalLM:
    """GPT-2: words and learned positions, blocks, and the embedding read in reverse (documents 001 and 003).

    The blocks are the layers block_0, block_1, ...; `SIZES` has the sizes of the four released models.

    Args:
        vocab_size: Number of words V.
        max_length: The most tokens of a text, each of whose positions has a vector.
        hidden_dim: Width D of the vectors between the blocks.
        num_layers: Number of blocks.
        num_heads: Heads of each attention, which share the width.
        feed_forward_dim: Width between the two dense layers of a block; None: 4 hidden_dim.
        dropout: Share of the values that are dropped in training: of the first vectors, of what each sublayer adds,
            and of the weights of attention.
        initializer_range: Standard deviation of the starting weights; of those that write to the residual stream,
            divided by sqrt(2 num_layers).
        seed: Seed of the starting weights and of dropout.
        name: Name of the model.

    Returns:
        A `CausalLM`, ids int32 [B, T] -> logits [B, T, V], T <= max_length.

    Raises:
        InputError: For impossible sizes.
    """
    feed_forward_dim = 4 * hidden_dim if feed_forward_dim is None else feed_forward_dim
    sizes = {"vocab_size": vocab_size, "max_length": max_length, "hidden_dim": hidden_dim}
    check_sizes(dropout, **sizes, num_layers=num_layers, num_heads=num_heads, feed_forward_dim=feed_forward_dim)
    check_positive(initializer_range=initializer_range)
    if hidden_dim % num_heads:
        raise InputError(f"hidden_dim {hidden_dim} must be a multiple of num_heads {num_heads}; heads share it")

    # === Layers ===
    seeds = Seeds(seed)
    starts = [keras.initializers.RandomNormal(0.0, initializer_range, seed=seeds.next()) for _ in range(2)]
    tokens = WordEmbedding(vocab_size, hidden_dim, embeddings_initializer=starts[0], name="tokens")
    places = layers.Embedding(max_length, hidden_dim, embeddings_initializer=starts[1], name="positions")
    drop = layers.Dropout(dropout, seed=seeds.next(), name="dropout")
    blocks = [
        GPT2Block(
            hidden_dim,
            num_heads,
            feed_forward_dim,
            dropout=dropout,
            initializer_range=initializer_range,
            residual_range=initializer_range / (2 * num_layers) ** 0.5,
            seed=seeds.next(GPT2Block.num_seeds),
            name=f"block_{i}",
        )
        for i in range(num_layers)
    ]
    norm = LayerNormalization(epsilon=1e-5, name="norm")

    def forward(x, positions, visible, memories, arrange):
        x = drop(x + places(positions))  # (B, T, D)
        kept = []
        for block, memory in zip(blocks, memories, strict=True):
            x, *seen = block(x, visible, memory)
            kept.append(seen)
        x = arrange(norm(x))
        return tokens(x, reverse=True), x, kept  # (B, T, V), (B, T, D), weights, keys and values of each block

    # === Both views ===
    sizes = {"num_layers": num_layers, "num_kv_heads": num_heads, "head_dim": hidden_dim // num_heads}
    return decoder(tokens, forward, **sizes, max_length=max_length, name=name)
