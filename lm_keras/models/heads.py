"""Task heads: what turns an encoder into a classifier, a tagger, an answer finder or a regression.

Each takes an encoder, a keras.Model of tokens -> {"sequence_output" [B, T, D], "pooled_output" [B, D]} (or the first
of the two, or the tensor [B, T, D] alone), and gives a functional keras.Model over inputs like the encoder's. What
is padding says the encoder's input "padding_mask", or Keras' own mask (`Embedding(mask_zero=True)`). The
encoder is one layer of it and is trained in place: `encoder.trainable = False` before `compile` freezes it. The heads
that read tokens leave a pooler without gradients, of which Keras warns; `build_bert(..., pooler=False)` has none.
"""

import itertools
from collections.abc import Sequence
from typing import Literal

import keras
import numpy as np
from keras import layers

from lm_keras.errors import InputError
from lm_keras.layers.dense import Dense
from lm_keras.layers.padding import HidePadding, TokenPooling
from lm_keras.models.base import BuiltModel, LogitsModel, is_graph
from lm_keras.models.building import check_sizes
from lm_keras.models.causal_lm import CausalLM
from lm_keras.models.seq2seq import Seq2SeqLM
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.utils.checks import MAX_INT32, check_choice, check_whole

POOLINGS = (None, "first", "mean")


def sequence_classifier(
    encoder: keras.Model,
    num_classes: int,
    *,
    dropout: float = 0.1,
    pooling: Literal["first", "mean"] | None = None,
    seed: int | None = None,
    name: str = "sequence_classifier",
) -> LogitsModel:
    """A class for each text: dropout and a dense layer over one vector a text (Devlin et al. 2019, section 4.1).

    Labels are int [B]; the loss is `SparseCategoricalCrossentropy(from_logits=True)`, the default of `fit`.

    Args:
        encoder: A functional `keras.Model` of tokens, as `build_bert` gives; it is trained in place.
        num_classes: Number of classes C, at least 2.
        dropout: Share of the vector's numbers that are dropped in training.
        pooling: How a text becomes one vector [B, D]: None takes the encoder's pooled_output where it has one, else
            "first", the vector of the first token that is no padding (document 003's classifier); "mean" is that of
            all tokens that are no padding.
        seed: Seed of the starting weights and of dropout.
        name: Name of the model.

    Returns:
        A `keras.Model` over the encoder's inputs -> logits [B, C].

    Raises:
        InputError: For what is no such encoder, and for impossible options.
    """
    check_whole("num_classes", num_classes, 2, MAX_INT32)
    parts = _Encoded(encoder, dropout, seed)
    return LogitsModel(parts.inputs, parts.dense(num_classes, "logits")(parts.drop(parts.pooled(pooling))), name=name)


def token_classifier(
    encoder: keras.Model,
    num_classes: int,
    *,
    dropout: float = 0.1,
    seed: int | None = None,
    name: str = "token_classifier",
) -> LogitsModel:
    """A class for each token (Devlin et al. 2019, section 5.3).

    Labels are int [B, T]; negative ones (padding, marks) do not count.

    Args:
        encoder: A functional `keras.Model` of tokens, as `build_bert` gives; it is trained in place.
        num_classes: Number of classes C, at least 2.
        dropout: Share of the vectors' numbers that are dropped in training.
        seed: Seed of the starting weights and of dropout.
        name: Name of the model.

    Returns:
        A `keras.Model` over the encoder's inputs -> logits [B, T, C].

    Raises:
        InputError: For what is no such encoder, and for impossible options.
    """
    check_whole("num_classes", num_classes, 2, MAX_INT32)
    parts = _Encoded(encoder, dropout, seed)
    return LogitsModel(parts.inputs, parts.dense(num_classes, "token_logits")(parts.drop(parts.sequence)), name=name)


def relation_classifier(
    encoder: keras.Model,
    num_classes: int,
    *,
    dropout: float = 0.1,
    seed: int | None = None,
    name: str = "relation_classifier",
) -> LogitsModel:
    """A class for two spans of a text (R-BERT, Wu & He 2019).

    The mean vector of each span, and of all tokens, each through a tanh layer (the spans share one), stand side by
    side under a dense layer. Labels are int [B].

    Args:
        encoder: A functional `keras.Model` of tokens, as `build_bert` gives; it is trained in place.
        num_classes: Number of classes C, at least 2.
        dropout: Share of the vectors' numbers that are dropped in training.
        seed: Seed of the starting weights and of dropout.
        name: Name of the model.

    Returns:
        A `keras.Model` over the encoder's inputs, by name, and {"first", "second"}, int32 [B, T] with 1 at the tokens
        of that span -> logits [B, C].

    Raises:
        InputError: For what is no such encoder, and for impossible options.
    """
    check_whole("num_classes", num_classes, 2, MAX_INT32)
    parts = _Encoded(encoder, dropout, seed)
    spans = {key: keras.Input((None,), dtype="int32", name=key) for key in ("first", "second")}
    inputs = {x.name: x for x in keras.tree.flatten(parts.inputs)}
    inputs = (parts.inputs if isinstance(parts.inputs, dict) else inputs) | spans
    width = parts.sequence.shape[-1]
    of_text, of_span = (parts.dense(width, key, "tanh") for key in ("text", "span"))
    vectors = [TokenPooling("mean", name=f"{key}_mean")(parts.sequence, valid=spans[key]) for key in spans]
    vectors = [of_text(parts.drop(parts.pooled("mean"))), *(of_span(parts.drop(vector)) for vector in vectors)]
    logits = parts.dense(num_classes, "logits")(parts.drop(keras.ops.concatenate(vectors, axis=-1)))
    return LogitsModel(inputs, logits, name=name)


