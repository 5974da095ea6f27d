"""Reading a text file of word vectors: seconds and peak memory, ours against gensim's loader.

    python benchmarks/speed/vectors.py [--vectors glove.6B.50d.txt] [--rounds N] [--json FILE]

Each reading is a process of its own that has imported what it needs; the rivals take turns, so that a noisy machine
hits all alike. Printed are medians; the ratio is the median of those of each round. Memory: the largest resident
size minus that before reading, as a multiple of the matrix (float32). CPU seconds show that no second core helped.
Without --vectors a file of the size of glove.6B.50d.txt is made: 400,000 x 50 random numbers of five digits.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
sys.path.append(str(Path(__file__).parents[1]))
from _common import memory_bytes  # noqa: E402

OURS, SOME, GENSIM = "lm_keras", "lm_keras, vocabulary= 10,000 words", "gensim"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=Path, help="GloVe's text format")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="append the JSON lines to this file, too")
    parser.add_argument("--read", choices=(OURS, SOME, GENSIM), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        print(json.dumps(read(options.read, options.vectors)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = options.vectors or made(Path(folder) / "vectors.txt")
        path.read_bytes()  # into the page cache
        results = {name: [] for name in (OURS, SOME, GENSIM)}
        for turn in range(options.rounds):
            for name, rows in results.items():
                command = [sys.executable, __file__, "--read", name, "--vectors", str(path)]
                rows.append(
                    json.loads(subprocess.run(command, check=True, capture_output=True).stdout.split(b"\n")[-2])
                )
            print(f"round {turn + 1} of {options.rounds}", file=sys.stderr, flush=True)
    report(results, options.json)


def made(path):
    """A file of random vectors in GloVe's format."""
    import numpy as np

    rng = np.random.default_rng(0)
    line = " ".join(["%.5g"] * 50)
    with path.open("w") as file:
        for i in range(400_000):
            file.write(f"word{i} {line % tuple(rng.normal(0, 0.5, 50))}\n")
    return path


def read(name, path):
    """One reading, in this process: its seconds, its peak of memory, and the sum of the matrix."""
    from gensim.models import KeyedVectors

    from lm_keras.embeddings.io import (
        table,  # noqa: F401
        vector_files,
    )

    few = None
    if name == SOME:
        with path.open(encoding="utf-8", newline="\n") as file:
            few = [line.partition(" ")[0] for line in itertools.islice(file, 0, 400_000, 40)]
    before = memory_bytes("VmRSS")
    start, cpu = time.perf_counter(), time.process_time()
    if name == GENSIM:
        vectors = KeyedVectors.load_word2vec_format(path, no_header=True)
    else:
        vectors = vector_files.load_glove(path, vocabulary=few)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "peak_bytes": memory_bytes() - before,
        "matrix_bytes": vectors.vectors.nbytes,
        "words": len(vectors),
        "sum": float(vectors.vectors.sum(dtype="float64")),
    }


def report(results, path):
    assert results[OURS][0]["sum"] == results[GENSIM][0]["sum"], "the loaders read different numbers"
    print(f"{'':<36}{'words':>9}{'seconds':>9}{'CPU s':>8}{'MB peak':>9}{'x matrix':>9}   times as fast as gensim")
    lines = []
    for name, rows in results.items():
        line = {"name": name, "words": rows[0]["words"], "rounds": [row["seconds"] for row in rows]}
        for key in ("seconds", "cpu_seconds", "peak_bytes"):
            line[key] = statistics.median(row[key] for row in rows)
        line["times_matrix"] = line["peak_bytes"] / rows[0]["matrix_bytes"]
        pairs = zip(results[GENSIM], rows, strict=True)
        line["ratio"] = statistics.median(gensim["seconds"] / row["seconds"] for gensim, row in pairs)
        lines.append(json.dumps(line))
        print(
            f"{name:<36}{line['words']:>9,}{line['seconds']:>9.2f}{line['cpu_seconds']:>8.2f}"
            f"{line['peak_bytes'] / 1e6:>9.0f}{line['times_matrix']:>9.2f}   {line['ratio']:.1f}"
        )
    print(*lines, sep="\n")
    if path:
        with path.open("a") as file:
            file.writelines(line + "\n" for line in lines)


if __name__ == "__main__":
    main()
