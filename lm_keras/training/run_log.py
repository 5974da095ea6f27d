"""What a run tells while it goes on: metrics.csv, TensorBoard, a line an epoch, the learning curve."""

import csv
import sys
import time
from pathlib import Path

import keras

from lm_keras.files import replacing
from lm_keras.training.plots import plot_learning_curve

FIELDS = ("step", "epoch", "loss", "learning_rate")


class RunLog(keras.callbacks.Callback):
    """Every `logging_steps` updates a row of the mean loss since the last one; after each epoch the validation."""

    def __init__(self, state, config, tokens_per_step=None):
        super().__init__()
        self.state, self.config, self.tokens_per_step = state, config, tokens_per_step
        self.fields = (*FIELDS, *(f"val_{key}" for key in state.measures))
        self.folder = config.output_dir and Path(config.output_dir)
        self.rows, self._file, self._board = [], None, None
        if self.folder:
            self._open()

    def _open(self):
        import tensorflow as tf

        path = self.folder / "metrics.csv"
        if self.config.resume and path.exists():  # rows past the checkpoint will be written again
            self.rows = [row for row in read_rows(path) if row["step"] <= self.state.step]
        with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.fields)
            writer.writeheader()
            writer.writerows(self.rows)
        self._file = path.open("a", newline="", encoding="utf-8")
        self._board = tf.summary.create_file_writer(str(self.folder / "logs"))

    def close(self):
        if self.folder:
            self._file.close()
            self._board.close()

    def _add(self, **values):
        row = {"step": self.state.step, **values}
        self.rows.append(row)
        if self.folder:
            import tensorflow as tf

            csv.DictWriter(self._file, self.fields).writerow(row)
            self._file.flush()
            with self._board.as_default(step=self.state.step):
                for key, value in values.items():
                    tf.summary.scalar(key, value)

    # === Callback ===
    def on_epoch_begin(self, epoch, logs=None):
        self._started, self._first = time.perf_counter(), self.state.step
        # The steps of this epoch that have a row, and their losses' sum: after a kill there may be some.
        within, steps, total = self.state.step % self.state.steps_per_epoch, 0, 0.0
        for row in self.rows:
            step = row["step"] - (self.state.step - within)
            if step > 0 and "loss" in row:
                steps, total = step, total + (step - steps) * row["loss"]
        self._mark = (steps, total)

    def on_train_batch_end(self, batch, logs=None):
        done = self.state.step % self.state.steps_per_epoch or self.state.steps_per_epoch
        if self.state.step % self.config.logging_steps == 0:
            # Keras' logs hold the mean since the epoch's start: take the part before the last row off again.
            total, (before, total_before) = done * float(logs["loss"]), self._mark
            loss = (total - total_before) / (done - before)
            self._mark = (done, total)
            rate = float(self.model.optimizer.learning_rate)
            self._add(epoch=epoch_of(self.state), loss=loss, learning_rate=rate)

    def on_epoch_end(self, epoch, logs=None):
        validation = {key: logs[key] for key in self.fields[len(FIELDS) :] if key in logs}
        if validation:
            self._add(epoch=epoch + 1, **validation)
        if self.folder:
            measure = "perplexity" if "perplexity" in self.state.measures else "loss"
            plot_learning_curve(self.rows, self.folder / "learning_curve.png", measure=measure)
        if not sys.stdout.isatty():
            print(self._line(epoch, logs), flush=True)

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


def epoch_of(state):
    return (state.step - 1) // state.steps_per_epoch + 1


def read_rows(path):
    """The rows of a `metrics.csv`; a line that a kill cut short is left out."""
    with Path(path).open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if None not in row.values()]
    whole = ("step", "epoch")
    return [{k: int(v) if k in whole else float(v) for k, v in row.items() if v} for row in rows]
