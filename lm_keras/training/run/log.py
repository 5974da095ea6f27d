"""What a run tells while it goes on: metrics.csv, TensorBoard, a line an epoch, the learning curve."""

from __future__ import annotations

import contextlib
import csv
import math
import os
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import keras
import tensorflow as tf

from lm_keras.errors import InputError, WriteError
from lm_keras.training.config import TrainingConfig
from lm_keras.training.run.state import RunState
from lm_keras.utils.atomic_files import replacing, writing
from lm_keras.utils.quiet import on_terminal, tell
from lm_keras.utils.saved_kinds import CHECKPOINT, METRICS

CURVE = "learning_curve.png"
FIELDS = ("step", "epoch", "loss", "learning_rate")


class RunLog(keras.callbacks.Callback):
    """Every `logging_steps` updates a row of the mean loss since the last one; after each epoch the validation."""

    def __init__(self, state: RunState, config: TrainingConfig, tokens_per_step: float | None = None):
        super().__init__()
        self.state, self.config, self.tokens_per_step = state, config, tokens_per_step
        self.fields = (*FIELDS, *(f"val_{key}" for key in state.measures))
        self.folder = config.output_dir and Path(config.output_dir)
        self.rows, self._file, self._board = [], None, None
        if self.folder:
            self._open()

    def _open(self):
        path, board = self.folder / METRICS, self.folder / "logs"
        for name in (path.name, CHECKPOINT, CURVE):
            if (self.folder / name).is_dir():
                raise InputError(f"{self.folder / name} is a folder, and a run has a file there; move it away")
        if board.exists() and not board.is_dir():
            raise InputError(f"{board} is a file, and a run has a folder there; move it away")
        if self.config.resume and path.exists():
            self._take_over(path)
        with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.fields)
            writer.writeheader()
            writer.writerows(self.rows)
        self._file = path.open("a", newline="", encoding="utf-8")
        with _on_board(board):
            self._board = tf.summary.create_file_writer(os.fsencode(board))

    def _take_over(self, path):
        """The rows up to the checkpoint; those past it will be written again."""
        rows, damaged = _rows(path)
        self.rows = [row for row in rows if row["step"] <= self.state.step and row.keys() <= set(self.fields)]
        if damaged or any(not row.keys() <= set(self.fields) for row in rows):  # a part of the curve, not of the run
            aside = path.with_name(f"{path.name}.damaged")
            with writing(aside):
                path.replace(aside)
            tell(f"{path} is damaged: what could be read of it is kept, and the file itself as {aside.name}")

    def close(self) -> None:
        if self.folder:
            with writing(self.folder / METRICS):
                self._file.close()
            with _on_board(self.folder / "logs"):
                self._board.close()

    def _add(self, **values):
        row = {"step": self.state.step, **values}
        self.rows.append(row)
        if self.folder:
            with writing(self.folder / METRICS):
                csv.DictWriter(self._file, self.fields).writerow(row)
                self._file.flush()
            with _on_board(self.folder / "logs"), self._board.as_default(step=self.state.step):
                for key, value in values.items():
                    tf.summary.scalar(key, min(value, 3e38))  # of float32, which TensorBoard takes

    # === Callback ===
    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._started, self._first = time.perf_counter(), self.state.step
        if self.state.step % self.state.steps_per_epoch == 0:
            self.state.logged = 0, 0.0

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        done = self.state.step % self.state.steps_per_epoch or self.state.steps_per_epoch
        if self.state.step % self.config.logging_steps == 0:
            # Keras' logs hold the mean since the epoch's start: take the part before the last row off again.
            total, (before, total_before) = done * float(logs["loss"]), self.state.logged
            loss = (total - total_before) / (done - before)
            self.state.logged = done, total
            rate = float(self.model.optimizer.learning_rate)
            self._add(epoch=self.state.epoch(), loss=loss, learning_rate=rate)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        validation = {key: logs[key] for key in self.fields[len(FIELDS) :] if key in logs}
        if validation:
            self._add(epoch=epoch + 1, **validation)
        if self.folder:
            measure = "perplexity" if "perplexity" in self.state.measures else "loss"
            try:
                plot_learning_curve(self.rows, self.folder / CURVE, measure=measure)
            except WriteError as error:  # the checkpoint of this epoch, which is saved next, may find room
                tell(str(error))
        if not on_terminal():
            tell(self._line(epoch, logs))

    def _line(self, epoch, logs):
        seconds = time.perf_counter() - self._started
        second = self.state.measures[1:2]  # beside the loss, one measure is enough: perplexity, accuracy, ...
        shown = " · ".join(
            f"{k} {logs[k]:.4g}"
            for k in ("loss", *second, "val_loss", *(f"val_{key}" for key in second))
            if k in logs
        )
        line = f"epoch {epoch + 1}/{self.config.epochs} · {shown} · {seconds:.0f} s"
        if self.tokens_per_step:
            line += f" · {(self.state.step - self._first) * self.tokens_per_step / seconds:,.0f} tokens/s"
        return line


