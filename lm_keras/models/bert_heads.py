"""What BERT is trained with: masked words and next sentences."""

import itertools

import keras
from keras import layers, ops

from lm_keras.errors import InputError
from lm_keras.models.bert import build_bert
from lm_keras.models.building import recorded, register_builder
from lm_keras.models.built import BuiltModel


def bert_pretrainer(encoder, *, next_sentence=True, seed=None, name="bert_pretrainer"):
    """The encoder with the heads of its two tasks (Devlin et al. 2019, section 3.1; document 003).

    encoder: a model of `build_bert`, which is trained in place. Inputs: the encoder's, and "masked_positions" int32
    [B, M], the tokens to guess: those M alone go through the product with the vocabulary.
    Outputs: "masked_lm" logits [B, M, V]: dense, GELU, LayerNorm, then the token embedding read in reverse, and a
    bias; "next_sentence" logits [B, 2] of pooled_output, left out with `next_sentence=False`: class 0 is "B follows
    A", class 1 "it does not". The datasets of `data.masked_lm` and `data.sentence_pairs` fit it; compile it with
    `loss=pretraining_losses(model)`.
    """
    _check(encoder, next_sentence)
    if not next_sentence:
        encoder = _without_pooler(encoder)  # which nothing would train
    arguments = {"encoder": encoder.recipe.arguments, "next_sentence": next_sentence, "seed": seed}
    seeds = itertools.count(seed) if seed is not None else itertools.repeat(None)
    hidden_dim = encoder.recipe.arguments["hidden_dim"]

    # === Layers ===
    dense = layers.Dense(hidden_dim, "gelu", kernel_initializer=_normal(encoder, seeds), name="masked_lm_dense")
    norm = layers.LayerNormalization(epsilon=encoder.recipe.arguments["norm_epsilon"], name="masked_lm_norm")
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
def build_bert_pretrainer(encoder, *, next_sentence=True, seed=None, name="bert_pretrainer"):
    """What a saved pretrainer is built again with: `bert_pretrainer` of `build_bert(**encoder)`."""
    return bert_pretrainer(build_bert(**encoder), next_sentence=next_sentence, seed=seed, name=name)


def pretraining_losses(pretrainer):
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


def _check(encoder, next_sentence):
    recipe = getattr(encoder, "recipe", None)
    if recipe is None or recipe.builder != "build_bert":
        raise InputError(f"bert_pretrainer takes an encoder of build_bert, got {getattr(encoder, 'name', encoder)!r}")
    if next_sentence and not recipe.arguments["pooler"]:
        raise InputError("next sentences are told from pooled_output; build the encoder with pooler=True")
