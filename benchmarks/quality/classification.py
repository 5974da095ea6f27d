"""Classifiers side by side: news, film and hotel reviews, intents, spam and pairs, beside published figures.

    export LM_KERAS_DATA=...   # a folder with ag-news, mr, chnsenticorp-hotel, clinc150, sms-spam, snli-dev
    python benchmarks/quality/classification.py --embedder all-minilm-l6-v2 --log runs/classification.jsonl
    python benchmarks/quality/classification.py --sets mr --methods bayes tfidf --dev
    python benchmarks/quality/classification.py --report --log runs/classification.jsonl --plot classification.png

Options are chosen on the development part (`--dev` measures there, too); the test part is used once. Each method of
each set runs in a process of its own, whose peak of memory is noted; each result is a line of the log as soon as it
is there, and a run that was stopped leaves out what the log has. What trains has a seed a run; on the film reviews a
seed is one of the ten folds. Time is that of this process on the cores that it was given.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from _classification_data import FOLDS, SETS, parts
from _classification_log import Results, draw, report

import lm_keras as lk  # which imports TensorFlow and Keras at first use
from lm_keras.utils.quiet import load_tensorflow

STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)  # C of logistic regression, chosen on the development part
SMOOTHINGS = (0.01, 0.03, 0.1, 0.3, 1.0)  # alpha of naive Bayes


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", type=Path, default=Path("runs/classification.jsonl"))
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--embedder", default="all-minilm-l6-v2", help="a folder of all-MiniLM-L6-v2, or a name")
    parser.add_argument("--lexicon", type=Path, default=Path("runs/vader_lexicon.txt"), help="VADER's; it is fetched")
    parser.add_argument("--seeds", type=int, default=3, help="runs of what trains from random weights")
    parser.add_argument("--folds", type=int, default=FOLDS, help="of the film reviews, the first so many")
    parser.add_argument("--dev", action="store_true", help="measures on the development parts")
    parser.add_argument("--report", action="store_true", help="prints the tables of the log")
    parser.add_argument("--plot", type=Path, help="with --report: a picture of accuracy against time")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)  # a set and a method, in this process
    options = parser.parse_args()
    if options.report:
        report(options)
        if options.plot:
            draw(options)
    elif options.one:
        run(options, *options.one)
    else:
        for name in options.sets:
            for method in options.methods:
                if name in ONLY.get(method, SETS):
                    # Each in its own process, so that its memory is its own.
                    subprocess.run([sys.executable, __file__, *sys.argv[1:], "--one", name, method], check=True)
        report(options)


def run(options, name, method):
    load_tensorflow()
    results = Results(options.log, name, method, options.dev)
    seeds = options.folds if name == "mr" else options.seeds if method in SEEDED else 1
    for seed in range(seeds):
        if not results.has(seed):
            data = parts(name, seed)
            found, told = METHODS[method](options, data, seed)
            results.add(seed, data, found, **told)


def tested(options, data):
    """The texts that are measured."""
    return (data.dev if options.dev else data.test).texts


class Clock:
    """Seconds since the last call of `lap`."""

    def __init__(self):
        self.start = time.perf_counter()

    def lap(self):
        before, self.start = self.start, time.perf_counter()
        return self.start - before


# === Classic methods: of words, with one choice each by the development part ===


def words_of(data):
    """What a text is cut into: jieba's words of Chinese, words of letters and digits of English."""
    if data.language == "zh":
        return {"analyzer": chinese_terms}
    return {"token_pattern": r"(?u)\b\w+\b", "ngram_range": (1, 2)}


def chinese_terms(text):
    """Words and pairs of words."""
    words = lk.text.words(text, "zh")
    return [*words, *(f"{a} {b}" for a, b in zip(words, words[1:], strict=False))]


def joined(texts):
    """A pair is one text to these methods: which word is of which sentence they do not see."""
    return [text if isinstance(text, str) else " ".join(text) for text in texts]


def chosen(models, vectors, y, dev_vectors, dev_y):
    """The fitted model of the highest accuracy on the development part, and its option."""
    best = None
    for option, model in models.items():
        model.fit(vectors, y)
        accuracy = np.mean(model.predict(dev_vectors) == dev_y)
        if best is None or accuracy > best[0]:
            best = (accuracy, model, option)
    return best[1:]


def of_terms(options, data, vectorizer, models):
    clock = Clock()
    vectors = vectorizer.fit_transform(joined(data.train.texts))
    dev = vectorizer.transform(joined(data.dev.texts))
    model, option = chosen(models, vectors, data.train.y, dev, data.dev.y)
    train_seconds = clock.lap()
    found = model.predict_proba(vectorizer.transform(joined(tested(options, data))))
    told = {"train_seconds": train_seconds, "answer_seconds": clock.lap(), "chosen": option}
    return found, told | {"parameters": vectors.shape[1] * len(data.classes)}


