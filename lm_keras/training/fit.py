"""`fit`: one training run around `model.fit` that a kill cannot spoil.

The story of a run, in the order of this file: the processes and the model, the data and what they are for, the
folder, the compiled model, and the training itself, which is one call of `model.fit` or, where a run goes on within
an epoch, several.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import keras
import tensorflow as tf

from lm_keras.data.text_dataset import TextDataset
from lm_keras.errors import InputError
from lm_keras.models import folder as model_folder
from lm_keras.models.causal_lm import CausalLM
from lm_keras.models.prompted import PromptedLM
from lm_keras.models.seq2seq import Seq2SeqLM
from lm_keras.text import load_tokenizer
from lm_keras.training.batches import DataCheck, as_dataset, inputs_spec, is_windows
from lm_keras.training.callbacks import OfModel, check_place
from lm_keras.training.config import TrainingConfig
from lm_keras.training.distributed.steps import start_together, train_together
from lm_keras.training.distributed.workers import Workers, multi_worker
from lm_keras.training.label_weights import in_shares, summed, weighing
from lm_keras.training.objectives import Objective, objective
from lm_keras.training.optimizer import make_optimizer
from lm_keras.training.run.log import RunLog
from lm_keras.training.run.state import RunState, Saver, load_checkpoint
from lm_keras.training.train_steps import blocks_to_recompute, carry_state, recomputing
from lm_keras.utils.atomic_files import claimed, path_of
from lm_keras.utils.keras_internals import flatten_layers
from lm_keras.utils.quiet import on_terminal
from lm_keras.utils.saved_kinds import CHECKPOINT, LEARNED, RUN, TASK, WEIGHTS, kind_of

if TYPE_CHECKING:
    from lm_keras.text.tokenizers.base import Tokenizer
    from lm_keras.text_model import TextModel


def fit(
    model: keras.Model | TextModel,
    train: tf.data.Dataset | tuple,
    validation: tf.data.Dataset | tuple | None = None,
    config: TrainingConfig | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    loss: object = None,
    strategy: Literal["multi_worker"] | None = None,
    tokenizer: Tokenizer | None = None,
    class_weight: dict[int, float] | None = None,
    task: Literal["language_model", "classification", "multi_label", "regression"] | None = None,
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
        model: Any `keras.Model`: functional, `Sequential` or subclassed; or a `LanguageModel`. Of a `PromptTuning` or
            `PrefixTuning` the prompt alone is trained, and saved as prompt.safetensors in `config.output_dir`. Or a
            `ConditionalLM`, on the windows of `data.context_windows`; its own `save` writes it.
        train: A `tf.data.Dataset` of `(x, y)` or `(x, y, weights)` batches, of known cardinality, or one such tuple
            of arrays; x may be a dict. The weights are Keras' `sample_weight`, of at least 0: losses and measures
            are weighted means.
        validation: As `train`. After each epoch `evaluate` adds its measures of it: val_loss, val_accuracy,
            val_perplexity or val_f1.
        config: The settings of the run; None: `TrainingConfig()`.
        callbacks: Callbacks of Keras; their `model` is `model`. A learning rate that one of them sets takes the place
            of the schedule. What one counts, such as epochs without progress, starts anew when a run is resumed.
        loss: What `compile` takes: "mse", a Keras loss, a dict of them. None: cross-entropy of the logits, in which
            a negative label does not count, or the mean squared error where the output is one number a text. With
            `losses.CrossEntropy(label_smoothing=0.1)` the measures of validation stay those without smoothing.
        strategy: "multi_worker": the processes that TF_CONFIG names train together (docs/distributed.md).
        tokenizer: That of a language model. With it (or with a `LanguageModel` as `model`) `config.output_dir`
            becomes a run of the command line: `LanguageModel.load` and `lm-keras generate` read it. A run that is
            resumed knows its own.
        class_weight: `{class: weight}` for the labels of `train`, those of tokens too; 1 for other classes.
        task: "language_model", "classification" (of texts or tokens), "multi_label" (y [B, C] of 0 and 1: a text has
            several classes) or "regression", in place of `loss`: what the model is for, where its outputs do not
            tell. [B, T, C] are next words where the model is one of this library's language models, where the data
            are windows of `lm_windows`, or where an embedding of the model has C rows (its vocabulary); else they are
            classes of tokens, with accuracy and F1.

    Returns:
        The Keras `History` of all epochs, those before a resume included.

    Raises:
        InputError: For settings, data or a folder that cannot be used, in one line; and when a loss or a weight is
            not finite: it names the step, and the last checkpoint before stays.
    """
    config, callbacks = config or TrainingConfig(), keras.tree.flatten(callbacks)
    if config.output_dir:
        config = dataclasses.replace(config, output_dir=path_of(config.output_dir))
    workers = _workers(strategy, train)
    given, (model, tokenizer) = model, _model_and_tokenizer(model, tokenizer)
    check_place(model, callbacks)
    keras.utils.set_random_seed(config.seed)
    train, validation, aim, check = _data(model, train, validation, config, loss, task)
    if config.recompute:
        blocks_to_recompute(model)  # refused before a file is written
    with contextlib.ExitStack() as stack:
        config = _enter_folder(stack, config, workers)
        if config.resume and tokenizer is None:
            tokenizer = _tokenizer_of(model, config.output_dir)
        stack.enter_context(_computing_in(model, config.dtype))
        if config.recompute:
            stack.enter_context(recomputing(model))
        stack.enter_context(check.explained())
        run = _compiled(model, train, config, aim, check, class_weight, workers)
        state = RunState(model, run.net, validation, run.config, run.steps, aim, loss, workers)
        _go_on(run, state, tokenizer, workers)
        _train(run, state, callbacks, workers)
        if config.output_dir and tokenizer is not None:
            model_folder.save(model, tokenizer, config.output_dir)
        if config.output_dir and isinstance(model, PromptedLM) and model is not given:
            given.save(config.output_dir / LEARNED)
    return state.history()