@contextlib.contextmanager
def _on_board(folder: Path) -> Iterator[None]:
    """What TensorFlow says of files of TensorBoard that cannot be written, as a WriteError."""
    try:
        yield
    except tf.errors.OpError as error:
        told = re.sub(r"\{\{.*?\}\} ?", "", error.message).split("\n")[0].split("; ")[-1]  # without ops and files
        raise WriteError(f"{folder} cannot be written ({told}); make room or give another folder") from error


def read_rows(path: str | Path) -> list[dict[str, float]]:
    """The rows of a `metrics.csv`; what a kill cut short, or is no row, is left out."""
    return _rows(path)[0]


def _rows(path):
    """`(rows, whether some could not be read)`; a last line that a kill cut short does not count."""
    try:
        lines = Path(path).read_bytes().decode("utf-8", "replace").replace("\0", "\ufffd").splitlines()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); move it away to go on without it") from None
    fields = lines[0].split(",") if lines else []
    if "step" not in fields:
        return [], bool(lines)
    rows = [_row(fields, line.split(",")) for line in lines[1:]]
    return [row for row in rows if row], None in rows[:-1]


def _row(fields, values):
    """One row with its numbers, or None."""
    with contextlib.suppress(ValueError, OverflowError):  # of an integer beyond floats
        told = {field: value for field, value in zip(fields, values, strict=True) if value}
        row = {key: int(value) if key in ("step", "epoch") else float(value) for key, value in told.items()}
        if "step" in row and all(map(math.isfinite, row.values())):
            return row
    return None


# === Pictures of a training run ===


def plot_learning_curve(
    rows: Iterable[dict[str, float]],
    path: str | Path,
    baselines: dict[str, float] | None = None,
    measure: Literal["perplexity", "loss"] = "perplexity",
) -> Path:
    """Draws perplexity, or the loss, against steps as a PNG.

    Args:
        rows: Dicts with "step", "loss" and, at the end of an epoch, "val_loss", as in metrics.csv.
        path: The file.
        baselines: `{label: value}` of what is drawn as a horizontal line.
        measure: "perplexity", e^loss, or "loss".

    Returns:
        The path.
    """
    from matplotlib.figure import Figure

    shown = (lambda loss: math.exp(min(loss, 300))) if measure == "perplexity" else float
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for key, label, style in (
        ("loss", "training", {"color": "tab:blue", "alpha": 0.6, "linewidth": 1}),
        ("val_loss", "validation", {"color": "tab:orange", "marker": "o", "markersize": 4}),
    ):
        points = [(row["step"], shown(row[key])) for row in rows if row.get(key) is not None]
        if points:
            axes.plot(*zip(*points, strict=True), label=label, **style)
    for (label, value), line in zip((baselines or {}).items(), ("--", ":", "-."), strict=False):
        axes.axhline(value, linestyle=line, color="gray", linewidth=1, label=f"{label}: {value:.1f}")
    axes.set(xlabel="step", ylabel=measure)
    if measure == "perplexity":
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(lambda x, _: f"{x:g}" if str(x)[0] in "25" else "")
    axes.grid(alpha=0.3, which="both")
    if axes.get_legend_handles_labels()[0]:  # a short run may have nothing to show yet
        axes.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
    return Path(path)
