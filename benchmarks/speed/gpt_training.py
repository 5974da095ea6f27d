"""Training of a GPT: lm_keras, KerasHub and a plain PyTorch GPT (scaled-dot-product attention, fused AdamW).

    python benchmarks/speed/gpt_training.py --torch ENV/bin/python --keras-hub ENV/bin/python --size small

Random tokens, which cost what real ones cost; AdamW, gradient clipped to norm 1, no dropout. Sizes: small 4 x 128, 64
tokens, batch 12, 65 characters; medium 6 x 384, 256, 8, 65; large 6 x 512, 256, 4, 50,257 words. Each rival runs in
its own process, rounds of some steps in turns; the first round is not counted.
"""

import argparse
import os
import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[1]))
from _common import commands, measure_in_turns, print_table, take_turns, turns_callback  # noqa: E402

SIZES = {
    "small": {"layers": 4, "heads": 4, "width": 128, "length": 64, "rows": 12, "vocab": 65, "steps": 60},
    "medium": {"layers": 6, "heads": 6, "width": 384, "length": 256, "rows": 8, "vocab": 65, "steps": 4},
    "large": {"layers": 6, "heads": 8, "width": 512, "length": 256, "rows": 4, "vocab": 50257, "steps": 2},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch", help="Python of an environment with torch; without it there is no such rival")
    parser.add_argument("--keras-hub", help="Python of an environment with keras-hub")
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", help="some of the rivals")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    options = parser.parse_args()
    size = SIZES[options.size]
    if options.side:
        SIDES[options.side](size)
        return
    pythons = {"torch": options.torch, "KerasHub": options.keras_hub}
    sides = commands(__file__, options.only or SIDES, pythons, "--size", options.size)
    tokens = size["steps"] * size["rows"] * size["length"]
    speeds, told = measure_in_turns(sides, options.rounds, tokens)
    print_table(speeds, "tokens/s", "lm_keras")
    print({name: round(answer["loss"], 3) for name, answer in told.items()})


def tokens(size):
    rows = np.random.default_rng(0).integers(0, size["vocab"], (size["rows"], size["length"] + 1), dtype="int32")
    return rows[:, :-1], rows[:, 1:]


def ours(size, **changes):
    from lm_keras.utils.quiet import load_tensorflow

    load_tensorflow()
    import lm_keras as lk

    model = lk.models.build_gpt2(
        size["vocab"],
        max_length=size["length"],
        hidden_dim=size["width"],
        num_layers=size["layers"],
        num_heads=size["heads"],
        seed=0,
    )
    config = lk.TrainingConfig(epochs=1, schedule="constant", warmup_steps=0, clip_norm=1.0, **changes)
    in_rounds(lambda data, callback: lk.fit(model, data, config=config, callbacks=[callback]), size)


def keras_hub(size, policy="float32", **changes):
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras
    import keras_hub

    keras.config.set_dtype_policy(policy)
    width = size["width"]
    backbone = keras_hub.models.GPT2Backbone(
        size["vocab"],
        size["layers"],
        size["heads"],
        width,
        4 * width,
        dropout=0.0,
        max_sequence_length=size["length"],
    )
    logits = backbone.token_embedding(backbone.output, reverse=True)
    model = keras.Model(backbone.input, logits)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(1e-3, weight_decay=0.01, global_clipnorm=1.0), loss, **changes)

    def fit(data, callback):
        data = data.map(lambda x, y: ({"token_ids": x, "padding_mask": x >= 0}, y))
        model.fit(data, steps_per_epoch=10**6, verbose=0, callbacks=[callback])

    in_rounds(fit, size)


def in_rounds(fit, size):
    import tensorflow as tf

    data = tf.data.Dataset.from_tensors(tokens(size)).repeat(10**6)
    fit(data, turns_callback(size["steps"]))


def torch_side(size, dtype=None, compiled=False):
    import torch
    from torch_gpt import GPT

    torch.manual_seed(0)
    torch.set_num_threads(os.cpu_count())
    model = GPT(size["vocab"], size["length"], size["width"], size["layers"], size["heads"])
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.01, fused=True)
    x, y = (torch.from_numpy(part).long() for part in tokens(size))

    def loss_of(x, y):
        return torch.nn.functional.cross_entropy(model(x).flatten(0, 1), y.flatten())

    loss_of = torch.compile(loss_of) if compiled else loss_of

    def run():
        for _ in range(size["steps"]):
            with torch.autocast("cpu", dtype or torch.float32, enabled=dtype is not None):
                loss = loss_of(x, y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        return {"loss": loss.item()}

    take_turns(run)


def torch_bfloat16(size, **changes):
    import torch

    torch_side(size, torch.bfloat16, **changes)


SIDES = {
    "lm_keras": ours,
    "lm_keras XLA": lambda size: ours(size, jit_compile=True),
    "lm_keras bfloat16": lambda size: ours(size, dtype="mixed_bfloat16"),
    "lm_keras bfloat16 XLA": lambda size: ours(size, dtype="mixed_bfloat16", jit_compile=True),
    "KerasHub": keras_hub,
    "KerasHub XLA": lambda size: keras_hub(size, jit_compile=True),
    "KerasHub bfloat16": lambda size: keras_hub(size, "mixed_bfloat16"),
    "KerasHub bfloat16 XLA": lambda size: keras_hub(size, "mixed_bfloat16", jit_compile=True),
    "torch": torch_side,
    "torch compiled": lambda size: torch_side(size, compiled=True),
    "torch bfloat16": torch_bfloat16,
    "torch bfloat16 compiled": lambda size: torch_bfloat16(size, compiled=True),
}

if __name__ == "__main__":
    main()
