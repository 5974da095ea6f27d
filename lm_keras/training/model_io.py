"""What a model may read and its loss may learn from, told from the model, its objective and the batches' types."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.losses import (
    CRFLoss,
    CrossEntropy,
    MultiLabelCrossEntropy,
    SquaredError,
    ignored_class,
    is_of_classes,
)
from lm_keras.models.base import BuiltModel, is_graph
from lm_keras.models.causal_lm import CausalLM
from lm_keras.models.conditional import ConditionalTraining
from lm_keras.models.prompted import PromptedLM
from lm_keras.utils.keras_internals import flatten_layers

if TYPE_CHECKING:
    from lm_keras.training.objectives import Objective


# === What a model says of itself, for any `keras.Model`: its outputs, the ids it knows, whether it gives logits ===


def outputs_of(model: keras.Model, x_spec: object = None) -> object:
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

    `words`: they are ids of a vocabulary. `rank`: 2, ids of each text, or 1, one number a text.
    """

    low: int | None
    high: int
    longest: int | None = None
    words: bool = True
    rank: int = 2


def input_limits(model: keras.Model) -> dict[str, Limits]:
    """The `Limits` of the model's inputs, by their names, as far as they can be told.

    The builders of this library say them. Of another model it is told of each input that an `Embedding` reads as it
    is: it knows the ids from 0 to `input_dim` - 1. In a subclassed model nothing can be told.
    """
    if isinstance(model, BuiltModel):
        return _limits_of_builder(model)
    if isinstance(model, PromptedLM):
        return {model.inputs[0].name: Limits(None, model.vocab_size, model.longest)}
    if isinstance(model, ConditionalTraining):
        words = Limits(None, model.vocab_size, model.longest)
        return {"ids": words, "context": Limits(None, model.num_contexts, words=False, rank=1)}
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
        read = arguments["source_vocab_size"] + model.copy_slots
        sizes = {"source_ids": read, "target_ids": model.vocab_size}
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


def probabilities(model: keras.Model, x_spec: object = None) -> str | None:
    """The name of the activation that makes the model's outputs probabilities, or None as far as can be told.

    A graph of layers is asked for its last layer. Another model is called on zeros: probabilities add up to 1.
    """
    if is_graph(model):
        return _last_activation(model)
    values = values_of_zeros(model, x_spec)
    sure = values is not None and values.ndim > 1 and values.shape[-1] > 1 and (values >= 0).all()
    return "softmax" if sure and np.allclose(values.sum(-1), 1, atol=1e-3) else None


def values_of_zeros(model: keras.Model, x_spec: object) -> np.ndarray | None:
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


# === What its inputs and labels may hold ===


@dataclasses.dataclass(frozen=True)
class Rule:
    """What an input or the labels of an output may hold."""

    name: str  # as in the message: x, y['start']
    whole: bool = False  # whole numbers
    low: int | None = None
    high: int | None = None
    longest: int | None = None
    advice: str = ""
    labels: bool = False  # whose negative ones do not count
    per_token: bool = False  # one for each of the logits [rows, tokens, classes]
    places: bool = False  # in the text
    output: str | None = None  # that they are the labels of
    logits: tuple | None = None  # the shape of that output
    weight_axes: int | None = None  # as many as the losses of that output have; None: not known


def check_values(rule: Rule, values: np.ndarray, model: str) -> None:
    """InputError for an array that breaks its rule."""
    if values.dtype.kind not in "iuf":
        return
    if not values.size:
        raise InputError(
            f"{rule.name} is empty, its shape is {list(values.shape)}; give at least one row of one token"
        )
    if values.ndim > 1:
        _check_longest(rule, values.shape[1], model)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InputError(f"{rule.name} holds {_first(values, ~np.isfinite(values))}; give finite numbers")
    if rule.whole and values.dtype.kind == "f" and (rule.labels or (values != np.floor(values)).any()):
        wrong, kind = values != np.floor(values), "labels of classes" if rule.labels else "ids"
        found = _first(values, wrong if wrong.any() else values == values)
        raise InputError(f"{rule.name} holds {found} ({values.dtype}), and {kind} are whole numbers; give int32")
    for wrong in (values < rule.low if rule.low is not None else (), values >= rule.high if rule.high else ()):
        if np.any(wrong):
            raise InputError(f"{rule.name} holds {_first(values, wrong)}; {rule.advice.format(model=model)}")


