"""What a block costs as a model gets deeper: operations and milliseconds, in the full pass and in the step.

    python benchmarks/speed/blocks.py

Llamas of SmolLM2-135M's width (576, 9 heads, 3 of keys and values) with 1 to 48 blocks, random weights, 1,000 words.
The full pass reads 64 tokens; the step reads one, with room for 128. A column "a block" is what each block
adds to the row above. Operations as traced (`operations_of` says what counts); the traced pass or step runs as one
`tf.function`. "First call": TensorFlow's optimizer and the first run, after the trace.
"""

import argparse
import gc
import json
import os
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
from _operations import operations_of, signature_of  # noqa: E402

WIDTH, HEADS, KEPT, WORDS = 576, 9, 3, 1000
TOKENS, ROOM = 64, 128


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 48])
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores\n")
    for view in ("full pass", "step"):
        print(f"| {view}: blocks | operations | a block | trace, s | first call, s | ms | ms a block |")
        print("|---|---|---|---|---|---|---|")
        before = None
        for layers in options.layers:
            told = {"view": view, "layers": layers, **measure(view, layers, options.repeats)}
            print(row(told, before), flush=True)
            before = told
            print(json.dumps(told), file=sys.stderr, flush=True)
        print()


def row(told, before):
    blocks = told["layers"] - (before["layers"] if before else 0)
    operations, ms = (
        format((told[key] - before[key]) / blocks, form) if before else ""
        for key, form in (("operations", ".0f"), ("ms", ".2f"))
    )
    return (
        f"| {told['layers']} | {told['operations']:,} | {operations} | {told['trace']:.2f} | "
        f"{told['first call']:.2f} | {told['ms']:.2f} | {ms} |"
    )


def measure(view, layers, repeats):
    keras.backend.clear_session()
    gc.collect()
    sizes = {"hidden_dim": WIDTH, "num_heads": HEADS, "num_kv_heads": KEPT, "num_layers": layers}
    model = lk.models.build_llama(WORDS, max_length=2 * ROOM, seed=0, **sizes)
    ids = np.random.default_rng(0).integers(0, WORDS, (1, TOKENS)).astype("int32")
    if view == "full pass":
        work, inputs, signature = model, (tf.constant(ids),), (signature_of(model.input),)
    else:
        # Attention reads the whole room, however many tokens are in it.
        work, inputs = model.step, (tf.constant(ids[:, :1]), model.initial_state(1, ROOM))
        first, *rest = signature_of(model.step_model.inputs)
        signature = (first, rest)
    start = time.perf_counter()
    traced = tf.function(work, autograph=False).get_concrete_function(*signature)
    trace = time.perf_counter() - start
    start = time.perf_counter()
    traced(*inputs)
    first = time.perf_counter() - start
    seconds = median_seconds(lambda: traced(*inputs), repeats)
    return {
        "operations": operations_of(work, *signature),
        "trace": trace,
        "first call": first,
        "ms": seconds * 1e3,
    }


if __name__ == "__main__":
    main()
