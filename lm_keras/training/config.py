"""What a training run is told."""

import dataclasses
import numbers
from pathlib import Path

from lm_keras.errors import InputError

OPTIMIZERS = ("adamw", "adam", "sgd")
SCHEDULES = ("cosine", "linear", "step", "constant")
DTYPES = ("float32", "mixed_bfloat16")


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Settings of `fit`, the names as in document 003's TrainingArguments.

    Steps are batches, an update each. The learning rate rises linearly over `warmup_steps` (at most a tenth of the
    run), then follows `schedule`: "cosine" or "linear" down to `min_learning_rate`, "constant", or "step": times
    `decay_rate` at the end of each epoch from `decay_from_epoch` on. `weight_decay` (of adamw and sgd) spares biases
    and norms (rank < 2). `momentum` is of sgd; `beta_2`, of adam and adamw, is how slowly the mean square of the
    gradients moves. `clip_norm` is the global norm. The loss is a mean over tokens: a recipe that sums over T time
    steps has its learning rate times T and its clip norm divided by T here. Each `checkpoint_steps` within an epoch
    a run is saved; `resume=True` goes on from the newest save. For less memory: an update takes the gradient of
    `accumulate_steps` batches as if they were one (each weighs by its labels or their weights; what is left over at
    the run's end is dropped; warm-up counts updates), and `recompute` forgets what happens in a transformer's blocks
    and computes it again (Chen et al. 2016).
    `max_steps`: the run ends after so many steps, within an epoch too, however many `epochs` there are to be; the
    schedule is as long. None: after `epochs`.
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
        counts = ("epochs", "batch_size", "accumulate_steps", "logging_steps", "checkpoint_steps", "decay_from_epoch")
        for name in counts:
            _least(self, name, 1, int)
        _least(self, "warmup_steps", 0, int)
        if self.max_steps is not None:
            _least(self, "max_steps", 1, int)
        for name in ("learning_rate", "min_learning_rate", "weight_decay", "momentum"):
            _least(self, name, 0)
        for name in ("clip_norm", "early_stopping_patience"):
            if getattr(self, name) is not None:
                _least(self, name, 0)
        if self.learning_rate == 0:
            raise InputError("learning_rate is 0; it must be above 0")
        if self.min_learning_rate > self.learning_rate:
            raise InputError(
                f"min_learning_rate {self.min_learning_rate} is above learning_rate {self.learning_rate}"
            )
        if not 0 < self.beta_2 < 1:
            raise InputError(f"beta_2 is {self.beta_2!r}; it must be between 0 and 1")
        if self.momentum > 1:
            raise InputError(f"momentum is {self.momentum!r}; it must be at most 1")
        for name, known in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES), ("dtype", DTYPES)):
            if getattr(self, name) not in known:
                raise InputError(f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(known)}")
        if self.resume and self.output_dir is None:
            raise InputError("resume=True needs output_dir, the folder of the run to go on with")

    def total_steps(self, steps_per_epoch: int) -> int:
        """The steps of the whole run, `max_steps` or those of `epochs`, where an epoch has `steps_per_epoch`."""
        return self.max_steps or self.epochs * steps_per_epoch


def _least(config, name, least, kind=numbers.Real):
    value = getattr(config, name)
    if not isinstance(value, kind) or isinstance(value, bool) or not value >= least:  # so that NaN is refused too
        whole = "a whole number of " if kind is int else ""
        raise InputError(f"{name} is {value!r}; it must be {whole}at least {least}")
