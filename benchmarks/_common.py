"""What several benchmarks need: rivals measured in turns, each in its own process, and the memory of a process.

A rival's Python has neither lm_keras nor TensorFlow, so nothing here imports them at the top. A benchmark finds this
file after `sys.path.append(str(Path(__file__).parents[1]))`.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping


def commands(
    script: str, sides: Iterable[str], pythons: Mapping[str, str | None], *arguments
) -> dict[str, list[str]]:
    """The command of each side: `script --side NAME ARGUMENTS`.

    `pythons` gives the interpreter of a rival by the first word of its name; where it is None, the rival is left out.
    """
    found = {}
    for name in sides:
        python = pythons.get(name.split()[0], sys.executable)
        if python:
            found[name] = [python, script, "--side", name, *map(str, arguments)]
    return found


def measure_in_turns(
    commands: Mapping[str, list[str]], rounds: int, units: float
) -> tuple[dict[str, list[float]], dict[str, dict]]:
    """Units a second of each command in each round, and each command's last answer.

    One round of the first command, one of the next, and so on: what else the machine does slows all of them alike.
    A command runs `take_turns`; `units` is what a round of it does. The first round of each is not counted.
    """
    processes = {
        name: subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for name, command in commands.items()
    }
    speeds, answers = {name: [] for name in processes}, {}
    try:
        for turn in range(rounds + 1):
            names = list(processes)
            for name in names[turn % len(names) :] + names[: turn % len(names)]:  # none is always after the same
                process = processes[name]
                process.stdin.write("go\n")
                process.stdin.flush()
                answers[name] = _read_answer(name, process)
                if turn:
                    speeds[name].append(units / answers[name]["seconds"])
            print(f"round {turn} of {rounds}", file=sys.stderr)
    finally:
        for process in processes.values():
            process.kill()
    return speeds, answers


def _read_answer(name: str, process: subprocess.Popen) -> dict:
    for line in process.stdout:
        if line.startswith("{"):
            return json.loads(line)
    raise SystemExit(f"{name} has ended without an answer")


def take_turns(run: Callable[[], dict | None]) -> None:
    """In a rival's process: runs a round whenever asked and answers with its seconds and with what `run` returns."""
    while True:
        start = wait_for_turn()
        answer = run() or {}
        send_answer(start, **answer)


def wait_for_turn() -> float:
    """Waits until a round is asked for and returns its start; ends the process when no more are."""
    if not sys.stdin.readline():
        os._exit(0)  # where Keras would go on with its epoch
    return time.perf_counter()


def send_answer(start: float, **answer) -> None:
    print(json.dumps({"seconds": time.perf_counter() - start, **answer}), flush=True)


def turns_callback(steps: int):
    """A Keras callback with which `fit` stops after each round of `steps` until the next is asked for."""
    import keras

    class Turns(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch % steps == 0:
                if batch:
                    send_answer(self.start, loss=self.loss)
                self.start = wait_for_turn()

        def on_train_batch_end(self, batch, logs=None):
            self.loss = float(logs["loss"])

    return Turns()


def print_table(speeds: Mapping[str, list[float]], unit: str, ours: str) -> None:
    """Prints the median of each rival and the ratio of `ours` to it: the median of the ratios of each round."""
    print(f"{'':<34}{unit:>12}   ratio of ours")
    for name, row in speeds.items():
        ratio = statistics.median(a / b for a, b in zip(speeds[ours], row, strict=True))
        print(f"{name:<34}{statistics.median(row):>12,.0f}   {ratio:.2f}")
    for name, row in speeds.items():
        print(json.dumps({"name": name, "unit": unit, "median": statistics.median(row), "rounds": row}))


def median_seconds(run: Callable[[], object], repeats: int = 15) -> float:
    """The median of `repeats` calls, after three that are not counted."""
    times = []
    for _ in range(repeats + 3):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times[3:])


def memory_bytes(name: str = "VmHWM") -> int:
    """Bytes of this process: VmHWM, the most it ever held, or VmRSS, what it holds now.

    Linux alone. `resource.getrusage` would count the memory of the parent, too.
    """
    with open("/proc/self/status") as file:  # noqa: PTH123 (a rival's process)
        return 1024 * next(int(line.split()[1]) for line in file if line.startswith(name))
