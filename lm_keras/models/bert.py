"""BERT (Devlin et al. 2019): a stack of transformer blocks in which every token sees the whole text."""

import itertools

import keras
import tensorflow as tf
from keras import layers, ops

from lm_keras.errors import InputError
from lm_keras.layers.activations import Gelu
from lm_keras.layers.attention import AttentionMask, SelfAttention, mask_of, tokens_as_rows
from lm_keras.layers.blocks import Dropout, Seeds, TransformerBlock, recomputable
from lm_keras.layers.dense import Dense
from lm_keras.layers.fused_loss import WordEmbedding
from lm_keras.layers.normalization import LayerNormalization
from lm_keras.layers.positions import Positions, Within
from lm_keras.models.base import BuiltModel
from lm_keras.models.building import check_sizes, recorded, register_builder
from lm_keras.models.renamed import current_arguments
from lm_keras.utils.checks import check_positive

INPUTS = ("token_ids", "segment_ids", "padding_mask")
# Released models, build_bert(**SIZES["bert-base"]): the paper's two, and the small ones of Turc et al. (2019).
SIZES = {
    "bert-tiny": {"hidden_dim": 128, "num_layers": 2, "num_heads": 2},  # 4.4 M parameters
    "bert-mini": {"hidden_dim": 256, "num_layers": 4, "num_heads": 4},  # 11.2 M
    "bert-small": {"hidden_dim": 512, "num_layers": 4, "num_heads": 8},  # 28.8 M
    "bert-medium": {"hidden_dim": 512, "num_layers": 8, "num_heads": 8},  # 41.4 M
    "bert-base": {"hidden_dim": 768, "num_layers": 12, "num_heads": 12},  # 109.5 M
    "bert-large": {"hidden_dim": 1024, "num_layers": 24, "num_heads": 16},  # 335.1 M
}


