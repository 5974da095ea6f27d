"""Why are last words hard? LAMBADA with and without a begin mark, by the tokens of the word and by what was read.

    LM_KERAS_DATA=... python benchmarks/quality/last_words.py MODEL

Accuracy and perplexity as `lm-keras evaluate MODEL --task lambada` counts them, of all passages and of parts: words
of one token and of several, in the passage before and not; and how often the first token
alone is right. MODEL: a .gguf file, a folder or a name. A JSON line for each way to begin.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

import lm_keras as lk  # which imports TensorFlow and Keras at first use
from lm_keras.generation.prefix_tree import score_rows
from lm_keras.prompting.harness import encode_requests
from lm_keras.prompting.harness_items import read_task
from lm_keras.utils.quiet import load_tensorflow

sys.path.append(str(Path(__file__).parents[1]))
from _common import memory_bytes  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a .gguf file, a folder, or a name")
    parser.add_argument("--limit", type=int, help="passages")
    parser.add_argument("--begin", choices=("with", "without", "both"), default="both")
    options = parser.parse_args()
    load_tensorflow()
    lm = lk.models.load_pretrained(options.model)
    task = read_task("lambada")
    items = list(task.items)[: options.limit]
    for begin in {"with": [True], "without": [False], "both": [False, True]}[options.begin]:
        print(json.dumps(report(lm, task, items, begin)), flush=True)


def report(lm, task, items, begin):
    start = time.perf_counter()
    requests = [(item.text, *task.continuations(item), item.where) for item in items]
    rows = encode_requests(lm.writer, requests, begin)
    scores = score_rows(lm.writer.starting([], begin), [row.ids for row in rows], [row.first for row in rows])
    sums = np.array([score.log_probs.sum() for score in scores])
    right = np.array([score.greedy.all() for score in scores])
    first = np.array([score.greedy[0] for score in scores])
    several = np.array([len(score.log_probs) > 1 for score in scores])
    # The word stands before as it does here, with a space or punctuation around.
    known = np.array([item.choices[0].strip() in words(item.text) for item in items])
    parts = {"all": several | ~several, "one token": ~several, "several tokens": several}
    parts |= {"in the passage": known, "not in the passage": ~known}
    return {
        "begin": begin,
        **{
            name: {
                "count": int(part.sum()),
                "acc": round(float(right[part].mean()), 4),
                "first_token": round(float(first[part].mean()), 4),
                "perplexity": round(float(np.exp(-sums[part].mean())), 1),
            }
            for name, part in parts.items()
        },
        "seconds": round(time.perf_counter() - start, 1),
        "peak_mb": memory_bytes() >> 20,
    }


def words(text):
    return {word.strip(".,;:!?\"'`()-") for word in text.split()}


if __name__ == "__main__":
    main()