def _check_longest(rule, width, model):
    if rule.longest is not None and width is not None and width > rule.longest:
        raise InputError(
            f"{rule.name} has rows of {width} tokens and {model} reads at most max_length={rule.longest}; "
            f"make the windows with length={rule.longest} or less, or a model with max_length={width}"
        )


def _first(values, wrong):
    place = np.argwhere(wrong)[0]
    return f"{values[tuple(place)]} at {place.tolist()}"


def input_rules(model: keras.Model, spec: object) -> list[Rule]:
    """A rule for each leaf of the inputs `spec`, in their order; InputError for types that the model cannot read."""
    limits, graph = input_limits(model), is_graph(model)
    names, rules = [tensor.name for tensor in model.inputs] if graph else [], []
    by_name = isinstance(model, keras.Function) and isinstance(model.input, dict)
    if by_name:
        names = sorted(names)
    if by_name and not isinstance(spec, (list, tuple)):
        missing = sorted(set(names) - set(spec if isinstance(spec, dict) else ()))
        if missing:
            got = f"a dict of {', '.join(map(repr, sorted(spec)))}" if isinstance(spec, dict) else "no dict"
            raise InputError(f"{model.name} reads {', '.join(map(repr, names))} and x is {got}; give {missing[0]!r}")
    for i, (path, leaf) in enumerate(_paths(spec)):
        name = "x" + "".join(f"[{key!r}]" for key in path)
        known = limits.get(path[0] if path and isinstance(path[0], str) else names[i] if i < len(names) else None)
        if known is None:
            rules.append(Rule(name, places="masked_positions" in path))
            continue
        _check_type(name, leaf)
        _check_rank(name, leaf, known.rank)
        kind = "a vocabulary of" if known.words else "as many kinds:"
        advice = f"{{model}} has {kind} {known.high}, ids {0 if known.low is None else known.low} to {known.high - 1}"
        advice += "; give ids of the tokenizer that it was built for" if known.words else ""
        rule = Rule(name, True, known.low, known.high, known.longest, advice)
        if leaf.shape.rank == 2:  # known before a batch is read: a graph is traced before that
            _check_longest(rule, leaf.shape[1], model.name)
        rules.append(rule)
    return rules


def _paths(spec):
    """(path, spec) of each leaf, in the order of `keras.tree.flatten`."""
    if not isinstance(spec, (dict, list, tuple)):
        return [((), spec)]
    items = sorted(spec.items()) if isinstance(spec, dict) else enumerate(spec)
    return [((key, *path), leaf) for key, part in items for path, leaf in _paths(part)]


def _check_type(name, spec):
    """Ids and labels are numbers."""
    if spec.dtype.name in ("string", "bool"):
        kind = "text" if spec.dtype.name == "string" else "bool"
        raise InputError(f"{name} holds {kind}; give whole numbers of int32, which for texts a tokenizer gives")


def _check_rank(name, spec, rank):
    shape = spec.shape
    if shape.rank not in (None, rank):
        told = "ids are [rows, tokens]" if rank == 2 else "it takes one number a row, [rows]"
        raise InputError(f"{name} has the shape {_shape(shape)}, and {told}; batch the data with dataset.batch(n)")


def _shape(shape):
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"


def label_rules(aim: Objective, spec: object) -> list[Rule]:
    """A rule for each leaf of the labels, in their order."""
    losses, outputs = aim.loss, aim.outputs
    if isinstance(losses, dict):
        names = set(spec) if isinstance(spec, dict) else set()
        if not set(losses) <= names:
            raise InputError(f"the labels must be a dict of {', '.join(map(repr, sorted(losses)))}")
        return [_label_rule(f"y[{name!r}]", losses.get(name), outputs, spec[name], name) for name in sorted(spec)]
    leaves = keras.tree.flatten(spec)
    if len(leaves) != 1 or isinstance(outputs, (dict, list, tuple)):
        return [Rule("y")] * len(leaves)
    return [_label_rule("y", losses, outputs, leaves[0])]


