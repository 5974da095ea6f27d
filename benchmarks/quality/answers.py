"""Answers that stand in a paragraph, beside published figures: trained on half of SQuAD 2.0's dev, tested on XQuAD.

    export LM_KERAS_DATA=...   # a folder with squad2-cs224n-dev, xquad
    python benchmarks/quality/answers.py --embedder all-minilm-l6-v2 --log runs/answers.jsonl
    python benchmarks/quality/answers.py --sets squad1 --dev --options '{"epochs": 6}'
    python benchmarks/quality/answers.py --report --log runs/answers.jsonl

squad1: the 2,910 questions with an answer; the test part are the questions of XQuAD (English, all with an answer)
whose paragraph is not among them. squad2: those without an answer, too, and the threshold below which none is given;
of the 16 articles ten are trained on, three choose the threshold, three are the test part. The method
minilm-answerable learns the questions with an answer alone, and has the others only for the threshold.
Options are chosen on development articles (`--dev` trains without these and measures on them); the test part is used
once.
"""

import functools
import statistics
import time

from _runs import main, tables

import lm_keras as lk  # which imports TensorFlow and Keras at first use

SETS = ("squad1", "squad2")
METHODS = ("minilm", "minilm-answerable")  # the encoder that --embedder names
CHOSEN = {
    "epochs": 4,
    "batch_size": 32,
    "learning_rate": 4e-4,
    "dtype": "mixed_bfloat16",
}  # on the development articles


@functools.cache
def parts_of(name):
    """The questions to train on, the development questions, and the test part."""
    records = lk.data.load("squad2-cs224n-dev", "validation")
    titles = sorted({record.title for record in records})
    dev, test = set(titles[::6]), set(titles[3::6])
    if name == "squad1":
        seen = {_plain(record.context) for record in records}
        records = [record for record in records if record.answers]
        tested = [record for record in lk.data.load("xquad", "en") if _plain(record.context) not in seen]
        return records, [record for record in records if record.title in dev], tested
    sides = ([record for record in records if record.title in some] for some in ({*titles} - dev - test, dev, test))
    return tuple(sides)


def _plain(text):
    return "".join(char for char in text.lower() if char.isalnum())


def measure(options, facts):
    train, dev, test = parts_of(facts["set"])
    if facts["set"] == "squad1" and options.dev:
        held_out = {record.context for record in dev}
        train = [record for record in train if record.context not in held_out]
    arguments = {"encoder": options.embedder, **CHOSEN, **options.options}
    if facts["method"] == "minilm-answerable":
        train = [record for record in train if record.answers]
    start = time.perf_counter()
    answerer = lk.tasks.QuestionAnswerer.train(train, validation=dev, seed=facts["seed"], **arguments)
    trained = time.perf_counter()
    found = answerer.evaluate(dev if options.dev else test)
    answered = time.perf_counter()
    every = lk.tasks.QuestionAnswerer(answerer.model, answerer.tokenizer, **{**answerer.options, "threshold": 0.0})
    return {
        "train": len(train),
        **found.as_dict(),
        "threshold": answerer.threshold,
        "f1_if_all_are_answered": every.evaluate(dev if options.dev else test).f1,
        "epochs": len(answerer.history["loss"]),
        "val_exact_match": [round(value, 4) for value in answerer.history["val_exact_match"]],
        "train_seconds": round(trained - start, 1),
        "answer_seconds": round(answered - trained, 1),
    }


def report(log):
    """Of each set and part a table: exact match and F1, their spread over the seeds, and the interval of F1."""
    for name, part, methods in tables(log):
        first = next(iter(methods.values()))[0]
        print(f"\n{name}, {part} part: {first['train']:,} questions to train on, {first['questions']:,} measured\n")
        head = [
            "method",
            "runs",
            "exact match %",
            "F1 %",
            "95 % interval of F1",
            "F1 with an answer",
            "right without one",
        ]
        head += ["F1 if all are answered", "threshold", "epochs", "training s", "MB"]
        print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
        for method, rows in methods.items():
            low, high = (100 * statistics.fmean(row["intervals"]["f1"][end] for row in rows) for end in (0, 1))
            cells = [method, len(rows), _mean(row["exact_match"] for row in rows), _mean(row["f1"] for row in rows)]
            cells += [f"{low:.1f} to {high:.1f}", _mean(row["answerable"]["f1"] for row in rows)]
            without = [row["unanswerable"]["exact_match"] for row in rows if row["unanswerable"]["num_questions"]]
            cells += [_mean(without) if without else "", _mean(row["f1_if_all_are_answered"] for row in rows)]
            cells += [
                ", ".join(f"{row['threshold']:.2f}" for row in rows),
                ", ".join(str(row["epochs"]) for row in rows),
            ]
            cells += [f"{statistics.median(row['train_seconds'] for row in rows):,.0f}"]
            cells += [f"{max(row['peak_mb'] for row in rows):,}"]
            print(f"| {' | '.join(map(str, cells))} |")


def _mean(shares):
    values = [100 * share for share in shares]
    return f"{statistics.fmean(values):.1f}" + (f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else "")


if __name__ == "__main__":
    main(__file__, __doc__, SETS, METHODS, measure, report)
