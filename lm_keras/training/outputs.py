"""What a model says of itself: its outputs, the ids it knows, whether it gives logits. For any `keras.Model`."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.models.built import BuiltModel
from lm_keras.models.causal_lm import CausalLM
from lm_keras.utils.keras_internals import flatten_layers


def is_graph(model: keras.Model) -> bool:
    """Whether the model is a graph of layers (functional, or a `Sequential` that is built)."""
    if not isinstance(model, keras.Sequential):
        return isinstance(model, keras.Function)
    try:
        return bool(model.outputs)
    except AttributeError:  # what Keras raises for one without a known input
        return False


def outputs_of(model: keras.Model, x_spec=None):
    """The model's outputs as `KerasTensor`s, in their structure.

    A model that is no graph of layers yet, an unbuilt `Sequential` or a subclass, is called on symbolic inputs, which
    also makes its weights.

    Args:
        model: Any `keras.Model`.
        x_spec: The `tf.TensorSpec`s of a batch of inputs; models that are graphs need none.

    Returns:
        A `KerasTensor`, or a dict, list or tuple of them.

    Raises:
        InputError: For inputs of unknown rank, on which a model that is no graph cannot be called.
    """
    if isinstance(model, keras.Function):
        return model.output
    if is_graph(model):
        return model.outputs[0]
    if any(spec.shape.rank is None for spec in tf.nest.flatten(x_spec)):
        raise InputError(
            f"{model.name} is not built and the shape of x is not known; call it on a batch of x first, or give "
            "from_generator an output_signature, such as tf.TensorSpec([None, None], tf.int32) for ids"
        )
    return model(tf.nest.map_structure(lambda spec: keras.KerasTensor(spec.shape, dtype=spec.dtype.name), x_spec))


@dataclasses.dataclass(frozen=True)
class Limits:
    """What an input of whole numbers may hold: numbers from `low` (None: any) below `high`, `longest` to a row.

    `words`: they are ids of a vocabulary.
    """

    low: int | None
    high: int
    longest: int | None = None
    words: bool = True


def input_limits(model: keras.Model) -> dict[str, Limits]:
    """The `Limits` of the model's inputs, by their names, as far as they can be told.

    The builders of this library say them. Of another model it is told of each input that an `Embedding` reads as it
    is: it knows the ids from 0 to `input_dim` - 1. In a subclassed model nothing can be told.
    """
    if isinstance(model, BuiltModel):
        return _limits_of_builder(model)
    if not is_graph(model):
        return {}
    inputs, found = {id(tensor): tensor.name for tensor in model.inputs}, {}
    for layer in model.layers:
        if isinstance(layer, keras.layers.Embedding) and id(layer.input) in inputs:
            found[inputs[id(layer.input)]] = Limits(0, layer.input_dim)
        elif isinstance(layer, keras.Model):  # an encoder under a head, with inputs of the same names; or the first
            inner, first = input_limits(layer), isinstance(model, keras.Sequential) and layer is model.layers[0]
            found |= {name: limits for name, limits in inner.items() if name in inputs.values()}
            if first and len(inner) == 1:
                found[model.inputs[0].name] = next(iter(inner.values()))
    return found


def _limits_of_builder(model: BuiltModel) -> dict[str, Limits]:
    arguments, names = model.recipe.arguments, [tensor.name for tensor in model.inputs]
    if model.recipe.builder == "build_bert_pretrainer":
        arguments = arguments["encoder"]
    if "source_vocab_size" in arguments:  # a negative id is no token, here and in causal models
        sizes = {"source_ids": arguments["source_vocab_size"], "target_ids": model.vocab_size}
        return {name: Limits(None, size) for name, size in sizes.items()}
    if "token_ids" in names:
        longest = arguments["max_length"]
        return {
            "token_ids": Limits(0, arguments["vocab_size"], longest),
            "segment_ids": Limits(0, arguments["num_segments"], words=False),
        }
    if "vocab_size" not in arguments or len(names) != 1:
        return {}
    causal = isinstance(model, CausalLM)
    longest = model.context_length if causal else None
    return {names[0]: Limits(None if causal else 0, arguments["vocab_size"], longest)}


def predicts_its_words(model: keras.Model, num_classes: int) -> bool:
    """Whether the classes of the model's output are the words that it reads: a vocabulary of as many."""
    limits = [known for known in input_limits(model).values() if known.words]
    if limits:
        return any(known.high == num_classes for known in limits)
    tables = [layer for layer in flatten_layers(model) if isinstance(layer, keras.layers.Embedding)]
    return any(table.input_dim == num_classes for table in tables)


def probabilities(model: keras.Model, x_spec=None) -> str | None:
    """The name of the activation that makes the model's outputs probabilities, or None as far as can be told.

    A graph of layers is asked for its last layer. Another model is called on zeros: probabilities add up to 1.
    """
    if is_graph(model):
        return _last_activation(model)
    values = values_of_zeros(model, x_spec)
    sure = values is not None and values.ndim > 1 and values.shape[-1] > 1 and (values >= 0).all()
    return "softmax" if sure and np.allclose(values.sum(-1), 1, atol=1e-3) else None


def values_of_zeros(model: keras.Model, x_spec) -> np.ndarray | None:
    """What a model of one output gives for a batch of zeros, or None where it takes other shapes."""
    if x_spec is None:
        return None
    try:
        zeros = tf.nest.map_structure(lambda spec: tf.zeros([size or 8 for size in spec.shape], spec.dtype), x_spec)
        return np.asarray(tf.cast(model(zeros, training=False), tf.float32))
    except (TypeError, ValueError, tf.errors.OpError):
        return None


def _last_activation(model):
    for layer in reversed(model.layers):
        if isinstance(model, keras.Sequential) or getattr(layer, "output", None) is model.output:
            if isinstance(layer, keras.Model):
                return _last_activation(layer) if is_graph(layer) else None
            if isinstance(layer, keras.layers.Softmax):
                return "softmax"
            name = getattr(getattr(layer, "activation", None), "__name__", None)
            return name if name in ("softmax", "sigmoid") else None
    return None
