"""Peak memory of training steps and of greedy decoding, each rival in a process of its own.

    python benchmarks/speed/memory.py training --size medium --torch ENV/bin/python
    python benchmarks/speed/memory.py decoding --transformers ENV/bin/python --keras-hub ENV/bin/python

The models and sizes of gpt_training.py, and deep: 12 x 384, 512 tokens, batch 8. AdamW, a few steps; "x4" is four
quarters of the batch for one update. Decoding: that of decoding.py, GPT-2 of 124 M parameters.
Peak: the most that the process ever held (VmHWM of /proc/self/status, Linux alone); "- before": above what it held
with libraries and model in place; the parameters' own bytes.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import decoding
import gpt_training
import numpy as np
from gpt_training import tokens

sys.path.append(str(Path(__file__).parents[1]))
from _common import commands, memory_bytes  # noqa: E402

DEEP = {"layers": 12, "heads": 6, "width": 384, "length": 512, "rows": 8, "vocab": 65, "steps": 1}
SIZES = {**gpt_training.SIZES, "deep": DEEP}
STEPS = 4  # training; the times are of the last two
GPT2 = 124_439_808  # parameters of the model that decodes


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("training", "decoding"))
    parser.add_argument("--torch", help="Python of an environment with torch; without it there is no such rival")
    parser.add_argument("--transformers", help="Python of an environment with transformers and torch")
    parser.add_argument("--keras-hub", help="Python of an environment with keras-hub")
    parser.add_argument("--size", choices=SIZES, default="medium", help="training")
    parser.add_argument("--rows", type=int, default=1, help="decoding")
    parser.add_argument("--only", nargs="*", help="some of the rivals")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    options = parser.parse_args()
    sides = TRAINING if options.what == "training" else DECODING
    given = SIZES[options.size] if options.what == "training" else options.rows
    if options.side:
        sides[options.side](given)
        return
    pythons = {"torch": options.torch, "Transformers": options.transformers, "KerasHub": options.keras_hub}
    arguments = [options.what, "--size", options.size, "--rows", options.rows]
    each = commands(__file__, options.only or sides, pythons, *arguments)
    table([{"name": name, **answer(command)} for name, command in each.items()])


def answer(command):
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return next(json.loads(line) for line in output.splitlines() if line.startswith("{"))


def table(rows):
    print(f"{'MB':<28}{'peak':>8}{'- before':>10}{'parameters':>12}{'seconds':>10}")
    for row in rows:
        own = row["peak"] - row["before"]
        print(f"{row['name']:<28}{row['peak']:>8,.0f}{own:>10,.0f}{row['parameters']:>12,.0f}{row['seconds']:>10.2f}")
    for row in rows:
        print(json.dumps(row))


def measured(run, parameters, steps):
    """`run()` gives the seconds of each step, or of each answer; the last `steps` of them count."""
    before = memory_bytes("VmRSS") / 1e6
    seconds = run()[-steps:]
    told = {"peak": memory_bytes() / 1e6, "before": before, "parameters": parameters * 4 / 1e6}
    print(json.dumps({**told, "seconds": sum(seconds) / len(seconds)}), flush=True)


def timed(run, times):
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return seconds


# === Training ===


def ours(size, parts=1, **changes):
    from lm_keras.utils.quiet import load_tensorflow

    load_tensorflow()
    import keras
    import tensorflow as tf

    import lm_keras as lk

    model = lk.models.build_gpt2(
        size["vocab"],
        max_length=size["length"],
        hidden_dim=size["width"],
        num_layers=size["layers"],
        num_heads=size["heads"],
        seed=0,
    )
    x, y = tokens(size)
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(size["rows"] // parts).repeat(STEPS)
    config = lk.TrainingConfig(epochs=1, schedule="constant", warmup_steps=0, accumulate_steps=parts, **changes)
    marks = [time.perf_counter()]
    each = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: marks.append(time.perf_counter()))

    def run():
        lk.fit(model, data, config=config, callbacks=[each])
        return np.diff(marks[::parts])

    measured(run, model.count_params(), STEPS // 2)


def torch_side(size, parts=1, recompute=False):
    import torch
    from torch.utils.checkpoint import checkpoint
    from torch_gpt import GPT

    torch.manual_seed(0)
    torch.set_num_threads(os.cpu_count())
    model = GPT(size["vocab"], size["length"], size["width"], size["layers"], size["heads"])
    if recompute:
        for block in model.blocks:
            forward = block.forward
            block.forward = lambda x, forward=forward: checkpoint(forward, x, use_reentrant=False)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.01, fused=True)
    batches = [[torch.from_numpy(half).long() for half in np.split(part, parts)] for part in tokens(size)]

    def step():
        optimizer.zero_grad(set_to_none=True)
        for x, y in zip(*batches, strict=True):
            loss = torch.nn.functional.cross_entropy(model(x).flatten(0, 1), y.flatten()) / parts
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    measured(lambda: timed(step, STEPS), sum(p.numel() for p in model.parameters()), STEPS // 2)


# === Greedy decoding: two answers, of which the second is timed ===


def answers(side):
    def run(rows):
        write = side(rows)
        measured(lambda: timed(write, 2), GPT2, 1)

    return run


TRAINING = {
    "lm_keras": ours,
    "lm_keras recompute": lambda size: ours(size, recompute=True),
    "lm_keras x4": lambda size: ours(size, 4),
    "lm_keras x4 recompute": lambda size: ours(size, 4, recompute=True),
    "torch": torch_side,
    "torch recompute": lambda size: torch_side(size, recompute=True),
    "torch x4": lambda size: torch_side(size, 4),
}
DECODING = {
    "lm_keras": answers(decoding.ours),
    "KerasHub": answers(decoding.keras_hub),
    "Transformers": answers(decoding.transformers),
}

if __name__ == "__main__":
    main()
