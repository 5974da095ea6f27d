"""The blocks of the encoder-decoder transformer: residual sublayers with their norms (Vaswani et al. 2017, 3.1)."""

import keras
from keras import layers

from lm_keras.layers.attention import SelfAttention
from lm_keras.layers.cross_attention import CrossAttention, MemoryHeads


def transformer_blocks(hidden_dim, num_heads, feed_forward_dim, dropout, pre_norm, seeds):
    """`encoder_block(name)` -> block(x, visible) -> x, and `decoder_block(name)` -> read and block.

    read(memory, valid) -> keys, values of the source, [B, H, S, D]; block(x, visible, cache, keys, values, valid)
    -> x, weights over the source, and keys and values of x. `pre_norm`: x + f(norm(x)), else norm(x + f(x)).
    """

    def glorot():
        return keras.initializers.GlorotUniform(seed=next(seeds))

    def residual(name):
        normalize, drop = norm(f"{name}_norm"), layers.Dropout(dropout, seed=next(seeds), name=f"{name}_dropout")

        def around(f, x):
            y, *seen = f(normalize(x) if pre_norm else x)
            x = x + drop(y)
            return x if pre_norm else normalize(x), *seen

        return around

    def self_attention(name):
        options = {"qkv_bias": False, "output_bias": False}
        starts = {"kernel_initializer": glorot(), "output_initializer": glorot()}
        return SelfAttention(num_heads, hidden_dim // num_heads, **options, **starts, name=name)

    def feed_forward(name):
        """max(0, x W1 + b1) W2 + b2, equation 2."""
        expand = layers.Dense(feed_forward_dim, "relu", kernel_initializer=glorot(), name=f"{name}_expand")
        contract = layers.Dense(hidden_dim, kernel_initializer=glorot(), name=f"{name}_contract")
        return lambda x: [contract(expand(x))]

    def encoder_block(name):
        attention, feed = self_attention(f"{name}_attention"), feed_forward(name)
        around_attention, around_feed = residual(f"{name}_attention"), residual(f"{name}_feed_forward")

        def block(x, visible):
            x = around_attention(lambda x: attention(x, visible), x)[0]
            return around_feed(feed, x)[0]

        return block

    def decoder_block(name):
        attention, feed = self_attention(f"{name}_attention"), feed_forward(name)
        heads = {"num_heads": num_heads, "head_dim": hidden_dim // num_heads}
        read = MemoryHeads(**heads, kernel_initializer=glorot(), name=f"{name}_source")
        cross = CrossAttention(
            **heads, kernel_initializer=glorot(), output_initializer=glorot(), name=f"{name}_cross_attention"
        )
        arounds = [residual(f"{name}_{part}") for part in ("attention", "cross_attention", "feed_forward")]

        def block(x, visible, cache, keys, values, valid):
            x, _, *kept = arounds[0](lambda x: attention(x, visible, memory=cache), x)
            x, weights = arounds[1](lambda x: cross(x, keys, values, valid), x)
            return arounds[2](feed, x)[0], weights, *kept

        return read, block

    return encoder_block, decoder_block


def norm(name):
    return layers.LayerNormalization(epsilon=1e-5, name=name)
