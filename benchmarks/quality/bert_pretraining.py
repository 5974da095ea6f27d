"""Pre-trains a small BERT on the embedded Wikipedia excerpt.

    python benchmarks/quality/bert_pretraining.py runs/bert-wiki

Masked words in short rows first, then in longer ones (the paper, too, takes rows of 128 before those of 512), then
with next sentences. The held-out loss stands beside the unigrams' of the same masked tokens, which a model that
ignores the context cannot beat; there every choice is [MASK], for at a token that is kept the answer could be read.
"""

import argparse
from pathlib import Path

from lm_keras.utils.quiet import load_tensorflow

load_tensorflow()

import keras  # noqa: E402
import numpy as np  # noqa: E402

import lm_keras as lk  # noqa: E402
from lm_keras.training.optimizer import make_optimizer  # noqa: E402

STAGES = ((16, 2500), (64, 1250))  # tokens a row, steps
PAIR_STEPS = 500
TOKENS = 4096  # a step
HELD_OUT = {"replace": (1, 0), "shuffle": False}


def main():
    options = parse()
    train, held_out = lk.data.load("wiki-excerpt"), lk.data.load("wiki-excerpt", "validation")
    tokenizer = lk.text.WordPieceTokenizer.train(train, vocab_size=options.vocab_size, lowercase=True)
    encoder = lk.models.build_bert(
        tokenizer.vocab_size,
        max_length=STAGES[-1][0],
        hidden_dim=options.hidden_dim,
        num_layers=options.num_layers,
        num_heads=options.num_heads,
        dropout=0.0,
        initializer_range=options.initializer_range,
        seed=options.seed,
    )
    print(f"{encoder.count_params():,} parameters, {tokenizer.vocab_size:,} tokens", flush=True)
    model = lk.models.bert_pretrainer(encoder, next_sentence=False, seed=options.seed)
    start(model, options, sum(steps for _, steps in STAGES))
    for length, steps in STAGES:
        sizes = (tokenizer, length, TOKENS // length, options.mask_rate)
        data = lk.data.masked_lm(train, *sizes, seed=options.seed)
        valid = lk.data.masked_lm(held_out, *sizes[:3], **HELD_OUT)
        learn(model, data, valid, steps, options)
    report_unigrams(train, tokenizer, valid)

    paired = lk.models.bert_pretrainer(encoder, seed=options.seed)
    for name in ("masked_lm_dense", "masked_lm_norm", "masked_lm_bias"):
        paired.get_layer(name).set_weights(model.get_layer(name).get_weights())
    start(paired, options, PAIR_STEPS)
    data = lk.data.sentence_pairs(train, *sizes, seed=options.seed)
    valid = lk.data.sentence_pairs(held_out, *sizes[:3], **HELD_OUT)
    learn(paired, data, valid, PAIR_STEPS, options)
    report_unigrams(train, tokenizer, valid)
    save(encoder, tokenizer, options.folder)


def start(model, options, steps):
    config = lk.TrainingConfig(
        epochs=1, learning_rate=options.learning_rate, warmup_steps=steps // 10, schedule="linear", beta_2=0.98
    )
    optimizer = make_optimizer(config, steps)
    metrics = {name: ["accuracy"] for name in model.output}
    model.compile(optimizer, lk.models.pretraining_losses(model), weighted_metrics=metrics, jit_compile=True)


def learn(model, data, valid, steps, options):
    print(f"\n{data.element_spec[0]['token_ids'].shape}", flush=True)
    report = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: show((epoch + 1) * options.report, logs))
    epochs = steps // options.report
    model.fit(
        data.repeat(), validation_data=valid, epochs=epochs, steps_per_epoch=options.report, verbose=0,
        callbacks=[report],
    )  # fmt: skip


def show(step, logs):
    print(f"step {step:,} · " + " · ".join(f"{name} {value:.3f}" for name, value in logs.items()), flush=True)


def report_unigrams(train, tokenizer, valid):
    """Cross-entropy of the held-out masked tokens under the counts of the training text."""
    counts = np.ones(tokenizer.vocab_size)  # one more than seen, so that nothing is impossible
    for ids in tokenizer.encode_batch(train):
        np.add.at(counts, ids, 1)
    counts[: tokenizer.mask_id + 1] = 0
    targets = np.concatenate([y["masked_lm"].numpy()[w["masked_lm"].numpy() > 0] for _, y, w in valid])
    crossed = -np.log(counts[targets] / counts.sum()).mean()
    most = (targets == counts.argmax()).mean()
    print(
        f"{len(targets):,} held-out masked tokens: {crossed:.3f} nats under the training text's unigrams; "
        f"the most frequent token is right {most:.3f} of the time",
        flush=True,
    )


def save(encoder, tokenizer, folder):
    Path(folder).mkdir(parents=True, exist_ok=True)
    tokenizer.save(folder)
    encoder.save(Path(folder) / "encoder.keras")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    sizes = {"vocab-size": 4000, "hidden-dim": 128, "num-layers": 2, "num-heads": 2, "report": 250, "seed": 0}
    for name, value in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    for name, value in {"learning-rate": 2e-3, "mask-rate": 0.3, "initializer-range": 0.08}.items():
        parser.add_argument(f"--{name}", type=float, default=value)
    return parser.parse_args()


if __name__ == "__main__":
    main()
