"""`fit`: one training run around `model.fit` that a kill cannot spoil."""

import contextlib
import dataclasses
import itertools
import sys
from pathlib import Path

import keras
import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.files import locked
from lm_keras.training.accumulation import in_shares, summed
from lm_keras.training.callbacks import OfModel, check_place
from lm_keras.training.carried_state import carry_state
from lm_keras.training.checkpoint import NAME, load_checkpoint
from lm_keras.training.class_weights import weighing
from lm_keras.training.config import TrainingConfig
from lm_keras.training.objectives import objective
from lm_keras.training.optimizer import make_optimizer
from lm_keras.training.recompute import recomputing
from lm_keras.training.run_log import RunLog
from lm_keras.training.run_state import RunState, Saver
from lm_keras.training.worker_steps import start_together, train_together
from lm_keras.training.workers import multi_worker


def fit(model, train, validation=None, config=None, callbacks=(), loss=None, strategy=None, class_weight=None):
    """Trains `model` on `train`, a tf.data.Dataset of (x, y) of known cardinality or a tuple (x, y); x may be a dict.

    A third part of a batch, or of the tuple, is the weights of the labels, as Keras' `sample_weight`; losses and
    measures are weighted means. `class_weight`, {class: weight}, weighs the labels of `train`, those of tokens too.
    `loss=None`: cross-entropy of the logits, in which tokens with a negative label do not count, or the mean squared
    error where the output is one number a text; else what `compile` takes ("mse", a Keras loss, a dict of them).
    After each epoch `evaluate` on `validation` adds its measures: val_loss, val_accuracy, val_perplexity or val_f1.
    With `config.output_dir` the run writes checkpoint.safetensors, metrics.csv, logs/ for TensorBoard and
    learning_curve.png; killed at any moment, it goes on with `resume=True` to the same weights as if undisturbed.
    With `early_stopping_patience` it stops after that many epochs without a better val_loss and ends with the best
    weights. Contiguous windows carry their state from batch to batch.
    `strategy="multi_worker"`: the processes that TF_CONFIG names train together (docs/distributed.md).
    `callbacks` are Keras'; `callback.model` is `model`. A learning rate that one of them sets takes the place of the
    schedule. What a callback counts, such as epochs without progress, starts anew when a run is resumed.
    Returns the Keras History of all epochs, those before a resume included. Raises InputError for bad input.
    """
    config, workers, callbacks = config or TrainingConfig(), _workers(strategy, train), keras.tree.flatten(callbacks)
    check_place(model, callbacks)
    keras.utils.set_random_seed(config.seed)
    train = _dataset(train, config)
    validation = validation if validation is None else _dataset(validation, config, shuffle=False)
    _cardinality(train)
    if validation is None and config.early_stopping_patience is not None:
        raise InputError("early_stopping_patience needs validation data; give fit a validation set")
    with contextlib.ExitStack() as stack:
        at_chief = workers.agree if workers else lambda does: does()  # the others hear what is wrong there
        if workers:
            stack.enter_context(workers.watched())
        if config.output_dir:
            at_chief(lambda: stack.enter_context(_claimed(Path(config.output_dir), config.resume)))
        if workers and not workers.is_chief:
            config = dataclasses.replace(config, output_dir=None, resume=False)
        stack.enter_context(_computing_in(model, config.dtype))
        if config.recompute:
            stack.enter_context(recomputing(model))
        return _fit(model, train, validation, config, callbacks, loss, workers, class_weight)


def _fit(model, train, validation, config, callbacks, loss, workers=None, class_weight=None):
    net = carry_state(model, train.lm_batch_size) if getattr(train, "lm_contiguous", False) else model
    steps, aim = _cardinality(train), objective(model, loss)
    weighed = weighing(class_weight, model, train.element_spec)
    optimizer, many = make_optimizer(config, steps), config.accumulate_steps > 1
    options = {"metrics": list(aim.metrics), "jit_compile": config.jit_compile}
    for each in {id(part): part for part in (net, model)}.values():  # callbacks may save either, or set its rate
        each.compile(optimizer, summed(aim.loss) if many else aim.loss, **options)
    _build(net, aim, train.element_spec)

    state = RunState(model, net, validation, config, steps, loss, workers)

    def load():
        if not config.resume or not (Path(config.output_dir) / NAME).exists():
            return None
        progress, best = load_checkpoint(config.output_dir, net, steps)
        state.restore(progress, best)
        return progress

    if workers:
        start_together(workers, net, state, load)
    else:
        load()
    log = RunLog(state, config, tokens_per_step=_tokens_per_step(train))
    theirs = [OfModel(callbacks, model)] if callbacks else []
    heard = [state, log, *theirs, Saver(state)] if not workers or workers.is_chief else [state, *theirs]
    # Without a terminal, the log prints a line an epoch.
    verbose = 1 if sys.stdout.isatty() and log in heard else 0
    outputs = getattr(model, "output", None)

    def prepared(stream):
        stream = weighed(stream)
        return in_shares(stream, config.accumulate_steps, aim.loss, outputs) if many else stream

    legs = _legs(train, state, config, steps, prepared)
    try:
        if workers:
            train_together(workers, net, net.loss, legs, state, config, heard, verbose)
            return state.history()
        for data, first, last, count in legs:
            net.fit(
                data,
                initial_epoch=first,
                epochs=last,
                steps_per_epoch=count,
                shuffle=False,  # the dataset is in its order already
                verbose=verbose,
                callbacks=heard,
            )
            if net.stop_training:
                break
    finally:
        log.close()
        if many:  # the loss of one batch again
            model.compile(optimizer, aim.loss, **options)
    return state.history()


