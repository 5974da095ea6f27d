"""Summaries side by side: SciTLDR by the sentences of abstracts, DialogSum, beside published figures.

    export LM_KERAS_DATA=...   # a folder with scitldr and dialogsum
    python benchmarks/quality/summaries.py --embedder all-minilm-l6-v2 --log runs/summaries.jsonl
    python benchmarks/quality/summaries.py --sets scitldr --methods minilm --dev --options '{"learn": "oracle"}'
    python benchmarks/quality/summaries.py --sets dialogsum --methods smollm2 --options '{"first": 100}' --seeds 0
    python benchmarks/quality/summaries.py --report --log runs/summaries.jsonl

SciTLDR: a sentence of the abstract as its summary: `lead` the first, `oracle` the one of the highest ROUGE-1, `tfidf`
and `minilm` (the vectors that --embedder names, which stay as they are) an `ExtractiveSummarizer` that is trained on
the training part. DialogSum: `lead` the first three turns, `human` each of three summaries measured by the other two,
`smollm2` SmolLM2-135M-Instruct, asked for a summary (a .gguf file or a name in `--options '{"model": ...}'`).

Where there are several references three rules give three numbers, and the log has all of them: the best for each
measure, as `summary_report` and rouge-score have it; the one of the highest ROUGE-1 for all measures, as SciTLDR's
own script does; and the mean over all. Options are chosen on the development part; the test part is used once.
"""

import statistics
import time

import numpy as np
from _runs import main, tables

import lm_keras as lk  # which imports TensorFlow and Keras at first use
from lm_keras.tasks.text_sums import rouge

SETS = ("scitldr", "dialogsum")
METHODS = ("lead", "oracle", "tfidf", "minilm", "human", "smollm2")
OF_SET = {"scitldr": ("lead", "oracle", "tfidf", "minilm"), "dialogsum": ("lead", "human", "smollm2")}
SEEDED = ("tfidf", "minilm")
MEASURES = ("rouge1", "rouge2", "rougeL")
ASKED = "Summarize this conversation in one or two sentences:\n\n{dialogue}"
MODEL = "smollm2-135m-instruct"
MOST = 60  # tokens of an answer


def measure(options, facts):
    name, method = facts["set"], facts["method"]
    if method not in OF_SET[name] or (facts["seed"] and method not in SEEDED):
        return {"texts": 0}
    tested = lk.data.load(name, "validation" if options.dev else "test")[: options.options.get("first")]
    start = time.perf_counter()
    if method == "human":
        found = human(tested)
    else:
        texts, more = (abstracts if name == "scitldr" else dialogues)(options, facts, tested)
        found = figures(texts, [row.summaries for row in tested]) | more
        found["words"] = round(statistics.fmean(len(text.split()) for text in texts), 1)
    return {"texts": len(tested), **found, "seconds": round(time.perf_counter() - start, 1)}


def figures(texts, gold):
    """ROUGE by the three rules for several references, with the intervals of the first."""
    report = lk.tasks.summary_report(texts, gold).as_dict()
    found = {name: report[name] for name in MEASURES} | {"interval": report["rouge1_interval"]}
    first, means = [], []
    for text, row in zip(texts, gold, strict=True):
        each = np.array(list(rouge([text] * len(row), [[one] for one in row]).values()))[:3]  # (measure, reference)
        first.append(each[:, each[0].argmax()])
        means.append(each.mean(1))
    for name, rows in (("by_rouge1", first), ("mean", means)):
        found[name] = dict(zip(MEASURES, np.mean(rows, 0).tolist(), strict=True))
    return found


# === SciTLDR ===


