"""One worker of the runs in test_multi_worker.py: `python multi_worker_child.py FOLDER KIND [STEP]`, with TF_CONFIG.

Worker 1 kills itself at the end of the call that reaches update STEP.
"""

import json
import os
import signal
import sys
from pathlib import Path

import lm_keras as lk

EPOCHS = 3


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

    weights = {str(i): weight for i, weight in enumerate(model.get_weights())}
    np.savez(Path(folder).parent / f"worker{workers.index}.npz", **weights)
    (Path(folder).parent / f"worker{workers.index}.json").write_text(json.dumps(history.history))
