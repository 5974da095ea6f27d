"""Taggers side by side: names in English and Chinese news, beside published figures.

    export LM_KERAS_DATA=...   # a folder with conll2003, msra-ner, conll04
    python benchmarks/quality/tagging.py --embedder all-minilm-l6-v2 --log runs/tagging.jsonl
    python benchmarks/quality/tagging.py --sets conll2003 --methods bilstm-crf --dev --options '{"hidden_dim": 100}'
    python benchmarks/quality/tagging.py --report --log runs/tagging.jsonl

Options are chosen on the development part (`--dev` measures there, too; `--options` tries some); the test part is
used once. Each method of each set runs in a process of its own, whose peak of memory is noted; each result is a line
of the log as soon as it is there, and a run that was stopped leaves out what the log has. Time is that of this
process on the cores that it was given.
"""

import functools
import gzip
import json
import statistics
import time

from _runs import main, tables
from _tagging_data import SETS

import lm_keras as lk  # which imports TensorFlow and Keras at first use

METHODS = {
    "bilstm-crf": {"encoder": "bilstm"},
    "bilstm": {"encoder": "bilstm", "crf": False},
    "minilm": {},  # the encoder that --embedder names, with all its weights
}
FEWER = {("msra-ner", "minilm"): 5_000}  # sentences: MiniLM is English, and slow with 46 characters a sentence
# What was chosen on the development parts, beside the settings of the library, which are those of CoNLL-2003.
CHOSEN: dict[tuple[str, str], dict] = {
    ("msra-ner", "bilstm-crf"): {"epochs": 6, "dropout": 0.5},
    ("msra-ner", "bilstm"): {"epochs": 6, "dropout": 0.5},
    **{
        (name, "minilm"): {"epochs": 3, "batch_size": 32, "learning_rate": 2e-4, "dtype": "mixed_bfloat16"}
        for name in ("conll2003", "msra-ner", "conll04")
    },
}


@functools.cache
def parts_of(name):
    return SETS[name]()


def measure(options, facts):
    parts = parts_of(facts["set"])
    some = parts._replace(train=parts.train[: FEWER.get((facts["set"], facts["method"]))])
    result, tags = measured(options, some, facts["set"], facts["method"], facts["seed"])
    if not options.options:
        write_tags(options.log, facts, tags)
    return result


def measured(options, parts, name, method, seed):
    """The figures of one training, and the tags that were found."""
    arguments = {"encoder": options.embedder, **METHODS[method]}
    if arguments["encoder"] == "bilstm" and parts.language == "en":
        arguments["word_vectors"] = options.vectors
    start = time.perf_counter()
    arguments |= CHOSEN.get((name, method), {}) | options.options
    tagger = lk.tasks.TextTagger.train(parts.train, validation=parts.dev, seed=seed, **arguments)
    trained = time.perf_counter()
    tested = parts.dev if options.dev else parts.test
    found = tagger.evaluate(tested)
    answered = time.perf_counter()
    figures = found.as_dict()
    scores = {name: figures[name] for name in ("f1", "precision", "recall", "token_accuracy", "macro_f1")}
    labels = {name: round(label["f1"], 4) for name, label in figures["labels"].items()}
    weights = tagger.model.trainable_weights
    return {
        "train": len(parts.train),
        "texts": len(tested),
        **scores,
        "f1_interval": figures["intervals"]["f1"],
        "labels": labels,
        "epochs": len(tagger.history["loss"]),
        "trained_parameters": sum(int(weight.shape.num_elements()) for weight in weights),
        "train_seconds": round(trained - start, 1),
        "answer_seconds": round(answered - trained, 1),
    }, [[(s.start, s.end, s.label) for s in row] for row in tagger.tag([one.texts()[0] for one in tested])]


def write_tags(log, facts, tags):
    """The spans that were found lie in a file beside the log, so that methods are compared sentence by sentence."""
    part = "-dev" if facts["dev"] else ""
    folder = log.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    with gzip.open(folder / f"{facts['set']}-{facts['method']}-{facts['seed']}{part}.json.gz", "wt") as file:
        json.dump(tags, file)


def report(log):
    """Of each set and part a table: F1 of spans, its spread over the seeds and its interval, F1 of each label."""
    for name, part, methods in tables(log):
        first = next(iter(methods.values()))[0]
        labels = sorted(first["labels"])
        print(f"\n{name}, {part} part: {first['train']:,} sentences to train on, {first['texts']:,} measured\n")
        head = [
            "method",
            "runs",
            "F1 %",
            "95 % interval",
            "precision",
            "recall",
            *labels,
            "epochs",
            "training s",
            "MB",
        ]
        print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
        for method, rows in methods.items():
            values = [100 * row["f1"] for row in rows]
            spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
            low, high = (100 * statistics.fmean(row["f1_interval"][end] for row in rows) for end in (0, 1))
            cells = [method, len(rows), f"{statistics.fmean(values):.1f}{spread}", f"{low:.1f} to {high:.1f}"]
            cells += [f"{100 * statistics.fmean(row[side] for row in rows):.1f}" for side in ("precision", "recall")]
            cells += [
                f"{100 * statistics.fmean(row['labels'].get(each, 0.0) for row in rows):.1f}" for each in labels
            ]
            cells += [", ".join(str(row["epochs"]) for row in rows)]
            cells += [f"{statistics.median(row['train_seconds'] for row in rows):,.0f}"]
            cells += [f"{max(row['peak_mb'] for row in rows):,}"]
            print(f"| {' | '.join(map(str, cells))} |")


if __name__ == "__main__":
    main(__file__, __doc__, SETS, METHODS, measure, report)