def _workers(strategy, train):
    """The workers to train with, or None for this process alone."""
    if strategy is None:
        return None
    if strategy != "multi_worker":
        raise InputError(f"strategy is {strategy!r}; it must be None or 'multi_worker'")
    if getattr(train, "lm_contiguous", False):
        raise InputError("strategy='multi_worker' cannot carry state along; give windows made with contiguous=False")
    return multi_worker()


def _build(net, aim, spec):
    """Makes the variables that Keras would make at the first batch, so that the checkpoint finds them."""
    net.optimizer.build(net.trainable_variables)
    if not aim.metrics and not isinstance(aim.loss, dict):
        return
    outputs = tf.nest.map_structure(lambda t: tf.zeros([size or 1 for size in t.shape], t.dtype), net.output)
    y = tf.nest.map_structure(lambda t, out: tf.zeros(out.shape[: len(t.shape)], t.dtype), spec[1], outputs)
    net.compute_loss(y=y, y_pred=outputs)
    net.compute_metrics(None, y, outputs)
    net.reset_metrics()


def _legs(train, state, config, steps, prepared):
    """The `model.fit` calls still to do, as (data, first epoch, last epoch, steps an epoch).

    A run that stopped within an epoch needs two: the rest of that epoch, then the others. Both read one
    iterator, because a dataset that shuffles starts another order whenever it is iterated anew.
    """
    epoch, within = divmod(state.step, steps)
    if state.stopped or epoch >= config.epochs:
        return
    done = state.step % config.accumulate_steps  # batches of an update that is not complete
    start = state.step - done
    stream = train.lm_stream(start) if hasattr(train, "lm_stream") else train.repeat().skip(start)
    stream = prepared(stream)
    if done:
        stream = stream.skip(done)
    if within:
        batches, rest = iter(stream), steps - within
        first = tf.data.Dataset.from_generator(
            lambda: itertools.islice(batches, rest), output_signature=stream.element_spec
        )
        yield first.apply(tf.data.experimental.assert_cardinality(rest)), epoch, epoch + 1, rest
        stream = tf.data.Dataset.from_generator(lambda: batches, output_signature=stream.element_spec)
        epoch += 1
    if epoch < config.epochs and not state.stopped:
        yield stream, epoch, config.epochs, steps


def _dataset(data, config, shuffle=True):
    if isinstance(data, tf.data.Dataset):
        return data
    if not isinstance(data, tuple) or len(data) not in (2, 3):
        raise InputError(
            f"training data is a {type(data).__name__}; give a tf.data.Dataset, or an (x, y) or (x, y, weights) tuple"
        )
    rows = [{len(array) for array in tf.nest.flatten(part)} for part in data]  # a part may be a dict of arrays
    if len(set.union(*rows)) != 1:
        names = "x has {} rows and y has {}" if len(rows) == 2 else "x has {} rows, y has {} and the weights have {}"
        found = (" or ".join(map(str, sorted(part))) for part in rows)
        raise InputError(f"{names}; give as many of each".format(*found))
    dataset = tf.data.Dataset.from_tensor_slices(data)
    if shuffle:
        dataset = dataset.shuffle(*rows[0], seed=config.seed)
    return dataset.batch(config.batch_size)


def _cardinality(dataset):
    steps = int(dataset.cardinality())
    if steps < 1:
        raise InputError(
            f"the training data has {'no' if steps == 0 else 'an unknown number of'} batches; give a finite dataset "
            "and say its size with dataset.apply(tf.data.experimental.assert_cardinality(n))"
        )
    return steps


def _tokens_per_step(dataset):
    tokens = getattr(dataset, "lm_num_tokens", None)
    return tokens and tokens / int(dataset.cardinality())


@contextlib.contextmanager
def _computing_in(model, policy):
    """Lets the built float32 layers compute in `policy`; their variables stay float32."""
    before = [(layer, layer.dtype_policy) for layer in model._flatten_layers()]
    if policy != "float32":
        for layer, own in before:
            if own.name == "float32":
                layer.dtype_policy = policy
    try:
        yield
    finally:
        for layer, own in before:
            if layer.dtype_policy.name != own.name:
                layer.dtype_policy = own


@contextlib.contextmanager
def _claimed(folder, resume):
    """The run folder, for one process at a time, without what a kill within a save left behind."""
    if not resume and (folder / NAME).exists():
        raise InputError(f"{folder} already holds a run; give another output_dir or resume=True to go on with it")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; give a folder as output_dir")
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, f"{folder} is being trained by another process; wait for it or give another folder"):
        for left in folder.glob(".*.tmp"):
            left.unlink()
        yield
