"""The blocks of the encoder-decoder transformer: residual sublayers with their norms (Vaswani et al. 2017, 3.1)."""

import keras
from keras import layers

from lm_keras.layers.attention import SelfAttention
from lm_keras.layers.block import Dropout, Seeds, TransformerBlock, recomputable
from lm_keras.layers.cross_attention import CrossAttention


class _SublayerBlock(TransformerBlock):
    """What both blocks share: around each sublayer f, x + f(norm(x)) with `pre_norm`, else norm(x + f(x))."""

    def __init__(self, hidden_dim, num_heads, feed_forward_dim, *, dropout=0.0, pre_norm=False, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.pre_norm = pre_norm
        self.options = {
            "hidden_dim": hidden_dim,
            "num_heads": num_heads,
            "feed_forward_dim": feed_forward_dim,
            "dropout": dropout,
            "pre_norm": pre_norm,
            "seed": seed,
        }
        self.seeds = Seeds(seed)
        self.attention = SelfAttention(
            num_heads,
            hidden_dim // num_heads,
            qkv_bias=False,
            output_bias=False,
            kernel_initializer=self._glorot(),
            output_initializer=self._glorot(),
            name="attention",
        )
        # max(0, x W1 + b1) W2 + b2, equation 2.
        self.expand = layers.Dense(feed_forward_dim, "relu", kernel_initializer=self._glorot(), name="expand")
        self.contract = layers.Dense(hidden_dim, kernel_initializer=self._glorot(), name="contract")

    def _glorot(self):
        return keras.initializers.GlorotUniform(seed=self.seeds.next())

    def _norm_and_dropout(self, name):
        norm = layers.LayerNormalization(epsilon=1e-5, name=f"{name}_norm")
        return norm, Dropout(self.options["dropout"], seed=self.seeds.next(), name=f"{name}_dropout")

    def _build(self, x_shape, *others):
        for layer in (self.attention, self.expand, *others):
            layer.build(x_shape)
        self.contract.build((*x_shape[:-1], self.options["feed_forward_dim"]))

    def _feed_forward(self, x, training):
        y = self.feed_forward_norm(x) if self.pre_norm else x
        x = x + self.feed_forward_dropout(self.contract(self.expand(y)), training=training)
        return x if self.pre_norm else self.feed_forward_norm(x)

    def get_config(self):
        return {**super().get_config(), **self.options}


@keras.saving.register_keras_serializable("lm_keras")
class EncoderBlock(_SublayerBlock):
    """Self-attention over the source and a feed-forward network, each in a residual sublayer.

    Args:
        hidden_dim: D, the width of what enters and leaves.
        num_heads: the heads of the attention, which share the width.
        feed_forward_dim: F, the width between the two dense layers.
        dropout: the rate after each sublayer.
        pre_norm: a sublayer f is x + f(norm(x)) (Xiong et al. 2020); False: norm(x + f(x)).
        seed: the first of six seeds.
    """

    num_seeds = 6

    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        self.attention_norm, self.attention_dropout = self._norm_and_dropout("attention")
        self.feed_forward_norm, self.feed_forward_dropout = self._norm_and_dropout("feed_forward")

    def build(self, x_shape):
        self._build(x_shape, self.attention_norm, self.feed_forward_norm)

    @recomputable
    def call(self, x, visible, training=None):
        # x (B, S, D); visible (B, 1, S): the tokens of the source
        y = self.attention_norm(x) if self.pre_norm else x
        x = x + self.attention_dropout(self.attention(y, visible)[0], training=training)
        x = x if self.pre_norm else self.attention_norm(x)
        return self._feed_forward(x, training)  # (B, S, D)

    def compute_output_spec(self, x, visible, training=None):
        return keras.KerasTensor(x.shape, self.compute_dtype)


@keras.saving.register_keras_serializable("lm_keras")
class DecoderBlock(_SublayerBlock):
    """Self-attention over the target so far, attention to the source, and a feed-forward network.

    Args: as `EncoderBlock`; `seed`: the first of ten seeds, of which the fifth is that of the `MemoryHeads` that
    make the source's keys and values, a layer of its own: they are computed once for a source.
    """

    num_seeds, source_seed = 10, 4

    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        num_heads = self.options["num_heads"]
        self.seeds.next()  # the source's
        self.cross_attention = CrossAttention(
            num_heads,
            self.options["hidden_dim"] // num_heads,
            kernel_initializer=self._glorot(),
            output_initializer=self._glorot(),
            name="cross_attention",
        )
        self.attention_norm, self.attention_dropout = self._norm_and_dropout("attention")
        self.cross_attention_norm, self.cross_attention_dropout = self._norm_and_dropout("cross_attention")
        self.feed_forward_norm, self.feed_forward_dropout = self._norm_and_dropout("feed_forward")

    def build(self, x_shape):
        norms = (self.attention_norm, self.cross_attention_norm, self.feed_forward_norm)
        self._build(x_shape, self.cross_attention, *norms)

    @recomputable
    def call(self, x, visible, source_keys, source_values, valid, memory=None, training=None):
        # x (B, T, D); visible (B, T, L); source_keys, source_values (B, H, S, D / H); valid (B, S)
        y = self.attention_norm(x) if self.pre_norm else x
        y, _, keys, values = self.attention(y, visible, memory=memory)
        x = x + self.attention_dropout(y, training=training)
        x = x if self.pre_norm else self.attention_norm(x)

        y = self.cross_attention_norm(x) if self.pre_norm else x
        y, weights = self.cross_attention(y, source_keys, source_values, valid)
        x = x + self.cross_attention_dropout(y, training=training)
        x = x if self.pre_norm else self.cross_attention_norm(x)
        return self._feed_forward(x, training), weights, keys, values  # (B, T, D), (B, H, T, S), (B, H, L, D / H) * 2

    def compute_output_spec(self, x, visible, source_keys, source_values, valid, memory=None, training=None):
        x, weights, keys, values = self.attention.compute_output_spec(x, visible, memory=memory)
        weights = keras.KerasTensor((*weights.shape[:3], source_keys.shape[2]), weights.dtype)
        return x, weights, keys, values


def norm(name):
    return layers.LayerNormalization(epsilon=1e-5, name=name)
