"""Training on several processes: each computes the gradient of its rows of the same batches, and all take the sum.

Every process holds the whole model in ordinary variables, which stay equal because all start from the chief's and add
up the same gradients: what `model.fit` and callbacks read is the same everywhere.
"""

from collections.abc import Callable, Iterable

import keras
import numpy as np
import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.training.config import TrainingConfig
from lm_keras.training.distributed.workers import Workers
from lm_keras.training.label_weights import Summed, labels_of
from lm_keras.training.objectives import Objective
from lm_keras.training.run.state import RunState
from lm_keras.utils.keras_internals import flatten_layers

MARK = 4096  # two numbers below it tell one batch from another; the sum of 4,096 of them is exact in float32


class SharedStep:
    """`net.train_step` of the parts of a batch as one step of the whole: losses, gradients, metrics.

    The loss of a batch is a mean over its labels, so the gradient of worker r counts n_r / (n_1 + ... + n_N), where
    n_r is the number of labels in its part that count, or of its rows where the loss is a mean over rows. Where the
    losses are sums (`Summed`) of weights that are shares of the whole batch already, as those of several outputs are,
    all parts count alike and the weights grow with their number. What a regularizer adds to the loss of each part
    counts once so, in a batch without any label that counts too.
    A `train_step` divides its loss by `num_replicas_in_sync`, as Keras' losses do; that is taken back here.
    """

    def __init__(self, net: keras.Model, aim: Objective, workers: Workers, jit_compile: bool = False):
        self.net, self.workers = net, workers
        self.optimizer, self.collector = net.optimizer, GradientCollector(net.optimizer, self._keep)
        self.summed = any(isinstance(part, Summed) for part in keras.tree.flatten(net.loss))
        self.labels_of = None if self.summed else labels_of(net.loss, aim.outputs, "several workers")
        norms = (layer for layer in flatten_layers(net) if isinstance(layer, keras.layers.BatchNormalization))
        self.statistics = [v for layer in norms if layer.trainable for v in layer.non_trainable_variables]
        places = {id(v): i for i, v in enumerate(net.metrics_variables)}
        losses = [metric.variables for metric in net.metrics if type(metric) is keras.metrics.Mean]
        self.means = [(places[id(total)], places[id(count)]) for total, count in losses]
        self._part_step = tf.function(self._part_step_, jit_compile=True) if jit_compile else self._part_step_

    def part(self, x: object, y: object, *weights: object) -> tuple[tuple, tf.Tensor]:
        """This worker's rows of a batch, and what they weigh: (data, [labels, rows, 1 or 0, mark, mark])."""
        rows = tf.shape(tf.nest.flatten(y)[0])[0]
        first, last = (rows * i // self.workers.count for i in (self.workers.index, self.workers.index + 1))
        taken = tf.cast(last > first, tf.float32)
        data = tf.nest.map_structure(lambda t: t[first : tf.maximum(last, first + 1)], (x, y, *weights))
        own, data = self._own(data, (x, y, *weights), rows, last - first)
        marks = _marks(tf.nest.flatten((x, y, *weights)))
        return data, tf.stack([own * taken, tf.cast(last - first, tf.float32), taken, *marks])

    def _own(self, data, whole, rows, here):
        """How much the gradient of the part `data` counts, of `here` rows of the batch `whole`; and the part."""
        if self.summed:
            parts = tf.cast(tf.minimum(rows, self.workers.count), tf.float32)
            x, y, weights = data
            return tf.constant(1.0), (x, y, tf.nest.map_structure(lambda w: w * parts, weights))
        any_label = self.labels_of(*whole[1:]) > 0
        return tf.where(any_label, self.labels_of(*data[1:]), tf.cast(here, tf.float32)), data

    def __call__(self, data: tuple, weight: tf.Tensor) -> tf.Tensor:
        """One step, in a `tf.function`; True where all workers read the same batch."""
        metrics = self.net.metrics_variables
        before = [v.value + 0 for v in metrics]
        sums, grads, losses, changes, statistics = self.workers.strategy.run(self._replica_step, (data, weight))
        labels, rows = sums[0], sums[1]
        grads = [tf.math.divide_no_nan(grad, labels) for grad in grads]
        # Outside of `strategy.run` the optimizer works as it does on one process: it clips the whole gradient.
        self.optimizer.apply(grads, self._variables)
        for (total, count), loss in zip(self.means, losses, strict=True):
            if (total, count) != self.means[0]:  # of one of several outputs: once a batch, as Keras counts it
                changes[count] = tf.math.divide_no_nan(changes[count], sums[2])
            changes[total] = tf.math.divide_no_nan(loss, labels) * changes[count]
        for variable, old, change in zip(metrics, before, changes, strict=True):
            variable.assign(old + tf.cast(change, variable.dtype))
        for variable, value in zip(self.statistics, statistics, strict=True):
            variable.assign(tf.cast(tf.math.divide_no_nan(value, rows), variable.dtype))
        return tf.reduce_all(sums[3:] == weight[3:] * self.workers.count)

    def _replica_step(self, data, weight):
        grads, changes = self._part_step(data)
        labels, rows, taken = weight[0], weight[1], weight[2]
        share = labels * self.workers.count
        losses = [tf.math.divide_no_nan(changes[total], changes[count]) for total, count in self.means]
        parts = [
            [tf.identity(weight)],  # an op with a device, which tf.distribute asks for
            [tf.math.multiply_no_nan(tf.cast(grad, tf.float32), share) for grad in grads],
            [tf.math.multiply_no_nan(loss, labels) for loss in losses],
            [tf.math.multiply_no_nan(tf.cast(change, tf.float32), taken) for change in changes],
            [tf.math.multiply_no_nan(tf.cast(v, tf.float32), rows) for v in self.statistics],
        ]
        flat = tf.distribute.get_replica_context().all_reduce("SUM", [t for part in parts for t in part])
        sums = tf.nest.pack_sequence_as(parts, flat)
        return sums[0][0], *sums[1:]

    def _part_step_(self, data):
        """`train_step` of this worker's rows, whose update is held back: its gradients, what it adds to metrics."""
        metrics = self.net.metrics_variables
        for variable in metrics:
            variable.assign(tf.zeros_like(variable))
        self.net.optimizer = self.collector
        try:
            self.net.train_step(data)
        finally:
            self.net.optimizer = self.optimizer
        # Dense: tables of rows would be gathered from all workers, which grows with their number. Of known shape:
        # else each would be sent alone.
        grads = [tf.reshape(grad, v.shape) for grad, v in zip(self._grads, self._variables, strict=True)]
        return grads, [v.value + 0 for v in metrics]

    def _keep(self, grads, variables):
        pairs = zip(grads, variables or self.net.trainable_variables, strict=True)
        self._grads, self._variables = zip(*((grad, v) for grad, v in pairs if grad is not None), strict=True)


class GradientCollector(keras.optimizers.Optimizer):
    """An optimizer in the place of another one, which gives the gradients to a function and changes nothing.

    Args:
        optimizer: The other one: its learning rate, step and scale of the loss are read.
        keep: A function of the gradients and their variables, or None for all that the optimizer was built with.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer, keep: Callable):
        super().__init__(learning_rate=0.0, name="gradient_collector")
        self.replaced, self.keep = optimizer, keep

    @property
    def iterations(self) -> object:
        return self.replaced.iterations

    @property
    def learning_rate(self) -> object:
        return self.replaced.learning_rate

    def scale_loss(self, loss: tf.Tensor) -> tf.Tensor:
        return self.replaced.scale_loss(loss)

    def apply(self, grads: list, trainable_variables: list | None = None) -> None:
        self.keep(grads, trainable_variables)


def _marks(parts):
    """Two numbers that two different batches share by chance once in 16 million times."""
    content = tf.strings.reduce_join([tf.io.serialize_tensor(part) for part in parts])
    return [tf.cast(tf.strings.to_hash_bucket_strong(content, MARK, key), tf.float32) for key in ([1, 2], [3, 4])]


# === The run ===


def start_together(workers: Workers, net: keras.Model, state: RunState, load: Callable[[], dict | None]) -> None:
    """Gives all workers the chief's variables and, when `load` finds a checkpoint at the chief, its position."""
    progress = workers.agree(load)
    _as_the_chief(workers, [*net.variables, *net.optimizer.variables, *net.metrics_variables])
    if progress and not workers.is_chief:
        state.restore(progress, None)
    for variable in net.variables:  # rows of their own draw dropout masks of their own
        if variable.name == "seed_generator_state":
            seed = np.asarray(variable)
            variable.assign(seed + np.array([workers.index * 0x9E3779B9 % 2**32, 0], seed.dtype))


def _as_the_chief(workers, variables):
    for variable, value in zip(variables, workers.from_chief([np.asarray(v) for v in variables]), strict=True):
        variable.assign(value)


def train_together(
    workers: Workers,
    net: keras.Model,
    aim: Objective,
    legs: Iterable[tuple[tf.data.Dataset, int, int, int]],
    state: RunState,
    config: TrainingConfig,
    callbacks: list[keras.callbacks.Callback],
    verbose: int,
) -> None:
    """What `net.fit` does, over the workers: several steps a call, up to the next that is logged or saved."""
    step = SharedStep(net, aim, workers, config.jit_compile)
    steps, marks = _steps_function(step), (config.logging_steps, config.checkpoint_steps)
    callbacks = keras.callbacks.CallbackList(
        callbacks,
        add_progbar=bool(verbose),
        verbose=verbose,
        epochs=config.epochs,
        steps=state.steps_per_epoch,
        model=net,
    )
    net.stop_training = False
    callbacks.on_train_begin()
    for data, first, last, count in legs:
        batches = iter(data.map(step.part).prefetch(2))
        for epoch in range(first, last):
            net.reset_metrics()
            callbacks.on_epoch_begin(epoch)
            done = 0
            while done < count:
                many = min(count - done, *(often - state.step % often for often in marks))
                callbacks.on_train_batch_begin(done)
                if not steps(batches, many):
                    raise InputError(
                        f"the workers read different batches at step {state.step + many}; give all of them the same "
                        "data, settings and seed (a dataset of your own: the same order everywhere)"
                    )
                done += many
                state.step += many - 1  # the callback counts the last
                callbacks.on_train_batch_end(done - 1, net.get_metrics_result())
            logs = dict(net.get_metrics_result())
            callbacks.on_epoch_end(epoch, logs)
            stopped = workers.agree(lambda: bool(net.stop_training))
            if stopped:
                break
        if stopped:
            break
    net.optimizer.finalize_variable_values(net.trainable_variables)
    _as_the_chief(workers, net.variables)  # those of its best epoch, where it has gone back to them
    callbacks.on_train_end()


def _steps_function(step):
    @tf.function(autograph=False, reduce_retracing=True)
    def steps(batches, many):
        def body(i, same):
            return i + 1, tf.logical_and(step(*next(batches)), same)

        return tf.while_loop(lambda i, _: i < many, body, [tf.constant(0), tf.constant(True)])[1]

    return lambda batches, many: bool(steps(batches, tf.constant(many)))
