"""`fit`: one training run around `model.fit` that a kill cannot spoil."""

import contextlib
import dataclasses
import itertools
import re
from collections.abc import Sequence
from pathlib import Path

import keras
import tensorflow as tf

from lm_keras.data.text_dataset import TextDataset
from lm_keras.errors import InputError
from lm_keras.models import folder as model_folder
from lm_keras.models.causal_lm import CausalLM
from lm_keras.models.seq2seq import Seq2SeqLM
from lm_keras.text import load_tokenizer
from lm_keras.training.batches import DataCheck, as_dataset, inputs_spec, is_windows
from lm_keras.training.callbacks import OfModel, check_place
from lm_keras.training.config import TrainingConfig
from lm_keras.training.distributed.steps import start_together, train_together
from lm_keras.training.distributed.workers import multi_worker
from lm_keras.training.label_weights import weighing
from lm_keras.training.objectives import objective
from lm_keras.training.optimizer import in_shares, make_optimizer, summed
from lm_keras.training.run.log import RunLog
from lm_keras.training.run.state import NAME, RunState, Saver, load_checkpoint
from lm_keras.training.train_steps import blocks_to_recompute, carry_state, recomputing
from lm_keras.utils.atomic_files import claimed, path_of
from lm_keras.utils.keras_internals import flatten_layers
from lm_keras.utils.quiet import on_terminal
from lm_keras.utils.saved_kinds import RUN, TASK, WEIGHTS, kind_of


def fit(
    model: keras.Model,
    train: tf.data.Dataset | tuple,
    validation: tf.data.Dataset | tuple | None = None,
    config: TrainingConfig | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    loss: object = None,
    strategy: str | None = None,
    tokenizer: object = None,
    class_weight: dict[int, float] | None = None,
    task: str | None = None,
) -> keras.callbacks.History:
    """Trains a model that gives logits or numbers, so that a run which is killed can go on.

    Arrays are looked at as a whole, of a dataset the first batch and every batch with numbers out of range, so that
    what the model cannot read or its loss cannot take is an error of one line. Ids of a subclassed model, whose
    graph is not known, are left to TensorFlow: too large ones raise on a CPU, and may go unnoticed on a GPU or under
    XLA; Keras' `Embedding` takes a negative one for a row from the end.

    With `config.output_dir` the run writes checkpoint.safetensors, metrics.csv, logs/ for TensorBoard and
    learning_curve.png; killed at any moment, it goes on with `resume=True` to the same weights as if undisturbed.
    With `early_stopping_patience` it stops after that many epochs without a better val_loss and ends with the best
    weights. Contiguous windows carry their state from batch to batch.

    Args:
        model: Any `keras.Model`: functional, `Sequential` or subclassed; or a `LanguageModel`.
        train: A `tf.data.Dataset` of `(x, y)` or `(x, y, weights)` batches, of known cardinality, or one such tuple
            of arrays; x may be a dict. The weights are Keras' `sample_weight`, of at least 0: losses and measures
            are weighted means.
        validation: As `train`. After each epoch `evaluate` adds its measures of it: val_loss, val_accuracy,
            val_perplexity or val_f1.
        config: The settings of the run; None: `TrainingConfig()`.
        callbacks: Callbacks of Keras; their `model` is `model`. A learning rate that one of them sets takes the place
            of the schedule. What one counts, such as epochs without progress, starts anew when a run is resumed.
        loss: What `compile` takes: "mse", a Keras loss, a dict of them. None: cross-entropy of the logits, in which
            a negative label does not count, or the mean squared error where the output is one number a text.
        strategy: "multi_worker": the processes that TF_CONFIG names train together (docs/distributed.md).
        tokenizer: That of a language model. With it (or with a `LanguageModel` as `model`) `config.output_dir`
            becomes a run of the command line: `LanguageModel.load` and `lm-keras generate` read it. A run that is
            resumed knows its own.
        class_weight: `{class: weight}` for the labels of `train`, those of tokens too; 1 for other classes.
        task: "language_model", "classification" (of texts or tokens) or "regression", in place of `loss`: what the
            model is for, where its outputs do not tell. [B, T, C] are next words where the model is one of this
            library's language models, where the data are windows of `lm_windows`, or where an embedding of the model
            has C rows (its vocabulary); else they are classes of tokens, with accuracy and F1.

    Returns:
        The Keras `History` of all epochs, those before a resume included.

    Raises:
        InputError: For settings, data or a folder that cannot be used, in one line; and when a loss or a weight is
            not finite: it names the step, and the last checkpoint before stays.
    """
    config, workers, callbacks = config or TrainingConfig(), _workers(strategy, train), keras.tree.flatten(callbacks)
    model, tokenizer = _pair(model, tokenizer)
    check_place(model, callbacks)
    if config.output_dir:
        config = dataclasses.replace(config, output_dir=path_of(config.output_dir))
    keras.utils.set_random_seed(config.seed)
    data, train = train, as_dataset(train, config.batch_size, config.seed)
    steps = _cardinality(train)
    aim = objective(model, loss, task, inputs_spec(train), is_windows(train))
    check = DataCheck(model, aim, train, steps)
    check.arrays(data)
    if validation is not None:
        held_out, validation = validation, as_dataset(validation, config.batch_size)
        DataCheck(model, aim, validation).arrays(held_out)
    if validation is None and config.early_stopping_patience is not None:
        raise InputError("early_stopping_patience needs validation data; give fit a validation set")
    if config.recompute:
        blocks_to_recompute(model)
    with contextlib.ExitStack() as stack:
        at_chief = workers.agree if workers else lambda does: does()  # the others hear what is wrong there
        if workers:
            stack.enter_context(workers.watched())
        if config.output_dir:
            at_chief(lambda: stack.enter_context(_claimed(config.output_dir, config.resume)))
        if workers and not workers.is_chief:
            config = dataclasses.replace(config, output_dir=None, resume=False)
        if config.resume and tokenizer is None:
            tokenizer = _tokenizer_of(model, config.output_dir)
        stack.enter_context(_computing_in(model, config.dtype))
        if config.recompute:
            stack.enter_context(recomputing(model))
        stack.enter_context(check.explained())
        history = _fit(
            model, train, validation, config, callbacks, loss, aim, check, workers, tokenizer, class_weight
        )
        if config.output_dir and tokenizer is not None:
            model_folder.save(model, tokenizer, config.output_dir)
        return history


