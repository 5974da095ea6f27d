"""Moderators side by side: tweets of Davidson et al. 2017, then HateCheck by function, by group and in pairs.

    export LM_KERAS_DATA=...   # a folder with hate-offensive and hatecheck
    python benchmarks/quality/moderation.py --embedder all-minilm-l6-v2 --log runs/moderation.jsonl
    python benchmarks/quality/moderation.py --methods cnn --seeds 0 --dev --options '{"dropout": 0.3}'
    python benchmarks/quality/moderation.py --report --log runs/moderation.jsonl

The classes are hate, offensive and neither; the first two are refused where their probabilities sum to a half.
Parts are those of `lk.data.load("hate-offensive", ...)`. Options are chosen on the validation part (`--dev` measures
there and leaves HateCheck out); the test part and HateCheck are used once, HateCheck with both classes refused and
with hate alone, which is what it is about. Each method runs in a process of its own; each result is a line of the log
as soon as it is there, and a run that was stopped leaves out what the log has.
"""

import itertools
import statistics
import time

import numpy as np
from _runs import main, tables

import lm_keras as lk  # which imports TensorFlow and Keras at first use

SETS = ("hate-offensive",)
METHODS = ("tfidf", "cnn", "minilm")  # MiniLM: the encoder that --embedder names, with all its weights
STRENGTHS = (
    0.3,
    1.0,
    3.0,
    10.0,
    30.0,
)  # C of logistic regression; it and class weights by macro F1 on the validation part
CHOSEN: dict[str, dict] = {
    "cnn": {"encoder": "cnn", "class_weight": "balanced"},
    "minilm": {
        "class_weight": "balanced",
        "dtype": "mixed_bfloat16",
        "batch_size": 32,
        "max_length": 64,
        "epochs": 3,
    },
}
REFUSED = ("hate", "offensive")


def measure(options, facts):
    names = lk.data.classes("hate-offensive")
    parts = {}
    for split in lk.data.splits("hate-offensive"):
        rows = lk.data.load("hate-offensive", split)
        parts[split] = [row.text for row in rows], [names[row.label] for row in rows]
    start = time.perf_counter()
    train = tfidf if facts["method"] == "tfidf" else neural
    probabilities, told = train(options, facts, parts)
    trained = time.perf_counter()
    texts, y = parts["validation" if options.dev else "test"]
    p = probabilities(texts)
    report = lk.tasks.classification_report(y, p, names)
    moderation = lk.tasks.moderation_report(y, judged(p, names, REFUSED), REFUSED).as_dict()
    figures = {
        "train": len(parts["train"][0]),
        "texts": len(texts),
        **{key: getattr(report, key) for key in ("macro_f1", "weighted_f1", "accuracy")},
        "interval": list(report.intervals["macro_f1"]),
        "labels": {each.name: [each.precision, each.recall, each.f1] for each in report.per_class},
        **{key: moderation[key] for key in ("refused_right", "harmless_right")},
        "intervals": moderation["intervals"],
    }
    if not options.dev:
        figures["hatecheck"] = functional(probabilities, names, REFUSED)
        figures["hatecheck_hate"] = functional(probabilities, names, ("hate",))
    seconds = {"train_seconds": trained - start, "answer_seconds": time.perf_counter() - trained}
    return figures | told | {name: round(value, 1) for name, value in seconds.items()}


def judged(p, names, refused):
    """Moderations of probabilities [N, 3], as a Moderator of the refused classes has them."""
    scores = p[:, [names.index(name) for name in refused]].sum(1)
    return [lk.tasks.Moderation(score < 0.5, [], [], float(score)) for score in scores.tolist()]


def functional(probabilities, names, refused):
    """HateCheck: both shares, each function, false positives by group, and all pairs of groups."""
    cases = lk.data.load("hatecheck", "test")
    answers = judged(probabilities([case.text for case in cases]), names, refused)
    made = lk.tasks.hatecheck_report(cases, answers).as_dict()
    groups = sorted({case.target for case in cases if case.target})
    for first, second in itertools.combinations(groups, 2):
        pair = lk.tasks.paired_templates(cases, answers, first, second)
        made.setdefault("pairs", []).append(
            [first, second, pair.pairs, pair.score, *pair.score_interval, pair.refused]
        )
    return made


