"""Pre-trains a small BERT on the embedded Wikipedia excerpt: `python benchmarks/bert_pretraining.py runs/bert-wiki`.

Masked words first, next sentences too in the second part with `--pair-steps`. The held-out loss stands beside the
unigram entropy of the same masked targets, which a model that ignores the context cannot beat.
"""

import argparse
import time
from pathlib import Path

from lm_keras.commands import load_tensorflow

load_tensorflow()

import numpy as np  # noqa: E402

import lm_keras as lk  # noqa: E402
from lm_keras.training.optimizer import make_optimizer  # noqa: E402


def main():
    options = parse()
    train, held_out = lk.data.load("wiki-excerpt"), lk.data.load("wiki-excerpt", "validation")
    tokenizer = lk.text.WordPieceTokenizer.train(train, vocab_size=options.vocab_size, lowercase=True)
    encoder = lk.models.build_bert(
        tokenizer.vocab_size,
        max_length=options.length,
        hidden_dim=options.hidden_dim,
        num_layers=options.num_layers,
        num_heads=options.num_heads,
        dropout=options.dropout,
        seed=options.seed,
    )
    if options.sinusoids:
        encoder.get_layer("positions").set_weights([sinusoids(options.length, options.hidden_dim)])
    print(f"{encoder.count_params():,} parameters, {tokenizer.vocab_size:,} tokens", flush=True)
    sizes = {"length": options.length, "mask_rate": options.mask_rate, "whole_word": options.whole_word}
    data = lk.data.masked_lm(train, tokenizer, batch_size=options.batch_size, seed=options.seed, **sizes)
    sizes["mask_rate"] = 0.15
    valid = lk.data.masked_lm(held_out, tokenizer, batch_size=64, shuffle=False, **sizes)
    report_unigram(train, tokenizer, valid)
    pretrain(encoder, data, valid, options.steps, options, next_sentence=False)
    save(encoder, tokenizer, options.folder)
    if options.pair_steps:
        pairs = lk.data.sentence_pairs(train, tokenizer, batch_size=options.batch_size, seed=options.seed, **sizes)
        valid = lk.data.sentence_pairs(held_out, tokenizer, batch_size=64, shuffle=False, **sizes)
        report_unigram(train, tokenizer, valid)
        pretrain(encoder, pairs, valid, options.pair_steps, options, next_sentence=True)
        save(encoder, tokenizer, options.folder)


def pretrain(encoder, data, valid, steps, options, next_sentence):
    model = lk.models.bert_pretrainer(encoder, next_sentence=next_sentence, seed=options.seed)
    legs = -(-steps // options.report)
    config = lk.TrainingConfig(
        epochs=legs, learning_rate=options.learning_rate, warmup_steps=options.warmup, schedule="linear"
    )
    optimizer = make_optimizer(config, options.report, model.trainable_variables)
    metrics = {name: ["accuracy"] for name in model.output}
    model.compile(optimizer, lk.models.pretraining_losses(model), weighted_metrics=metrics, jit_compile=True)
    stream, start = data.repeat(), time.perf_counter()
    batches = iter(stream)
    tokens = options.report * options.batch_size * options.length
    for leg in range(legs):
        before = time.perf_counter()
        totals = []
        for _ in range(options.report):
            x, y, weights = next(batches)
            totals.append(float(model.train_on_batch(x, y, sample_weight=weights)[0]))
        speed = tokens / (time.perf_counter() - before)
        result = model.evaluate(valid, return_dict=True, verbose=0)
        shown = " · ".join(f"{key} {value:.3f}" for key, value in result.items())
        print(
            f"step {(leg + 1) * options.report:,} · {time.perf_counter() - start:.0f} s · {speed:,.0f} tokens/s · "
            f"held out: {shown}",
            flush=True,
        )


def report_unigram(train, tokenizer, valid):
    """Cross-entropy of the held-out masked targets under the counts of the training text, and their own entropy."""
    counts = np.ones(tokenizer.vocab_size)  # one more than seen, so that nothing is impossible
    for ids in tokenizer.encode_batch(train):
        np.add.at(counts, ids, 1)
    counts[: tokenizer.mask_id + 1] = 0
    targets = np.concatenate([y["masked_lm"].numpy()[w["masked_lm"].numpy() > 0] for _, y, w in valid])
    crossed = -np.log(counts[targets] / counts.sum()).mean()
    own = np.bincount(targets) / len(targets)
    own = -(own[own > 0] * np.log(own[own > 0])).sum()
    most = (targets == counts.argmax()).mean()
    print(
        f"{len(targets):,} held-out masked targets: {crossed:.3f} nats under the training text's unigrams, "
        f"{own:.3f} entropy of their own; the most frequent token is right {most:.3f} of the time",
        flush=True,
    )


def sinusoids(length, dim):
    """Vaswani et al. 2017, section 3.5, as small as the token embedding: neighbours are found from the start."""
    angles = np.arange(length)[:, None] / 10000 ** (np.arange(0, dim, 2) / dim)  # (T, D / 2)
    return 0.02 * 2**0.5 * np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


def save(encoder, tokenizer, folder):
    Path(folder).mkdir(parents=True, exist_ok=True)
    tokenizer.save(folder)
    encoder.save(Path(folder) / "encoder.keras")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("folder")
    sizes = {"vocab-size": 6000, "length": 64, "hidden-dim": 128, "num-layers": 4, "num-heads": 4}
    runs = {"batch-size": 64, "steps": 6000, "pair-steps": 0, "warmup": 500, "report": 500, "seed": 0}
    for name, value in {**sizes, **runs}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    for name, value in {"learning-rate": 1e-3, "mask-rate": 0.15, "dropout": 0.0}.items():
        parser.add_argument(f"--{name}", type=float, default=value)
    parser.add_argument("--sinusoids", action="store_true")
    parser.add_argument("--whole-word", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
