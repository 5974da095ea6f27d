"""Kim's CNN on the film reviews of Pang & Lee, cross-validated as in Kim (2014), with and without word vectors.

    export LM_KERAS_DATA=...   # a folder with mr/rt-polarity.{neg,pos}
    python benchmarks/quality/mr_cnn.py --vectors glove.6B.50d.txt --out runs/mr_cnn

Ten folds: a random tenth of the sentences is the test part, a tenth of the rest, the development part, says when to
stop. All variants see the same folds. What is done already is read from the folder --out and not done again.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from lm_keras.utils.quiet import load_tensorflow

# Arguments of the builder, and whether its embedding starts from the pretrained vectors.
VARIANTS = {
    "random-300": {"embedding_dim": 300},
    "random-50": {"embedding_dim": 50},
    "static-50": {"pretrained": True, "train_embeddings": False},
    "non-static-50": {"pretrained": True},
    "two-channel-50": {"pretrained": True, "two_channel": True},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--variants", nargs="+", default=["random-300", "random-50", "non-static-50"], choices=VARIANTS
    )
    parser.add_argument(
        "--vectors", type=Path, required=True, help="text file, a word and its numbers a line, or .gz"
    )
    parser.add_argument("--folds", type=int, default=10, help="do only the first so many of the ten")
    parser.add_argument("--out", type=Path, default=Path("runs/mr_cnn"))
    options = parser.parse_args()
    load_tensorflow()
    from gensim.models import KeyedVectors

    vectors, results = KeyedVectors.load_word2vec_format(options.vectors, no_header=True), {}
    for fold in range(options.folds):
        parts = fold_parts(fold)
        for variant in options.variants:
            path = options.out / f"{variant}-{fold}.json"
            if not path.exists():
                result = run(parts, vectors, seed=fold, **VARIANTS[variant])
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(result))
            results[variant, fold] = json.loads(path.read_text())
            print(f"fold {fold} {variant:<14}", results[variant, fold], flush=True)
    report(results, options.variants, options.folds)


# === Data ===


def fold_parts(fold):
    """{"train", "dev", "test"}: (texts, labels) each, of one of the ten folds."""
    import lm_keras as lk

    records = lk.data.load("mr", "all")
    order = np.random.default_rng(0).permutation(len(records))
    test = order[fold::10]
    rest = np.random.default_rng(fold).permutation(np.setdiff1d(order, test))
    places = {"test": test, "dev": rest[: len(rest) // 10], "train": rest[len(rest) // 10 :]}
    return {name: tuple(zip(*(records[i] for i in part), strict=True)) for name, part in places.items()}


def vocabulary(parts, vectors, pretrained):
    """A tokenizer of the words of the training part; with pretrained vectors, of all words that have one, too.

    Other words of the development and test parts are <unk>: nothing is known of them.
    """
    import lm_keras as lk

    tokenizer = lk.text.WordTokenizer.train(parts["train"][0])
    if pretrained:
        others = lk.text.WordTokenizer.train([*parts["dev"][0], *parts["test"][0]]).tokens
        known = set(tokenizer.tokens)
        more = [word for word in others if word in vectors and word not in known]
        tokenizer = lk.text.WordTokenizer([*tokenizer.tokens, *more])
    return tokenizer


def matrix(tokenizer, vectors, seed):
    """[V, E]: the pretrained vectors, all times one number, and random ones for words that have none.

    That number makes the variance that of the random vectors of the builder: GloVe's are four times as large, and
    Adam's steps, whose size does not depend on that of the vectors, would hardly move them in six epochs.
    """
    table = np.random.default_rng(seed).uniform(-0.25, 0.25, (tokenizer.vocab_size, vectors.vector_size))
    scale = 0.25 / np.sqrt(3) / vectors.vectors.std()
    for i, word in enumerate(tokenizer.tokens):
        if word in vectors:
            table[i] = scale * vectors[word]
    return table.astype("float32")


# === One run ===


def run(parts, vectors, seed, pretrained=False, epochs=6, learning_rate=1e-3, **arguments):
    """Trains one model and keeps the epoch that is the most accurate on the development part, as Kim's code does."""
    import keras

    import lm_keras as lk

    keras.utils.set_random_seed(seed)
    tokenizer = vocabulary(parts, vectors, pretrained)
    if pretrained:
        arguments["embedding_matrix"] = matrix(tokenizer, vectors, seed)
    model = lk.models.build_cnn_classifier(tokenizer.vocab_size, num_classes=2, seed=seed, **arguments)
    train, dev, test = (
        lk.data.labelled(*parts[name], tokenizer, size, shuffle=name == "train", seed=seed)
        for name, size in (("train", 50), ("dev", 200), ("test", 200))
    )
    best = {"dev_accuracy": 0.0}

    def keep_best(epoch, logs):
        if logs["val_accuracy"] > best["dev_accuracy"]:
            best.update(dev_accuracy=logs["val_accuracy"], epoch=epoch + 1, weights=model.get_weights())

    config = lk.TrainingConfig(
        epochs=epochs, learning_rate=learning_rate, optimizer="adam", warmup_steps=0, clip_norm=None, seed=seed
    )
    lk.fit(model, train, dev, config, callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=keep_best)])
    model.set_weights(best.pop("weights"))
    result = lk.evaluate(model, test)
    return {"test_accuracy": result["accuracy"], "test_f1": result["f1"], "vocab_size": tokenizer.vocab_size, **best}


def report(results, variants, folds):
    accuracy = {name: np.array([100 * results[name, f]["test_accuracy"] for f in range(folds)]) for name in variants}
    print("\n| fold | " + " | ".join(variants) + " |\n|---|" + "---|" * len(variants))
    for fold in range(folds):
        print(f"| {fold} | " + " | ".join(f"{accuracy[name][fold]:.2f}" for name in variants) + " |")
    print("| mean | " + " | ".join(f"{accuracy[name].mean():.2f}" for name in variants) + " |")
    print("| deviation | " + " | ".join(f"{accuracy[name].std(ddof=1):.2f}" for name in variants) + " |")
    for i, one in enumerate(variants):
        for other in variants[i + 1 :]:
            gain = accuracy[other] - accuracy[one]
            error = gain.std(ddof=1) / np.sqrt(folds)
            print(
                f"{other} - {one}: {gain.mean():+.2f}, standard error {error:.2f}, better in {(gain > 0).sum()} folds"
            )


if __name__ == "__main__":
    main()
