"""Losses of logits: the cross-entropy that `fit` uses, and what else Keras' own may not be given."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence

import keras
import tensorflow as tf
from keras import ops

from lm_keras.errors import InputError
from lm_keras.layers.crf import log_partition
from lm_keras.layers.fused_loss import factors_of, linear_cross_entropy
from lm_keras.utils.checks import check_number
from lm_keras.utils.keras_internals import mask_of, with_mask

__all__ = ["CRFLoss", "CrossEntropy", "ExpectedReward", "MultiLabelCrossEntropy", "SquaredError"]

REDUCTIONS = ("mean_with_sample_weight", "sum", "none", None)


@keras.saving.register_keras_serializable("lm_keras")
class CrossEntropy(keras.losses.SparseCategoricalCrossentropy):
    """Cross-entropy of logits [..., C] in nats: the (weighted) mean over the labels [...] that are not negative.

    The loss of `fit`, for `compile` too. A negative label (padding) counts nowhere, neither in the sum nor in what it
    is divided by; a batch without a label gives 0. Where an output layer of this library gave the logits, the product
    with its weights and the cross-entropy are one operation that keeps no second array of [..., C] numbers.

    Args:
        reduction: "mean_with_sample_weight", "sum", or "none" for the nats of each label.
        name: the name of the loss.
        dtype: what is computed in; None: Keras' default.
        label_smoothing: s, from 0 to below 1: the label has 1 - s of the probability that is aimed at, and all C
            classes have s / C of it each, so that a model does not become too sure (Szegedy et al. 2016, section 7).

    Raises:
        InputError: for another reduction, or labels of another shape, such as one-hot vectors.
    """

    def __init__(
        self,
        reduction: str | None = "mean_with_sample_weight",
        name: str = "cross_entropy",
        dtype: str | None = None,
        label_smoothing: float = 0.0,
    ):
        if reduction not in REDUCTIONS:
            raise InputError(
                f"reduction is {reduction!r}; it must be 'mean_with_sample_weight', the mean over the labels that "
                "count, 'sum' or 'none'"
            )
        super().__init__(from_logits=True, reduction=reduction, name=name, dtype=dtype)
        self.label_smoothing = check_number("label_smoothing", label_smoothing, least=0, below=1)

    def __call__(self, y: object, logits: object, sample_weight: object = None) -> object:
        y = _labels(y, logits)
        weight = ops.cast(y >= 0, "float32")
        if sample_weight is not None:
            weight *= aligned(ops.cast(sample_weight, "float32"), weight)
        y, factors = ops.maximum(y, 0), factors_of(logits)
        if factors is None:
            return super().__call__(y, logits, weight)
        nats = with_mask(_nats_of_factors(y, factors, self.label_smoothing), mask_of(logits))
        return _Given(reduction=self.reduction, name=self.name)(y, nats, weight)

    def call(self, y: object, logits: object) -> object:
        nats = super().call(y, logits)
        if not self.label_smoothing:
            return nats
        others = ops.logsumexp(logits, axis=-1) - ops.mean(logits, axis=-1)  # the nats of all classes, their mean
        return (1 - self.label_smoothing) * nats + self.label_smoothing * others

    def get_config(self) -> dict:
        smoothing = {"label_smoothing": self.label_smoothing} if self.label_smoothing else {}
        return {**keras.losses.Loss.get_config(self), **smoothing}

    @classmethod
    def from_config(cls, config: dict) -> CrossEntropy:
        if config.get("reduction") in ("sum_over_batch_size", "mean"):  # as older versions saved it
            config = {**config, "reduction": "mean_with_sample_weight"}
        return cls(**config)


@keras.saving.register_keras_serializable("lm_keras")
class MultiLabelCrossEntropy(keras.losses.Loss):
    """Cross-entropy of texts that may have several classes: logits [B, C], y [B, C] of 0 and 1, in nats.

    Each class is a question of its own, yes or no, whose probability is a sigmoid; a row's loss is the mean over the
    classes.

    Args:
        positive_weight: What a yes of each class weighs, [C]; None: 1, as a no does.
        reduction: "mean_with_sample_weight", "sum", or "none" for the nats of each row.
        name: The name of the loss.
        dtype: What is computed in; None: Keras' default.

    Raises:
        InputError: For labels of another shape than the logits.
    """

    def __init__(
        self,
        positive_weight: Sequence[float] | None = None,
        reduction: str | None = "mean_with_sample_weight",
        name: str = "multi_label_cross_entropy",
        dtype: str | None = None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.positive_weight = None if positive_weight is None else [float(weight) for weight in positive_weight]

    def call(self, y: object, logits: object) -> object:
        if _rank(y) is not None and (_rank(y) != len(logits.shape) or y.shape[-1] not in (None, logits.shape[-1])):
            raise InputError(
                f"the labels are {tuple(y.shape)} and the logits {tuple(logits.shape)}; give 0 or 1 for each class"
            )
        y, logits = ops.cast(y, "float32"), ops.cast(logits, "float32")
        weight = 1.0 if self.positive_weight is None else ops.convert_to_tensor(self.positive_weight, "float32")
        nats = weight * y * ops.softplus(-logits) + (1 - y) * ops.softplus(logits)
        return ops.mean(nats, axis=-1)

    def get_config(self) -> dict:
        return {**super().get_config(), "positive_weight": self.positive_weight}


@keras.saving.register_keras_serializable("lm_keras")
class CRFLoss(keras.losses.Loss):
    """What a sequence of tags costs under the potentials [B, T, C, C] of a `CRF` layer, in nats.

    log Z - s(y), the negative log-likelihood of a text's tags (Huang et al. 2015, section 3.3). A negative tag
    (padding, an unknown one) may be any: the sum over all of them counts. The mean is over the tags that are known,
    so it compares with the cross-entropy of a tagger that chooses each tag alone. Weights are one number a text.

    Args:
        reduction: "mean_with_sample_weight", "sum" over the texts, or "none" for the nats of each text.
        name: The name of the loss.
        dtype: What is computed in; None: Keras' default.

    Raises:
        InputError: For tags that are not int [B, T].
    """

    def __init__(
        self,
        reduction: str | None = "mean_with_sample_weight",
        name: str = "crf_loss",
        dtype: str | None = None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def __call__(self, y: object, potentials: object, sample_weight: object = None) -> object:
        nats, y = self.call(y, potentials), ops.convert_to_tensor(y)
        weight = ops.ones_like(nats) if sample_weight is None else ops.cast(sample_weight, "float32")
        if self.reduction not in ("mean_with_sample_weight", "sum_over_batch_size", "mean"):
            return _Given(reduction=self.reduction, name=self.name)(y, nats, weight)
        known = ops.sum(ops.cast(y >= 0, "float32"), axis=1)
        values = ops.where(known > 0, nats / ops.maximum(known, 1.0), 0.0)
        return _Given(reduction="mean_with_sample_weight", name=self.name)(y, values, weight * known)

    def call(self, y: object, potentials: object) -> object:
        y, shape = ops.convert_to_tensor(y), potentials.shape
        if len(shape) != 4 or shape[-1] != shape[-2]:
            raise InputError(f"the outputs are {tuple(shape)}; a CRF layer gives potentials [B, T, C, C]")
        if _rank(y) not in (None, 2):
            raise InputError(f"the tags are {tuple(y.shape)}; give the number of a tag for each word, [B, T]")
        y, potentials = ops.cast(y, "int32")[..., None], ops.cast(potentials, "float32")
        fits = (y < 0) | (y == ops.arange(shape[-1], dtype="int32"))  # (B, T, C)
        # One pass of the forward algorithm for both sums.
        sums = log_partition(ops.concatenate([potentials] * 2), ops.concatenate([ops.ones_like(fits), fits]))
        every, right = ops.split(sums, 2)
        return every - right


@keras.saving.register_keras_serializable("lm_keras")
class SquaredError(keras.losses.Loss):
    """Squared error of values [B], [B, 1] or [B, D]: the (weighted) mean over the rows, y [B] or as the values.

    Keras' own takes the values [B] for one row, and the weights [B] then weigh nothing.

    Args:
        reduction: "mean_with_sample_weight", "sum", or "none" for the squares of each row.
        name: The name of the loss.
        dtype: What is computed in; None: Keras' default.
    """

    def __init__(
        self,
        reduction: str | None = "mean_with_sample_weight",
        name: str = "squared_error",
        dtype: str | None = None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y: object, values: object) -> object:
        squares = ops.square(ops.reshape(y, ops.shape(values)) - values)
        return ops.mean(squares, axis=tuple(range(1, len(squares.shape))))


@keras.saving.register_keras_serializable("lm_keras")
class ExpectedReward(keras.losses.Loss):
    """1 - sum_c p(c) r(c), p the softmax of logits [B, C] and r rewards [B, C] from 0 to 1; the mean over the rows.

    What lacks to the full reward, on average, where one of C is drawn by the model's probabilities. It is the aim of
    Narayan et al. (2018, equation 4), of which they draw samples, as a sum over all C.

    Args:
        reduction: "mean_with_sample_weight", "sum", or "none" for each row.
        name: The name of the loss.
        dtype: What is computed in; None: Keras' default.
    """

    def __init__(
        self,
        reduction: str | None = "mean_with_sample_weight",
        name: str = "expected_reward",
        dtype: str | None = None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y: object, logits: object) -> object:
        return 1.0 - ops.sum(ops.cast(y, logits.dtype) * ops.softmax(logits, axis=-1), axis=-1)


class _Given(keras.losses.Loss):
    """The (weighted) mean of losses that are there already."""

    def call(self, y: object, losses: object) -> object:
        return losses


def aligned(weights: object, labels: object) -> object:
    """Weights [B] of texts, or [B, T] or [B, T, 1] of tokens, for labels [B, T]: of as many axes."""
    rank = len(labels.shape)
    if _rank(weights) is None:  # traced for several ranks: only its values know theirs
        shape = tf.shape(weights)[:rank]
        weights = tf.reshape(weights, tf.concat([shape, tf.ones([rank - tf.size(shape)], tf.int32)], 0))
        return tf.ensure_shape(weights, [None] * rank)
    missing = rank - _rank(weights)
    if missing < 0:
        return ops.reshape(weights, ops.shape(weights)[:missing])
    return ops.reshape(weights, (*ops.shape(weights), *(1,) * missing)) if missing else weights


def _labels(y, logits):
    """Labels [...] of logits [..., C], also where they are [..., 1]."""
    y, rank = ops.convert_to_tensor(y), len(logits.shape)
    if _rank(y) is None or (_rank(y) == rank and y.shape[-1] == 1):
        y = ops.reshape(y, ops.shape(logits)[:-1])
    if _rank(y) != rank - 1:
        raise InputError(
            f"the labels are {tuple(y.shape)} and the logits {tuple(logits.shape)}; give the number of a class for "
            "each place, an axis less than the logits have"
        )
    return ops.cast(y, "int32")


def _rank(tensor):
    """The number of its axes, None where it is not known."""
    return tensor.shape.rank if isinstance(tensor.shape, tf.TensorShape) else len(tensor.shape)


def _nats_of_factors(y, factors, smoothing):
    """Nats of the labels y [...] under the logits that `factors` are of: the same, without these logits."""
    x = tf.reshape(factors.x, [-1, factors.x.shape[-1]])
    nats = linear_cross_entropy(x, factors.table, factors.bias, tf.reshape(y, [-1]), factors.rows, smoothing)
    return tf.reshape(nats, tf.shape(y))


# === Losses that a model of logits may not be given ===

# Keras' losses of probabilities that have no `from_logits`.
OF_PROBABILITIES = (
    "CategoricalGeneralizedCrossEntropy", "Dice", "KLDivergence", "Poisson", "Tversky",
    "categorical_generalized_cross_entropy", "dice", "kl_divergence", "poisson", "tversky",
)  # fmt: skip
WITH_FROM_LOGITS = (
    keras.losses.BinaryCrossentropy,
    keras.losses.BinaryFocalCrossentropy,
    keras.losses.CategoricalCrossentropy,
    keras.losses.CategoricalFocalCrossentropy,
    keras.losses.SparseCategoricalCrossentropy,
    keras.metrics.BinaryCrossentropy,
    keras.metrics.CategoricalCrossentropy,
    keras.metrics.SparseCategoricalCrossentropy,
)
RIGHT = "keras.losses.SparseCategoricalCrossentropy(from_logits=True)"


def check_takes_logits(model_name: str, *losses: object) -> None:
    """Checks that no loss or metric of a model of logits expects probabilities.

    Args:
        model_name: the model that gives logits.
        losses: what `compile` takes as losses and metrics: names, functions, objects, or dicts and lists of them.

    Raises:
        InputError: for one that expects probabilities; the line names the one to give.
    """
    for loss in keras.tree.flatten(losses):
        name = expects_probabilities(loss)
        if name:
            other = "".join(word.capitalize() for word in name.split("_")) if name.islower() else name
            known = inspect.signature(getattr(keras.losses, other, len)).parameters
            more = f" or keras.losses.{other}(from_logits=True)" if "from_logits" in known else ""
            raise InputError(
                f"{model_name} gives logits, and {name} expects probabilities; give {RIGHT}"
                + ("" if more.endswith(RIGHT) else more)
            )


def expects_probabilities(loss: object) -> str | None:
    """Returns the name of a loss or metric if it expects probabilities and no logits, else None."""
    if loss in ("crossentropy", "ce"):
        return "sparse_categorical_crossentropy"
    if isinstance(loss, str):
        try:
            loss = keras.losses.get(loss)
        except ValueError:  # no loss, but perhaps a metric
            return None
    function = loss.func if isinstance(loss, functools.partial) else loss
    name = getattr(function, "__name__", type(function).__name__)
    if any(getattr(keras.losses, known) in (function, type(loss)) for known in OF_PROBABILITIES):
        return name
    if isinstance(loss, WITH_FROM_LOGITS):
        return None if loss.from_logits else name
    if isinstance(loss, (keras.losses.Loss, keras.metrics.Metric)) or not callable(loss):
        return None
    try:
        takes = inspect.signature(loss).parameters.get("from_logits")
    except (TypeError, ValueError):
        return None
    return name if takes is not None and takes.default is False else None


def takes_no_negative_label(loss: object) -> bool:
    """Returns True for Keras' cross-entropy of class numbers, which a negative label makes NaN or an error."""
    return not isinstance(loss, CrossEntropy) and is_of_classes(loss) and ignored_class(loss) is None


def is_of_classes(loss: object) -> bool:
    """Returns True for Keras' cross-entropy of class numbers, and ours: an object, a name, a function, a partial."""
    function = loss.func if isinstance(loss, functools.partial) else loss
    return isinstance(loss, keras.losses.SparseCategoricalCrossentropy) or function in (
        keras.losses.sparse_categorical_crossentropy,
        "sparse_categorical_crossentropy",
    )


def ignored_class(loss: object) -> int | None:
    """Returns the class that a loss of Keras is told to leave out, its `ignore_class`, or None."""
    if isinstance(loss, functools.partial):
        return loss.keywords.get("ignore_class")
    return loss.ignore_class if isinstance(loss, keras.losses.SparseCategoricalCrossentropy) else None
