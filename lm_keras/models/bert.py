"""BERT (Devlin et al. 2019): a stack of transformer blocks in which every token sees the whole text."""

import itertools

import keras
from keras import layers

from lm_keras.errors import InputError
from lm_keras.layers.attention import SelfAttention
from lm_keras.layers.gelu import Gelu
from lm_keras.layers.output import WordEmbedding
from lm_keras.layers.positions import Positions, Within
from lm_keras.models.building import register_builder
from lm_keras.models.built import BuiltModel
from lm_keras.models.parts import check_sizes
from lm_keras.utils.checks import check_positive

# Released models, build_bert(**SIZES["bert-base"]): the paper's two, and the small ones of Turc et al. (2019).
SIZES = {
    "bert-tiny": {"hidden_dim": 128, "num_layers": 2, "num_heads": 2},  # 4.4 M parameters
    "bert-mini": {"hidden_dim": 256, "num_layers": 4, "num_heads": 4},  # 11.2 M
    "bert-small": {"hidden_dim": 512, "num_layers": 4, "num_heads": 8},  # 28.8 M
    "bert-medium": {"hidden_dim": 512, "num_layers": 8, "num_heads": 8},  # 41.4 M
    "bert-base": {"hidden_dim": 768, "num_layers": 12, "num_heads": 12},  # 109.5 M
    "bert-large": {"hidden_dim": 1024, "num_layers": 24, "num_heads": 16},  # 335.1 M
}


@register_builder
def build_bert(
    vocab_size=30522,
    *,
    max_length=512,
    hidden_dim=768,
    num_layers=12,
    num_heads=12,
    intermediate_dim=None,
    num_segments=2,
    dropout=0.1,
    norm_epsilon=1e-12,
    initializer_range=0.02,
    pooler=True,
    seed=None,
    name="bert",
):
    """BERT's encoder (document 003); every input int32 [B, T], T <= max_length.

    {"token_ids", "segment_ids", "padding_mask"} -> {"sequence_output" [B, T, D], "pooled_output" [B, D]}.
    padding_mask is 1 at a token and 0 at padding, which no token sees: it changes nothing.
    Tokens, learned positions and segments are added and normalised. A block is LayerNorm(x + Attention(x)), then
    LayerNorm(x + FeedForward(x)) with the exact GELU and `intermediate_dim` in between (None: four times the width).
    pooled_output, left out with `pooler=False`, is tanh(W h + b) of the first token, [CLS]. `dropout` acts on every
    sublayer and on attention weights. Starting weights N(0, initializer_range), cut at two deviations: the default is
    for 768 numbers, a width of 128 learns much sooner from 0.08. Raises InputError for impossible sizes.
    """
    arguments = {key: value for key, value in locals().items() if key != "name"}
    _check(arguments)

    # === Layers ===
    init = _Initial(arguments["initializer_range"], seed)
    tokens = WordEmbedding(vocab_size, hidden_dim, embeddings_initializer=init(), name="tokens")
    places = layers.Embedding(max_length, hidden_dim, embeddings_initializer=init(), name="positions")
    segments = layers.Embedding(num_segments, hidden_dim, embeddings_initializer=init(), name="segments")
    norm = layers.LayerNormalization(epsilon=norm_epsilon, name="embedding_norm")
    drop = layers.Dropout(dropout, seed=init.seed(), name="dropout")
    blocks = [_block(i, arguments, init) for i in range(num_layers)]

    # === Functional model ===
    names = ("token_ids", "segment_ids", "padding_mask")
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in names}
    positions = Positions(max_length, name="places")(inputs["token_ids"])  # (1, T)
    x = tokens(inputs["token_ids"]) + places(positions) + segments(inputs["segment_ids"])  # (B, T, D)
    x = Within(max_length, name="within")(drop(norm(x)))
    visible = inputs["padding_mask"][:, None] > 0  # (B, 1, T): every token looks at all that are no padding
    for block in blocks:
        x = block(x, visible)
    outputs = {"sequence_output": x}
    if pooler:
        pool = layers.Dense(hidden_dim, "tanh", kernel_initializer=init(), name="pooler")
        outputs["pooled_output"] = pool(x[:, 0])
    return BuiltModel(inputs, outputs, name=name)


def attention_maps(encoder, inputs):
    """What each token of `inputs`, as the encoder takes them, looks at: a list of one [B, H, T, T] a layer.

    encoder: a model of `build_bert`, else InputError. Row i of a map are the weights of token i's attention; their
    sum is 1.
    """
    found = [layer.output[1] for layer in encoder.layers if isinstance(layer, SelfAttention)]
    if not found:
        raise InputError(f"{encoder.name} has no self-attention; give an encoder of build_bert")
    maps = keras.Model(encoder.input, found)(inputs)
    return maps if isinstance(maps, list) else [maps]


def _block(i, arguments, init):
    """block(x [B, T, D], visible) -> x: document 003's two sublayers, each normalised after the sum."""
    hidden_dim, dropout = arguments["hidden_dim"], arguments["dropout"]
    attention = SelfAttention(
        arguments["num_heads"],
        hidden_dim // arguments["num_heads"],
        dropout=dropout,
        kernel_initializer=init(),
        output_initializer=init(),
        seed=init.seed(),
        name=f"attention_{i}",
    )
    width = arguments["intermediate_dim"] or 4 * hidden_dim
    expand, gelu = layers.Dense(width, kernel_initializer=init(), name=f"expand_{i}"), Gelu(name=f"gelu_{i}")
    contract = layers.Dense(hidden_dim, kernel_initializer=init(), name=f"contract_{i}")
    drops = [layers.Dropout(dropout, seed=init.seed(), name=f"{part}_dropout_{i}") for part in ("attention", "feed")]
    norms = [
        layers.LayerNormalization(epsilon=arguments["norm_epsilon"], name=f"{part}_norm_{i}")
        for part in ("attention", "feed_forward")
    ]

    def block(x, visible):
        x = norms[0](x + drops[0](attention(x, visible)[0]))
        return norms[1](x + drops[1](contract(gelu(expand(x)))))

    return block


class _Initial:
    """Each call: an initializer of its own seed, BERT's truncated normal."""

    def __init__(self, deviation, seed):
        self.deviation = deviation
        self._seeds = itertools.count(seed) if seed is not None else itertools.repeat(None)

    def __call__(self):
        return keras.initializers.TruncatedNormal(0.0, self.deviation, seed=self.seed())

    def seed(self):
        return next(self._seeds)


def _check(arguments):
    whole = ("vocab_size", "max_length", "hidden_dim", "num_layers", "num_heads", "num_segments")
    width = arguments["intermediate_dim"]
    sizes = {} if width is None else {"intermediate_dim": width}
    check_sizes(arguments["dropout"], **{name: arguments[name] for name in whole}, **sizes)
    if arguments["hidden_dim"] % arguments["num_heads"]:
        raise InputError(
            f"hidden_dim {arguments['hidden_dim']} must be a multiple of num_heads {arguments['num_heads']}; "
            "the heads share it"
        )
    check_positive(**{name: arguments[name] for name in ("norm_epsilon", "initializer_range")})
