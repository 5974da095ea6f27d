"""Answers that follow from the sentences of a story: a memory network on bAbI, beside published figures.

    export LM_KERAS_DATA=...   # a folder with babi
    python benchmarks/quality/stories.py --log runs/stories.jsonl
    python benchmarks/quality/stories.py --sets qa6 --dev --options '{"num_hops": 2}'
    python benchmarks/quality/stories.py --report --log runs/stories.jsonl

10,000 questions a task. Options are chosen on the last 1,000 of them, which are left out then (`--dev`); the test
part, 1,000 questions a task, is used once. A word that no story of the training part has is padding.
"""

import re
import statistics
import time

import numpy as np
from _runs import main, tables

import lm_keras as lk  # which imports TensorFlow and Keras at first use

SETS = ("qa1", "qa6", "qa15")
METHODS = {"memory-network": {}}
CHOSEN = {"embedding_dim": 64, "num_hops": 3}
TRAINING = {"epochs": 40, "batch_size": 32, "learning_rate": 0.01, "schedule": "linear", "warmup_steps": 0}
TRAINING |= {"weight_decay": 0.0}
WORDS = re.compile(r"\w+")
VALIDATION = 1000


def parts_of(name, dev):
    records, test = (
        [record for record in lk.data.load("babi", split) if record.title.startswith(f"{name}_")]
        for split in ("train-10k", "test")
    )
    return (records[:-VALIDATION], records[-VALIDATION:]) if dev else (records, test)


class Reader:
    """Stories and questions as ids: of the words of the training part from 1 on, in the order of the alphabet."""

    def __init__(self, records):
        texts = [text for record in records for text in (record.context, record.question)]
        found = sorted({word for text in texts for word in _words(text)})
        self.ids = {word: i for i, word in enumerate(found, 1)}
        self.answers = sorted({record.answers[0].text for record in records})

    def __call__(self, records):
        stories = [[self._row(line) for line in record.context.split("\n")] for record in records]
        sentences, words = max(map(len, stories)), max(len(line) for story in stories for line in story)
        x = np.zeros((len(records), sentences, words), "int32")
        for row, story in zip(x, stories, strict=True):
            for place, line in zip(row, story, strict=False):
                place[: len(line)] = line
        asked = [self._row(record.question) for record in records]
        questions = np.zeros((len(records), max(map(len, asked))), "int32")
        for row, ids in zip(questions, asked, strict=True):
            row[: len(ids)] = ids
        y = np.array([self.answers.index(record.answers[0].text) for record in records], "int32")
        return {"story": x, "question": questions}, y

    def _row(self, text):
        return [self.ids.get(word, 0) for word in _words(text)]


def _words(text):
    return WORDS.findall(text.lower())


def measure(options, facts):
    train, tested = parts_of(facts["set"], options.dev)
    read = Reader(train)
    given = {name: value for name, value in options.options.items() if name in TRAINING}
    sizes = CHOSEN | {name: value for name, value in options.options.items() if name not in TRAINING}
    (x, y), test = read(train), read(tested)
    start = time.perf_counter()
    model = lk.models.build_memory_network(
        len(read.ids) + 1,
        num_classes=len(read.answers),
        max_sentences=x["story"].shape[1],
        seed=facts["seed"],
        **sizes,
    )
    lk.fit(model, (x, y), config=lk.TrainingConfig(**TRAINING | given, seed=facts["seed"]))
    trained = time.perf_counter()
    right = int((model.predict(test[0], verbose=0).argmax(-1) == test[1]).sum())
    return {
        "train": len(train),
        "questions": len(tested),
        "accuracy": right / len(tested),
        "interval": list(lk.tasks.wilson(right, len(tested))),
        "answers": read.answers,
        "trained_parameters": model.count_params(),
        "train_seconds": round(trained - start, 1),
    }


def report(log):
    """Of each task the accuracy of each seed, and the interval of their mean."""
    for name, part, methods in tables(log):
        first = next(iter(methods.values()))[0]
        print(f"\n{name}, {part} part: {first['train']:,} questions to train on, {first['questions']:,} measured\n")
        print("| method | runs | accuracy % | of each seed | 95 % interval | training s |\n|---|---|---|---|---|---|")
        for method, rows in methods.items():
            values = [100 * row["accuracy"] for row in rows]
            spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
            low, high = (100 * statistics.fmean(row["interval"][end] for row in rows) for end in (0, 1))
            cells = [method, len(rows), f"{statistics.fmean(values):.1f}{spread}"]
            cells += [", ".join(f"{value:.1f}" for value in values), f"{low:.1f} to {high:.1f}"]
            cells += [f"{statistics.median(row['train_seconds'] for row in rows):,.0f}"]
            print(f"| {' | '.join(map(str, cells))} |")


if __name__ == "__main__":
    main(__file__, __doc__, SETS, METHODS, measure, report)
