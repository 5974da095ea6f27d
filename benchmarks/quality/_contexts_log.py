"""The log of `contexts.py`: a line of JSON for each result, what is there already, and the tables of it."""

import json
import statistics
from pathlib import Path

KEY = ("corpus", "method", "seed", "quick")


class Log:
    """A file of JSON lines, one for each result.

    Args:
        path: The file.
        quick: Whether the results are of a short trial, which do not count beside others.
    """

    def __init__(self, path: Path, quick: bool):
        self.path, self.quick = path, quick

    def lines(self) -> list[dict]:
        """The results of this kind."""
        found = [json.loads(line) for line in self.path.read_text().splitlines()] if self.path.exists() else []
        return [line for line in found if line["quick"] == self.quick]

    def has(self, corpus: str, method: str, seed: int) -> bool:
        """Whether a result is there."""
        return (corpus, method, seed, self.quick) in {tuple(line[name] for name in KEY) for line in self.lines()}

    def add(self, corpus: str, method: str, seed: int, **facts: object) -> None:
        """Writes a result."""
        line = {"corpus": corpus, "method": method, "seed": seed, "quick": self.quick, **facts}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
        shown = {name: value for name, value in line.items() if name not in ("perplexities", "contexts", "given")}
        print(json.dumps(shown, ensure_ascii=False), flush=True)


def report(log: Log) -> None:
    """Prints the tables of the log: contexts x contexts, bits a byte, and the classifiers."""
    lines = log.lines()
    for corpus in dict.fromkeys(line["corpus"] for line in lines):
        some = [line for line in lines if line["corpus"] == corpus]
        print(f"\n## {corpus}{' (quick)' if log.quick else ''}")
        for method in dict.fromkeys(line["method"] for line in some if "perplexities" in line):
            _table([line for line in some if line["method"] == method])
        _bits([line for line in some if "bits" in line])
        _classes(some)


def _table(runs):
    """Perplexities, the mean over the seeds; in how many of the seeds the diagonal wins."""
    given, contexts = runs[0]["given"], runs[0]["contexts"]
    print(f"\nPerplexity a token, the context by {runs[0]['method']}, mean of {len(runs)} seeds\n")
    print("| given \\ texts of |", " | ".join(contexts), "|")
    print("|---|" + "---|" * len(contexts))
    values = [[statistics.fmean(run["perplexities"][i][j] for run in runs) for j in range(len(contexts))]
              for i in range(len(given))]  # fmt: skip
    lowest = [min(column) for column in zip(*values, strict=True)]
    for context, row in zip(given, values, strict=True):
        cells = [f"**{x:.2f}**" if x == low else f"{x:.2f}" for x, low in zip(row, lowest, strict=True)]
        print(f"| {context or '(none)'} |", " | ".join(cells), "|")
    wins = sum(run["diagonal_wins"] for run in runs)
    print(f"\nThe diagonal is the lowest of every column in {wins} of {len(runs)} seeds.")
    for run in runs:
        lost = [f"{name} is likelier as {best or '(none)'}" for name, best in run["best"].items() if best != name]
        if lost:
            print(f"Seed {run['seed']}: {'; '.join(lost)}.")


def _bits(lines):
    print("\n| bits a byte, given | the right context | a wrong one | none | training, s |\n|---|---|---|---|---|")
    for method in dict.fromkeys(line["method"] for line in lines):
        runs = [line for line in lines if line["method"] == method]
        cells = [_mean([run["bits"][kind] for run in runs], 3) for kind in ("right", "wrong", "none")]
        seconds = statistics.median(run["train_seconds"] for run in runs)
        print(f"| by {method} |", " | ".join(cells), f"| {seconds:.0f} |")


def _classes(lines):
    print("\n| classifier | runs | accuracy % | macro F1 % | log loss, nats |\n|---|---|---|---|---|")
    for method in dict.fromkeys(line["method"] for line in lines):
        runs = [line["classes"] for line in lines if line["method"] == method]
        percents = [_mean([100 * run[name] for run in runs], 1) for name in ("accuracy", "macro_f1")]
        print(f"| {method} | {len(runs)} |", " | ".join([*percents, _mean([run["loss"] for run in runs], 2)]), "|")


def _mean(values, digits):
    spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.{digits}f}{spread}"
