"""How the cost of a GPT's training step grows with batch, length, width and vocabulary, and its share of the limit.

    python benchmarks/speed/growth.py

One size at a time is halved and doubled from 4 layers of 256, 128 tokens, 8 rows, 1,000 words; float32, AdamW, `fit`.
The limit: what the products of the step take at the rate of one large product, measured in the same run.
"""

import argparse
import contextlib
import functools
import io
import json
import statistics
import sys
import time
from pathlib import Path

from lm_keras.utils.quiet import load_tensorflow

load_tensorflow()

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

import lm_keras as lk  # noqa: E402

sys.path.append(str(Path(__file__).parents[1]))
from _common import median_seconds  # noqa: E402

BASE = {"rows": 8, "length": 128, "width": 256, "words": 1000}
SIZES = {"rows": (2, 4, 16, 32), "length": (32, 64, 256, 512), "width": (64, 128, 512), "words": (8000, 32000)}
LAYERS = 4


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=9, help="of each size, the first two not counted")
    options = parser.parse_args()
    a = tf.random.normal([2048, 2048])
    rate = 2 * 2048**3 / median_seconds(functools.partial(tf.function(tf.matmul), a, a))
    print(f"a large product: {rate / 1e9:.0f} GFLOP/s")
    print(f"{'':<16}{'ms a step':>10}{'tokens/s':>10}{'of the limit':>14}")
    for changed in [{}, *({name: size} for name, sizes in SIZES.items() for size in sizes)]:
        sizes = BASE | changed
        took = step_seconds(options.steps, **sizes)
        told = {
            "ms": round(took * 1e3, 1),
            "tokens/s": round(sizes["rows"] * sizes["length"] / took),
            "share": round(products(**sizes) / rate / took, 2),
        }
        name = " ".join(f"{key} {value}" for key, value in changed.items()) or "base"
        print(f"{name:<16}{told['ms']:>10,.1f}{told['tokens/s']:>10,}{told['share']:>14.0%}")
        print(json.dumps(sizes | told))


def products(rows, length, width, words):
    """Floating-point operations of the matrix products of a step: forward, and twice as much backward."""
    each = LAYERS * (24 * width**2 + 4 * length * width) + 2 * width * words  # a token, forward
    return 3 * rows * length * each


def step_seconds(steps, rows, length, width, words):
    class Clock(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            times.append(time.perf_counter())

    times = []
    model = lk.models.build_gpt2(
        words, max_length=length, hidden_dim=width, num_layers=LAYERS, num_heads=width // 32, seed=0
    )
    ids = np.random.default_rng(0).integers(0, words, (rows, length + 1), dtype="int32")
    data = tf.data.Dataset.from_tensors((ids[:, :-1], ids[:, 1:])).repeat(steps)
    with contextlib.redirect_stdout(io.StringIO()):  # its line an epoch
        lk.fit(model, data, config=lk.TrainingConfig(epochs=1, warmup_steps=0), callbacks=[Clock()])
    return statistics.median(np.diff(times)[1:])


if __name__ == "__main__":
    main()
