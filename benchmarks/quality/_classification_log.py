"""The log of `classification.py`: a line of JSON for each result, the answers beside it, and the tables of both."""

import json
import statistics
import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[1]))

from _classification_data import FOLDS, OUT_OF_SCOPE  # noqa: E402
from _common import memory_bytes  # noqa: E402

from lm_keras.tasks import classification_report, paired_test, wilson  # noqa: E402


class Results:
    """Writes a line for each result of one set and method.

    The probabilities or answers to the test texts lie in a file beside the log, so that methods are compared text by
    text.
    """

    def __init__(self, log, name, method, dev):
        self.path, self.facts = log, {"set": name, "method": method, "dev": dev}
        self.done = {key(line) for line in lines(log)}

    def has(self, seed):
        return key({**self.facts, "seed": seed}) in self.done

    def add(self, seed, parts, found, *, train_seconds, answer_seconds, **more):
        """Adds answers [N], or probabilities [N, C], of the texts that are measured."""
        tested = parts.dev if self.facts["dev"] else parts.test
        found = np.asarray(found)
        report = classification_report(tested.y, found, parts.classes)
        line = {**self.facts, "seed": seed, "train": len(parts.train.texts), "texts": len(tested.texts)}
        line |= figures(report, tested.y, found if found.ndim == 1 else found.argmax(1))
        seconds = {"train_seconds": round(train_seconds, 2), "answer_seconds": round(answer_seconds, 2)}
        line |= {**seconds, "peak_mb": memory_bytes() >> 20, **more}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(answers_of(self.path, line), y=tested.y, found=found)
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)


def figures(report, y, answers):
    """The measures of a line, with their intervals: of CLINC150 in scope and out of scope, of spam its F1."""
    made = {"accuracy": report.accuracy, "accuracy_interval": [*report.intervals["accuracy"]]}
    made |= {"macro_f1": report.macro_f1, "macro_f1_interval": [*report.intervals["macro_f1"]]}
    if OUT_OF_SCOPE in report.classes:
        outside = y == report.classes.index(OUT_OF_SCOPE)
        for name, some in (("in_scope", ~outside), ("out_of_scope_recall", outside)):
            right = int((answers == y)[some].sum())
            made |= {name: right / int(some.sum()), f"{name}_interval": [*wilson(right, int(some.sum()))]}
    if "spam" in report.classes:
        spam = report.per_class[report.classes.index("spam")]
        made |= {"spam_f1": spam.f1, "spam_f1_interval": [*report.class_intervals["spam"]]}
        made |= {"spam_precision": spam.precision, "spam_recall": spam.recall}
    return made


def answers_of(log, line):
    """The file of the answers of a line."""
    part = "-dev" if line["dev"] else ""
    name = f"{line['set']}-{line['method'].replace(' ', '_')}-{line['seed']}{part}.npz"
    folder = log.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


def key(line):
    return tuple(line[name] for name in ("set", "method", "seed", "dev"))


def lines(log):
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


# === Tables ===


def report(options):
    """A table a set: the mean over seeds or folds, the interval of the texts, each method beside the best."""
    for name in options.sets:
        methods = _rows_by_method(options, name)
        if not methods:
            continue
        first = next(iter(methods.values()))[0]
        figure = main_figure(first)
        print(f"\n{name}, {first['texts']:,} {'development' if options.dev else 'test'} texts a run")
        head = f"method | runs | {figure} % | interval | macro F1 % | p beside the best | training s | answers s | MB"
        print(f"| {head} |\n|{'---|' * 9}")
        means = {method: statistics.fmean(row[figure] for row in rows) for method, rows in methods.items()}
        best = max(means, key=means.get)
        for method, rows in methods.items():
            values = [100 * row[figure] for row in rows]
            spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
            low, high = interval(options.log, name, rows, figure)
            p_value = "" if method == best else f"{beside(options.log, methods[best], rows):.2g}"
            macro = 100 * statistics.fmean(row["macro_f1"] for row in rows)
            times = [statistics.median(row[side] for row in rows) for side in ("train_seconds", "answer_seconds")]
            cells = [f"{100 * means[method]:.1f}{spread}", f"{100 * low:.1f} to {100 * high:.1f}"]
            cells += [f"{macro:.1f}", p_value]
            cells += [f"{seconds:,.0f}" for seconds in times] + [f"{rows[0]['peak_mb']:,}"]
            print(f"| {method} | {len(rows)} |", " | ".join(cells), "|")


