"""What a model may read and its loss may learn from, told from the model, its objective and the batches' types."""

import dataclasses

import keras
import numpy as np

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


def check_values(rule, values, model):
    """InputError for an array that breaks its rule."""
    if values.dtype.kind not in "iuf":
        return
    if not values.size:
        raise InputError(
            f"{rule.name} is empty, its shape is {list(values.shape)}; give at least one row of one token"
        )
    if rule.longest is not None and values.ndim > 1 and values.shape[1] > rule.longest:
        raise InputError(
            f"{rule.name} has rows of {values.shape[1]} tokens and {model} reads at most max_length={rule.longest}; "
            f"make the windows with length={rule.longest} or less, or a model with max_length={values.shape[1]}"
        )
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InputError(f"{rule.name} holds {_first(values, ~np.isfinite(values))}; give finite numbers")
    if rule.whole and values.dtype.kind == "f" and (rule.labels or (values != np.floor(values)).any()):
        wrong, kind = values != np.floor(values), "labels of classes" if rule.labels else "ids"
        found = _first(values, wrong if wrong.any() else values == values)
        raise InputError(f"{rule.name} holds {found} ({values.dtype}), and {kind} are whole numbers; give int32")
    for wrong in (values < rule.low if rule.low is not None else (), values >= rule.high if rule.high else ()):
        if np.any(wrong):
            raise InputError(f"{rule.name} holds {_first(values, wrong)}; {rule.advice.format(model=model)}")


def _first(values, wrong):
    place = np.argwhere(wrong)[0]
    return f"{values[tuple(place)]} at {place.tolist()}"


def input_rules(model, spec):
    limits, graph = input_limits(model), is_graph(model)
    names, rules = [tensor.name for tensor in model.inputs] if graph else [], []
    by_name = graph and isinstance(getattr(model, "input", None), dict)
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
        rules.append(Rule(name, True, known.low, known.high, known.longest, advice))
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
        if (isinstance(loss, SquaredError) or loss == "mean_squared_error") and len(spec.shape) not in (
            1,
            len(out.shape),
        ):
            raise InputError(f"{name} has the shape {_shape(spec.shape)}; a regression takes one number a row")
        return Rule(name)
    classes, ignored = out.shape[-1], getattr(loss, "ignore_class", None)
    _check_type(name, spec)
    wanted = len(out.shape) - 1
    advice = f"{{model}} gives the classes 0 to {(classes or 1) - 1}"
    advice += ", and a negative label does not count" if ours else "; what does not count takes the weight 0"
    low = None if ours or (ignored is not None and ignored < 0) else 0
    high = None if classes is None else max(classes, (ignored or 0) + 1)
    per_token, places = wanted == 2, wanted == 1 and classes is None
    rule = Rule(name, True, low, high, None, advice, ours, per_token, places, key, tuple(out.shape))
    check_label_shape(rule, tuple(spec.shape) if spec.shape.rank is not None else None)
    return rule


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
