"""Greedy decoding of a GPT-2 of 124 M parameters: lm_keras, its export, KerasHub and Transformers.

    python benchmarks/speed/decoding.py --transformers ENV/bin/python --keras-hub ENV/bin/python --rows 1

Starting weights, which cost what trained ones cost; 32 tokens of prompt, 96 new ones. Each rival runs in its own
process and writes a whole answer in turns; the first is not counted. The export runs in a process with TensorFlow
alone.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[1]))
from _common import commands, measure_in_turns, print_table, take_turns  # noqa: E402

WORDS, PROMPT, NEW = 50257, 32, 96


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--transformers", help="Python of an environment with transformers and torch")
    parser.add_argument("--keras-hub", help="Python of an environment with keras-hub")
    parser.add_argument("--rows", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", help="some of the rivals")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        take_turns(SIDES[options.side](options.rows, options.folder))
        return

    pythons = {"Transformers": options.transformers, "KerasHub": options.keras_hub}
    with tempfile.TemporaryDirectory() as folder:
        sides = commands(__file__, options.only or SIDES, pythons, "--folder", folder, "--rows", options.rows)
        speeds, told = measure_in_turns(sides, options.rounds, options.rows * NEW)
    short = [name for name, answer in told.items() if answer["made"] != options.rows * NEW]
    if short:
        raise SystemExit(f"{short} have ended early; their speeds say nothing")
    print_table(speeds, "tokens/s", next(iter(speeds)))


def language_model():
    from lm_keras.utils.quiet import load_tensorflow

    load_tensorflow()
    import lm_keras as lk

    tokenizer = lk.text.WordTokenizer.train([" ".join(f"word{i}" for i in range(WORDS))], vocab_size=WORDS)
    return lk.LanguageModel(lk.models.build_gpt2(tokenizer.vocab_size, seed=0), tokenizer)


def prompts(rows):
    """31 words each: the begin mark is the first token."""
    words = np.random.default_rng(0).integers(0, WORDS - 10, (rows, PROMPT - 1))
    return [" ".join(f"word{i}" for i in row) for row in words]


def token_ids(rows):
    return np.random.default_rng(0).integers(10, WORDS, (rows, PROMPT))


# === Sides: each gives the function that writes one answer, and tells how many tokens it made ===


def ours(rows, folder=None, **changes):
    model, texts = language_model(), prompts(rows)
    options = {"max_new_tokens": NEW, "temperature": 0.0, "min_new_tokens": NEW, **changes}
    return lambda: made(model.generate(texts, **options))


def made(generations):
    return {"made": sum(len(one.token_ids) for one in generations)}


def exported(rows, folder):
    import lm_keras as lk

    path = lk.export(language_model(), f"{folder}/gpt2")
    code = SERVE.format(folder=str(Path(__file__).parents[1]), path=path, texts=prompts(rows), new=NEW)
    os.execv(sys.executable, [sys.executable, "-c", code])


SERVE = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
sys.path.insert(0, {folder!r})
import tensorflow as tf
from _common import take_turns
served = tf.saved_model.load({path!r}).signatures["generate"]
inputs = dict(prompt=tf.constant({texts!r}), max_new_tokens=tf.fill([len({texts!r})], {new}))
take_turns(lambda: dict(made=int(tf.reduce_sum(served(**inputs)["num_new_tokens"]))))
"""


def keras_hub(rows, folder=None, **changes):
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras_hub

    backbone = keras_hub.models.GPT2Backbone(WORDS, 12, 12, 768, 3072, dropout=0.0, max_sequence_length=1024)
    model = keras_hub.models.GPT2CausalLM(backbone, preprocessor=None)
    model.compile(sampler="greedy", **changes)
    ids = np.pad(token_ids(rows), [[0, 0], [0, NEW]]).astype("int32")
    mask = np.broadcast_to(np.arange(PROMPT + NEW) < PROMPT, ids.shape).astype("int32")

    def run():
        out = model.generate({"token_ids": ids, "padding_mask": mask}, stop_token_ids=None)
        return {"made": int(np.asarray(out["padding_mask"]).sum()) - rows * PROMPT}

    return run


def transformers(rows, folder=None, dtype="float32"):
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    torch.set_num_threads(os.cpu_count())
    model = GPT2LMHeadModel(GPT2Config()).eval().to(getattr(torch, dtype))
    ids = torch.from_numpy(token_ids(rows))
    settings = {"do_sample": False, "max_new_tokens": NEW, "min_new_tokens": NEW, "pad_token_id": 0}

    def run():
        with torch.inference_mode():
            return {"made": model.generate(ids, attention_mask=torch.ones_like(ids), **settings)[:, PROMPT:].numel()}

    return run


SIDES = {
    "lm_keras XLA": lambda rows, folder: ours(rows, folder, jit_compile=True),
    "lm_keras": ours,
    "lm_keras exported": exported,
    "KerasHub": keras_hub,
    "KerasHub XLA": lambda rows, folder: keras_hub(rows, folder, jit_compile=True),
    "Transformers": transformers,
    "Transformers bfloat16": lambda rows, folder: transformers(rows, folder, "bfloat16"),
}

if __name__ == "__main__":
    main()