def tfidf(options, facts, parts):
    """Logistic regression on TF-IDF of words and pairs of words."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score

    names = lk.data.classes("hate-offensive")
    (texts, y), (dev, dev_y) = parts["train"], parts["validation"]
    terms = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2)
    x, dev_x = terms.fit_transform(texts), terms.transform(dev)
    models = {
        (strength, weight): LogisticRegression(C=strength, class_weight=weight, max_iter=1000).fit(x, y)
        for strength in STRENGTHS
        for weight in (None, "balanced")
    }
    scores = {key: f1_score(dev_y, model.predict(dev_x), average="macro") for key, model in models.items()}
    best = max(scores, key=scores.get)
    columns = [list(models[best].classes_).index(name) for name in names]
    return lambda some: models[best].predict_proba(terms.transform(some))[:, columns], {
        "chosen": dict(zip(("C", "class_weight"), best, strict=True))
    }


def neural(options, facts, parts):
    """A CNN from random weights, or a pretrained encoder with all its weights."""
    arguments = {"encoder": options.embedder} | CHOSEN[facts["method"]] | options.options
    names = lk.data.classes("hate-offensive")
    classifier = lk.tasks.TextClassifier.train(
        *parts["train"], classes=names, validation=parts["validation"], seed=facts["seed"], **arguments
    )

    def probabilities(texts):
        return np.asarray(classifier.probabilities(texts))

    return probabilities, {"epochs": len(classifier.history["loss"])}


# === The log ===


def report(log):
    """Of each part a table of the tweets; of HateCheck shares, functions, false positives and the widest pairs."""
    for name, part, methods in tables(log):
        first = next(iter(methods.values()))[0]
        print(f"\n{name}, {part} part: {first['train']:,} texts to train on, {first['texts']:,} measured\n")
        head = [
            "method",
            "runs",
            "macro F1 %",
            "95 % interval",
            "weighted F1",
            *(f"{one} F1" for one in first["labels"]),
        ]
        head += ["refused rightly", "allowed rightly", "training s", "MB"]
        print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
        for method, rows in methods.items():
            print(f"| {' | '.join(cells_of(method, rows))} |")
        for key, shown in (("hatecheck", "hate and offensive refused"), ("hatecheck_hate", "hate alone refused")):
            checked = {method: [row[key] for row in rows if key in row] for method, rows in methods.items()}
            if any(checked.values()):
                print_functions(
                    f"HateCheck, % right, {shown}", {name: rows for name, rows in checked.items() if rows}
                )


def cells_of(method, rows):
    values = [100 * row["macro_f1"] for row in rows]
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    low, high = (100 * statistics.fmean(row["interval"][end] for row in rows) for end in (0, 1))
    cells = [method, str(len(rows)), f"{statistics.fmean(values):.1f}{spread}", f"{low:.1f} to {high:.1f}"]
    cells += [percent(row["weighted_f1"] for row in rows)]
    cells += [percent(row["labels"][name][2] for row in rows) for name in rows[0]["labels"]]
    cells += [percent(row[name] for row in rows) for name in ("refused_right", "harmless_right")]
    cells += [f"{statistics.median(row['train_seconds'] for row in rows):,.0f}"]
    return [*cells, f"{max(row['peak_mb'] for row in rows):,}"]


def print_functions(title, checked):
    head = [title, *checked]
    print(f"\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for key, shown in (("refused_right", "hateful, and refused"), ("harmless_right", "harmless, and allowed")):
        print(f"| {shown} | {' | '.join(percent(one[key] for one in rows) for rows in checked.values())} |")
    first = next(iter(checked.values()))[0]
    for name, each in first["functions"].items():
        cells = [percent(one["functions"][name]["share"] for one in rows) for rows in checked.values()]
        print(f"| {name} ({each['kind']}, {each['texts']}) | {' | '.join(cells)} |")
    for name in first["false_positives"]:
        cells = [percent(one["false_positives"][name]["share"] for one in rows) for rows in checked.values()]
        print(f"| harmless of {name}, and refused | {' | '.join(cells)} |")
    for method, rows in checked.items():
        widest = sorted(rows[0]["pairs"], key=lambda pair: -abs(pair[3]))[:5]
        for one, two, count, score, low, high, refused in widest:
            print(
                f"{method}: {one} against {two}, {count} pairs: score {score:+.3f} ({low:+.3f} to {high:+.3f}), "
                f"refused {100 * refused:+.1f} points"
            )


def percent(shares):
    return f"{100 * statistics.fmean(shares):.1f}"


if __name__ == "__main__":
    main(__file__, __doc__, SETS, METHODS, measure, report)
