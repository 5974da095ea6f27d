"""Megabytes of text a second that one core encodes and decodes, in Python and in the graph.

    python benchmarks/speed/text_speed.py

Text: the embedded Wikipedia excerpt, a paragraph a string; medians of --repeats interleaved rounds. BPE and WordPiece
are trained on it; --gpt2 FOLDER measures GPT-2's own vocabulary (encoder.json, vocab.bpe) too.
"""

import argparse
import os
import statistics
import time
from pathlib import Path

os.environ.update(TF_NUM_INTRAOP_THREADS="1", TF_NUM_INTEROP_THREADS="1", RAYON_NUM_THREADS="1")

from lm_keras.utils.quiet import load_tensorflow  # noqa: E402

load_tensorflow()

import tensorflow as tf  # noqa: E402

import lm_keras as lk  # noqa: E402

BATCH = 256  # paragraphs


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpt2", type=Path, help="folder with encoder.json and vocab.bpe")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()

    texts = lk.data.load("wiki-excerpt")
    tokenizers = {
        "character": lk.text.CharTokenizer.train(texts),
        "word, 10,000": lk.text.WordTokenizer.train(texts, vocab_size=10_000),
        "BPE, 8,000": lk.text.BPETokenizer.train(texts, vocab_size=8_000),
        "WordPiece, 8,000": lk.text.WordPieceTokenizer.train(texts, vocab_size=8_000, lowercase=True),
    }
    if options.gpt2:
        files = options.gpt2 / "encoder.json", options.gpt2 / "vocab.bpe"
        tokenizers["BPE, GPT-2's"] = lk.text.BPETokenizer.from_files(*files)
    texts = texts[: len(texts) // BATCH * BATCH]
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    ways = {name: roads(tokenizer, texts) for name, tokenizer in tokenizers.items()}
    print(f"{len(texts):,} paragraphs, {megabytes:.2f} MB, {BATCH} a call; MB/s on one core")
    print(f"{'':<20}" + "".join(f"{road:>16}" for road in next(iter(ways.values()))))
    seconds = {(name, road): [] for name, run in ways.items() for road in run}
    for _ in range(options.repeats):
        for name, road in seconds:
            seconds[name, road].append(measured(ways[name][road]))
    for name, run in ways.items():
        speeds = (megabytes / statistics.median(seconds[name, road]) for road in run)
        print(f"{name:<20}" + "".join(f"{speed:>16.2f}" for speed in speeds), flush=True)


def roads(tokenizer, texts):
    """{what is measured: a function of no arguments that does it over all texts}, each called once already."""
    batches = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
    tensors = [tf.constant(batch) for batch in batches]
    encode = tf.function(tokenizer.tf_encode, input_signature=[tf.TensorSpec([None], tf.string)])
    decode = tf.function(tokenizer.tf_decode, reduce_retracing=True)
    ids = [encode(batch) for batch in tensors]
    for batch in ids:
        decode(batch)
    return {
        "encode, Python": lambda: [tokenizer.encode_batch(batch) for batch in batches],
        "encode, graph": lambda: [encode(batch) for batch in tensors],
        "decode, graph": lambda: [decode(batch) for batch in ids],
    }


def measured(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