# === The processes and the model ===


def _workers(strategy: str | None, train: object) -> Workers | None:
    """The workers to train with, or None for this process alone."""
    if strategy is None:
        return None
    if strategy != "multi_worker":
        raise InputError(f"strategy is {strategy!r}; it must be None or 'multi_worker'")
    if _is_contiguous(train):
        raise InputError("strategy='multi_worker' cannot carry state along; give windows made with contiguous=False")
    return multi_worker()


def _model_and_tokenizer(
    model: keras.Model | TextModel, tokenizer: Tokenizer | None
) -> tuple[keras.Model, Tokenizer | None]:
    """`(model, tokenizer)`, also of a LanguageModel; InputError for a tokenizer that goes with no such model."""
    if not isinstance(model, keras.Model):
        from lm_keras.text_model import TextModel  # whose subclasses stand on this

        if isinstance(model, TextModel):
            text_model, model = model, model.training_model
            if model is text_model.model and tokenizer is None:
                tokenizer = text_model.tokenizer
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


# === The data and what they are for ===


def _data(
    model: keras.Model,
    train: tf.data.Dataset | tuple,
    validation: tf.data.Dataset | tuple | None,
    config: TrainingConfig,
    loss: object,
    task: str | None,
) -> tuple[tf.data.Dataset, tf.data.Dataset | None, Objective, DataCheck]:
    """The data as batches, the model's objective, and the check of the training data."""
    data, train = train, as_dataset(train, config.batch_size, config.seed)
    steps = _num_batches(train)
    aim = objective(model, loss, task, inputs_spec(train), is_windows(train))
    check = DataCheck(model, aim, train, steps)
    check.arrays(data)
    if validation is not None:
        data, validation = validation, as_dataset(validation, config.batch_size)
        DataCheck(model, aim, validation).arrays(data)
    elif config.early_stopping_patience is not None:
        raise InputError("early_stopping_patience needs validation data; give fit a validation set")
    return train, validation, aim, check


def _num_batches(dataset: tf.data.Dataset) -> int:
    steps = int(dataset.cardinality())
    if steps < 1:
        raise InputError(
            f"the training data has {'no' if steps == 0 else 'an unknown number of'} batches; give a finite dataset "
            "and say its size with dataset.apply(tf.data.experimental.assert_cardinality(n))"
        )
    return steps


def _is_contiguous(dataset: object) -> bool:
    return isinstance(dataset, TextDataset) and dataset.contiguous


