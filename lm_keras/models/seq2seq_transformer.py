"""The encoder-decoder transformer of Vaswani et al. 2017 (document 003)."""

import itertools

import keras
from keras import layers, ops

from lm_keras.errors import InputError
from lm_keras.layers.cache import slots
from lm_keras.layers.output import Logits, WordEmbedding
from lm_keras.layers.sinusoids import Sinusoids
from lm_keras.models.building import register_builder
from lm_keras.models.logits_model import LogitsModel
from lm_keras.models.parts import check_sizes
from lm_keras.models.seq2seq import Seq2SeqLM, Seq2SeqViews, source_and_target
from lm_keras.models.transformer_blocks import norm, transformer_blocks


@register_builder
def build_seq2seq_transformer(
    source_vocab_size,
    target_vocab_size=None,
    *,
    max_length=512,
    hidden_dim=256,
    num_layers=3,
    num_heads=4,
    feed_forward_dim=None,
    dropout=0.0,
    pre_norm=False,
    share_embeddings=False,
    seed=None,
    name="seq2seq_transformer",
):
    """Encoder and decoder of num_layers blocks, {"source_ids", "target_ids"} -> logits [B, T, target_vocab_size].

    An encoder block is y = LayerNorm(x + SelfAttention(x)), z = LayerNorm(y + FeedForward(y)); document 003 adds
    the two, with x in both, where the second must take y. The decoder's has LayerNorm(y + CrossAttention(y,
    source)) in between. `pre_norm` normalizes before each sublayer, and once at the end (Xiong et al. 2020).
    `feed_forward_dim`: 4 hidden_dim, with ReLU. Positions are sinusoids, so a text may have any length;
    `max_length` is the room of `encode` for new tokens by default. `share_embeddings`: one matrix for source,
    target and output (section 3.4), which needs one vocabulary. Raises InputError for impossible sizes.
    """
    target_vocab_size = source_vocab_size if target_vocab_size is None else target_vocab_size
    feed_forward_dim = 4 * hidden_dim if feed_forward_dim is None else feed_forward_dim
    check_sizes(dropout, vocab_size=source_vocab_size, hidden_dim=hidden_dim, num_layers=num_layers)
    check_sizes(vocab_size=target_vocab_size, feed_forward_dim=feed_forward_dim, max_length=max_length)
    _check_width(hidden_dim, num_heads, share_embeddings and source_vocab_size != target_vocab_size)

    # === Layers ===
    seeds = itertools.count(seed) if seed is not None else itertools.repeat(None)
    sizes = (source_vocab_size, target_vocab_size, hidden_dim, dropout, share_embeddings, seeds)
    embed_source, embed_target, to_logits = _embeddings(*sizes)
    sizes = (hidden_dim, num_heads, feed_forward_dim, dropout, pre_norm, seeds)
    encoder_block, decoder_block = transformer_blocks(*sizes)
    encoder_blocks = [encoder_block(f"encoder_{i}") for i in range(num_layers)]
    decoder_blocks = [decoder_block(f"decoder_{i}") for i in range(num_layers)]
    encoder_norm, decoder_norm = (norm("encoder_norm"), norm("decoder_norm")) if pre_norm else (_same, _same)

    def encode(ids):
        valid = ids >= 0
        x = embed_source(ids, _positions(ids))  # (B, S, E)
        for block in encoder_blocks:
            x = block(x, valid[:, None])
        x = encoder_norm(x)
        return [ops.cast(valid, "int32"), *(part for read, _ in decoder_blocks for part in read(x, valid))]

    def decode(ids, positions, visible, caches, source):
        valid, *heads = source
        x, kept = embed_target(ids, positions), []  # (B, T, E)
        for i, (_, block) in enumerate(decoder_blocks):
            x, *seen = block(x, visible, caches[i], *heads[2 * i : 2 * i + 2], valid > 0)
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
    memories = [(*caches[2 * i : 2 * i + 2], place, ids) for i in range(num_layers)]
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


def _embeddings(source_vocab_size, target_vocab_size, hidden_dim, dropout, share, seeds):
    """Two functions, ids and positions [B, T] -> words times sqrt(E) plus waves [B, T, E], and x -> logits."""

    def start():
        return keras.initializers.RandomNormal(0.0, hidden_dim**-0.5, seed=next(seeds))

    if share:
        source = target = WordEmbedding(source_vocab_size, hidden_dim, True, start(), name="embedding")
    else:
        source = layers.Embedding(source_vocab_size, hidden_dim, start(), name="source_embedding")
        target = layers.Embedding(target_vocab_size, hidden_dim, start(), name="target_embedding")
        output = Logits(target_vocab_size, kernel_initializer=start(), name="logits")
    waves = Sinusoids(hidden_dim, name="sinusoids")

    def embedder(embedding, name):
        drop = layers.Dropout(dropout, seed=next(seeds), name=name)
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
