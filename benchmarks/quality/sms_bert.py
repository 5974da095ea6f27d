"""Is this text message spam? A pre-trained encoder against the same one from scratch, and document 003's classifier.

python benchmarks/quality/bert_pretraining.py runs/bert-wiki
LM_KERAS_DATA=... python benchmarks/quality/sms_bert.py few runs/bert-wiki      # 200 labelled messages, three seeds
LM_KERAS_DATA=... python benchmarks/quality/sms_bert.py full runs/bert-wiki     # document 003's recipe, all of them
"""

import argparse
import itertools
import json
from pathlib import Path

from lm_keras.utils.quiet import load_tensorflow

load_tensorflow()

import keras  # noqa: E402
import numpy as np  # noqa: E402

import lm_keras as lk  # noqa: E402
from lm_keras.training.optimizer import WarmupSchedule  # noqa: E402

LENGTH = 64  # pieces of a message, as many as the encoder was trained on; a longer message is cut
SEEDS = (0, 1, 2)
LABELLED = 200
# Every setting is tried for both arms on the same messages, which are neither trained nor tested on.
GRID = {"learning_rate": (1e-4, 3e-4, 1e-3), "pooling": ("first", "mean")}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("few", "full"))
    parser.add_argument("folder", type=Path, help="encoder.keras and its tokenizer, by bert_pretraining.py")
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    tokenizer = lk.text.load_tokenizer(options.folder)
    (few if options.task == "few" else full)(options, tokenizer)


# === 200 labelled messages ===


def few(options, tokenizer):
    train, dev = messages("train"), messages("validation")
    print(
        f"{len(train):,} different messages to train on and to test with, {len(dev):,} to choose settings", flush=True
    )
    results = []
    for arm, seed in itertools.product(("pre-trained", "scratch"), SEEDS):
        order = np.random.default_rng(seed).permutation(len(train))
        labelled, test = ([train[i] for i in part] for part in (order[:LABELLED], order[LABELLED:]))
        for setting in settings():
            model = classifier(options.folder, arm == "pre-trained", seed, setting["pooling"])
            config = lk.TrainingConfig(
                epochs=options.epochs, learning_rate=setting["learning_rate"], schedule="linear", seed=seed
            )
            lk.fit(model, batches(labelled, tokenizer, 16, seed), config=config)
            parts = {"dev": dev, "test": test}
            scores = {name: lk.evaluate(model, batches(part, tokenizer, 64)) for name, part in parts.items()}
            results.append({"arm": arm, "seed": seed, **setting, **scores})
            print(json.dumps(results[-1]), flush=True)
    (options.folder / "few.json").write_text(json.dumps(results, indent=1))
    report(results)


def settings():
    return [dict(zip(GRID, values, strict=True)) for values in itertools.product(*GRID.values())]


def report(results):
    """For each arm the setting with the best mean F1 on the messages for choosing, and its scores on the test."""
    print(f"\n{'':<12} {'setting, by the mean F1 of dev':<40} {'dev F1':>7} {'test accuracy':>18} {'test F1':>18}")
    for arm in ("pre-trained", "scratch"):
        rows = [
            [row for row in results if row["arm"] == arm and setting.items() <= row.items()] for setting in settings()
        ]
        best = max(rows, key=lambda row: np.mean([run["dev"]["f1"] for run in row]))
        chosen = ", ".join(f"{name} {best[0][name]}" for name in GRID)
        dev = np.mean([run["dev"]["f1"] for run in best])
        print(f"{arm:<12} {chosen:<40} {dev:>7.3f} {spread(best, 'accuracy'):>18} {spread(best, 'f1'):>18}")


def spread(runs, measure):
    scores = [100 * run["test"][measure] for run in runs]
    return f"{np.mean(scores):.1f} ± {np.std(scores, ddof=1):.1f}"


# === Document 003, section "源代码详细实现" ===


def full(options, tokenizer):
    """Three epochs, 16 messages a step and 64 in evaluation, 500 steps of warm-up, weight decay 0.01."""
    train, test = messages("train"), messages("validation")
    for arm, learning_rate in itertools.product(("pre-trained", "scratch"), (5e-5, 5e-4)):
        keras.utils.set_random_seed(0)
        model = classifier(options.folder, arm == "pre-trained", 0, "first", dropout=0.0)
        data, steps = batches(train, tokenizer, 16, 0), -(-len(train) // 16)
        rate = WarmupSchedule(learning_rate, 500, 3 * steps, "linear", steps, 1.0, 1)
        optimizer = keras.optimizers.AdamW(rate, weight_decay=0.01, global_clipnorm=1.0)
        optimizer.exclude_from_weight_decay(var_list=[v for v in model.trainable_variables if len(v.shape) < 2])
        model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.fit(data, epochs=3, verbose=0)
        scores = lk.evaluate(model, batches(test, tokenizer, 64))
        print(json.dumps({"arm": arm, "learning_rate": learning_rate, "steps": 3 * steps, **scores}), flush=True)


# === Both ===


def messages(split):
    """One side of a random cut, each text once; a text of both sides is in "validation", as in docs/results.md."""
    sides = lk.data.split_texts(lk.data.load("sms-spam", "all"), validation=0.1, seed=0)
    train, validation = ({message.text: message for message in side} for side in sides)
    if split == "validation":
        return list(validation.values())
    return [message for text, message in train.items() if text not in validation]


def batches(part, tokenizer, batch_size, seed=None):
    texts, labels = zip(*((message.text, message.label) for message in part), strict=True)
    return lk.data.labelled(
        texts, labels, tokenizer, batch_size, max_length=LENGTH, shuffle=seed is not None, seed=seed or 0
    )


def classifier(folder, pretrained, seed, pooling, dropout=0.1):
    trained = lk.models.load_model(folder / "encoder.keras")
    encoder = lk.models.build_bert(**{**trained.recipe.arguments, "dropout": dropout, "seed": seed})
    if pretrained:
        encoder.set_weights(trained.get_weights())
    return lk.models.sequence_classifier(encoder, 2, dropout=dropout, pooling=pooling, seed=seed)


if __name__ == "__main__":
    main()
