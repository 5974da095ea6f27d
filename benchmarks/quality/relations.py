"""Relations of entities side by side: SemEval-2010 task 8 and CoNLL04, beside published figures.

    export LM_KERAS_DATA=...   # a folder with semeval2010-task8 and conll04
    python benchmarks/quality/relations.py --embedder all-minilm-l6-v2 --log runs/relations.jsonl
    python benchmarks/quality/relations.py --sets semeval2010-task8 --methods cnn --dev --options '{"dropout": 0.3}'
    python benchmarks/quality/relations.py --report --log runs/relations.jsonl

SemEval gives both entities and asks for their relation: the official macro F1 of nine relations with direction. Its
training part is cut by a hash of the sentence, a tenth for development, which is trained on, too, before the test
part is measured: nothing is stopped by it. CoNLL04 is text alone: a tagger finds the
entities, the relation extractor asks of each pair; the published parts, and F1 of relations whose entities are right
with their labels (strict), and with gold entities beside.

Options are chosen on the development part (`--dev` measures there, too; `--options` tries some); the test part is
used once. Each method of each set runs in a process of its own; each result is a line of the log as soon as it is
there, and a run that was stopped leaves out what the log has.
"""

import hashlib
import statistics
import time

from _runs import main, tables

import lm_keras as lk  # which imports TensorFlow and Keras at first use

SETS = ("semeval2010-task8", "conll04")
METHODS = ("cnn", "bilstm", "minilm")  # MiniLM: the encoder that --embedder names, with all its weights
DEV = 26  # of 256: a tenth of SemEval's training sentences
# What was chosen on the development parts, beside the settings of the library: of the relation extractor ...
_CNN = {"piecewise": True, "kernel_sizes": [2, 3, 4, 5], "num_filters": 150, "position_dim": 10, "hidden_dim": 200}
CHOSEN: dict[tuple[str, str], dict] = {
    ("semeval2010-task8", "bilstm"): {"swap": True, "epochs": 10, "max_distance": 5},
    ("semeval2010-task8", "cnn"): {"epochs": 20, "dropout": 0.65, "learning_rate": 2e-3, **_CNN},
    ("semeval2010-task8", "minilm"): {"epochs": 4, "batch_size": 32, "learning_rate": 2e-4},
    ("conll04", "bilstm"): {"epochs": 8},
    ("conll04", "cnn"): {"epochs": 8},
}
TAGGER: dict[str, dict] = {}  # ... and of CoNLL04's tagger
FIGURES = {"semeval2010-task8": "macro_f1", "conll04": "relation_f1"}


def measure(options, facts):
    return (semeval if facts["set"] == "semeval2010-task8" else conll04)(options, facts)


def arguments_of(options, method, chosen):
    """The arguments of one training."""
    if method == "minilm":
        return {"encoder": options.embedder, **chosen}
    return {"encoder": method, "word_vectors": options.vectors, **chosen}


# === SemEval-2010 task 8: both entities are given ===


def semeval_parts():
    """The training part without a tenth, by a hash of the sentence; this tenth; and the test part."""
    train, dev = [], []
    for record in lk.data.load("semeval2010-task8", "train"):
        (dev if hashlib.sha256(record.text.encode()).digest()[0] < DEV else train).append(record)
    return train, dev, lk.data.load("semeval2010-task8", "test")


def semeval(options, facts):
    name, method, seed = facts["set"], facts["method"], facts["seed"]
    train, dev, test = semeval_parts()
    train, tested = (train, dev) if options.dev else (train + dev, test)
    start = time.perf_counter()
    arguments = arguments_of(options, method, CHOSEN.get((name, method), {}) | options.options)
    classes = lk.data.classes(name)
    extractor = lk.tasks.RelationExtractor.train(train, validation=dev, classes=classes, seed=seed, **arguments)
    trained = time.perf_counter()
    figures = extractor.evaluate(tested).as_dict()
    return {
        "train": len(train),
        "texts": len(tested),
        **{key: figures[key] for key in ("macro_f1", "micro_f1", "accuracy")},
        "precision": figures["macro_precision"],
        "recall": figures["macro_recall"],
        "interval": figures["intervals"]["macro_f1"],
        "labels": {key: round(each["f1"], 4) for key, each in figures["relations"].items()},
        "epochs": len(extractor.history["loss"]),
        "train_seconds": round(trained - start, 1),
        "answer_seconds": round(time.perf_counter() - trained, 1),
    }