def answer_span(
    encoder: keras.Model,
    *,
    dropout: float = 0.0,
    seed: int | None = None,
    name: str = "answer_span",
) -> LogitsModel:
    """Where an answer starts and ends in a text (Devlin et al. 2019, section 4.2).

    Labels are {"start", "end"}, int [B] positions of tokens; the loss is the sum of both cross-entropies.

    Args:
        encoder: A functional `keras.Model` of tokens, as `build_bert` gives; it is trained in place.
        dropout: Share of the vectors' numbers that are dropped in training.
        seed: Seed of the starting weights and of dropout.
        name: Name of the model.

    Returns:
        A `keras.Model` over the encoder's inputs -> {"start", "end"}, logits [B, T] over the tokens; those of
        padding are never the largest.

    Raises:
        InputError: For what is no such encoder, and for impossible options.
    """
    parts = _Encoded(encoder, dropout, seed)
    logits = parts.dense(2, "span")(parts.drop(parts.sequence))  # (B, T, 2)
    logits = HidePadding(name="hide_padding")(logits, valid=parts.valid)
    return LogitsModel(parts.inputs, {"start": logits[..., 0], "end": logits[..., 1]}, name=name)


def regressor(
    encoder: keras.Model,
    *,
    dropout: float = 0.1,
    pooling: Literal["first", "mean"] | None = None,
    seed: int | None = None,
    name: str = "regressor",
) -> LogitsModel:
    """A number for each text, such as a similarity (Devlin et al. 2019, section 4.1).

    Labels are float [B]; the loss is the mean squared error.

    Args:
        encoder: A functional `keras.Model` of tokens, as `build_bert` gives; it is trained in place.
        dropout: Share of the vector's numbers that are dropped in training.
        pooling: How a text becomes one vector [B, D]: None takes the encoder's pooled_output where it has one, else
            "first", the vector of the first token that is no padding (document 003's classifier); "mean" is that of
            all tokens that are no padding.
        seed: Seed of the starting weights and of dropout.
        name: Name of the model.

    Returns:
        A `keras.Model` over the encoder's inputs -> values [B].

    Raises:
        InputError: For what is no such encoder, and for impossible options.
    """
    parts = _Encoded(encoder, dropout, seed)
    value = parts.dense(1, "value")(parts.drop(parts.pooled(pooling)))  # (B, 1)
    return LogitsModel(parts.inputs, value[:, 0], name=name)


class _Encoded:
    """New inputs, the encoder's outputs for them, and the layers that the heads put on top."""

    def __init__(self, encoder, dropout, seed):
        check_sizes(dropout)
        if not isinstance(encoder, keras.Model) or not is_graph(encoder):
            raise InputError(f"a head goes on an encoder, a functional keras.Model, got {type(encoder).__name__}")
        if isinstance(encoder, (CausalLM, Seq2SeqLM)):
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

    def dense(self, size, name, activation=None):
        start = keras.initializers.TruncatedNormal(0.0, 0.02, seed=next(self._seeds))  # as BERT's own layers
        return Dense(size, activation=activation, kernel_initializer=start, name=name)

    def pooled(self, pooling):
        """One vector a text, [B, D]."""
        check_choice("pooling", pooling, POOLINGS)
        if pooling is None and self._pooled is not None:
            return self._pooled
        return TokenPooling(pooling or "first", name="pooling")(self.sequence, valid=self.valid)


# === One vector for a whole text, from a BERT encoder ===


def sentence_embeddings(
    encoder: BuiltModel,
    texts: Sequence[str],
    *,
    tokenizer: Tokenizer | None = None,
    max_length: int | None = None,
    batch_size: int = 32,
) -> np.ndarray:
    """One vector a text: the mean over its tokens, [CLS] and [SEP] too (Reimers & Gurevych 2019, section 3).

    The scalar product of two is their cosine.

    Args:
        encoder: A model of `build_bert`, trained for this.
        texts: The texts.
        tokenizer: A tokenizer that encodes pairs, such as `WordPieceTokenizer`; None: the encoder's.
        max_length: Number of tokens after which a text is cut; None: what its checkpoint says, else the encoder's.
        batch_size: Number of texts that are read at once.

    Returns:
        Float32 [N, D], each row of length 1.

    Raises:
        InputError: Without a tokenizer, and for one text in the place of a list.
    """
    if isinstance(texts, str):
        raise InputError(f"texts is one str, {texts[:40]!r}; give a list of them")
    if not isinstance(encoder, BuiltModel) or encoder.recipe is None or encoder.recipe.builder != "build_bert":
        raise InputError(f"sentence_embeddings takes an encoder of build_bert, got {type(encoder).__name__}")
    tokenizer = tokenizer or encoder.tokenizer
    if tokenizer is None:
        raise InputError("the encoder has no tokenizer; give one: sentence_embeddings(..., tokenizer=...)")
    arguments = encoder.recipe.arguments
    length = max_length or encoder.text_length or arguments["max_length"]
    rows = [tokenizer.encode_pair(text, max_length=length)[0] for text in texts]
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
