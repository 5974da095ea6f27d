"""What a model may read and its loss may learn from, told from the model, its objective and the batches' types."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.losses import CrossEntropy, SquaredError
from lm_keras.training.outputs import input_limits, is_graph


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


def check_values(rule, values, model):
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


def input_rules(model, spec):
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
        _check_rank(name, leaf)
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


def _check_rank(name, spec):
    shape = spec.shape
    if shape.rank not in (None, 2):
        raise InputError(
            f"{name} has the shape {_shape(shape)}, and ids are [rows, tokens]; batch the data with dataset.batch(n)"
        )


def _shape(shape):
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"


def label_rules(aim, spec):
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
    ours = isinstance(loss, CrossEntropy)
    sparse = isinstance(loss, keras.losses.SparseCategoricalCrossentropy)
    if not sparse and loss not in ("sparse_categorical_crossentropy", keras.losses.sparse_categorical_crossentropy):
        squared = isinstance(loss, SquaredError) or loss == "mean_squared_error"
        if squared and spec.shape.rank not in (None, 1, len(out.shape)):
            raise InputError(f"{name} has the shape {_shape(spec.shape)}; a regression takes one number a row")
        return Rule(name, output=key, weight_axes=1 if squared else None)
    classes, ignored = out.shape[-1], getattr(loss, "ignore_class", None)
    _check_type(name, spec)
    wanted = len(out.shape) - 1
    advice = f"{{model}} gives the classes 0 to {(classes or 1) - 1}"
    advice += ", and a negative label does not count" if ours else "; what does not count takes the weight 0"
    low = None if ours or (ignored is not None and ignored < 0) else 0
    high = None if classes is None else max(classes, (ignored or 0) + 1)
    per_token, places = wanted == 2, wanted == 1 and classes is None
    rule = Rule(name, True, low, high, None, advice, ours, per_token, places, key, tuple(out.shape), wanted)
    check_label_shape(rule, tuple(spec.shape) if spec.shape.rank is not None else None)
    return rule


def weights_of(rules, weights):
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


def check_weights(rule, weights, labels):
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


def check_label_shape(rule, shape):
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
