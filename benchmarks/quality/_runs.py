"""What `tagging.py`, `relations.py` and others share: flags, a process for each method of each set, a log."""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from lm_keras.utils.quiet import load_tensorflow

sys.path.append(str(Path(__file__).parents[1]))

from _common import memory_bytes  # noqa: E402

VECTORS = "glove-6b-50d-400k"


def main(
    script: str, about: str, sets: Iterable[str], methods: Iterable[str], measure: Callable, report: Callable
) -> None:
    """Measures each method on each set, or what the flags name of them, and prints the tables of the log.

    Args:
        script: The file that was started; its name is that of the log.
        about: What `--help` says first.
        sets: The names of the sets.
        methods: The names of the methods.
        measure: `measure(options, facts)` returns the figures of one training; `facts` are its set, method and seed.
        report: `report(log)` prints the tables.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", type=Path, default=Path("runs") / f"{Path(script).stem}.jsonl")
    parser.add_argument("--sets", nargs="+", choices=list(sets), default=list(sets))
    parser.add_argument("--methods", nargs="+", choices=list(methods), default=list(methods))
    parser.add_argument("--embedder", default="all-minilm-l6-v2", help="a folder of all-MiniLM-L6-v2, or a name")
    parser.add_argument("--vectors", default=VECTORS, help="a wheel, folder or file of GloVe, or a name")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--dev", action="store_true", help="measures on the development parts")
    parser.add_argument("--options", type=json.loads, default={}, help="JSON: arguments of the training")
    parser.add_argument("--report", action="store_true", help="prints the tables of the log")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)  # a set and a method, in this process
    options = parser.parse_args()
    if options.one:
        _run(options, measure)
        return
    for name in () if options.report else options.sets:
        for method in options.methods:
            # Each in its own process, so that its memory is its own.
            subprocess.run([sys.executable, script, *sys.argv[1:], "--one", name, method], check=True)
    report(options.log)


def _run(options, measure):
    load_tensorflow()
    done = {_key(line) for line in lines(options.log)}
    name, method = options.one
    for seed in options.seeds:
        facts = {"set": name, "method": method, "seed": seed, "dev": options.dev, "options": options.options}
        if _key(facts) in done:
            continue
        line = facts | measure(options, facts) | {"peak_mb": memory_bytes() >> 20}
        options.log.parent.mkdir(parents=True, exist_ok=True)
        with options.log.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)


def _key(line):
    return json.dumps([line[name] for name in ("set", "method", "seed", "dev", "options")])


def lines(log: Path) -> list[dict]:
    """Returns the results of a log."""
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def tables(log: Path) -> Iterator[tuple[str, str, dict[str, Sequence[dict]]]]:
    """Yields of each set and part of a log the results of each method: `(set, part, {method: results})`."""
    groups: dict[tuple[str, str], dict[str, list]] = {}
    for line in lines(log):
        part = "development" if line["dev"] else "test"
        named = line["method"] + (f" {json.dumps(line['options'])}" if line["options"] else "")
        groups.setdefault((line["set"], part), {}).setdefault(named, []).append(line)
    for (name, part), methods in groups.items():
        yield name, part, methods
