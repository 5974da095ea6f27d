"""One worker of the runs in test_multi_worker.py: `python multi_worker_child.py FOLDER KIND [STEP]`, with TF_CONFIG.

Worker 1 kills itself at the end of the call that reaches update STEP.
"""

import json
import os
import signal
import sys
from pathlib import Path

import lm_keras as lk

EPOCHS = 2


def run(folder, strategy=None, callbacks=(), **settings):
    """Trains a small LSTM on batches of 7 rows, the last of 1, with labels that do not count: (model, History)."""
    import numpy as np

    ids = np.random.default_rng(5).integers(0, 40, size=(57, 9)).astype("int32")
    x, y = ids[:, :-1], ids[:, 1:].copy()
    y[::5] = -1  # whole rows
    y[::3, 4:] = -1
    model = lk.models.build_lstm_lm(40, embedding_dim=8, hidden_dim=12, num_layers=1, seed=1)
    config = lk.TrainingConfig(**{
        "epochs": EPOCHS, "batch_size": 7, "learning_rate": 0.02, "warmup_steps": 4, "logging_steps": 2,
        "checkpoint_steps": 4, "clip_norm": 0.05, "early_stopping_patience": 5, "output_dir": folder, **settings,
    })  # fmt: skip
    history = lk.fit(model, (x, y), (x[:20], y[:20]), config, callbacks, strategy=strategy)
    return model, history


def answers(strategy=None):
    """Trains two outputs, texts without an answer among them; returns (model, History)."""
    import keras
    import numpy as np

    x = np.random.default_rng(6).integers(0, 30, (41, 6)).astype("int32")
    y = {"start": np.where(x[:, 0] < 6, -1, x[:, 1] % 6), "end": np.where(x[:, 0] < 6, -1, x[:, 2] % 6)}
    ids = keras.Input((6,), dtype="int32")
    draw = keras.initializers.RandomNormal(seed=3)
    hidden = keras.layers.Flatten()(keras.layers.Embedding(30, 4, embeddings_initializer=draw)(ids))
    outputs = {name: keras.layers.Dense(6, name=name, kernel_initializer=draw)(hidden) for name in y}
    model = keras.Model(ids, outputs)
    config = lk.TrainingConfig(epochs=2, batch_size=8, optimizer="sgd", learning_rate=0.5, clip_norm=0.05)
    return model, lk.fit(model, (x, y), (x, y), config, strategy=strategy)


def kill_at(step):
    import keras

    class KillAt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if int(self.model.optimizer.iterations) >= step:
                os.kill(os.getpid(), signal.SIGKILL)

    return KillAt()


if __name__ == "__main__":
    folder, *step = sys.argv[1:]
    from lm_keras.errors import WorkerLostError

    try:
        workers = lk.training.multi_worker(start_timeout=60)
        callbacks = [kill_at(int(step[0]))] if step and workers.index == 1 else []
        model, history = run(folder, "multi_worker", callbacks, resume=True)
    except (lk.InputError, WorkerLostError) as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        sys.exit(1)
    import numpy as np

    span_model, span_history = answers("multi_worker")
    weights = {str(i): weight for i, weight in enumerate([*model.get_weights(), *span_model.get_weights()])}
    np.savez(Path(folder).parent / f"worker{workers.index}.npz", **weights)
    histories = [history.history, span_history.history]
    (Path(folder).parent / f"worker{workers.index}.json").write_text(json.dumps(histories))