def bayes(options, data, seed):
    """Multinomial naive Bayes on counts of words and pairs of words."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB

    models = {alpha: MultinomialNB(alpha=alpha) for alpha in SMOOTHINGS}
    return of_terms(options, data, CountVectorizer(**words_of(data)), models)


def regressions():
    from sklearn.linear_model import LogisticRegression

    return {strength: LogisticRegression(C=strength, max_iter=1000) for strength in STRENGTHS}


def tfidf(options, data, seed):
    """Logistic regression on TF-IDF of words and pairs of words."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return of_terms(options, data, TfidfVectorizer(sublinear_tf=True, **words_of(data)), regressions())


def minilm_frozen(options, data, seed):
    """Logistic regression on the vectors of MiniLM, as it is."""
    embedder = lk.tasks.TextEmbedder(lk.models.load_pretrained(options.embedder), max_length=128)
    embedder.embed(joined(data.train.texts[:2]))  # traced
    clock = Clock()
    vectors, dev = (vectors_of(embedder, part.texts) for part in (data.train, data.dev))
    model, option = chosen(regressions(), vectors, data.train.y, dev, data.dev.y)
    train_seconds = clock.lap()
    found = model.predict_proba(vectors_of(embedder, tested(options, data)))
    return found, {"train_seconds": train_seconds, "answer_seconds": clock.lap(), "chosen": option}


def vectors_of(embedder, texts):
    """[N, D]; of pairs [N, 4 D]: both vectors, their distance and their product (Conneau et al. 2017)."""
    if isinstance(texts[0], str):
        return embedder.embed(texts)
    a, b = (embedder.embed([pair[side] for pair in texts]) for side in (0, 1))
    return np.concatenate([a, b, np.abs(a - b), a * b], axis=1)


def vader(options, data, seed):
    """A lexicon and rules: positive from a compound score of 0 on. Nothing is trained."""
    from _vader import compound_scores

    clock = Clock()
    scores = compound_scores(tested(options, data), options.lexicon)
    return (np.array(scores) >= 0).astype(int), {"train_seconds": 0.0, "answer_seconds": clock.lap()}


# === Trained encoders ===

ENCODERS = ("cnn", "bilstm")
# MiniLM with all its weights: epochs and learning rate, chosen on the development parts; the epochs of mr and
# clinc150 from the curves of runs of 3 and 10, those of snli-dev as of ag-news.
TUNED = {
    "ag-news": (3, 1e-4),
    "mr": (2, 1e-4),
    "clinc150": (6, 3e-4),
    "sms-spam": (4, 1e-4),
    "sms-spam-copies": (4, 1e-4),  # not chosen anew
    "snli-dev": (3, 1e-4),
}


def trained(encoder):
    """A method that trains an encoder from random weights, and stops by the loss of the development part."""

    def method(options, data, seed):
        return _trained(options, data.train, data, encoder=encoder, seed=seed)

    return method


def minilm_tuned(options, data, seed):
    """MiniLM, all its weights, for a fixed number of epochs: so it may learn from the development part, too.

    Not of the intents, whose small version is known by its 50 training texts each.
    """
    epochs, rate = TUNED[options.one[0]]
    config = lk.TrainingConfig(
        epochs=epochs, batch_size=32, learning_rate=rate, schedule="linear", dtype="mixed_bfloat16", seed=seed
    )
    texts = data.train
    if not options.dev and options.one[0] != "clinc150":
        texts = type(texts)([*texts.texts, *data.dev.texts], np.concatenate([texts.y, data.dev.y]))
    return _trained(options, texts, data, encoder=options.embedder, config=config, max_length=128, seed=seed)


def _trained(options, texts, data, **arguments):
    clock = Clock()
    classifier = lk.tasks.TextClassifier.train(
        texts.texts, texts.y, classes=data.classes, validation=(data.dev.texts, data.dev.y), **arguments
    )
    train_seconds = clock.lap()
    found = classifier.probabilities(tested(options, data))
    told = {"train_seconds": train_seconds, "answer_seconds": clock.lap()}
    return found, told | {
        "train": len(texts.texts),
        "parameters": classifier.model.count_params(),
        "epochs": len(classifier.history["loss"]),
    }


METHODS = {"bayes": bayes, "tfidf": tfidf, "minilm frozen": minilm_frozen, "vader": vader}
METHODS |= {name: trained(name) for name in ENCODERS} | {"minilm tuned": minilm_tuned}
SEEDED = (*ENCODERS, "minilm tuned")  # those whose training is drawn: weights, dropout, order of the texts
# The sets of the methods that are not for all: MiniLM and VADER are English, VADER tells sentiment.
ENGLISH = ("ag-news", "mr", "clinc150", "sms-spam", "sms-spam-copies", "snli-dev")
ONLY = {"minilm frozen": ENGLISH, "minilm tuned": ENGLISH, "vader": ("mr",)}


if __name__ == "__main__":
    main()
