"""A context from five texts: a person, or a topic, that the model has never met.

LM_KERAS_DATA=... python benchmarks/quality/personalization.py --log runs/personalization.jsonl

`shakespeare`: a ConditionalLM of the six speakers who speak most often (see contexts.py); twelve others, each of whom
is learned from five speeches. `ag-news`: a ConditionalLM of three of the four topics; the fourth is learned from five
items. Each is measured on texts that it was not learned from: perplexity without a context, in the best of the known
contexts as the five texts choose it, and in the learned one. A JSON line for each.
"""

import argparse
import json
import time
from pathlib import Path

import contexts
import numpy as np

import lm_keras as lk  # which imports TensorFlow and Keras at first use

SPEAKERS, FIVE, MOST = 12, 5, 60
SPREADS = (1.0, 3.0, 10.0)


def trained(name, train, others, seed):
    tokenizer = contexts.tokenizer_of(train, others, quick=False)
    lm = lk.LanguageModel(lk.models.build_gpt2(tokenizer.vocab_size, **contexts.SIZES, seed=seed), tokenizer)
    made = lk.contexts.ConditionalLM(lm, train, "vector", drop=0.1, seed=seed)
    texts = {**train, None: others} if others else train
    windows = lk.data.context_windows(texts, tokenizer, contexts.LENGTH, contexts.BATCH, whole_texts=True, seed=seed)
    config = lk.TrainingConfig(epochs=contexts.CORPORA[name]["epochs"], learning_rate=2e-3, seed=seed)
    lk.fit(made, windows, config=config)
    return made


def of_shakespeare(seed):
    """`(model, {speaker: texts})`: speakers that are neither among the contexts nor among the other texts."""
    train, _, _ = contexts.read("shakespeare", quick=False)
    whole = lk.data.texts_by_context("tinyshakespeare", "all")
    new = [name for name in whole if name not in train and len(set(whole[name])) >= 3 * FIVE][:SPEAKERS]
    others = [
        text[: contexts.LONGEST] for name in whole if name not in train and name not in new for text in whole[name]
    ]
    others = [others[i] for i in np.random.default_rng(0).permutation(len(others))[: contexts.OTHERS]]
    texts = {name: [text[: contexts.LONGEST] for text in dict.fromkeys(whole[name])] for name in new}
    return trained("shakespeare", train, others, seed), texts


def of_news(left_out, seed):
    train, _, _ = contexts.read("ag-news", quick=False)
    new = {left_out: train.pop(left_out)}
    return trained("ag-news", train, [], seed), new


def measured(model, name, texts, seed):
    """Perplexities of the texts that the context is not learned from."""
    order = np.random.default_rng(seed).permutation(len(texts))
    five, rest = [texts[i] for i in order[:FIVE]], [texts[i] for i in order[FIVE : FIVE + MOST]]
    started = time.perf_counter()
    found = {"context": name, "texts": len(rest)}
    known = model.perplexities({name: five})
    best = known.best[name]
    table = model.perplexities({name: rest})
    perplexity = dict(zip(table.given, table.perplexities[:, 0].round(2).tolist(), strict=True))
    found |= {"none": perplexity[None], "nearest": best, "in_nearest": perplexity[best]}
    for spread in SPREADS:
        more = model.learn_context("new", five, spread=spread)
        row = more.perplexities({name: rest})
        found[f"learned_{spread:g}"] = round(float(row.perplexities[row.given.index("new"), 0]), 2)
    return {**found, "seconds": round(time.perf_counter() - started, 1)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--log", type=Path, default=Path("runs/personalization.jsonl"))
    options = parser.parse_args()
    options.log.parent.mkdir(parents=True, exist_ok=True)
    for seed in range(options.seeds):
        parts = [("shakespeare", *of_shakespeare(seed))]
        parts += [("ag-news", *of_news(name, seed)) for name in ("World", "Sports", "Business", "Sci/Tech")]
        for corpus, model, new in parts:
            for name, texts in new.items():
                line = {"corpus": corpus, "seed": seed, **measured(model, name, texts, seed)}
                with options.log.open("a") as file:
                    file.write(json.dumps(line) + "\n")
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
