"""Perplexity of a domain that a language model was not trained on: frozen, after a learned prompt, after a prefix.

    LM_KERAS_DATA=... python benchmarks/quality/learned_prompts.py runs/demo runs/gpt2 --data tinyshakespeare

A model is a run folder or a .gguf file. All of the model is frozen; `--num-tokens` vectors are learned (a prompt), or
the state that a text starts from (a prefix). The figures are those of the set's validation part, which the training
does not see. Each line is also written as JSON.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.append(str(Path(__file__).parents[1]))
from _common import memory_bytes  # noqa: E402

from lm_keras.utils.quiet import load_tensorflow  # noqa: E402

load_tensorflow()
import tensorflow as tf  # noqa: E402

import lm_keras as lk  # noqa: E402
from lm_keras import prompting  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="RUN|FILE.gguf")
    parser.add_argument("--data", default="tinyshakespeare", help="a known set of running text")
    parser.add_argument("--num-tokens", type=int, default=20)
    parser.add_argument("--length", type=int, default=64, help="tokens a window")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--windows", type=int, default=200, help="held-out windows that are measured")
    parser.add_argument("--learning-rate", type=float, default=0.05, help="of the prompt")
    parser.add_argument("--prefix-learning-rate", type=float, default=0.02)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    for model in options.models:
        compare(model, options)


def compare(path, options):
    """Prints the lines of one model."""
    lm = lk.models.load_pretrained(path) if path.endswith(".gguf") else lk.LanguageModel.load(path)
    held_out = _windows(lm, "validation", options, shuffle=False).take(-(-options.windows // options.batch_size))
    frozen = lk.evaluate(lm.model, held_out)["perplexity"]
    report(model=path, kind="frozen", perplexity=frozen, parameters=lm.model.count_params())
    for kind, rate in (
        (prompting.PromptTuning, options.learning_rate),
        (prompting.PrefixTuning, options.prefix_learning_rate),
    ):
        found, seconds, size = [], [], 0
        for seed in range(options.seeds):
            drawn = {"seed": seed} if kind is prompting.PromptTuning else {}  # a prefix: the order of the data
            tuned = kind(lm, num_tokens=options.num_tokens, **drawn)
            train = _windows(lm, "train", options, seed=seed).repeat().take(options.steps)
            train = train.apply(tf.data.experimental.assert_cardinality(options.steps))
            config = lk.TrainingConfig(epochs=1, learning_rate=rate, warmup_steps=10, weight_decay=0.0, seed=seed)
            started = time.perf_counter()
            lk.fit(tuned, train, config=config)
            seconds.append(time.perf_counter() - started)
            found.append(lk.evaluate(tuned, held_out)["perplexity"])
            size = _size(tuned)
        mean, deviation = statistics.mean(found), statistics.stdev(found) if len(found) > 1 else 0.0
        report(
            model=path, kind=kind.__name__, perplexity=mean, deviation=deviation, worst=max(found),
            below_frozen=max(found) < frozen, bytes=size, seconds=statistics.median(seconds),
            peak_mb=memory_bytes() // 10**6,
        )  # fmt: skip


def _windows(lm, split, options, **more):
    texts = lk.data.load(options.data, split)
    return lk.data.lm_windows(texts, lm.tokenizer, options.length, options.batch_size, **more)


def _size(tuned):
    """Bytes on disk."""
    with tempfile.TemporaryDirectory() as folder:
        tuned.save(Path(folder) / "prompt.safetensors")
        return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())


def report(**line):
    """Prints one line of results, rounded to what it is worth."""
    print(json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in line.items()}), flush=True)


if __name__ == "__main__":
    main()