# === The folder ===


def _enter_folder(stack: contextlib.ExitStack, config: TrainingConfig, workers: Workers | None) -> TrainingConfig:
    """Claims the run folder until the stack is left; returns the settings of this process: one of several writes."""
    at_chief = workers.agree if workers else lambda does: does()  # the others hear what is wrong there
    if workers:
        stack.enter_context(workers.watched())
    if config.output_dir:
        at_chief(lambda: stack.enter_context(_claimed(config.output_dir, config.resume)))
    if workers and not workers.is_chief:
        return dataclasses.replace(config, output_dir=None, resume=False)
    return config


@contextlib.contextmanager
def _claimed(folder: Path, resume: bool) -> Iterator[None]:
    """The run folder, for one process at a time, without what a kill within a save left behind."""
    with claimed(folder):
        if not resume and (folder / CHECKPOINT).exists():
            raise InputError(f"{folder} already holds a run; give another output_dir or resume=True to go on with it")
        for name in (WEIGHTS, TASK):
            if not (folder / CHECKPOINT).exists() and (folder / name).exists():
                raise InputError(
                    f"{folder} holds a model ({name}) and no {CHECKPOINT} to go on from; give another output_dir"
                )
        for left in folder.glob(".*.tmp"):
            if re.fullmatch(r"\..+\.\d+\.tmp", left.name) and not left.is_dir():
                left.unlink()
        model_folder.remove_staged(folder)
        yield


def _tokenizer_of(model: keras.Model, folder: Path) -> Tokenizer | None:
    """The tokenizer that the run in `folder` was started with, or None: at its end the model is saved there too."""
    kept = kind_of(folder) in ("language model", "unfinished fit") and (folder / CHECKPOINT).exists()
    by_command = (folder / RUN).exists()  # `lm-keras train` saves by itself
    if not kept or by_command or not isinstance(model, (CausalLM, Seq2SeqLM)):
        return None
    return _model_and_tokenizer(model, load_tokenizer(folder))[1] if (folder / "tokenizer.json").exists() else None


# === The compiled model ===


@dataclasses.dataclass(frozen=True)
class _Run:
    """A run that is ready to begin.

    Attributes:
        model: The model of the user.
        net: What is trained, compiled and with all its variables: `model`, or a network of the same weights that
            carries the state of contiguous windows along.
        train: The batches of an epoch.
        steps: Their number.
        config: The settings; `epochs` are those that `total_steps` reach.
        aim: What `net` is trained for.
        prepared: Gives the batches of `train`, from any step on, their checks and weights.
        finish: To be called at the end of the training.
    """

    model: keras.Model
    net: keras.Model
    train: tf.data.Dataset
    steps: int
    config: TrainingConfig
    aim: Objective
    prepared: Callable[[tf.data.Dataset], tf.data.Dataset]
    finish: Callable[[], None]


