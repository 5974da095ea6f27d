"""`TrainingConfig`: the settings of a training run."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from lm_keras.errors import InputError
from lm_keras.utils.checks import MAX_SEED, check_choice, check_number, check_whole

OPTIMIZERS = ("adamw", "adam", "sgd")
SCHEDULES = ("cosine", "linear", "step", "constant")
DTYPES = ("float32", "mixed_bfloat16")
COUNTS = (
    *("epochs", "max_steps", "batch_size", "accumulate_steps", "logging_steps", "checkpoint_steps"),
    "decay_from_epoch",
)
OPTIONAL = ("max_steps", "clip_norm", "early_stopping_patience")


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Settings of `fit`, the names as in document 003's TrainingArguments.

    A step is a batch, and an update each unless `accumulate_steps` is more than 1. The loss is a mean over tokens: a
    recipe that sums over T time steps has its learning rate times T and its clip norm divided by T here.

    Args:
        epochs: The passes over the training data.
        max_steps: The run ends after so many steps, within an epoch too, and the schedule is as long; None: after
            `epochs`.
        batch_size: The rows of a batch made of arrays.
        learning_rate: The highest learning rate.
        optimizer: "adamw", "adam" or "sgd".
        momentum: Of sgd, from 0 to 1.
        beta_2: Of adam and adamw, between 0 and 1: how slowly the mean square of the gradients moves.
        weight_decay: Of adamw and sgd, decoupled; it spares biases and norms (rank < 2).
        warmup_steps: The updates over which the learning rate rises linearly, at most a tenth of the run.
        schedule: What follows: "cosine" or "linear" down to `min_learning_rate`, "constant", or "step": times
            `decay_rate` at the end of each epoch from `decay_from_epoch` on.
        min_learning_rate: See `schedule`.
        decay_rate: See `schedule`.
        decay_from_epoch: See `schedule`; the first epoch is 1.
        clip_norm: The most that the global norm of the gradients may be; None or 0: any.
        early_stopping_patience: The epochs without a better val_loss after which the run stops; None: it does not.
        dtype: What layers compute in: "float32" or "mixed_bfloat16". Their variables are float32.
        jit_compile: Whether XLA compiles the training step.
        accumulate_steps: An update takes the gradient of so many batches as if they were one: each weighs by its
            labels or their weights. What is left over at the end of the run is dropped.
        recompute: Whether what happens within a transformer's blocks is computed again for the gradient instead of
            kept, for less memory (Chen et al. 2016).
        seed: The seed of the order of arrays, of dropout and of all else that is random, from 0 to 2**32 - 1.
        logging_steps: The steps between two rows of metrics.csv.
        checkpoint_steps: The steps between two checkpoints within an epoch; there is one after each epoch too.
        output_dir: The folder of the run; None: nothing is written.
        resume: Whether the run in `output_dir` goes on from its newest checkpoint, if it has one.

    Raises:
        InputError: For settings that cannot be.
    """

    epochs: int = 3
    max_steps: int | None = None
    batch_size: int = 16
    learning_rate: float = 1e-3
    optimizer: str = "adamw"
    momentum: float = 0.0
    beta_2: float = 0.999
    weight_decay: float = 0.01
    warmup_steps: int = 500
    schedule: str = "cosine"
    min_learning_rate: float = 0.0
    decay_rate: float = 0.5
    decay_from_epoch: int = 1
    clip_norm: float | None = 1.0
    early_stopping_patience: int | None = None
    dtype: str = "float32"
    jit_compile: bool = False
    accumulate_steps: int = 1
    recompute: bool = False
    seed: int = 0
    logging_steps: int = 10
    checkpoint_steps: int = 500
    output_dir: str | Path | None = None
    resume: bool = False

    def __post_init__(self):
        for name in COUNTS:
            self._set(name, check_whole, 1)
        for name in ("warmup_steps", "early_stopping_patience"):
            self._set(name, check_whole, 0)
        self._set("seed", check_whole, 0, MAX_SEED)
        for name in ("min_learning_rate", "weight_decay", "decay_rate", "clip_norm"):
            self._set(name, check_number, least=0)
        self._set("learning_rate", check_number, above=0)
        self._set("momentum", check_number, least=0, most=1)
        self._set("beta_2", check_number, above=0, below=1)
        if self.min_learning_rate > self.learning_rate:
            raise InputError(
                f"min_learning_rate {self.min_learning_rate} is above learning_rate {self.learning_rate}"
            )
        for name, known in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES), ("dtype", DTYPES)):
            self._set(name, check_choice, known)
        if self.resume and self.output_dir is None:
            raise InputError("resume=True needs output_dir, the folder of the run to go on with")

    def _set(self, name: str, check: Callable, *arguments: object, **limits: object) -> None:
        """Checks a field and keeps it as a number of Python; None where it may be None."""
        value = getattr(self, name)
        if value is not None or name not in OPTIONAL:
            object.__setattr__(self, name, check(name, value, *arguments, **limits))

    def total_steps(self, steps_per_epoch: int) -> int:
        """The steps of the whole run, `max_steps` or those of `epochs`, where an epoch has `steps_per_epoch`."""
        return self.max_steps or self.epochs * steps_per_epoch