def _label_rule(name, loss, outputs, spec, key=None):
    out = outputs.get(key) if isinstance(outputs, dict) else outputs
    if out is None:
        return Rule(name)
    if isinstance(loss, MultiLabelCrossEntropy):
        return _rule_of_several(name, out, spec)
    of_chain = isinstance(loss, CRFLoss)
    ours = isinstance(loss, CrossEntropy) or of_chain
    if not (of_chain or is_of_classes(loss)) or isinstance(loss, functools.partial):
        squared = isinstance(loss, SquaredError) or loss == "mean_squared_error"
        if squared and spec.shape.rank not in (None, 1, len(out.shape)):
            raise InputError(f"{name} has the shape {_shape(spec.shape)}; a regression takes one number a row")
        return Rule(name, output=key, weight_axes=1 if squared else None)
    classes, ignored = out.shape[-1], ignored_class(loss)
    _check_type(name, spec)
    logits = tuple(out.shape[:-1] if of_chain else out.shape)
    wanted = len(logits) - 1
    advice = f"{{model}} gives the classes 0 to {(classes or 1) - 1}"
    advice += ", and a negative label does not count" if ours else "; what does not count takes the weight 0"
    low = None if ours or (ignored is not None and ignored < 0) else 0
    high = None if classes is None else max(classes, (ignored or 0) + 1)
    per_token, places = wanted == 2, wanted == 1 and classes is None
    rule = Rule(name, True, low, high, None, advice, ours, per_token, places, key, logits, wanted)
    check_label_shape(rule, tuple(spec.shape) if spec.shape.rank is not None else None)
    return rule


def _rule_of_several(name, out, spec):
    """The rule of labels [B, C] of 0 and 1."""
    _check_type(name, spec)
    shape = spec.shape
    if shape.rank is not None and (shape.rank != 2 or shape[-1] not in (None, out.shape[-1])):
        raise InputError(
            f"{name} has the shape {_shape(shape)}, and logits {_shape(out.shape)} take as many; give 0 or 1 a class"
        )
    return Rule(name, low=0, high=2, advice="several classes a text are 0 or 1 for each", weight_axes=1)


def weights_of(rules: list[Rule], weights: object) -> list:
    """The part of a batch's weights that belongs to the labels of each rule: one alone belongs to all."""
    if isinstance(weights, dict):
        names = sorted(rule.output for rule in rules if rule.output is not None)
        if len(names) != len(rules) or set(names) != set(weights):
            wanted = f"a dict of {', '.join(map(repr, names))}" if names else "one array"
            raise InputError(f"the weights are a dict of {', '.join(map(repr, weights))}; give {wanted}")
        return [weights[rule.output] for rule in rules]
    if isinstance(weights, (list, tuple)):
        if len(weights) != len(rules) or len(rules) == 1:
            raise InputError(f"there are {len(weights)} weights for {len(rules)} outputs; give one for each")
        return list(weights)
    return [weights] * len(rules)


def check_weights(rule: Rule, weights: np.ndarray | tf.TensorSpec, labels: np.ndarray | tf.TensorSpec) -> None:
    """InputError for weights that cannot weigh the labels; both are arrays, or the `tf.TensorSpec`s of them."""
    name = rule.name.replace("y", "the weights of y", 1)
    kind = tf.as_dtype(weights.dtype)
    if not (kind.is_floating or kind.is_integer or kind.is_bool):
        raise InputError(f"{name} are of the type {kind.name}; give numbers of at least 0")
    shapes = [None if part.shape is None else tf.TensorShape(part.shape) for part in (weights, labels)]
    if rule.weight_axes is not None and all(shape.rank is not None for shape in shapes):
        own, of = (list(shape) for shape in shapes)
        pairs = zip(own[: rule.weight_axes], of, strict=False)
        fits = all(None in pair or pair[0] in (1, pair[1]) for pair in pairs)
        if not own or not fits or any(size not in (1, None) for size in own[rule.weight_axes :]):
            takes = "[rows]" if rule.weight_axes == 1 else "[rows] or [rows, tokens]"
            raise InputError(f"{name} have the shape {_shape(own)}, and labels {_shape(of)} take {takes}")
    if isinstance(weights, np.ndarray) and kind.is_floating | kind.is_integer:
        wrong = ~(np.isfinite(weights) & (weights >= 0))
        if wrong.any():
            raise InputError(f"{name} hold {_first(weights, wrong)}; give numbers of at least 0")


def check_label_shape(rule: Rule, shape: tuple | None) -> None:
    """InputError for class labels of another shape than their logits without the last axis."""
    if rule.logits is None or shape is None:
        return
    wanted, classes = len(rule.logits) - 1, rule.logits[-1]
    if len(shape) == wanted or (len(shape) == wanted + 1 and shape[-1] == 1):
        return
    one_hot = len(shape) == wanted + 1 and shape[-1] == classes
    raise InputError(
        f"{rule.name} has the shape {_shape(shape)}, and logits {_shape(rule.logits)} take "
        f"{'[rows]' if wanted == 1 else '[rows, tokens]'}; "
        + ("give the number of each class, y.argmax(-1)" if one_hot else "give the number of a class for each")
    )
