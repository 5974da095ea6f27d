"""Choosing between answers beside a plain pass of the model over the same prompts.

    LM_KERAS_DATA=... python benchmarks/speed/choose.py MODEL --items 200

Film reviews in a template, two answers each: `choose`, `PromptClassifier.classify`, and `model(ids)` -> logits in one
`tf.function` over the same prompts, sorted by length, in batches of 32, whose logits are not even looked at. Medians
of rounds in turns. MODEL: a .gguf file, a folder or a name.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
from _common import memory_bytes  # noqa: E402

TEMPLATE, WORDS = "Review: {text}\nSentiment:", [" negative", " positive"]
BATCH = 32


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    from lm_keras.utils.quiet import load_tensorflow

    load_tensorflow()
    import lm_keras as lk

    lm = lk.models.load_pretrained(options.model)
    texts = [item.text for item in lk.data.load("mr", "validation")[: options.items]]
    prompts = [TEMPLATE.format(text=text) for text in texts]
    classifier = lk.prompting.PromptClassifier(lm, TEMPLATE, dict(zip(("bad", "good"), WORDS, strict=True)))
    calls = {
        "forward": forward(lm, prompts),
        "choose": lambda: lm.choose(prompts, WORDS),
        "classify": lambda: classifier.classify(texts),
    }
    seconds = {name: [] for name in calls}
    for turn in range(options.rounds + 1):  # the first one is traced
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name] += [time.perf_counter() - start] if turn else []
    tokens = sum(len(lm.tokenizer.encode(prompt)) for prompt in prompts)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(json.dumps({
        "items": len(texts), "tokens": tokens, "peak_mb": memory_bytes() // 10**6,
        **{f"{name}_tokens_per_s": round(tokens / value) for name, value in medians.items()},
        **{f"{name}_over_forward": round(medians["forward"] / value, 2) for name, value in medians.items()},
    }))  # fmt: skip


def forward(lm, prompts):
    """Logits [B, T, V] of all prompts, a batch after the other."""
    import numpy as np
    import tensorflow as tf

    rows = sorted(([lm.tokenizer.bos_id, *ids] for ids in lm.tokenizer.encode_batch(prompts)), key=len)
    batches = []
    for at in range(0, len(rows), BATCH):
        part = rows[at : at + BATCH]
        ids = np.zeros((len(part), len(part[-1])), "int32")
        for i, row in enumerate(part):
            ids[i, : len(row)] = row
        batches.append(tf.constant(ids))
    run = tf.function(lm.model, reduce_retracing=True)

    def call():
        for ids in batches:
            run(ids)[0, -1, 0].numpy()

    return call


if __name__ == "__main__":
    main()
