"""Optimizers and learning-rate schedules from a TrainingConfig."""

import math

import keras
import tensorflow as tf
from keras import ops

from lm_keras.errors import InputError
from lm_keras.training.config import TrainingConfig
from lm_keras.utils.keras_internals import OwnClipping


@keras.saving.register_keras_serializable("lm_keras")
class WarmupSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up to `peak`, then "cosine" or "linear" down to `last`, "constant", or "step" decay by epochs.

    Args:
        peak: The highest learning rate.
        warmup_steps: The updates of the warm-up.
        total_steps: The updates of the run.
        kind: "cosine", "linear", "step" or "constant".
        steps_per_epoch: The batches of an epoch. Keras calls the schedule with the number of the batch.
        decay_rate: What "step" multiplies the rate with at the end of an epoch.
        decay_from_epoch: The first epoch at whose end it does.
        last: The learning rate at the end of the run.
        accumulate_steps: The batches of an update.
    """

    def __init__(
        self,
        peak: float,
        warmup_steps: int,
        total_steps: int,
        kind: str,
        steps_per_epoch: int,
        decay_rate: float,
        decay_from_epoch: int,
        last: float = 0.0,
        accumulate_steps: int = 1,
    ):
        self.peak, self.last, self.kind, self.accumulate_steps = peak, last, kind, accumulate_steps
        self.warmup_steps, self.total_steps, self.steps_per_epoch = warmup_steps, total_steps, steps_per_epoch
        self.decay_rate, self.decay_from_epoch = decay_rate, decay_from_epoch

    def __call__(self, step: object) -> object:
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

    def get_config(self) -> dict:
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


def make_optimizer(config: TrainingConfig, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """Makes the Keras optimizer that `config` describes, for runs of `config.total_steps(steps_per_epoch)` batches.

    Weight decay is decoupled (Loshchilov & Hutter 2019) and leaves out the variables of rank < 2.

    Args:
        config: The settings of the run.
        steps_per_epoch: The batches of an epoch.

    Returns:
        A `keras.optimizers.Optimizer` with the schedule as its learning rate, which can be set nevertheless.

    Raises:
        InputError: For more batches an update than the run has.
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

    def __init__(self, *arguments: object, dense_gradients: bool = False, **options: object):
        super().__init__(*arguments, **options)
        self.dense_gradients = dense_gradients
        self._rate = self.add_variable((), keras.initializers.Constant(-1.0), name="rate_that_was_set")

    def build(self, variables: list[keras.Variable]) -> None:
        if not self.built and self.weight_decay:
            self.exclude_from_weight_decay(var_list=[v for v in variables if len(v.shape) < 2])
        super().build(variables)

    @property
    def learning_rate(self) -> object:
        return ops.where(self._rate >= 0, self._rate, super().learning_rate)

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        self._rate.assign(rate)

    def clip(self, grads: list) -> list:
        return _clipped([_summed(grad, self.dense_gradients) for grad in grads], self.global_clipnorm)

    def get_config(self) -> dict:
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
