"""Classifiers side by side: news, film reviews, hotel reviews in Chinese, intents, spam, beside published figures.

    export LM_KERAS_DATA=...   # a folder with ag-news, mr, chnsenticorp-hotel, clinc150, sms-spam
    python benchmarks/quality/classification.py --embedder all-minilm-l6-v2 --log runs/classification.jsonl
    python benchmarks/quality/classification.py --sets mr --methods bayes tfidf --dev
    python benchmarks/quality/classification.py --report --log runs/classification.jsonl

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
from _classification_log import Results, report

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
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)  # a set and a method, in this process
    options = parser.parse_args()
    if options.report:
        report(options)
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
    vectors = vectorizer.fit_transform(data.train.texts)
    model, option = chosen(models, vectors, data.train.y, vectorizer.transform(data.dev.texts), data.dev.y)
    train_seconds = clock.lap()
    found = model.predict_proba(vectorizer.transform(tested(options, data)))
    told = {"train_seconds": train_seconds, "answer_seconds": clock.lap(), "chosen": option}
    return found, told | {"features": vectors.shape[1]}


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
    embedder.embed(data.train.texts[:2])  # traced
    clock = Clock()
    vectors, dev = (embedder.embed(part.texts) for part in (data.train, data.dev))
    model, option = chosen(regressions(), vectors, data.train.y, dev, data.dev.y)
    train_seconds = clock.lap()
    found = model.predict_proba(embedder.embed(tested(options, data)))
    return found, {"train_seconds": train_seconds, "answer_seconds": clock.lap(), "chosen": option}


def vader(options, data, seed):
    """A lexicon and rules: positive from a compound score of 0 on. Nothing is trained."""
    from _vader import compound_scores

    clock = Clock()
    scores = compound_scores(tested(options, data), options.lexicon)
    return (np.array(scores) >= 0).astype(int), {"train_seconds": 0.0, "answer_seconds": clock.lap()}


# === Trained encoders: a name, and the arguments of `TextClassifier.train` ===

ENCODERS = {
    "cnn": {"encoder": "cnn"},
    "bilstm": {"encoder": "bilstm"},
    "minilm tuned": {},  # the encoder that --embedder names, with all its weights
}


def trained(arguments):
    """A method that trains an encoder and stops by the development part."""

    def method(options, data, seed):
        clock = Clock()
        classifier = lk.tasks.TextClassifier.train(
            data.train.texts,
            data.train.y,
            classes=data.classes,
            validation=(data.dev.texts, data.dev.y),
            seed=seed,
            **{"encoder": options.embedder, **arguments},
        )
        train_seconds = clock.lap()
        found = classifier.probabilities(tested(options, data))
        told = {"train_seconds": train_seconds, "answer_seconds": clock.lap()}
        return found, told | {
            "parameters": classifier.model.count_params(),
            "epochs": len(classifier.history["loss"]),
        }

    return method


METHODS = {"bayes": bayes, "tfidf": tfidf, "minilm frozen": minilm_frozen, "vader": vader}
METHODS |= {name: trained(arguments) for name, arguments in ENCODERS.items()}
SEEDED = tuple(ENCODERS)  # those whose training is drawn: weights, dropout, order of the texts
# The sets of the methods that are not for all: MiniLM and VADER are English, VADER tells sentiment.
ENGLISH = ("ag-news", "mr", "clinc150", "sms-spam")
ONLY = {"minilm frozen": ENGLISH, "minilm tuned": ENGLISH, "vader": ("mr",)}


if __name__ == "__main__":
    main()
