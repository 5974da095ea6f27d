"""Layers that give logits, and remember of which product they are: the loss can then do both in one pass."""

import dataclasses

import keras
from keras import layers, ops


@dataclasses.dataclass(frozen=True)
class Factors:
    """logits = x W + b: x [..., D], table W [D, V], or [V, D] where its `rows` are the words; bias [V] or None."""

    x: object
    table: object
    bias: object = None
    rows: bool = False


def factors_of(logits):
    """The Factors of logits that one of these layers has just given, else None."""
    return getattr(logits, "_lm_keras_factors", None)


def _remember(logits, layer, x, table, bias=None, rows=False):
    """Only in a graph of TensorFlow: there the product itself falls away where nothing but the loss reads it."""
    if keras.backend.backend() == "tensorflow" and layer.quantization_mode is None and hasattr(logits, "graph"):
        x, table, bias = (w if w is None else ops.cast(w, logits.dtype) for w in (x, table, bias))
        logits._lm_keras_factors = Factors(x, table, bias, rows)
    return logits


@keras.saving.register_keras_serializable("lm_keras")
class Logits(layers.Dense):
    """`keras.layers.Dense` over the vocabulary: x [..., D] -> logits [..., V]."""

    def call(self, x, training=None):
        result = super().call(x, training=training)
        if self.activation is not keras.activations.linear:
            return result
        return _remember(result, self, x, self.kernel, self.bias)

    def quantize(self, mode=None, type_check=True, config=None):
        return super().quantize(mode, type_check=False, config=config)


@keras.saving.register_keras_serializable("lm_keras")
class WordEmbedding(layers.ReversibleEmbedding):
    """`keras.layers.ReversibleEmbedding`: ids -> vectors [..., D]; with `reverse`, x [..., D] -> logits [..., V]."""

    def call(self, inputs, reverse=False):
        result = super().call(inputs, reverse=reverse)
        if not reverse or self.logit_soft_cap is not None:
            return result
        table = self.embeddings if self.tie_weights else self.reverse_embeddings
        return _remember(result, self, inputs, table, None, self.tie_weights)

    def quantize(self, mode=None, type_check=True, config=None):
        return super().quantize(mode, type_check=False, config=config)
