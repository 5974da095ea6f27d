"""From the start of a program to its first answers: lm_keras and Transformers with the same GGUF file.

    python benchmarks/speed/first_answer.py SmolLM2-135M-Instruct.Q4_1.gguf --transformers ENV/bin/python --rounds 3

Each part in a fresh process, the sides in turns; medians of the rounds. `answers`: import, load, a score, 20 greedy
tokens, and both again for texts of another length. `stream`: from the start of the program, Python's own included, to
the first piece of text. `export` and `check` are ours alone; `size` is what the export takes on disk against the
parameters. Memory is the most that one process ever held: this one, or the one in which `check` serves. Linux alone.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
from _common import memory_bytes  # noqa: E402

TEXTS = "The capital of France is Paris.", "The capital of France is Paris, and it is a large city."
PROMPTS = "The capital of France is", "The capital of the German state of Bavaria is"
NEW = 20


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--transformers", help="Python of an environment with transformers, gguf and torch")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=PARTS, help="some of the parts")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--started", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        told = SIDES[options.side](options)
        print(json.dumps({"memory, MB": memory_bytes() / 1e6} | told), flush=True)
        os._exit(0)  # what the libraries clean up is no part of an answer

    pythons = {"lm_keras": sys.executable, "Transformers": options.transformers}
    sides = [
        side for side in SIDES if pythons[side.split()[0]] and (not options.only or side.split()[1] in options.only)
    ]
    if "lm_keras check" in sides and "lm_keras export" not in sides:
        parser.error("check needs the export; give --only export check")
    rounds = [one_round(sides, pythons, options, turn) for turn in range(options.rounds)]
    table(rounds)


def one_round(sides, pythons, options, turn):
    """{side: what it tells}; the sides begin with another one each round, check after the export of its round."""
    free = [side for side in sides if side not in LAST]
    order = [*free[turn % len(free) :], *free[: turn % len(free)]] if free else []
    told = {}
    with tempfile.TemporaryDirectory() as folder:
        for side in [*order, *(side for side in LAST if side in sides)]:
            command = [pythons[side.split()[0]], __file__, str(options.file), "--side", side, "--folder", folder]
            command += ["--started", repr(time.time())]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            told[side] = next(json.loads(line) for line in output.splitlines() if line.startswith("{"))
            print(f"round {turn + 1}, {side}: {json.dumps(told[side])}", file=sys.stderr, flush=True)
    return told


def table(rounds):
    """Medians as a table of markdown; what is no number, such as a text, must be the same in all rounds."""
    names = list(dict.fromkeys(side.split()[0] for told in rounds for side in told))
    print(f"\n{processor()}; median (least to most) of {len(rounds)} rounds, seconds where nothing else is said\n")
    print(f"| | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    for part in PARTS:
        values = {name: [told[f"{name} {part}"] for told in rounds if f"{name} {part}" in told] for name in names}
        for key in dict.fromkeys(key for rows in values.values() for row in rows for key in row):
            cells = [cell([row[key] for row in rows if key in row]) for rows in values.values()]
            print(f"| {part}: {key} | {' | '.join(cells)} |")
    print()
    for turn, told in enumerate(rounds):
        print(json.dumps({"round": turn} | told))


def cell(values):
    if not values:
        return ""
    if isinstance(values[0], str):
        return " / ".join(dict.fromkeys(values))
    form = ",.0f" if min(values) > 100 else ".2f"
    middle, least, most = (format(f(values), form) for f in (statistics.median, min, max))
    return f"{middle} ({least} to {most})" if len(values) > 1 else middle


def processor():
    with open("/proc/cpuinfo") as file:  # noqa: PTH123 (a rival's process)
        name = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "processor")
    return f"{name}, {os.cpu_count()} cores"


class Clock:
    """Seconds since the last call, by name."""

    def __init__(self):
        self.times, self.last = {}, time.perf_counter()

    def __call__(self, name):
        now = time.perf_counter()
        self.times[name], self.last = now - self.last, now


# === lm_keras ===


def our_answers(options):
    clock = Clock()
    import lm_keras as lk

    clock("import")
    lm = lk.models.load_pretrained(options.file)
    clock("load")
    (score,) = lm.score(TEXTS[0], begin=False, end=False)
    clock("first score")
    (text,) = lm.generate(PROMPTS[0], max_new_tokens=NEW, temperature=0, begin=False)
    clock("first generate")
    lm.score(TEXTS[1], begin=False, end=False)
    clock("second score")
    lm.generate(PROMPTS[1], max_new_tokens=NEW, temperature=0, begin=False)
    clock("second generate")
    return clock.times | told_of(score.log_prob, len(text.token_ids), text.text)


def told_of(log_prob, count, text):
    """What shows that both sides did the same: rounded, so that float32 alone makes no difference."""
    return {"log-probability": f"{log_prob:.1f}", "written": f"{count} tokens, {' '.join(text.split())[:40]!r}"}


def our_stream(options):
    import lm_keras as lk

    lm = lk.models.load_pretrained(options.file)
    next(iter(lm.stream(PROMPTS[0], max_new_tokens=NEW, temperature=0, begin=False)))
    return {"first piece": time.time() - options.started}


def our_export(options):
    import lm_keras as lk

    lm = lk.models.load_pretrained(options.file)
    clock = Clock()
    version = Path(lk.export(lm, f"{options.folder}/exported/1"))
    clock("export")
    size = sum(file.stat().st_size for file in version.rglob("*") if file.is_file())
    return clock.times | {"size / parameters": size / (4 * lm.model.count_params())}


def our_check(options):
    clock = Clock()
    import lm_keras as lk

    largest, done = [memory_bytes()], threading.Event()
    watcher = threading.Thread(target=watch_children, args=(largest, done))
    watcher.start()
    problems = lk.check(f"{options.folder}/exported/1")
    clock("check")
    done.set()
    watcher.join()
    answer = "; ".join(problems)[:200] or "ready to serve"
    return clock.times | {"memory, MB": max(largest) / 1e6, "answer": answer}


def watch_children(largest, done):
    """Adds the peak of memory of this process' children, and of theirs, twenty times a second."""
    while not done.wait(0.05):
        parents, peaks = {}, {}
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
                parents[int(fields["Pid"])] = int(fields["PPid"])
                peaks[int(fields["Pid"])] = 1024 * int(fields["VmHWM"].split()[0])
            except (OSError, KeyError, ValueError):  # it has ended, or is the kernel's own
                continue
        ours = {os.getpid()}
        while more := {pid for pid, parent in parents.items() if parent in ours} - ours:
            ours |= more
        largest += [peaks[pid] for pid in ours if pid in peaks]


