"""The log of `prompting.py`: a line of JSON for each result, what is there already, and the tables of it."""

import json
import statistics
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from _common import memory_bytes  # noqa: E402

MEASURES = ("accuracy", "macro_f1")


class Results:
    """Writes a line for each result; `time` counts from the last one."""

    def __init__(self, options, name, method):
        self.path, self.start = options.log, time.perf_counter()
        self.facts = {"set": name, "method": method, "items": options.items, "dev": options.dev}
        self.done = {key(line) for line in lines(options.log)}

    def has(self, seed, variant=""):
        return key({**self.facts, "variant": variant, "seed": seed}) in self.done

    def add(self, seed, found, y, *, variant="", labels=0, seconds=None, **more):
        from lm_keras.tasks import classification_report

        measures = classification_report(y, found, [str(place) for place in range(1 + max(*found, *y))])
        seconds = time.perf_counter() - self.start if seconds is None else seconds
        line = {**self.facts, "variant": variant, "seed": seed, "labels": labels}
        line |= {measure: getattr(measures, measure) for measure in MEASURES}
        line |= {f"{measure}_interval": list(measures.intervals[measure]) for measure in MEASURES}
        line |= {"seconds": round(seconds, 1), "peak_mb": memory_bytes() >> 20, **more}
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)
        self.start = time.perf_counter()

    def draws(self, options, data, count, variants=("",)):
        """A seed, a variant, `count` labelled texts and their classes, for each result that is not there yet."""
        for seed in range(options.seeds):
            for variant in variants:
                if not self.has(seed, variant):
                    texts, y = data.labelled(count, seed)
                    self.start = time.perf_counter()
                    yield seed, variant, texts, y

    def trained(self):
        """The seconds of a training, since the texts were drawn, as a fact of a line."""
        return {"train_seconds": round(time.perf_counter() - self.start, 1)}


def key(line):
    return tuple(line[name] for name in ("set", "method", "variant", "seed", "items", "dev"))


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def report(options):
    """Mean and deviation over the seeds, seconds and peak memory, a table a set."""
    found = [line for line in lines(options.log) if (line["items"], line["dev"]) == (options.items, options.dev)]
    for name in options.sets:
        groups = {}
        for line in found:
            if line["set"] == name:
                groups.setdefault((line["method"], line["variant"]), []).append(line)
        print(f"\n{name}, {options.items:,} {'development' if options.dev else 'test'} items")
        print(
            "| method | labels | runs | accuracy % | macro F1 % | seconds | peak MB |\n|---|---|---|---|---|---|---|"
        )
        for (method, variant), rows in groups.items():
            cells = [f"{method} {variant}".strip(), f"{rows[0]['labels']:,}", str(len(rows))]
            for measure in MEASURES:
                values = [100 * row[measure] for row in rows]
                spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
                cells.append(f"{statistics.fmean(values):.1f}{spread}")
            cells.append(f"{statistics.median(row['seconds'] for row in rows):.0f}")
            print("|", " | ".join([*cells, f"{max(row['peak_mb'] for row in rows):,}"]), "|")