@keras.saving.register_keras_serializable("lm_keras")
class BertBlock(TransformerBlock):
    """LayerNorm(x + Attention(x)), then LayerNorm(x + FeedForward(x)) with the exact GELU in between (document 003).

    Args:
        hidden_dim: D, the width of what enters and leaves.
        num_heads: the heads of the attention, which share the width.
        feed_forward_dim: F, the width between the two dense layers.
        dropout: the rate after both sublayers and of the attention's weights.
        norm_epsilon: of both norms.
        initializer_range: the standard deviation of the starting weights, cut at two of them.
        seed: the first of seven seeds.
    """

    num_seeds = 7

    def __init__(
        self,
        hidden_dim: int,
        num_heads: int,
        feed_forward_dim: int,
        *,
        dropout: float = 0.1,
        norm_epsilon: float = 1e-12,
        initializer_range: float = 0.02,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.options = {
            "hidden_dim": hidden_dim,
            "num_heads": num_heads,
            "feed_forward_dim": feed_forward_dim,
            "dropout": dropout,
            "norm_epsilon": norm_epsilon,
            "initializer_range": initializer_range,
            "seed": seed,
        }
        seeds = Seeds(seed)

        def normal():
            return keras.initializers.TruncatedNormal(0.0, initializer_range, seed=seeds.next())

        self.attention = SelfAttention(
            num_heads,
            hidden_dim // num_heads,
            dropout=dropout,
            kernel_initializer=normal(),
            output_initializer=normal(),
            seed=seeds.next(),
            name="attention",
        )
        expand, contract = normal(), normal()
        self.attention_dropout = Dropout(dropout, seed=seeds.next(), name="attention_dropout")
        self.attention_norm = LayerNormalization(epsilon=norm_epsilon, name="attention_norm")
        self.expand = layers.Dense(feed_forward_dim, kernel_initializer=expand, name="expand")
        self.gelu = Gelu(name="gelu")
        self.contract = layers.Dense(hidden_dim, kernel_initializer=contract, name="contract")
        self.feed_forward_dropout = Dropout(dropout, seed=seeds.next(), name="feed_forward_dropout")
        self.feed_forward_norm = LayerNormalization(epsilon=norm_epsilon, name="feed_forward_norm")

    def build(self, x_shape):
        for layer in (self.attention, self.attention_norm, self.expand, self.feed_forward_norm):
            layer.build(x_shape)
        for layer in (self.gelu, self.contract):
            layer.build((*x_shape[:-1], self.options["feed_forward_dim"]))

    @recomputable
    def call(self, x, visible, training=None):
        # x (B, T, D); visible (B, 1, T): the tokens that are no padding, or the `Mask` of a pass
        mask, shape, x = mask_of(x, visible), tf.shape(x), tokens_as_rows(x)  # (B T, D)
        y, weights, *_ = self.attention(x, mask, training=training)
        x = self.attention_norm(x + self.attention_dropout(y, training=training))
        y = self.contract(self.gelu(self.expand(x), training=training))  # (B T, F) -> (B T, D)
        x = self.feed_forward_norm(x + self.feed_forward_dropout(y, training=training))
        return tf.reshape(x, shape), weights  # (B, T, D), (B, H, T, T)

    def compute_output_spec(self, x, visible, training=None):
        return self.attention.compute_output_spec(x, visible)[:2]

    def get_config(self):
        return {**super().get_config(), **self.options}


@register_builder
def build_bert(
    vocab_size: int = 30522,
    *,
    max_length: int = 512,
    hidden_dim: int = 768,
    num_layers: int = 12,
    num_heads: int = 12,
    feed_forward_dim: int | None = None,
    num_segments: int = 2,
    dropout: float = 0.1,
    norm_epsilon: float = 1e-12,
    initializer_range: float = 0.02,
    pooler: bool = True,
    seed: int | None = None,
    name: str = "bert",
) -> BuiltModel:
    """BERT's encoder (document 003): the sum of words, positions and segments, normalized, then blocks.

    The blocks are the layers block_0, block_1, ...; `SIZES` has the sizes of released models.

    Args:
        vocab_size: Number of words V.
        max_length: The most tokens of a text, each of whose positions has a vector.
        hidden_dim: Width D of the vectors between the blocks.
        num_layers: Number of blocks.
        num_heads: Heads of each attention, which share the width.
        feed_forward_dim: Width between the two dense layers of a block; None: 4 hidden_dim.
        num_segments: Number of segments, the texts of a pair.
        dropout: Share of the values that are dropped in training: of the first vectors, of what each sublayer adds,
            and of the weights of attention.
        norm_epsilon: What each norm adds to the variance.
        initializer_range: Standard deviation of the starting weights, cut at two of them. The default is for 768
            numbers; a width of 128 learns much sooner from 0.08.
        pooler: False leaves out pooled_output.
        seed: Seed of the starting weights and of dropout.
        name: Name of the model.

    Returns:
        A functional model of a dict, "token_ids", "segment_ids" and "padding_mask" int32 [B, T], T <= max_length, to
        a dict, "sequence_output" [B, T, D] and "pooled_output" [B, D]: tanh(W h + b) of the first token, [CLS].
        padding_mask is 1 at a token and 0 at padding, which no token sees: it changes nothing.

    Raises:
        InputError: For impossible sizes.
    """
    feed_forward_dim = 4 * hidden_dim if feed_forward_dim is None else feed_forward_dim
    sizes = {"vocab_size": vocab_size, "max_length": max_length, "hidden_dim": hidden_dim, "num_layers": num_layers}
    sizes |= {"num_heads": num_heads, "num_segments": num_segments, "feed_forward_dim": feed_forward_dim}
    _check_numbers(dropout, norm_epsilon, initializer_range, sizes)

    # === Layers ===
    seeds = Seeds(seed)

    def normal():
        return keras.initializers.TruncatedNormal(0.0, initializer_range, seed=seeds.next())

    tokens = WordEmbedding(vocab_size, hidden_dim, embeddings_initializer=normal(), name="tokens")
    places = layers.Embedding(max_length, hidden_dim, embeddings_initializer=normal(), name="positions")
    segments = layers.Embedding(num_segments, hidden_dim, embeddings_initializer=normal(), name="segments")
    norm = LayerNormalization(epsilon=norm_epsilon, name="embedding_norm")
    drop = layers.Dropout(dropout, seed=seeds.next(), name="dropout")
    blocks = [
        BertBlock(
            hidden_dim,
            num_heads,
            feed_forward_dim,
            dropout=dropout,
            norm_epsilon=norm_epsilon,
            initializer_range=initializer_range,
            seed=seeds.next(BertBlock.num_seeds),
            name=f"block_{i}",
        )
        for i in range(num_layers)
    ]

    # === Functional model ===
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in INPUTS}
    positions = Positions(max_length, name="places")(inputs["token_ids"])  # (1, T)
    x = tokens(inputs["token_ids"]) + places(positions) + segments(inputs["segment_ids"])  # (B, T, D)
    x = Within(max_length, name="within")(drop(norm(x)))
    mask = AttentionMask(name="mask")(inputs["token_ids"], inputs["padding_mask"][:, None] > 0)  # all see all tokens
    for block in blocks:
        x, _ = block(x, mask)
    outputs = {"sequence_output": x}
    if pooler:
        pool = layers.Dense(hidden_dim, "tanh", kernel_initializer=normal(), name="pooler")
        outputs["pooled_output"] = pool(x[:, 0])
    return BuiltModel(inputs, outputs, name=name)


def _check_numbers(dropout, norm_epsilon, initializer_range, sizes):
    check_sizes(dropout, **sizes)
    check_positive(norm_epsilon=norm_epsilon, initializer_range=initializer_range)
    width, heads = sizes["hidden_dim"], sizes["num_heads"]
    if width % heads:
        raise InputError(f"hidden_dim {width} must be a multiple of num_heads {heads}; the heads share it")


def attention_maps(encoder: BuiltModel, inputs: dict) -> list:
    """What each token of `inputs`, as the encoder takes them, looks at: a list of one [B, H, T, T] a layer.

    encoder: a model of `build_bert`, else InputError. Row i of a map are the weights of token i's attention; their
    sum is 1.
    """
    found = [layer.output[1] for layer in encoder.layers if isinstance(layer, BertBlock)]
    if not found:
        raise InputError(f"{encoder.name} has no self-attention; give an encoder of build_bert")
    maps = keras.Model(encoder.input, found)(inputs)
    return maps if isinstance(maps, list) else [maps]


