"""Answers of a knowledge base, and refusals of questions that it says nothing of: CLINC150 and CMU-QA.

    export LM_KERAS_DATA=...   # a folder with clinc150 and cmu-qa
    python benchmarks/quality/retrieval.py --seeds 0 --embedder all-minilm-l6-v2 --log runs/retrieval.jsonl
    python benchmarks/quality/retrieval.py --seeds 0 --sets clinc150 --methods bm25 --dev --options '{"b": 0.5}'
    python benchmarks/quality/retrieval.py --report --log runs/retrieval.jsonl

CLINC150 (small): the 7,500 questions of the training part are the entries, and the intent is the answer. The
threshold is chosen on the validation part, 3,000 questions and 100 out of scope; the test part, 4,500 and 1,000, is
measured once.

CMU-QA has no second wording of its questions, so what is measured is a search by keywords: a hash of the question
puts half of the different questions into the knowledge base, with their first answer. The questions that are known
are those of the base without their stop words, as one types them into a search field; the questions out of scope are
the other half, with the same treatment, which are about the same articles. A hash of the same question cuts both into
a part that the threshold is chosen by and one that is measured. The figures say little about other words for the same
thing.

Nothing is random: one seed suffices. `--dev` measures on the part that the threshold is chosen by.
"""

import gzip
import hashlib
import json
import time
from pathlib import Path

from _runs import main, tables

import lm_keras as lk  # which imports TensorFlow and Keras at first use
from lm_keras.data import KnowledgeEntry

SETS = ("clinc150", "cmu-qa")
METHODS = ("tfidf", "bm25", "minilm")  # MiniLM: the encoder that --embedder names, as it is
SHARES = ("answered_rightly", "answered_wrongly", "refused_wrongly", "refused_rightly", "balanced")
RANKS = ("recall_at_1", "recall_at_5", "mean_reciprocal_rank")


def measure(options, facts):
    entries, dev, test = {"clinc150": clinc150, "cmu-qa": cmu_qa}[facts["set"]]()
    arguments = {"method": facts["method"]} | options.options
    if facts["method"] == "minilm":
        arguments |= {"method": "embedder", "embedder": options.embedder}
    start = time.perf_counter()
    retriever = lk.tasks.Retriever.of(entries, **arguments)
    built = time.perf_counter()
    chosen = retriever.choose_threshold(dev)
    retriever = retriever.with_threshold(chosen.threshold)
    tested = dev if options.dev else test
    began = time.perf_counter()
    figures = retriever.evaluate(tested).as_dict()
    seconds = time.perf_counter() - began
    return {
        "entries": len(entries),
        "known": figures["known"],
        "out_of_scope": figures["out_of_scope"],
        "threshold": round(chosen.threshold, 4),
        **{name: round(figures[name], 4) for name in (*SHARES, *RANKS)},
        "intervals": {name: [round(end, 4) for end in ends] for name, ends in figures["intervals"].items()},
        "index_seconds": round(built - start, 1),
        "ms_per_question": round(1000 * seconds / len(tested), 2),
    }


def clinc150():
    """The entries, and the questions that choose and that measure: of an intent, or out of scope."""
    path = Path(lk.data.locate("clinc150"))
    path = next(path.glob("data_small.json*"))
    content = (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8").read()
    parts = {
        name: [KnowledgeEntry(question, None if intent == "oos" else intent) for question, intent in rows]
        for name, rows in json.loads(content).items()
    }
    return parts["train"], parts["val"] + parts["oos_val"], parts["test"] + parts["oos_test"]


def cmu_qa():
    """The same: questions of the base as keywords, and others."""
    from lm_keras.text import stop_words

    stops, entries, parts = stop_words("en"), {}, {True: [], False: []}
    for record in lk.data.load("cmu-qa", "all"):
        key = " ".join(word for word in lk.text.words(record.question.lower()) if word[0].isalnum())
        code = hashlib.sha256(key.encode()).digest()
        keywords = " ".join(word for word in key.split() if word not in stops)
        if key in entries or not record.answers or not keywords:
            continue
        known = code[0] < 128
        entry = KnowledgeEntry(record.question, record.answers[0].text)
        entries[key] = entry if known else None
        parts[code[1] < 128].append(KnowledgeEntry(keywords, entry.answer if known else None))
    return [entry for entry in entries.values() if entry], parts[True], parts[False]


def report(log):
    """Of each set and part a table."""
    for name, part, methods in tables(log):
        first = next(iter(methods.values()))[0]
        told = f"{first['entries']:,} entries, {first['known']:,} questions with an answer"
        print(f"\n{name}, {part} part: {told}, {first['out_of_scope']:,} out of scope\n")
        head = ["method", "threshold", *(f"{each.replace('_', ' ')} %" for each in (*SHARES, *RANKS))]
        head += ["index s", "ms a question", "MB"]
        print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
        for method, (row, *_) in methods.items():
            cells = [method, f"{row['threshold']:.3f}"]
            for each in (*SHARES, *RANKS):
                ends = row["intervals"].get(each)
                interval = f" ({100 * ends[0]:.1f} to {100 * ends[1]:.1f})" if ends else ""
                cells.append(f"{100 * row[each]:.1f}{interval}")
            cells += [f"{row['index_seconds']:,}", f"{row['ms_per_question']}", f"{row['peak_mb']:,}"]
            print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main(__file__, __doc__, SETS, METHODS, measure, report)
