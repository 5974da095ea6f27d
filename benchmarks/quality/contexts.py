"""What a context is worth: perplexity in each context, and classes by Bayes' rule, beside plain classifiers.

LM_KERAS_DATA=... python benchmarks/quality/contexts.py --log runs/contexts.jsonl
LM_KERAS_DATA=... python benchmarks/quality/contexts.py --quick --corpora shakespeare --seeds 1 --log /tmp/quick.jsonl
python benchmarks/quality/contexts.py --report --log runs/contexts.jsonl

Corpora: the six speakers of Shakespeare who speak most often, with the other speakers as texts of no context; the
paragraphs of two Chinese novels; news of four topics. Of each context a tenth of the texts is held out. A small GPT
of characters (Chinese) or byte pairs is trained from nothing, with the context by "token" and by "vector". The
classifiers beside it read the same labelled texts: naive Bayes of words (of characters in Chinese) with add-one
smoothing, which is the same rule over a unigram model, and the CNN of Kim 2014. Each result is a line of the log as
soon as it is there; a run that was stopped leaves out what the log has.
"""

import argparse
import re
import time
from collections import Counter
from pathlib import Path

import numpy as np
from _contexts_log import Log, report

import lm_keras as lk  # which imports TensorFlow and Keras at first use

CORPORA = {
    "shakespeare": {"source": "tinyshakespeare", "split": "all", "contexts": 6, "epochs": 4},
    "novels": {"source": ["hongloumeng", "shuihu"], "split": "all", "contexts": None, "epochs": 3},
    "ag-news": {"source": "ag-news", "split": "train", "contexts": None, "epochs": 3},
}
WAYS = ("token", "vector")
MOST_TEXTS = {"novels": 1200, "ag-news": 1200}  # of each context
OTHERS = 2000  # speeches of other speakers, which the language model reads as of no context
LONGEST = 400  # characters of a text: what is beyond is cut, in training and in the test
HELD_OUT = 200  # texts of each context that are measured, at most
LENGTH, BATCH = 64, 16
SIZES = {"hidden_dim": 128, "num_layers": 4, "num_heads": 4, "max_length": 256, "dropout": 0.1}
QUICK = {"hidden_dim": 16, "num_layers": 1, "num_heads": 2, "max_length": 256}


# === Data ===
def read(name, quick):
    """`(train, test, others)`: {context: texts} twice, and texts of no context."""
    options = CORPORA[name]
    whole = lk.data.texts_by_context(options["source"], options["split"])
    found = lk.data.texts_by_context(whole, contexts=options["contexts"])
    others = [text[:LONGEST] for context, texts in whole.items() if context not in found for text in texts]
    others = [others[i] for i in np.random.default_rng(0).permutation(len(others))[: 40 if quick else OTHERS]]
    most = 40 if quick else MOST_TEXTS.get(name, 10**9)
    train, test = {}, {}
    for context, texts in found.items():
        texts = [text[:LONGEST] for text in dict.fromkeys(texts)]
        order = np.random.default_rng(0).permutation(len(texts))[:most]
        kept, held = lk.data.split_texts([texts[i] for i in order], 0.1, seed=0)
        train[context], test[context] = kept, held[: 5 if quick else HELD_OUT]
    return train, test, others


def chinese(texts_by_context):
    text = next(iter(texts_by_context.values()))[0]
    return sum("\u4e00" <= char <= "\u9fff" for char in text) * 2 > len(text)


def flat(texts_by_context):
    """Texts, and the place of the context of each."""
    pairs = [(text, i) for i, texts in enumerate(texts_by_context.values()) for text in texts]
    return [text for text, _ in pairs], np.array([i for _, i in pairs], "int32")


def tokenizer_of(train, others, quick):
    texts = flat(train)[0] + others
    if chinese(train):
        return lk.text.CharTokenizer.train(texts, vocab_size=500 if quick else 4000)
    return lk.text.BPETokenizer.train(texts, vocab_size=400 if quick else 2000)