# === What BERT is trained with: masked words and next sentences ===


def bert_pretrainer(
    encoder: BuiltModel, *, next_sentence: bool = True, seed: int | None = None, name: str = "bert_pretrainer"
) -> BuiltModel:
    """The encoder with the heads of its two tasks (Devlin et al. 2019, section 3.1; document 003).

    The datasets of `data.masked_lm` and `data.sentence_pairs` fit it; compile it with
    `loss=pretraining_losses(model)`.

    Args:
        encoder: A model of `build_bert`, which is trained in place.
        next_sentence: False leaves out the second task, and the encoder's pooler with it.
        seed: Seed of the heads' starting weights.
        name: Name of the model.

    Returns:
        A functional model. Its inputs are the encoder's, and "masked_positions" int32 [B, M], the tokens to guess:
        those M alone go through the product with the vocabulary. Its outputs are "masked_lm", logits [B, M, V]:
        dense, GELU, LayerNorm, then the token embedding read in reverse, and a bias; and "next_sentence", logits
        [B, 2] of pooled_output: class 0 is "B follows A", class 1 "it does not".

    Raises:
        InputError: For another encoder, and for next sentences without pooler.
    """
    _check_encoder(encoder, next_sentence)
    if not next_sentence:
        encoder = _without_pooler(encoder)  # which nothing would train
    arguments = {"encoder": encoder.recipe.arguments, "next_sentence": next_sentence, "seed": seed}
    seeds = itertools.count(seed) if seed is not None else itertools.repeat(None)
    hidden_dim = encoder.recipe.arguments["hidden_dim"]

    # === Layers ===
    dense = Dense(hidden_dim, "gelu", kernel_initializer=_normal(encoder, seeds), name="masked_lm_dense")
    norm = LayerNormalization(epsilon=encoder.recipe.arguments["norm_epsilon"], name="masked_lm_norm")
    tokens, bias = encoder.get_layer("tokens"), Bias(name="masked_lm_bias")

    # === Functional model ===
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in encoder.input}
    places = keras.Input((None,), dtype="int32", name="masked_positions")
    encoded = encoder(inputs)
    x = ops.take_along_axis(encoded["sequence_output"], places[..., None], axis=1)  # (B, M, D)
    outputs = {"masked_lm": bias(tokens(norm(dense(x)), reverse=True))}  # (B, M, V)
    if next_sentence:
        follows = layers.Dense(2, kernel_initializer=_normal(encoder, seeds), name="next_sentence")
        outputs["next_sentence"] = follows(encoded["pooled_output"])
    inputs = {**inputs, "masked_positions": places}
    return recorded(BuiltModel(inputs, outputs, name=name), "build_bert_pretrainer", arguments)


@register_builder
def build_bert_pretrainer(
    encoder: dict, *, next_sentence: bool = True, seed: int | None = None, name: str = "bert_pretrainer"
) -> BuiltModel:
    """What a saved pretrainer is built again with: `bert_pretrainer` of `build_bert(**encoder)`.

    Args:
        encoder: The arguments of `build_bert`.
        next_sentence: As of `bert_pretrainer`.
        seed: As of `bert_pretrainer`.
        name: Name of the model.

    Returns:
        A model of `bert_pretrainer`.

    Raises:
        InputError: For arguments that `build_bert` does not take.
    """
    return bert_pretrainer(
        build_bert(**current_arguments("build_bert", encoder)), next_sentence=next_sentence, seed=seed, name=name
    )


def pretraining_losses(pretrainer: BuiltModel) -> dict[str, keras.losses.Loss]:
    """{output: mean cross-entropy of its logits}, in nats a guess; slots of weight 0 do not count."""
    return {
        name: keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight")
        for name in pretrainer.output
    }


@keras.saving.register_keras_serializable("lm_keras")
class Bias(layers.Layer):
    """x [..., V] + b [V]."""

    def build(self, shape):
        self.bias = self.add_weight((shape[-1],), initializer="zeros", name="bias")

    def call(self, x):
        return x + self.bias


def _without_pooler(encoder):
    """The same layers up to sequence_output."""
    arguments = {**encoder.recipe.arguments, "pooler": False}
    outputs = {"sequence_output": encoder.output["sequence_output"]}
    return recorded(BuiltModel(encoder.input, outputs, name=encoder.name), "build_bert", arguments)


def _normal(encoder, seeds):
    deviation = encoder.recipe.arguments["initializer_range"]
    return keras.initializers.TruncatedNormal(0.0, deviation, seed=next(seeds))


def _check_encoder(encoder, next_sentence):
    recipe = getattr(encoder, "recipe", None)
    if recipe is None or recipe.builder != "build_bert":
        raise InputError(f"bert_pretrainer takes an encoder of build_bert, got {getattr(encoder, 'name', encoder)!r}")
    if next_sentence and not recipe.arguments["pooler"]:
        raise InputError("next sentences are told from pooled_output; build the encoder with pooler=True")
