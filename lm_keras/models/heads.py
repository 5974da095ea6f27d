"""Task heads: what turns an encoder into a classifier, a tagger, an answer finder or a regression.

Each takes an encoder, a keras.Model of tokens -> {"sequence_output" [B, T, D], "pooled_output" [B, D]} (or the first
of the two, or the tensor [B, T, D] alone), and gives a functional keras.Model over inputs like the encoder's. What
is padding says the encoder's input "padding_mask", or Keras' own mask (`Embedding(mask_zero=True)`). The
encoder is one layer of it and is trained in place: `encoder.trainable = False` before `compile` freezes it. The heads
that read tokens leave a pooler without gradients, of which Keras warns; `build_bert(..., pooler=False)` has none.
"""

import itertools

import keras
import numpy as np
from keras import layers

from lm_keras.errors import InputError
from lm_keras.layers.padding import HidePadding, TokenPooling
from lm_keras.models.base import LogitsModel
from lm_keras.models.building import check_sizes

POOLINGS = (None, "first", "mean")


def sequence_classifier(encoder, num_classes, *, dropout=0.1, pooling=None, seed=None, name="sequence_classifier"):
    """A class for each text: logits [B, C].

    `pooling`, one vector a text: None is the encoder's pooled_output where it has one, else "first", the vector of
    the first token that is no padding (document 003's classifier); "mean" of all tokens that are no padding. Then
    dropout and a dense layer. Labels int [B], loss `SparseCategoricalCrossentropy(from_logits=True)`, the default of
    `fit`.
    """
    _check_classes(num_classes)
    parts = _Encoded(encoder, dropout, seed)
    return LogitsModel(parts.inputs, parts.dense(num_classes, "logits")(parts.drop(parts.pooled(pooling))), name=name)


def token_classifier(encoder, num_classes, *, dropout=0.1, seed=None, name="token_classifier"):
    """A class for each token: logits [B, T, C]. Labels int [B, T]; negative ones (padding, marks) do not count."""
    _check_classes(num_classes)
    parts = _Encoded(encoder, dropout, seed)
    return LogitsModel(parts.inputs, parts.dense(num_classes, "token_logits")(parts.drop(parts.sequence)), name=name)


def answer_span(encoder, *, dropout=0.0, seed=None, name="answer_span"):
    """Where an answer starts and ends: {"start", "end"}, logits [B, T] over the tokens; padding is never chosen.

    Labels {"start", "end"}: int [B] places (Devlin et al. 2019, section 4.2). The loss is the sum of both
    cross-entropies.
    """
    parts = _Encoded(encoder, dropout, seed)
    logits = parts.dense(2, "span")(parts.drop(parts.sequence))  # (B, T, 2)
    logits = HidePadding(name="hide_padding")(logits, valid=parts.valid)
    return LogitsModel(parts.inputs, {"start": logits[..., 0], "end": logits[..., 1]}, name=name)


def regressor(encoder, *, dropout=0.1, pooling=None, seed=None, name="regressor"):
    """A number for each text, [B]; labels float [B], mean squared error. `pooling`: see `sequence_classifier`."""
    parts = _Encoded(encoder, dropout, seed)
    value = parts.dense(1, "value")(parts.drop(parts.pooled(pooling)))  # (B, 1)
    return LogitsModel(parts.inputs, value[:, 0], name=name)


class _Encoded:
    """New inputs, the encoder's outputs for them, and the layers that the heads put on top."""

    def __init__(self, encoder, dropout, seed):
        check_sizes(dropout)
        if not isinstance(encoder, keras.Model) or not hasattr(encoder, "input"):
            raise InputError(f"a head goes on an encoder, a functional keras.Model, got {type(encoder).__name__}")
        if hasattr(encoder, "step"):
            raise InputError(
                f"{encoder.name} is a language model: it gives logits of words, a head goes on vectors of tokens, "
                "as of build_bert"
            )
        # Inputs of its own, so that the encoder is one layer of the new model.
        self.inputs = keras.tree.map_structure(
            lambda x: keras.Input(x.shape[1:], dtype=x.dtype, name=x.name), encoder.input
        )
        outputs = encoder(self.inputs)
        outputs = outputs if isinstance(outputs, dict) else {"sequence_output": outputs}
        self.sequence, self._pooled = outputs.get("sequence_output"), outputs.get("pooled_output")
        if self.sequence is None or len(self.sequence.shape) != 3:
            raise InputError(f"encoder {encoder.name} has no sequence_output [B, T, D]; give one as of build_bert")
        named = {x.name: x for x in keras.tree.flatten(self.inputs)}
        named |= self.inputs if isinstance(self.inputs, dict) else {}
        self.valid = named.get("padding_mask")
        self._seeds = itertools.count(seed) if seed is not None else itertools.repeat(None)
        self.drop = layers.Dropout(dropout, seed=next(self._seeds), name="head_dropout")

    def dense(self, size, name):
        start = keras.initializers.TruncatedNormal(0.0, 0.02, seed=next(self._seeds))  # as BERT's own layers
        return layers.Dense(size, kernel_initializer=start, name=name)

    def pooled(self, pooling):
        """One vector a text, [B, D]."""
        if pooling not in POOLINGS:
            raise InputError(f'pooling is {pooling!r}; it must be None, "first" or "mean"')
        if pooling is None and self._pooled is not None:
            return self._pooled
        return TokenPooling(pooling or "first", name="pooling")(self.sequence, valid=self.valid)


def _check_classes(num_classes):
    if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 2:
        raise InputError(f"num_classes is {num_classes!r}; it must be a whole number of at least 2")


# === One vector for a whole text, from a BERT encoder ===


def sentence_embeddings(encoder, texts, *, tokenizer=None, max_length=None, batch_size=32):
    """Float32 [N, D], each of length 1: the mean of the encoder's vectors over a text's tokens, [CLS] and [SEP] too.

    Sentence-BERT's pooling (Reimers & Gurevych 2019, section 3); the scalar product of two is their cosine.
    `encoder`: a model of `build_bert`, trained for this; `tokenizer`: a WordPieceTokenizer, None: the encoder's.
    A text is cut after `max_length` tokens; None: the encoder's. Raises InputError without tokenizer.
    """
    if isinstance(texts, str):
        raise InputError(f"texts is one str, {texts[:40]!r}; give a list of them")
    tokenizer = tokenizer or getattr(encoder, "tokenizer", None)
    if tokenizer is None:
        raise InputError("the encoder has no tokenizer; give one: sentence_embeddings(..., tokenizer=...)")
    arguments = encoder.recipe.arguments
    rows = [tokenizer.encode_pair(text, max_length=max_length or arguments["max_length"])[0] for text in texts]
    vectors = np.zeros((len(rows), arguments["hidden_dim"]), "float32")
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))  # texts of one length together: little padding
    for start in range(0, len(rows), batch_size):
        chosen = order[start : start + batch_size]
        ids = np.full((len(chosen), len(rows[chosen[-1]])), -1, "int32")
        for place, i in enumerate(chosen):
            ids[place, : len(rows[i])] = rows[i]
        mask = ids >= 0
        inputs = {
            "token_ids": np.maximum(ids, 0),
            "segment_ids": np.zeros_like(ids),
            "padding_mask": mask.astype("int32"),
        }
        states = np.asarray(encoder(inputs)["sequence_output"], "float32")
        vectors[chosen] = (states * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