def _fit(
    model, train, validation, config, callbacks, loss, aim, check, workers=None, tokenizer=None, class_weight=None
):
    net = carry_state(model, train.batch_size) if _is_contiguous(train) else model
    steps = _cardinality(train)
    config = dataclasses.replace(config, epochs=-(-config.total_steps(steps) // steps))
    weighed = weighing(class_weight, model, aim.outputs, train.element_spec)
    # Several outputs count different labels: over workers, their losses are added as over accumulated batches.
    shares = config.accumulate_steps > 1 or (workers is not None and isinstance(aim.outputs, (dict, list, tuple)))
    compile_again = _compile(model, net, aim, config, steps, shares)
    _build(net, aim, train.element_spec)

    state = RunState(model, net, validation, config, steps, aim, loss, workers)

    def load():
        progress = None
        if config.resume and (Path(config.output_dir) / NAME).exists():
            progress, best = load_checkpoint(config.output_dir, net, steps)
            state.restore(progress, best)
        if config.output_dir and tokenizer is not None:
            model_folder.save_config(model, tokenizer, config.output_dir)
        return progress

    if workers:
        start_together(workers, net, state, load)
    else:
        load()
    log = RunLog(state, config, tokens_per_step=_tokens_per_step(train))
    theirs = [OfModel(callbacks, model)] if callbacks else []
    heard = [state, *([log] if not workers or workers.is_chief else []), *theirs, Saver(state)]
    # Without a terminal, the log prints a line an epoch.
    verbose = 1 if on_terminal() and log in heard else 0

    def prepared(stream):
        stream = weighed(check.watched(stream))
        return in_shares(stream, config.accumulate_steps, aim.loss, aim.outputs) if shares else stream

    legs = _legs(train, state, config, steps, prepared)
    try:
        if workers:
            train_together(workers, net, aim, legs, state, config, heard, verbose)
            legs = ()
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
        for each in theirs:
            each.finish()
    finally:
        log.close()
        if shares:
            compile_again()
    return state.history()


def _compile(model, net, aim, config, steps, shares):
    """Compiles both for the run, with sums as losses for weights in `shares`; returns what compiles without again."""
    optimizer, options = make_optimizer(config, steps), {"metrics": list(aim.metrics)}
    options["jit_compile"] = config.jit_compile
    loss = summed(aim.loss) if shares else aim.loss
    for each in {id(part): part for part in (net, model)}.values():  # callbacks may save either, or set its rate
        each.compile(optimizer, loss, **options)
    return lambda: model.compile(optimizer, aim.loss, **options)


def _workers(strategy, train):
    """The workers to train with, or None for this process alone."""
    if strategy is None:
        return None
    if strategy != "multi_worker":
        raise InputError(f"strategy is {strategy!r}; it must be None or 'multi_worker'")
    if _is_contiguous(train):
        raise InputError("strategy='multi_worker' cannot carry state along; give windows made with contiguous=False")
    return multi_worker()


def _is_contiguous(dataset):
    return isinstance(dataset, TextDataset) and dataset.contiguous


def _build(net, aim, spec):
    """Makes the variables that Keras would make at the first batch, so that the checkpoint finds them."""
    net.optimizer.build(net.trainable_variables)
    if not aim.metrics and not isinstance(aim.loss, dict):
        return
    outputs = tf.nest.map_structure(lambda t: tf.zeros([size or 1 for size in t.shape], t.dtype), aim.outputs)
    y = tf.nest.map_structure(_some_labels, spec[1], outputs)
    net.compute_loss(y=y, y_pred=outputs)
    net.compute_metrics(None, y, outputs)
    net.reset_metrics()


def _some_labels(spec, output):
    """Labels for `output`, of as many axes as `spec` has: in place of the classes a single number."""
    rank = spec.shape.rank or len(output.shape) - 1
    shape = list(output.shape[:rank])
    if rank == len(output.shape) and spec.shape[-1] == 1:
        shape[-1] = 1
    return tf.zeros(shape, spec.dtype)


def _legs(train, state, config, steps, prepared):
    """The `model.fit` calls still to do, as (data, first epoch, last epoch, steps an epoch).

    A run that stopped within an epoch needs two: the rest of that epoch, then the others; so does one that ends
    within an epoch. All read one iterator: a dataset that shuffles starts another order whenever it is iterated anew.
    """
    (epoch, within), (whole, rest) = divmod(state.step, steps), divmod(state.total, steps)
    if state.stopped or state.step >= state.total:
        return
    done = state.step % config.accumulate_steps  # batches of an update that is not complete
    start = state.step - done
    stream = train.stream(start) if isinstance(train, TextDataset) else train.repeat().skip(start)
    stream = prepared(stream)
    if done:
        stream = stream.skip(done)
    if not within and (not rest or epoch == whole):
        yield stream, epoch, max(whole, epoch + 1), steps if epoch < whole else rest
        return
    batches = iter(stream)

    def following(count):
        # Counted: a dataset without end takes a batch ahead, which the next leg would miss.
        data = tf.data.Dataset.from_generator(
            lambda: itertools.islice(batches, count), output_signature=stream.element_spec
        )
        return data.apply(tf.data.experimental.assert_cardinality(count))

    if within:
        count = min(steps, state.total - epoch * steps) - within
        yield following(count), epoch, epoch + 1, count
        epoch += 1
    if epoch < whole and not state.stopped:
        yield following((whole - epoch) * steps), epoch, whole, steps
    if rest and epoch <= whole and not state.stopped:
        yield following(rest), whole, whole + 1, rest


def _cardinality(dataset):
    steps = int(dataset.cardinality())
    if steps < 1:
        raise InputError(
            f"the training data has {'no' if steps == 0 else 'an unknown number of'} batches; give a finite dataset "
            "and say its size with dataset.apply(tf.data.experimental.assert_cardinality(n))"
        )
    return steps


def _tokens_per_step(dataset):
    tokens = dataset.num_tokens if isinstance(dataset, TextDataset) else None
    return tokens and tokens / int(dataset.cardinality())


@contextlib.contextmanager
def _computing_in(model, policy):
    """Lets the built float32 layers compute in `policy`; their variables stay float32."""
    before = [(layer, layer.dtype_policy) for layer in flatten_layers(model)]
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


def _pair(model, tokenizer):
    """`(model, tokenizer)`, also of a LanguageModel; InputError for a tokenizer that goes with no such model."""
    if not isinstance(model, keras.Model):
        from lm_keras.language_model import LanguageModel  # which stands on this

        if isinstance(model, LanguageModel):
            model, tokenizer = model.model, model.tokenizer if tokenizer is None else tokenizer
    if not isinstance(model, keras.Model):
        raise InputError(f"fit trains a keras.Model or a LanguageModel, got {type(model).__name__}")
    if tokenizer is not None and not isinstance(model, (CausalLM, Seq2SeqLM)):
        raise InputError(
            f"{model.name} is no language model of lm_keras.models.build_*, which a tokenizer would be saved with; "
            "leave tokenizer out, and save the trained model with lk.tasks.save or model.save"
        )
    if tokenizer is not None:
        model_folder.check_pair(model, tokenizer)
    return model, tokenizer


def _tokenizer_of(model, folder):
    """The tokenizer that the run in `folder` was started with, or None: at its end the model is saved there too."""
    kept = kind_of(folder) in ("language model", "unfinished fit") and (folder / NAME).exists()
    by_command = (folder / RUN).exists()  # `lm-keras train` saves by itself
    if not kept or by_command or not isinstance(model, (CausalLM, Seq2SeqLM)):
        return None
    return _pair(model, load_tokenizer(folder))[1] if (folder / "tokenizer.json").exists() else None


@contextlib.contextmanager
def _claimed(folder, resume):
    """The run folder, for one process at a time, without what a kill within a save left behind."""
    with claimed(folder):
        if not resume and (folder / NAME).exists():
            raise InputError(f"{folder} already holds a run; give another output_dir or resume=True to go on with it")
        for name in (WEIGHTS, TASK):
            if not (folder / NAME).exists() and (folder / name).exists():
                raise InputError(
                    f"{folder} holds a model ({name}) and no {NAME} to go on from; give another output_dir"
                )
        for left in folder.glob(".*.tmp"):
            if re.fullmatch(r"\..+\.\d+\.tmp", left.name) and not left.is_dir():
                left.unlink()
        model_folder.remove_staged(folder)
        yield
