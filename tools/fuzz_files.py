"""Random damage to every kind of file that the library reads: each must load, or be refused in one line.

    python tools/fuzz_files.py --kind gguf --seconds 360 --seed 1
    python tools/fuzz_files.py --replay fuzz_failures/gguf-1-7.json

A case is a small valid file of that kind, changed at random, and read by the public function. It may succeed or end
in an InputError of one line; anything else (another exception, a crash, more than 6 GB, more than 30 seconds, an
attempt to run something or to write elsewhere) is a failure, which is written to --out as one JSON file and can be
replayed.
Case n of a seed is always the same. docs/security.md has the counts.
"""

import argparse
import base64
import collections
import json
import os
import random
import select
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
import zlib
from pathlib import Path

from damage import change
from file_kinds import KINDS

LIMIT, SECONDS, LONGEST = 6 << 30, 30, 500  # bytes of memory, seconds a case, characters of a message
CASES = 400  # that one process reads, so that what TensorFlow and Keras never let go of does not add up


# === A process that reads cases, and one that watches it ===


def watch_for_code(scratch, report):
    """Calls `report` when anything is run, fetched or unpickled, or something outside of `scratch` is changed."""
    folders = (sys.prefix, sys.base_prefix, str(Path(os.__file__).parent), str(Path.cwd()), scratch)
    trusted = tuple(os.path.realpath(folder) for folder in folders)
    running = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "ctypes.dlopen")
    running += ("socket.connect", "urllib.Request", "pickle.find_class", "marshal.loads")
    changing = ("os.remove", "os.rename", "os.mkdir", "shutil.rmtree", "open")

    def importing():
        frame = sys._getframe()
        while frame and not frame.f_code.co_filename.startswith("<frozen importlib"):
            frame = frame.f_back
        return frame is not None

    def hook(event, arguments):
        if event in running:
            found = True
        elif event in changing and isinstance(arguments[0], (str, bytes)):
            writes = event != "open" or (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            folder = f"/proc/self/fd/{arguments[-1]}/" if event != "open" and isinstance(arguments[-1], int) else ""
            path = (folder if "/-1/" not in folder else "") + os.fsdecode(arguments[0])
            found = writes and not os.path.realpath(path).startswith((scratch, "/dev/null"))
        elif event == "exec":
            name = arguments[0].co_filename
            found = not name.startswith("<") and not os.path.realpath(name).startswith(trusted)
        else:
            found = False
        if found and not importing():
            report(f"{event} {str(arguments)[:100]}")

    sys.addaudithook(hook)


def case_files(kind, valid, seed, number):
    """(name of the valid folder, its files by name, some of them changed)."""
    rng = random.Random(f"{kind}/{seed}/{number}")
    variant = rng.choice(sorted(valid))
    files = dict(valid[variant])
    changed = [name for name in sorted(files) if KINDS[kind][2] is None or name in KINDS[kind][2]]
    for name in rng.sample(changed, rng.choice((1, 1, 1, 1, 2)) if len(changed) > 1 else 1):
        if rng.random() < 0.01 and len(files) > 1:
            files.pop(name)
        else:
            files[name] = change(rng, files[name], name)
    return variant, files


def answer(read, folder):
    """(what came of one case, in words: "valid", "InputError" or the failure; what was said)."""
    from lm_keras.errors import InputError

    try:
        read(folder)
    except InputError as error:
        said = str(error)
        return (
            "InputError" if "\n" not in said and len(said) < LONGEST else f"InputError of {len(said)} characters"
        ), said
    except BaseException as error:
        trace = error.__traceback__
        while trace.tb_next:
            trace = trace.tb_next
        place = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
        return f"{type(error).__name__} at {place}", str(error)[:300]
    return "valid", ""


def work(kind, seed, first, scratch):
    """Reads case after case, from `first` on, and prints a line before and after each."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    out, nothing = os.fdopen(os.dup(1), "w"), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    warnings.simplefilter("ignore")
    valid, (_, read, _), found = json.loads((Path(scratch) / "valid.json").read_text()), KINDS[kind], []
    valid = {name: {k: base64.b64decode(v) for k, v in files.items()} for name, files in valid.items()}
    one = next(iter(valid.values()))
    for files in (one, dict.fromkeys(one, b"x")):  # what is imported late
        answer(read, written(Path(scratch) / "case", files))
    watch_for_code(scratch, found.append)
    for number in range(first, first + CASES):
        variant, files = case_files(kind, valid, seed, number)
        folder = written(Path(scratch) / "case", files)
        print(json.dumps([number, variant]), file=out, flush=True)
        found.clear()
        begin = time.perf_counter()
        what, said = answer(read, folder)
        what = f"executes: {found[0]}" if found else what
        print(json.dumps([number, variant, what, said, time.perf_counter() - begin]), file=out, flush=True)


def written(folder, files):
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def made(kind, scratch):
    """{name: {file: bytes}} of the valid folders of a kind, which are made in a process of their own."""
    folder = Path(scratch) / "valid"
    folder.mkdir()
    KINDS[kind][0](folder)
    return {
        path.name: {str(f.relative_to(path)): f.read_bytes() for f in sorted(path.rglob("*")) if f.is_file()}
        for path in sorted(folder.iterdir())
        if path.is_dir()
    }


def fuzz(kind, seconds, seed, out, scratch):
    """Counts what comes of the cases; failures are written to `out`."""
    subprocess.run([sys.executable, __file__, "--kind", kind, "--make", scratch], check=True, env=ENVIRONMENT)
    valid = json.loads((Path(scratch) / "valid.json").read_text())
    valid = {name: {k: base64.b64decode(v) for k, v in files.items()} for name, files in valid.items()}
    counts, alike = collections.Counter(), collections.Counter()
    slowest, first, end = (0.0, 0), 0, time.monotonic() + seconds + 120  # until TensorFlow has been imported

    def failed(number, what, said):
        variant, files = case_files(kind, valid, seed, number)
        changed = {name: packed(files[name]) for name in files if files[name] != valid[variant][name]}
        gone = [name for name in valid[variant] if name not in files]
        case = {"kind": kind, "variant": variant, "files": changed, "without": gone, "seed": seed, "case": number}
        out.mkdir(parents=True, exist_ok=True)
        (out / f"{kind}-{seed}-{number}.json").write_text(json.dumps(case | {"what": what}) + "\n")
        alike[what] += 1
        if alike[what] <= 3:
            print(
                f"{kind} case {number} ({variant}, {', '.join([*changed, *gone])}): {what}: {said!r:.300}", flush=True
            )

    while time.monotonic() < end:
        command = [
            sys.executable,
            __file__,
            "--kind",
            kind,
            "--seed",
            str(seed),
            "--work",
            scratch,
            "--first",
            str(first),
        ]
        worker = subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0, env=ENVIRONMENT | {"TMPDIR": scratch})
        number, stalled = first, False
        while not stalled:
            ready = select.select([worker.stdout], [], [], SECONDS + (60 if number == first else 0))[0]
            line = worker.stdout.readline() if ready else b""
            stalled = not ready
            if not line:
                break
            number, _, *result = json.loads(line)
            if result:
                what, said, took = result
                end = end if counts else time.monotonic() + seconds
                slowest = max(slowest, (took, number))
                counts[what if what in ("valid", "InputError") else "failures"] += 1
                if what not in ("valid", "InputError"):
                    failed(number, what, said)
                number += 1
                if time.monotonic() > end:
                    break
        if stalled or time.monotonic() > end:
            worker.kill()
        code = worker.wait()
        if number < first + CASES and time.monotonic() < end:  # it hung or died at this case
            counts["failures"] += 1
            failed(number, f"no answer in {SECONDS} s" if stalled else f"the process ended with {code}", "")
            number += 1
        first = number
    cases = sum(counts.values())
    print(
        f"{kind}: {cases} cases in {seconds} s (seed {seed}), {counts['valid']} valid, "
        f"{counts['InputError']} InputError, {counts['failures']} failures; {cases / seconds:.1f} cases/s, "
        f"slowest {slowest[0]:.1f} s (case {slowest[1]})",
        flush=True,
    )
    return counts["failures"]


def packed(content):
    return base64.b64encode(zlib.compress(content, 9)).decode()


def replay(path, scratch):
    """What comes of one case that was written; the files that are not in it are those of a valid folder."""
    case = json.loads(Path(path).read_text())
    files = changed_files(case, made(case["kind"], scratch))
    return answer(KINDS[case["kind"]][1], written(Path(scratch) / "case", files))


def changed_files(case, valid):
    """{file: bytes} of a case that was written."""
    files = {k: v for k, v in valid[case["variant"]].items() if k not in case["without"]}
    return files | {name: zlib.decompress(base64.b64decode(content)) for name, content in case["files"].items()}


ENVIRONMENT = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_NUM_INTRAOP_THREADS": "1", "CUDA_VISIBLE_DEVICES": "-1"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=[*KINDS, "all"])
    parser.add_argument("--seconds", type=int, default=360)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("fuzz_failures"))
    parser.add_argument("--replay", nargs="+", default=())
    for name in ("--make", "--work", "--first"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        files = made(options.kind, options.make)
        files = {name: {k: base64.b64encode(v).decode() for k, v in each.items()} for name, each in files.items()}
        (Path(options.make) / "valid.json").write_text(json.dumps(files))
        return 0
    if options.work:
        return work(options.kind, options.seed, int(options.first), options.work)
    failures = 0
    for path in options.replay:
        with tempfile.TemporaryDirectory() as scratch:
            print(path, *replay(path, scratch), sep=": ")
    for kind in KINDS if options.kind == "all" else [options.kind] if options.kind else ():
        with tempfile.TemporaryDirectory() as scratch:
            failures += fuzz(kind, options.seconds, options.seed, options.out, os.path.realpath(scratch))
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