# === Transformers ===


def their_model(options):
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(os.cpu_count())
    yield "import"
    place = {"pretrained_model_name_or_path": str(options.file.parent), "gguf_file": options.file.name}
    model = AutoModelForCausalLM.from_pretrained(**place, dtype=torch.float32).eval()
    yield model, AutoTokenizer.from_pretrained(**place)


def their_answers(options):
    clock, steps = Clock(), their_model(options)
    clock(next(steps))
    model, tokenizer = next(steps)
    clock("load")
    log_prob = their_score(model, tokenizer, TEXTS[0])
    clock("first score")
    ids = their_text(model, tokenizer, PROMPTS[0])
    clock("first generate")
    their_score(model, tokenizer, TEXTS[1])
    clock("second score")
    their_text(model, tokenizer, PROMPTS[1])
    clock("second generate")
    return clock.times | told_of(log_prob, len(ids), tokenizer.decode(ids))


def their_score(model, tokenizer, text):
    import torch

    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        return -float(model(ids, labels=ids).loss) * (ids.shape[1] - 1)


def their_text(model, tokenizer, prompt, **changes):
    import torch

    inputs = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")
    settings = {"do_sample": False, "max_new_tokens": NEW, "pad_token_id": 0}
    with torch.inference_mode():
        made = model.generate(**inputs, **settings, **changes)
    return made[0, inputs["input_ids"].shape[1] :].tolist()


def their_stream(options):
    class First:
        """A streamer, which gets the prompt and then each token."""

        times = []

        def put(self, ids):
            self.times.append(time.time())

        def end(self):
            pass

    _, (model, tokenizer) = their_model(options)
    their_text(model, tokenizer, PROMPTS[0], streamer=First())
    return {"first piece": First.times[1] - options.started}


PARTS = "answers", "stream", "export", "check"
LAST = "lm_keras export", "lm_keras check"
SIDES = {
    "lm_keras answers": our_answers,
    "Transformers answers": their_answers,
    "lm_keras stream": our_stream,
    "Transformers stream": their_stream,
    "lm_keras export": our_export,
    "lm_keras check": our_check,
}

if __name__ == "__main__":
    main()
