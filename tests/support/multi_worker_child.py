"""One worker of the runs in test_multi_worker.py: `python multi_worker_child.py FOLDER KIND [STEP]`, with TF_CONFIG.

Worker 1 kills itself at the end of the call that reaches update STEP.
"""

import json
import os
import signal
import socket
import sys
from pathlib import Path

import lm_keras as lk

EPOCHS = 2


def free_addresses(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
    for each in sockets:
        each.close()
    return addresses


def run(folder, strategy=None, callbacks=(), **settings):
    """Trains a small LSTM on batches of 7 rows, the last of 1, with labels that do not count: (model, History).

    Its embedding is frozen for the first epoch.
    """
    import keras
    import numpy as np

    ids = np.random.default_rng(5).integers(0, 40, size=(57, 9)).astype("int32")
    x, y = ids[:, :-1], ids[:, 1:].copy()
    y[::5] = -1  # whole rows
    y[::3, 4:] = -1
    model = lk.models.build_lstm_lm(40, embedding_dim=8, hidden_dim=12, num_layers=1, seed=1)
    model.get_layer("logits").kernel.regularizer = keras.regularizers.L2(0.01)
    config = lk.TrainingConfig(**{
        "epochs": EPOCHS, "batch_size": 7, "learning_rate": 0.02, "warmup_steps": 4, "logging_steps": 2,
        "checkpoint_steps": 4, "clip_norm": 0.05, "early_stopping_patience": 5, "output_dir": folder, **settings,
    })  # fmt: skip
    callbacks = [lk.training.FrozenFor(1), *callbacks]
    history = lk.fit(model, (x, y), (x[:20], y[:20]), config, callbacks, strategy=strategy)
    return model, history


def answers(strategy=None):
    """Trains two outputs, the labels of which are missing in different texts; returns (model, History)."""
    import keras
    import numpy as np

    x, row = np.random.default_rng(6).integers(0, 30, (41, 6)).astype("int32"), np.arange(41) % 8
    y = {"start": np.where(row < 5, -1, x[:, 1] % 6), "end": np.where(row > 6, -1, x[:, 2] % 6)}
    ids = keras.Input((6,), dtype="int32")
    draw = keras.initializers.RandomNormal(seed=3)
    hidden = keras.layers.Flatten()(keras.layers.Embedding(30, 4, embeddings_initializer=draw)(ids))
    options = {"kernel_initializer": draw, "kernel_regularizer": keras.regularizers.L2(0.05)}
    outputs = {name: keras.layers.Dense(6, name=name, **options)(hidden) for name in y}
    model = keras.Model(ids, outputs)
    settings = {"optimizer": "sgd", "learning_rate": 0.5, "clip_norm": 0.05, "accumulate_steps": 2}
    config = lk.TrainingConfig(epochs=2, batch_size=8, **settings)
    return model, lk.fit(model, (x, y), (x, y), config, strategy=strategy)


def tags_and_more(strategy=None):
    """Trains labels of tokens, of texts and a number, each with weights of its own; returns (model, History)."""
    import keras
    import numpy as np
    import tensorflow as tf

    from lm_keras.losses import CrossEntropy

    rng = np.random.default_rng(7)
    x = rng.integers(0, 30, (33, 6)).astype("int32")
    y = {"tags": np.where(x < 9, -1, x % 3), "label": x[:, 0] % 2, "next": np.roll(x, -1, 1), "length": x[:, 1] / 30}
    weights = {"tags": rng.random((33, 6)), "label": rng.random(33), "next": rng.random((33, 6))}
    weights = {name: np.float32(weight) for name, weight in {**weights, "length": rng.random(33)}.items()}
    ids, draw = keras.Input((6,), dtype="int32"), keras.initializers.RandomNormal(seed=3)
    small = keras.regularizers.L2(0.05)
    tokens = keras.layers.Embedding(30, 4, embeddings_initializer=draw, embeddings_regularizer=small)(ids)
    text, sizes = keras.layers.Flatten()(tokens), {"tags": 3, "label": 2, "next": 30, "length": 1}
    outputs = {
        name: keras.layers.Dense(size, name=name, kernel_initializer=draw)(text if size < 3 else tokens)
        for name, size in sizes.items()
    }
    model = keras.Model(ids, outputs)
    loss = {name: CrossEntropy() for name in ("tags", "label")}
    loss["next"] = keras.losses.SparseCategoricalCrossentropy(True, reduction="mean_with_sample_weight")
    loss["length"] = "mse"
    data = tf.data.Dataset.from_tensor_slices((x, y, weights)).batch(8)
    config = lk.TrainingConfig(epochs=2, optimizer="sgd", learning_rate=0.5, clip_norm=0.05)
    return model, lk.fit(model, data, config=config, loss=loss, strategy=strategy)


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

    runs = [(model, history), answers("multi_worker"), tags_and_more("multi_worker")]
    weights = {str(i): weight for i, weight in enumerate(w for model, _ in runs for w in model.get_weights())}
    np.savez(Path(folder).parent / f"worker{workers.index}.npz", **weights)
    histories = [history.history for _, history in runs]
    (Path(folder).parent / f"worker{workers.index}.json").write_text(json.dumps(histories))
