"""Runs a benchmark with two checkouts of lm_keras in turns, and prints both medians and their ratio.

    git worktree add /tmp/before v0.1.0
    python benchmarks/speed/compare_versions.py /tmp/before . -- benchmarks/speed/decoding.py --rows 1 --only lm_keras

The benchmark is this checkout's, for both; it must print lines of JSON with "name" and "median", as those do that use
`_common.print_table`. A ratio is the median of the ratios of the rounds, after to before.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("command", nargs="+", help="a script and its arguments, after --")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    pairs = {}
    for turn in range(options.rounds):
        sides = [("before", options.before), ("after", options.after)]
        found = {side: medians(checkout, options.command) for side, checkout in sides[:: -1 if turn % 2 else 1]}
        for name, value in found["before"].items():
            pairs.setdefault(name, []).append((value, found["after"][name]))
        print(f"round {turn + 1} of {options.rounds}: {found}", file=sys.stderr, flush=True)
    print("| | before | after | after / before |\n|---|---|---|---|")
    for name, values in pairs.items():
        before, after = (statistics.median(side) for side in zip(*values, strict=True))
        ratio = statistics.median(b / a for a, b in values)
        print(f"| {name} | {before:,.1f} | {after:,.1f} | {ratio:.2f} |")


def medians(checkout, command):
    """{name and unit: the median} of a run of the command with that checkout."""
    if not (checkout / "lm_keras").is_dir():
        raise SystemExit(f"{checkout} holds no lm_keras; give the root of a checkout")
    environment = {**os.environ, "PYTHONPATH": str(checkout.resolve())}
    run = subprocess.run([sys.executable, *command], env=environment, check=True, stdout=subprocess.PIPE, text=True)
    rows = [json.loads(line) for line in run.stdout.splitlines() if line.startswith('{"name"')]
    found = {f"{row['name']}, {row['unit']}": row["median"] for row in rows if "median" in row}
    if not found:
        raise SystemExit(f"{command[0]} printed no line of JSON with a median")
    return found


if __name__ == "__main__":
    main()
