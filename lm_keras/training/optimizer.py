"""Optimizers and learning-rate schedules from a TrainingConfig."""

import math

import keras
import tensorflow as tf
from keras import ops

from lm_keras.errors import InputError
from lm_keras.training.label_weights import keys_of, labels_of, loss_object, part_of
from lm_keras.utils.keras_internals import OwnClipping


@keras.saving.register_keras_serializable("lm_keras")
class WarmupSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up to `peak`, then "cosine" or "linear" down to `last`, "constant", or "step" decay by epochs.

    `warmup_steps` and `total_steps` are updates, `steps_per_epoch` and what it is called with are batches: with
    `accumulate_steps` n, Keras counts these, and updates at every n-th.
    """

    def __init__(
        self,
        peak,
        warmup_steps,
        total_steps,
        kind,
        steps_per_epoch,
        decay_rate,
        decay_from_epoch,
        last=0.0,
        accumulate_steps=1,
    ):
        self.peak, self.last, self.kind, self.accumulate_steps = peak, last, kind, accumulate_steps
        self.warmup_steps, self.total_steps, self.steps_per_epoch = warmup_steps, total_steps, steps_per_epoch
        self.decay_rate, self.decay_from_epoch = decay_rate, decay_from_epoch

    def __call__(self, step):
        ended = ops.cast(step // self.steps_per_epoch, "float32")  # epochs
        step = ops.cast(step // self.accumulate_steps, "float32")
        warm = ops.minimum((step + 1) / max(self.warmup_steps, 1), 1.0)
        left = max(self.total_steps - self.warmup_steps, 1)
        progress = ops.clip((step - self.warmup_steps) / left, 0.0, 1.0)
        if self.kind == "cosine":
            factor = self._above_last(0.5 * (1 + ops.cos(math.pi * progress)))
        elif self.kind == "linear":
            factor = self._above_last(1 - progress)
        elif self.kind == "step":
            factor = self.decay_rate ** ops.maximum(ended - (self.decay_from_epoch - 1), 0.0)
        else:
            factor = 1.0
        return self.peak * warm * factor

    def _above_last(self, factor):
        return factor + (1 - factor) * self.last / self.peak

    def get_config(self):
        names = (
            "last",
            "peak",
            "warmup_steps",
            "total_steps",
            "kind",
            "steps_per_epoch",
            "decay_rate",
            "decay_from_epoch",
            "accumulate_steps",
        )
        return {name: getattr(self, name) for name in names}


def make_optimizer(config, steps_per_epoch):
    """The Keras optimizer that `config` describes, for runs of `config.total_steps(steps_per_epoch)` batches.

    Weight decay is decoupled (Loshchilov & Hutter 2019) and leaves out the variables of rank < 2.
    """
    accumulate, batches = config.accumulate_steps, config.total_steps(steps_per_epoch)
    total = batches // accumulate
    if not total:
        raise InputError(f"accumulate_steps is {accumulate}; it must be at most the run's {batches} batches")
    schedule = WarmupSchedule(
        config.learning_rate,
        min(config.warmup_steps, total // 10),
        total,
        config.schedule,
        steps_per_epoch,
        config.decay_rate,
        config.decay_from_epoch,
        config.min_learning_rate,
        accumulate,
    )
    common = {"learning_rate": schedule, "global_clipnorm": config.clip_norm or None}
    if accumulate > 1:
        common["gradient_accumulation_steps"] = accumulate
    common["dense_gradients"] = config.jit_compile
    if config.optimizer == "sgd":
        return TrainingSGD(momentum=config.momentum, weight_decay=config.weight_decay or None, **common)
    if config.optimizer == "adam":
        return TrainingAdam(beta_2=config.beta_2, **common)
    return TrainingAdamW(beta_2=config.beta_2, weight_decay=config.weight_decay, **common)


class _Training(OwnClipping):
    """What the optimizers of `fit` have beside those of Keras.

    The learning rate can be set, as Keras' callbacks do, although it follows a schedule: from then on it is what was
    set. The global norm is that of the gradients with every row of a table once. Weight decay leaves out biases and
    norms (rank < 2). `dense_gradients`: for XLA.
    """

    def __init__(self, *arguments, dense_gradients=False, **options):
        super().__init__(*arguments, **options)
        self.dense_gradients = dense_gradients
        self._rate = self.add_variable((), keras.initializers.Constant(-1.0), name="rate_that_was_set")

    def build(self, variables):
        if not self.built and self.weight_decay:
            self.exclude_from_weight_decay(var_list=[v for v in variables if len(v.shape) < 2])
        super().build(variables)

    @property
    def learning_rate(self):
        return ops.where(self._rate >= 0, self._rate, super().learning_rate)

    @learning_rate.setter
    def learning_rate(self, rate):
        self._rate.assign(rate)

    def clip(self, grads):
        return _clipped([_summed(grad, self.dense_gradients) for grad in grads], self.global_clipnorm)

    def get_config(self):
        return {**super().get_config(), "dense_gradients": self.dense_gradients}


@keras.saving.register_keras_serializable("lm_keras")
class TrainingSGD(_Training, keras.optimizers.SGD):
    pass


@keras.saving.register_keras_serializable("lm_keras")
class TrainingAdam(_Training, keras.optimizers.Adam):
    pass


@keras.saving.register_keras_serializable("lm_keras")
class TrainingAdamW(_Training, keras.optimizers.AdamW):
    pass


def _clipped(grads, most):
    """`grads` with a global norm of at most `most`; NaN where it is not finite, as with Keras.

    Keras writes the square of each gradient before it sums: another pass over as many numbers as there are weights.
    """
    if not most:
        return grads
    values = [g.values if isinstance(g, tf.IndexedSlices) else g for g in grads if g is not None]
    norm = tf.sqrt(2.0 * tf.add_n([tf.cast(tf.nn.l2_loss(v), tf.float32) for v in values]))
    scale = most / tf.maximum(norm, most) + (norm - norm)
    return [grad if grad is None else _times(grad, scale) for grad in grads]


def _times(grad, scale):
    if isinstance(grad, tf.IndexedSlices):
        return tf.IndexedSlices(_times(grad.values, scale), grad.indices, grad.dense_shape)
    return grad * tf.cast(scale, grad.dtype)


def _summed(grad, dense):
    """A gradient of looked-up rows with every row once.

    Keras' norm and Adam's second moment take a row that occurs twice for two rows: g1^2 + g2^2 and not (g1 + g2)^2.
    """
    if not isinstance(grad, tf.IndexedSlices):
        return grad
    if dense:  # XLA has no `unique`
        return tf.convert_to_tensor(grad)
    rows, places = tf.unique(grad.indices)
    values = tf.math.unsorted_segment_sum(grad.values, places, tf.size(rows))
    return tf.IndexedSlices(values, rows, grad.dense_shape)


# === An update of several batches as one of a large batch: each batch weighs what its loss is the mean over ===
# The mean of the batches' gradients, which Keras' optimizers take, is another one where the batches have different
# numbers of labels. So the loss becomes a sum, and each label has the weight n / N: n batches an update, N the
# labels of all of them, which are counted before the first of them is given to the model.


def in_shares(stream: tf.data.Dataset, steps: int, loss: object, outputs: object) -> tf.data.Dataset:
    """Returns batches (x, y, weights) for `summed(loss)` that weigh, `steps` together, as one large batch would.

    Args:
        stream: batches (x, y) or (x, y, weights) from the first of an update on.
        steps: how many batches an update takes.
        loss: what `compile` takes for `outputs`.
        outputs: the symbolic outputs of the model.
    """
    counts, keys = labels_of(loss, outputs, "accumulate_steps"), keys_of(loss, outputs)

    def shares(*parts):
        batches = tf.data.Dataset.zip(parts)
        none = tf.constant(0.0) if keys == (None,) else {key: tf.constant(0.0) for key in keys}
        labels = batches.reduce(none, lambda total, batch: tf.nest.map_structure(tf.add, total, counts(*batch[1:])))
        return batches.map(lambda x, y, *weights: (x, y, scaled(labels, y, *weights)))

    def scaled(labels, y, weights=None):
        result = {}
        for key in keys:
            own = part_of(weights, key)
            own = tf.ones(tf.shape(part_of(y, key))[:1]) if own is None else tf.cast(own, tf.float32)
            result[key] = own * tf.math.divide_no_nan(float(steps), part_of(labels, key))
        if keys == (None,):
            return result[None]
        return result if isinstance(outputs, dict) else tuple(result.values())

    # Of the base class: of what another dataset knows of its windows nothing is needed here.
    return tf.data.Dataset.window(stream, steps, drop_remainder=True).flat_map(shares)


def summed(loss: object) -> object:
    """Returns the loss, or the dict or list of losses, whose weights are shares; without weights it is as it was."""
    if isinstance(loss, dict):
        return {name: summed(part) for name, part in loss.items()}
    if isinstance(loss, (list, tuple)):
        return [summed(part) for part in loss]
    return Summed(loss)


@keras.saving.register_keras_serializable("lm_keras")
class Summed(keras.losses.Loss):
    """A loss that is a sum where there are weights. A file that holds it gives back the loss itself."""

    def __init__(self, loss: object):
        self.given, self.mean = loss, loss_object(loss)
        super().__init__(name=self.mean.name, reduction="sum")

    def __call__(self, y: object, outputs: object, sample_weight: object = None) -> object:
        if sample_weight is None:
            return self.mean(y, outputs)
        # The loss itself, for a moment: a copy needs its config, which a loss of one's own need not have.
        reduction, self.mean.reduction = self.mean.reduction, "sum"
        try:
            total = self.mean(y, outputs, sample_weight=sample_weight)
        finally:
            self.mean.reduction = reduction
        return total / tf.distribute.get_strategy().num_replicas_in_sync  # as Keras does to a mean

    def get_config(self) -> dict:
        return {"loss": keras.saving.serialize_keras_object(self.given)}

    @classmethod
    def from_config(cls, config: dict) -> object:
        return keras.saving.deserialize_keras_object(config["loss"])