def main_figure(line):
    """The figure that a set is known by."""
    return next(name for name in ("in_scope", "spam_f1", "accuracy") if name in line)


def interval(log, name, rows, figure):
    """Of one run its own; of all folds that of all texts together; of several seeds the mean of theirs."""
    if name == "mr" and len(rows) == FOLDS:
        right = np.concatenate([_right(log, row) for row in rows])
        return wilson(int(right.sum()), len(right))
    return [statistics.fmean(row[f"{figure}_interval"][end] for row in rows) for end in (0, 1)]


def beside(log, best, rows):
    """The p-value of two methods, right or wrong text by text; NaN where they have not done the same folds."""
    first, second = (_shares_right(log, some) for some in (best, rows))
    return paired_test(first, second).p_value if len(first) == len(second) else float("nan")


def _shares_right(log, rows):
    """Of each text whether it was right; over several seeds, in what share of them."""
    right = [_right(log, row) for row in sorted(rows, key=lambda row: row["seed"])]
    return np.concatenate(right) if rows[0]["set"] == "mr" else np.mean(right, 0)


def _right(log, row):
    with np.load(answers_of(log, row)) as kept:
        found, y = kept["found"], kept["y"]
    return (found if found.ndim == 1 else found.argmax(1)) == y


# === A picture: what a method's accuracy costs ===

MARKS = {
    "bayes": "o",
    "tfidf": "s",
    "vader": "v",
    "cnn": "^",
    "bilstm": "D",
    "minilm frozen": "P",
    "minilm tuned": "*",
}


def draw(options):
    """A panel a set: the figure in percent against seconds of training, a mark a method, its interval as a line."""
    import matplotlib.pyplot as plt

    sets = [name for name in options.sets if any(line["set"] == name for line in lines(options.log))]
    figure, axes = plt.subplots(2, -(-len(sets) // 2), figsize=(12, 7), squeeze=False, layout="constrained")
    for panel, name in zip(axes.flat, sets, strict=False):
        for place, (method, rows) in enumerate(_rows_by_method(options, name).items()):
            key = main_figure(rows[0])
            mean, ends = statistics.fmean(row[key] for row in rows), interval(options.log, name, rows, key)
            seconds = statistics.median(row["train_seconds"] + row["answer_seconds"] for row in rows)
            panel.errorbar(
                max(seconds, 0.1),
                100 * mean,
                yerr=[[100 * (mean - ends[0])], [100 * (ends[1] - mean)]],
                marker=MARKS[method],
                color=f"C{list(MARKS).index(method)}",
                label=method,
                markersize=9,
                capsize=3,
                linestyle="none",
                zorder=place,
            )
        panel.set(xscale="log", title=name, xlabel="seconds of training and answering", ylabel=f"{key}, %")
        panel.grid(alpha=0.3)
    for panel in axes.flat[len(sets) :]:
        panel.axis("off")
    entries = {
        label: mark for panel in axes.flat for mark, label in zip(*panel.get_legend_handles_labels(), strict=False)
    }
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=len(entries))
    figure.savefig(options.plot, dpi=110)
    plt.close(figure)


def _rows_by_method(options, name):
    some = [line for line in lines(options.log) if (line["set"], line["dev"]) == (name, options.dev)]
    methods = {method: [line for line in some if line["method"] == method] for method in options.methods}
    return {method: rows for method, rows in methods.items() if rows}