# === CoNLL04: entities and relations of plain text ===


def conll04(options, facts):
    name, method, seed = facts["set"], facts["method"], facts["seed"]
    train, dev, test = (lk.data.load(name, split) for split in ("train", "validation", "test"))
    tested = dev if options.dev else test
    start = time.perf_counter()
    relations = arguments_of(options, method, CHOSEN.get((name, method), {}) | options.options)
    tagger = arguments_of(options, "minilm" if method == "minilm" else "bilstm", TAGGER.get(method, {}))
    extractor = lk.tasks.InformationExtractor.train(
        train, validation=dev, tagger=tagger, relations=relations, seed=seed
    )
    trained = time.perf_counter()
    figures = extractor.evaluate(tested).as_dict()
    answered = time.perf_counter()
    totals = figures["totals"]
    return {
        "train": len(train),
        "texts": len(tested),
        "relation_f1": figures["relation_f1"],
        "precision": totals["relations"]["precision"],
        "recall": totals["relations"]["recall"],
        "entity_f1": figures["entity_f1"],
        "by_ends_f1": totals["relations_by_ends"]["f1"],
        "gold_entities_f1": with_gold_entities(extractor, tested),
        "interval": figures["intervals"]["relations"],
        "labels": {key: round(each["f1"], 4) for key, each in figures["relations"].items()},
        "epochs": len(extractor.history["relations"]["loss"]),
        "train_seconds": round(trained - start, 1),
        "answer_seconds": round(answered - trained, 1),
    }


def with_gold_entities(extractor, tested):
    """F1 of the relations between the entities that a person marked."""
    spans = [
        [lk.tasks.Span(start, end, label, 1.0, record.text[start:end]) for start, end, label in record.spans]
        for record in tested
    ]
    found = extractor.between([record.text for record in tested], spans)
    return lk.tasks.extraction_report(tested, found).relation_f1


# === The log ===


def report(log):
    """Of each set and part a table: F1, its spread over the seeds and its interval, F1 of each relation."""
    for name, part, methods in tables(log):
        first = next(iter(methods.values()))[0]
        labels = sorted(first["labels"])
        print(f"\n{name}, {part} part: {first['train']:,} texts to train on, {first['texts']:,} measured\n")
        others = ("entity_f1", "by_ends_f1", "gold_entities_f1") if name == "conll04" else ("micro_f1", "accuracy")
        head = ["method", "runs", f"{FIGURES[name]} %", "95 % interval", "precision", "recall", *others, *labels]
        head += ["epochs", "training s", "MB"]
        print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
        for method, rows in methods.items():
            print(f"| {' | '.join(cells_of(method, rows, FIGURES[name], others, labels))} |")


def cells_of(method, rows, figure, others, labels):
    values = [100 * row[figure] for row in rows]
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    low, high = (100 * statistics.fmean(row["interval"][end] for row in rows) for end in (0, 1))
    cells = [method, str(len(rows)), f"{statistics.fmean(values):.1f}{spread}", f"{low:.1f} to {high:.1f}"]
    named = ("precision", "recall", *others)
    cells += [f"{100 * statistics.fmean(row[name] for row in rows):.1f}" for name in named]
    cells += [f"{100 * statistics.fmean(row['labels'].get(each, 0.0) for row in rows):.1f}" for each in labels]
    cells += [", ".join(str(row["epochs"]) for row in rows)]
    cells += [f"{statistics.median(row['train_seconds'] for row in rows):,.0f}"]
    return [*cells, f"{max(row['peak_mb'] for row in rows):,}"]


if __name__ == "__main__":
    main(__file__, __doc__, SETS, METHODS, measure, report)
