"""Rivals measured in turns, each in its own process, a round of steps at a time: a noisy machine hits all alike."""

import json
import os
import statistics
import subprocess
import sys
import time


def measured(commands, rounds, units):
    """{name: [units a second]} of the `commands`, {name: argument list}; a round of each, then the next of each.

    A command runs `take_turns`; `units` is what a round of it does. The first round of each is not counted.
    """
    processes = {
        name: subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for name, command in commands.items()
    }
    speeds, told = {name: [] for name in processes}, {}
    try:
        for turn in range(rounds + 1):
            names = list(processes)
            for name in names[turn % len(names) :] + names[: turn % len(names)]:  # none is always after the same
                process = processes[name]
                process.stdin.write("go\n")
                process.stdin.flush()
                answer = _answer(name, process)
                told[name] = answer
                if turn:
                    speeds[name].append(units / answer["seconds"])
            print(f"round {turn} of {rounds}", file=sys.stderr)
    finally:
        for process in processes.values():
            process.kill()
    return speeds, told


def _answer(name, process):
    for line in process.stdout:
        if line.startswith("{"):
            return json.loads(line)
    raise SystemExit(f"{name} has ended without an answer")


def take_turns(run):
    """In a rival's process: `run()` a round whenever asked, and tell how long it took; it may return what to tell."""
    while True:
        start = asked()
        told = run() or {}
        tell(start, **told)


def asked():
    """Waits until a round is asked for, and gives its start; ends the process when no more are."""
    if not sys.stdin.readline():
        os._exit(0)  # where Keras would go on with its epoch
    return time.perf_counter()


def tell(start, **told):
    print(json.dumps({"seconds": time.perf_counter() - start, **told}), flush=True)


def table(speeds, unit, ours):
    """Median of each rival, and the ratio of `ours` to it: the median of the ratios of each round."""
    print(f"{'':<34}{unit:>12}   ratio of ours")
    for name, row in speeds.items():
        ratio = statistics.median(a / b for a, b in zip(speeds[ours], row, strict=True))
        print(f"{name:<34}{statistics.median(row):>12,.0f}   {ratio:.2f}")
    for name, row in speeds.items():
        print(json.dumps({"name": name, "unit": unit, "median": statistics.median(row), "rounds": row}))
