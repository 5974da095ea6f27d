"""What this machine can do at most: matrix products and memory, the limits that the other tables are held against.

python benchmarks/speed/machine.py
"""

import functools
import json
import os
import sys
from pathlib import Path

from lm_keras.utils.quiet import load_tensorflow

load_tensorflow()

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

sys.path.append(str(Path(__file__).parents[1]))
from _common import median_seconds  # noqa: E402


def main():
    print(f"{os.cpu_count()} cores")
    for dtype in (tf.float32, tf.bfloat16):
        a = tf.cast(tf.random.normal([2048, 2048]), dtype)
        product = functools.partial(tf.function(tf.matmul), a, a)
        tell(f"matrix product, {dtype.name}", 2 * 2048**3 / median_seconds(product) / 1e9, "GFLOP/s")
    source, target = np.ones(2**26, "float32"), np.empty(2**26, "float32")
    tell(
        "memory, copy (read and write)",
        2 * source.nbytes / median_seconds(lambda: np.copyto(target, source)) / 1e9,
        "GB/s",
    )
    tell("memory, read", source.nbytes / median_seconds(lambda: np.dot(source, source)) / 1e9, "GB/s")


def tell(name, value, unit):
    print(f"{name:<34}{value:>10,.0f} {unit}")
    print(json.dumps({"name": name, "value": round(value, 1), "unit": unit}))


if __name__ == "__main__":
    main()