# === The language model that is given a context ===
def conditional(name, by, seed, options, train, test, others):
    """Trains and measures a ConditionalLM; the facts of a line of the log."""
    tokenizer = tokenizer_of(train, others, options.quick)
    sizes = QUICK if options.quick else SIZES
    start = time.perf_counter()
    lm = lk.LanguageModel(lk.models.build_gpt2(tokenizer.vocab_size, **sizes, seed=seed), tokenizer)
    conditional = lk.contexts.ConditionalLM(lm, train, by, drop=0.1, seed=seed)
    texts = {**train, None: others} if others else train
    windows = lk.data.context_windows(texts, tokenizer, LENGTH, BATCH, whole_texts=True, seed=seed)
    epochs = 1 if options.quick else options.epochs or CORPORA[name]["epochs"]
    config = lk.TrainingConfig(epochs=epochs, learning_rate=2e-3, seed=seed)
    history = lk.fit(conditional, windows, config=config)
    seconds = time.perf_counter() - start
    table = conditional.perplexities(test)
    texts, y = flat(test)
    log_p = conditional.log_posteriors(texts)
    return {
        "contexts": list(table.contexts),
        "given": list(table.given),
        "perplexities": table.perplexities.tolist(),
        "diagonal_wins": table.diagonal_wins,
        "best": table.best,
        "bits": table.mean_bits_per_byte(),
        "classes": measures(log_p, y),
        "train_seconds": round(seconds, 1),
        "train_perplexity": round(history.history["perplexity"][-1], 2) if "perplexity" in history.history else None,
        "parameters": int(conditional.model.count_params()),
        "tokens": windows.num_tokens,
    }


# === Plain classifiers ===
def naive_bayes(name, by, seed, options, train, test, others):
    """log p(c) + Σ log p(word | c), with add-one smoothing."""
    split = list if chinese(train) else lambda text: re.findall(r"\w+|[^\w\s]", text.lower())
    start = time.perf_counter()
    counts = [Counter(word for text in texts for word in split(text)) for texts in train.values()]
    words = {word: i for i, word in enumerate(sorted(set().union(*counts)))}
    table = np.ones([len(counts), len(words)])
    for row, count in zip(table, counts, strict=True):
        for word, times in count.items():
            row[words[word]] += times
    table = np.log(table / table.sum(1, keepdims=True))
    prior = np.log([len(texts) for texts in train.values()])
    texts, y = flat(test)
    scores = np.array([
        prior + sum((table[:, words[word]] for word in split(text) if word in words), np.zeros(len(counts)))
        for text in texts
    ])  # fmt: skip
    log_p = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
    return {"classes": measures(log_p, y), "train_seconds": round(time.perf_counter() - start, 1)}


def cnn(name, by, seed, options, train, test, others):
    """The CNN of Kim 2014, of words; of characters in Chinese."""
    kind = lk.text.CharTokenizer if chinese(train) else lk.text.WordTokenizer
    tokenizer = kind.train(flat(train)[0], vocab_size=500 if options.quick else 8000)
    start = time.perf_counter()
    model = lk.models.build_cnn_classifier(
        tokenizer.vocab_size, num_classes=len(train), embedding_dim=64, num_filters=64, seed=seed
    )
    texts, y = flat(train)
    batches = lk.data.labelled(texts, y, tokenizer=tokenizer, batch_size=32, max_length=LENGTH, seed=seed)
    lk.fit(model, batches, config=lk.TrainingConfig(epochs=1 if options.quick else 6, learning_rate=1e-3, seed=seed))
    classifier = lk.tasks.TextClassifier(model, tokenizer, list(train), max_length=LENGTH)
    texts, y = flat(test)
    p = np.array([list(found.scores.values()) for found in classifier.classify(texts)], np.float64)
    log_p = np.log(np.maximum(p, 1e-30))
    return {"classes": measures(log_p, y), "train_seconds": round(time.perf_counter() - start, 1)}


def measures(log_p, y):
    """Accuracy, macro F1 and log loss of log p(c | text), [N, C]."""
    from lm_keras.training.objectives import class_report

    found, size = log_p.argmax(1), log_p.shape[1]
    confusion = np.zeros([size, size])
    np.add.at(confusion, (y, found), 1)
    nats = -log_p[np.arange(len(y)), y].sum()
    report = class_report({"nats": nats, "confusion": confusion, "count": len(y)})
    return {name: float(report[name]) for name in ("accuracy", "macro_f1", "loss", "examples")}


METHODS = {"token": conditional, "vector": conditional, "naive Bayes": naive_bayes, "CNN": cnn}
ONCE = ("naive Bayes",)  # nothing in it is drawn


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", type=Path, default=Path("runs/contexts.jsonl"))
    parser.add_argument("--corpora", nargs="+", choices=CORPORA, default=list(CORPORA))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="of the language models, in place of those of each corpus")
    parser.add_argument("--quick", action="store_true", help="small models and few texts: whether it runs at all")
    parser.add_argument("--report", action="store_true", help="print the tables of the log alone")
    options = parser.parse_args()
    log = Log(options.log, options.quick)
    if not options.report:
        for name in options.corpora:
            parts = read(name, options.quick)
            for method in options.methods:
                for seed in range(1 if method in ONCE else options.seeds):
                    if not log.has(name, method, seed):
                        log.add(name, method, seed, **METHODS[method](name, method, seed, options, *parts))
    report(log)


if __name__ == "__main__":
    main()