def _compiled(
    model: keras.Model,
    train: tf.data.Dataset,
    config: TrainingConfig,
    aim: Objective,
    check: DataCheck,
    class_weight: dict | None,
    workers: Workers | None,
) -> _Run:
    """Compiles the model for the run, and makes all variables that a checkpoint holds."""
    net = carry_state(model, train.batch_size) if _is_contiguous(train) else model
    steps = _num_batches(train)
    config = dataclasses.replace(config, epochs=-(-config.total_steps(steps) // steps))
    weighed = weighing(class_weight, model, aim.outputs, train.element_spec)
    # Several outputs count different labels: over workers, their losses are added as over accumulated batches.
    shares = config.accumulate_steps > 1 or (workers is not None and isinstance(aim.outputs, (dict, list, tuple)))
    options = {"metrics": list(aim.metrics), "jit_compile": config.jit_compile}
    optimizer, loss = make_optimizer(config, steps), summed(aim.loss) if shares else aim.loss
    for each in {id(part): part for part in (net, model)}.values():  # callbacks may save either, or set its rate
        each.compile(optimizer, loss, **options)
    _build(net, aim, train.element_spec)

    def prepared(stream):
        stream = weighed(check.watched(stream))
        whom = "accumulate_steps" if config.accumulate_steps > 1 else "several workers"
        return in_shares(stream, config.accumulate_steps, aim.loss, aim.outputs, whom) if shares else stream

    def finish():
        if shares:  # a model that was trained with sums is left with the loss of one batch
            model.compile(optimizer, aim.loss, **options)

    return _Run(model, net, train, steps, config, aim, prepared, finish)


def _build(net: keras.Model, aim: Objective, spec: tuple) -> None:
    """Makes the variables that Keras would make at the first batch, so that the checkpoint finds them."""
    net.optimizer.build(net.trainable_variables)
    if not aim.metrics and not isinstance(aim.loss, dict):
        return
    outputs = tf.nest.map_structure(lambda t: tf.zeros([size or 1 for size in t.shape], t.dtype), aim.outputs)
    y = tf.nest.map_structure(_some_labels, spec[1], outputs)
    net.compute_loss(y=y, y_pred=outputs)
    net.compute_metrics(None, y, outputs)
    net.reset_metrics()


def _some_labels(spec: tf.TensorSpec, output: tf.Tensor) -> tf.Tensor:
    """Labels for `output`, of as many axes as `spec` has: in place of the classes a single number."""
    rank = spec.shape.rank or len(output.shape) - 1
    shape = list(output.shape[:rank])
    if rank == len(output.shape) and spec.shape[-1] == 1:
        shape[-1] = 1
    return tf.zeros(shape, spec.dtype)


@contextlib.contextmanager
def _computing_in(model: keras.Model, policy: str) -> Iterator[None]:
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


# === The training ===


def _go_on(run: _Run, state: RunState, tokenizer: Tokenizer | None, workers: Workers | None) -> None:
    """Puts the checkpoint of a run that is resumed into it, the chief's into all workers."""
    folder = run.config.output_dir

    def load():
        progress = None
        if run.config.resume and (folder / CHECKPOINT).exists():
            progress, best = load_checkpoint(folder, run.net, run.steps)
            state.restore(progress, best)
        if folder and tokenizer is not None:
            model_folder.save_config(run.model, tokenizer, folder)
        return progress

    if workers:
        start_together(workers, run.net, state, load)
    else:
        load()


def _train(run: _Run, state: RunState, callbacks: list, workers: Workers | None) -> None:
    """Trains from the step of `state` to the end of the run."""
    log = RunLog(state, run.config, tokens_per_step=_tokens_per_step(run.train))
    theirs = [OfModel(callbacks, run.model)] if callbacks else []
    heard = [state, *([log] if not workers or workers.is_chief else []), *theirs, Saver(state)]
    # Without a terminal, the log prints a line an epoch.
    verbose = 1 if on_terminal() and log in heard else 0
    legs = _legs(run, state)
    try:
        if workers:
            train_together(workers, run.net, run.aim, legs, state, run.config, heard, verbose)
            legs = ()
        for data, first, last, count in legs:
            run.net.fit(
                data,
                initial_epoch=first,
                epochs=last,
                steps_per_epoch=count,
                shuffle=False,  # the dataset is in its order already
                verbose=verbose,
                callbacks=heard,
            )
            if run.net.stop_training:
                break
        for each in theirs:
            each.finish()
    finally:
        log.close()
        run.finish()


def _legs(run: _Run, state: RunState) -> Iterator[tuple[tf.data.Dataset, int, int, int]]:
    """The `model.fit` calls still to do, as (data, first epoch, last epoch, steps an epoch).

    A run that stopped within an epoch needs two: the rest of that epoch, then the others; so does one that ends
    within an epoch. All read one iterator: a dataset that shuffles starts another order whenever it is iterated anew.
    """
    train, steps = run.train, run.steps
    (epoch, within), (whole, rest) = divmod(state.step, steps), divmod(state.total, steps)
    if state.stopped or state.step >= state.total:
        return
    done = state.step % run.config.accumulate_steps  # batches of an update that is not complete
    start = state.step - done
    stream = train.stream(start) if isinstance(train, TextDataset) else train.repeat().skip(start)
    stream = run.prepared(stream)
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


def _tokens_per_step(dataset: tf.data.Dataset) -> float | None:
    tokens = dataset.num_tokens if isinstance(dataset, TextDataset) else None
    return tokens and tokens / int(dataset.cardinality())
