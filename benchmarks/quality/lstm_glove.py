"""An LSTM language model with and without GloVe's vectors in its embedding, on the embedded excerpt of Wikipedia.

    export LM_KERAS_DATA=...   # a folder with glove-6b-50d/glove.6B.50d.top20000.txt.gz, or give --vectors
    python benchmarks/quality/lstm_glove.py [--seeds 0 1 2] [--epochs 1] [--control] [--json FILE]

The two models of a seed are the same but for the values that their embedding starts from: U(-0.05, 0.05), as Keras
draws them, or GloVe's and, where a word has none, random ones as large; both are trained on. Measured is the
perplexity on all held-out paragraphs, the same tokens every time, at the given steps and at the end of each epoch.
At step 0 the output layer is random and both stand near the size of the vocabulary, whatever the embedding holds.
`--control` adds a third model, GloVe's rows in a random order: as large, without what they know.
"""

import argparse
import json
import os
from pathlib import Path

from lm_keras.utils.quiet import load_tensorflow

load_tensorflow()

import keras  # noqa: E402
import numpy as np  # noqa: E402

import lm_keras as lk  # noqa: E402
from lm_keras.data.corpora.registry import cache_folder  # noqa: E402

FILE = "glove-6b-50d/glove.6B.50d.top20000.txt.gz"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=Path, help="GloVe's text format, plain, .gz or .zip")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--hidden-dim", type=int, default=128)
    parser.add_argument("--steps", type=int, nargs="+", default=[50, 200], help="measure after these steps")
    parser.add_argument("--paragraphs", type=int, help="train and measure on the first so many only: a quick try")
    parser.add_argument("--control", action="store_true", help="also GloVe's rows in a random order")
    parser.add_argument("--json", type=Path, help="append the JSON lines to this file, too")
    options = parser.parse_args()

    train, valid = (lk.data.load("wiki-excerpt", split)[: options.paragraphs] for split in ("train", "validation"))
    tokenizer = lk.text.WordTokenizer.train(train, vocab_size=10_000)
    vectors = lk.embeddings.load_glove(options.vectors or found(), vocabulary=tokenizer)
    for name, texts in (("train", train), ("validation", valid)):
        coverage = lk.embeddings.embedding_matrix(tokenizer, vectors, texts=texts)[1]
        print(f"coverage, {name}: {coverage}", flush=True)
    measured = lk.data.lm_windows(valid, tokenizer, length=35, batch_size=64, shuffle=False)
    results = []
    for seed in options.seeds:
        for variant, matrix in matrices(tokenizer, vectors, seed, options.control).items():
            data = lk.data.lm_windows(train, tokenizer, length=35, batch_size=32, seed=seed)
            perplexity = run(matrix, data, measured, seed, options)
            results.append({"seed": seed, "embedding": variant, "perplexity": perplexity})
            print(json.dumps(results[-1]), flush=True)
    report(results)
    if options.json:
        with options.json.open("a") as file:
            file.writelines(json.dumps(line) + "\n" for line in results)


def found():
    """The file in a folder of data sets, or an InputError of what to do."""
    folders = [os.environ.get("LM_KERAS_DATA"), cache_folder()]
    for folder in filter(None, folders):
        if (Path(folder) / FILE).is_file():
            return Path(folder) / FILE
    raise lk.InputError(f"{FILE} is not in $LM_KERAS_DATA: set it to the folder that holds it, or give --vectors")


def matrices(tokenizer, vectors, seed, control):
    """{name: embedding [V, E]}. All are given to the builder, so that the other weights draw the same numbers."""
    rng = np.random.default_rng(seed)
    glove = lk.embeddings.embedding_matrix(tokenizer, vectors, seed=seed)[0]
    started = {"random": rng.uniform(-0.05, 0.05, glove.shape).astype("float32"), "glove": glove}
    if control:
        started["shuffled glove"] = rng.permutation(glove)
    return started


def run(matrix, data, measured, seed, options):
    """Trains one model -> {step: perplexity on the held-out paragraphs}."""
    model = lk.models.build_lstm_lm(len(matrix), hidden_dim=options.hidden_dim, embedding_matrix=matrix, seed=seed)
    per_epoch = int(data.cardinality())
    wanted = {*options.steps, *range(per_epoch, options.epochs * per_epoch + 1, per_epoch)}
    perplexity = {0: lk.evaluate(model, measured)["perplexity"]}

    class Measure(keras.callbacks.Callback):
        step = 0

        def on_train_batch_end(self, batch, logs=None):
            self.step += 1
            if self.step in wanted:
                perplexity[self.step] = lk.evaluate(model, measured)["perplexity"]

    config = lk.TrainingConfig(epochs=options.epochs, learning_rate=4e-3, warmup_steps=50, seed=seed)
    lk.fit(model, data, config=config, callbacks=[Measure()])
    keras.backend.clear_session()
    return {step: round(value, 2) for step, value in perplexity.items()}


def report(results):
    """A row a seed and embedding, a column a step; then whether GloVe is below random at each step, seed by seed."""
    steps = list(results[0]["perplexity"])
    print(f"\n{'perplexity after steps':<28}" + "".join(f"{step:>10,}" for step in steps))
    for line in results:
        name = f"seed {line['seed']}, {line['embedding']}"
        print(f"{name:<28}" + "".join(f"{line['perplexity'][step]:>10,.1f}" for step in steps))
    by = {(line["seed"], line["embedding"]): line["perplexity"] for line in results}
    seeds = sorted({line["seed"] for line in results})
    lower = [sum(by[seed, "glove"][step] < by[seed, "random"][step] for seed in seeds) for step in steps]
    print(f"{'glove lower, seeds':<28}" + "".join(f"{f'{count} of {len(seeds)}':>10}" for count in lower))


if __name__ == "__main__":
    main()
