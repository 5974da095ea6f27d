"""The encoder-decoder transformer of Vaswani et al. 2017 (document 003)."""

import keras
import tensorflow as tf
from keras import layers, ops

from lm_keras.errors import InputError
from lm_keras.layers.attention import (
    AttentionMask,
    CrossAttention,
    MemoryHeads,
    SelfAttention,
    mask_of,
    tokens_as_rows,
)
from lm_keras.layers.blocks import Dropout, Seeds, TransformerBlock, recomputable
from lm_keras.layers.cache import CacheRows, slots
from lm_keras.layers.fused_loss import Logits, WordEmbedding
from lm_keras.layers.normalization import LayerNormalization
from lm_keras.layers.positions import Sinusoids
from lm_keras.models.base import LogitsModel
from lm_keras.models.building import check_sizes, register_builder
from lm_keras.models.seq2seq import Seq2SeqLM, Seq2SeqViews, source_and_target


@register_builder
def build_seq2seq_transformer(
    source_vocab_size: int,
    *,
    target_vocab_size: int | None = None,
    max_length: int = 512,
    hidden_dim: int = 256,
    num_layers: int = 3,
    num_heads: int = 4,
    feed_forward_dim: int | None = None,
    dropout: float = 0.0,
    pre_norm: bool = False,
    share_embeddings: bool = False,
    seed: int | None = None,
    name: str = "seq2seq_transformer",
) -> Seq2SeqLM:
    """Encoder and decoder of blocks with attention between them (Vaswani et al. 2017; document 003).

    An encoder block is y = LayerNorm(x + SelfAttention(x)), z = LayerNorm(y + FeedForward(y)); document 003 adds
    the two, with x in both, where the second must take y. The decoder's has LayerNorm(y + CrossAttention(y,
    source)) in between. The blocks are the layers encoder_block_0, ... and decoder_block_0, ...;
    decoder_block_0_source makes keys and values of the source for the latter. Positions are sinusoids, so a text may
    have any length.

    Args:
        source_vocab_size: Number of words of the source.
        target_vocab_size: Number of words V of the target; None: as many as the source's.
        max_length: The room of `encode` for new tokens where no length is given.
        hidden_dim: Width D of the vectors between the blocks, even.
        num_layers: Number of blocks of the encoder, and of the decoder.
        num_heads: Heads of each attention, which share the width.
        feed_forward_dim: Width between the two dense layers of a block, with ReLU; None: 4 hidden_dim.
        dropout: Share of the values dropped in training: of the first vectors and of what each sublayer adds.
        pre_norm: Normalize before each sublayer, and once at the end (Xiong et al. 2020).
        share_embeddings: One matrix for source, target and output (section 3.4), which needs one vocabulary.
        seed: Seed of the starting weights and of dropout.
        name: Name of the model.

    Returns:
        A `Seq2SeqLM`, {"source_ids" [B, S], "target_ids" [B, T]} int32 -> logits [B, T, V].

    Raises:
        InputError: For impossible sizes.
    """
    target_vocab_size = source_vocab_size if target_vocab_size is None else target_vocab_size
    feed_forward_dim = 4 * hidden_dim if feed_forward_dim is None else feed_forward_dim
    check_sizes(dropout, vocab_size=source_vocab_size, hidden_dim=hidden_dim, num_layers=num_layers)
    check_sizes(vocab_size=target_vocab_size, feed_forward_dim=feed_forward_dim, max_length=max_length)
    _check_width(hidden_dim, num_heads, share_embeddings and source_vocab_size != target_vocab_size)

    # === Layers ===
    seeds = Seeds(seed)
    sizes = (source_vocab_size, target_vocab_size, hidden_dim, dropout, share_embeddings, seeds)
    embed_source, embed_target, to_logits = _embeddings(*sizes)
    options = {"dropout": dropout, "pre_norm": pre_norm}
    sizes = (hidden_dim, num_heads, feed_forward_dim)
    encoder_blocks = [
        EncoderBlock(*sizes, **options, seed=seeds.next(EncoderBlock.num_seeds), name=f"encoder_block_{i}")
        for i in range(num_layers)
    ]
    pairs = [_decoder_block(i, *sizes, options, seeds) for i in range(num_layers)]
    decoder_blocks, source_heads = ([pair[part] for pair in pairs] for part in (0, 1))
    encoder_norm, decoder_norm = (norm("encoder_norm"), norm("decoder_norm")) if pre_norm else (_same, _same)

    look = AttentionMask(name="mask")

    def encode(ids):
        valid = ids >= 0
        x, visible = embed_source(ids, _positions(ids)), look(ids, valid[:, None])  # (B, S, D), (B, 1, S)
        for block in encoder_blocks:
            x = block(x, visible)
        x = encoder_norm(x)
        return [ops.cast(valid, "int32"), *(part for heads in source_heads for part in heads(x, valid))]

    def decode(ids, positions, visible, caches, source):
        valid, *heads = source[0] > 0, *source[1:]
        x, kept = embed_target(ids, positions), []  # (B, T, D)
        visible, source_visible = look(ids, visible), look(ids, valid[:, None])
        for i, block in enumerate(decoder_blocks):
            x, *seen = block(x, visible, *heads[2 * i : 2 * i + 2], source_visible, caches[i])
            kept.append(seen)
        hidden = decoder_norm(x)
        return to_logits(hidden), hidden, kept  # (B, T, V), (B, T, D), [(weights, keys, values), ...]

    # === Both views ===
    shape = (num_heads, None, hidden_dim // num_heads)
    return _both_views(encode, decode, shape, num_layers, max_length, name)


def _both_views(encode, decode, shape, num_layers, max_length, name):
    """The model; the decoder's state is `filled` [B], keys and values [B, H, L + 1, D] for each block."""
    # === Functional model ===
    inputs = source_and_target()
    source_ids, target_ids = inputs["source_ids"], inputs["target_ids"]
    column = _counted(target_ids)
    visible = ops.logical_and(column[:, None] <= column[:, :, None], target_ids[:, None] >= 0)  # (B, T, T)
    logits, hidden, kept = decode(
        target_ids, _positions(target_ids), visible, [None] * num_layers, encode(source_ids)
    )
    attention = keras.Model(inputs, [weights for weights, *_ in kept], name=f"{name}_attention")

    # === Decoding: the source once, then the target with keys and values of what came before ===
    encoder = LogitsModel(source_ids, encode(source_ids), name=f"{name}_encoder")
    ids = keras.Input((None,), dtype="int32", name="step_ids")
    filled = keras.Input((), dtype="int32", name="filled")
    caches = [keras.Input(shape, name=f"{part}_{i}") for i in range(num_layers) for part in ("keys", "values")]
    given = [keras.Input(x.shape[1:], dtype=x.dtype, name=f"source_{i}") for i, x in enumerate(encoder.outputs)]
    place, after = slots(ids, filled)  # (B, t), (B,)
    slot = _counted(ops.cast(caches[0][:1, 0, :, 0], "int32"))[:, None]  # (1, 1, L + 1)
    where = CacheRows(name="cache_rows")(caches[0], place, ids)  # the same in every block
    memories = [(*caches[2 * i : 2 * i + 2], *where) for i in range(num_layers)]
    step_logits, step_hidden, kept = decode(ids, place, slot <= place[:, :, None], memories, given)
    new_caches = [cache for _, *both in kept for cache in both]
    step = LogitsModel([ids, filled, *caches, *given], [step_logits, after, *new_caches], name=f"{name}_step")

    def empty_state(batch_size, length):
        room = max_length if length is None else length
        empty = [ops.zeros((batch_size, shape[0], room + 1, shape[2])) for _ in caches]
        return [ops.zeros((batch_size,), "int32"), *empty]

    views = Seq2SeqViews(
        encoder, step, empty_state, attention_model=attention, hidden=hidden, step_hidden=step_hidden
    )
    return Seq2SeqLM(inputs, logits, views=views, name=name)


def _decoder_block(i, hidden_dim, num_heads, feed_forward_dim, options, seeds):
    """A block of the decoder, and the layer that gives it the source's keys and values."""
    first = seeds.next(DecoderBlock.num_seeds)
    name = f"decoder_block_{i}"
    block = DecoderBlock(hidden_dim, num_heads, feed_forward_dim, **options, seed=first, name=name)
    glorot = keras.initializers.GlorotUniform(None if first is None else first + DecoderBlock.source_seed)
    heads = MemoryHeads(num_heads, hidden_dim // num_heads, kernel_initializer=glorot, name=f"{name}_source")
    return block, heads


def _embeddings(source_vocab_size, target_vocab_size, hidden_dim, dropout, share, seeds):
    """Two functions, ids and positions [B, T] -> words times sqrt(E) plus waves [B, T, E], and x -> logits."""

    def start():
        return keras.initializers.RandomNormal(0.0, hidden_dim**-0.5, seed=seeds.next())

    if share:
        source = target = WordEmbedding(source_vocab_size, hidden_dim, True, start(), name="embedding")
    else:
        source = layers.Embedding(source_vocab_size, hidden_dim, start(), name="source_embedding")
        target = layers.Embedding(target_vocab_size, hidden_dim, start(), name="target_embedding")
        output = Logits(target_vocab_size, kernel_initializer=start(), name="logits")
    waves = Sinusoids(hidden_dim, name="sinusoids")

    def embedder(embedding, name):
        drop = layers.Dropout(dropout, seed=seeds.next(), name=name)
        return lambda ids, at: drop(embedding(ops.maximum(ids, 0)) * hidden_dim**0.5 + waves(at))

    to_logits = (lambda x: target(x, reverse=True)) if share else output
    return embedder(source, "source_dropout"), embedder(target, "target_dropout"), to_logits


def _check_width(hidden_dim, num_heads, unequal):
    check_sizes(num_heads=num_heads)
    if hidden_dim % num_heads or hidden_dim % 2:
        raise InputError(
            f"hidden_dim {hidden_dim} must be even, for the waves, and a multiple of num_heads {num_heads}"
        )
    if unequal:
        raise InputError("share_embeddings=True needs one vocabulary; leave target_vocab_size out")


def _positions(ids):
    """The number of tokens before each of ids [B, T]; negative ids are none."""
    return ops.maximum(ops.cumsum(ops.cast(ids >= 0, "int32"), axis=1) - 1, 0)


def _counted(x):
    """0, 1, 2 ... along the second axis of x int [B, T]."""
    return ops.cumsum(ops.ones_like(x), axis=1) - 1


def _same(x):
    return x


# === The blocks of the encoder-decoder transformer: residual sublayers with their norms ===


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
        norm = LayerNormalization(epsilon=1e-5, name=f"{name}_norm")
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
        # x (B, S, D); visible (B, 1, S): the tokens of the source, or the `Mask` of a pass
        mask, shape, x = mask_of(x, visible), tf.shape(x), tokens_as_rows(x)  # (B S, D)
        y = self.attention_norm(x) if self.pre_norm else x
        x += self.attention_dropout(self.attention(y, mask)[0], training=training)
        x = x if self.pre_norm else self.attention_norm(x)
        return tf.reshape(self._feed_forward(x, training), shape)  # (B, S, D)

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
    def call(self, x, visible, source_keys, source_values, source_visible, memory=None, training=None):
        # x (B, T, D); source_keys, source_values (B, H, S, D / H); which tokens each may look at: visible (B, T, L),
        # source_visible (B, 1, S); or the `Mask`s of a pass
        mask, source_mask = mask_of(x, visible), mask_of(x, source_visible)
        shape, x = tf.shape(x), tokens_as_rows(x)  # (B T, D)
        y = self.attention_norm(x) if self.pre_norm else x
        y, _, keys, values = self.attention(y, mask, memory=memory)
        x += self.attention_dropout(y, training=training)
        x = x if self.pre_norm else self.attention_norm(x)

        y = self.cross_attention_norm(x) if self.pre_norm else x
        y, weights = self.cross_attention(y, source_keys, source_values, source_mask)
        x += self.cross_attention_dropout(y, training=training)
        x = x if self.pre_norm else self.cross_attention_norm(x)
        x = tf.reshape(self._feed_forward(x, training), shape)
        return x, weights, keys, values  # (B, T, D), (B, H, T, S), (B, H, L, D / H) twice

    def compute_output_spec(self, x, visible, source_keys, source_values, source_visible, memory=None, training=None):
        x, weights, keys, values = self.attention.compute_output_spec(x, visible, memory=memory)
        weights = keras.KerasTensor((*weights.shape[:3], source_keys.shape[2]), weights.dtype)
        return x, weights, keys, values


def norm(name):
    return LayerNormalization(epsilon=1e-5, name=name)