def abstracts(options, facts, tested):
    """The summaries of a method, and what else is to be told of it."""
    if facts["method"] == "lead":
        return [lk.tasks.lead(row.sentences, 1) for row in tested], {}
    if facts["method"] == "oracle":
        places = [lk.tasks.oracle_sentences(row.sentences, row.summaries, 1, orders=(1,)) for row in tested]
        texts = [row.sentences[one[0]] if one else "" for row, one in zip(tested, places, strict=True)]
        as_published = sum(tuple(one) == row.oracle for row, one in zip(tested, places, strict=True))
        return texts, {"as_published": as_published}
    train, dev = (lk.data.load("scitldr", part) for part in ("train", "validation"))
    arguments = {"encoder": options.embedder} if facts["method"] == "minilm" else {}
    start = time.perf_counter()
    arguments |= {name: value for name, value in options.options.items() if name != "first"}
    summarizer = lk.tasks.ExtractiveSummarizer.train(train, validation=dev, seed=facts["seed"], **arguments)
    trained = time.perf_counter()
    found = summarizer.summarize(tested)
    more = {"train_seconds": round(trained - start, 1), "answer_seconds": round(time.perf_counter() - trained, 1)}
    more["oracles"] = sum(tuple(one.places) == row.oracle for row, one in zip(tested, found, strict=True))
    return [one.text for one in found], more


# === DialogSum ===


def human(tested):
    """Each summary by the other two: the mean of three measurements."""
    rows = []
    for i in range(len(tested[0].summaries)):
        gold = [[one for j, one in enumerate(row.summaries) if j != i] for row in tested]
        rows.append(figures([row.summaries[i] for row in tested], gold))
    mean = {name: statistics.fmean(row[name] for row in rows) for name in MEASURES}
    for rule in ("by_rouge1", "mean"):
        mean[rule] = {name: statistics.fmean(row[rule][name] for row in rows) for name in MEASURES}
    return mean | {"interval": rows[0]["interval"]}


def dialogues(options, facts, tested):
    """The summaries of a method, and what else is to be told of it."""
    if facts["method"] == "lead":
        return [" ".join(row.document.split("\n")[:3]) for row in tested], {}
    lm = lk.models.load_pretrained(options.options.get("model", MODEL))
    texts = []
    for row in tested:
        asked = [{"role": "user", "content": ASKED.format(dialogue=row.document)}]
        texts.append(lm.chat(asked, temperature=0, max_new_tokens=MOST).text)
        print(len(texts), repr(texts[-1])[:200], flush=True)
    return [" ".join(text.split()) for text in texts], {}


# === The log ===


def report(log):
    """Of each set and part a table: ROUGE with its spread over the seeds and its interval, and by the other rules."""
    for name, part, methods in tables(log):
        methods = {method: [row for row in rows if row["texts"]] for method, rows in methods.items()}
        print(f"\n{name}, {part} part\n")
        head = ["method", "runs", "texts", "ROUGE-1", "95 % interval", "ROUGE-2", "ROUGE-L"]
        head += ["by the best ROUGE-1", "mean of the references", "words", "training s"]
        print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
        for method, rows in methods.items():
            if rows:
                print(f"| {' | '.join(cells_of(method, rows))} |")


def cells_of(method, rows):
    def mean(values):
        values = list(values)
        spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
        return f"{statistics.fmean(values):.1f}{spread}"

    low, high = (statistics.fmean(row["interval"][end] for row in rows) for end in (0, 1))
    cells = [method, str(len(rows)), f"{rows[0]['texts']:,}", mean(row["rouge1"] for row in rows)]
    cells += [f"{low:.1f} to {high:.1f}", *(mean(row[name] for row in rows) for name in MEASURES[1:])]
    for rule in ("by_rouge1", "mean"):
        cells.append(" / ".join(f"{statistics.fmean(row[rule][name] for row in rows):.1f}" for name in MEASURES))
    cells.append(mean([rows[0]["words"]]) if "words" in rows[0] else "-")
    return [*cells, f"{statistics.median(row.get('train_seconds', 0) for row in rows):,.0f}"]


if __name__ == "__main__":
    main(__file__, __doc__, SETS, METHODS, measure, report)
