"""Word similarity and analogies: our figures beside those that gensim's own evaluation finds on the same file.

    python benchmarks/quality/word_vectors.py [--vectors FILE] [--method 3cosadd|3cosmul] [--every N] [--json FILE]

FILE: GloVe's text format, plain, .gz or .zip; default: the 20,000 words of $LM_KERAS_DATA/glove-6b-50d. gensim reads
the tests from its own files, we from lm_keras.data. It has no evaluation of 3CosMul: its evaluation of analogies is
run with its `most_similar_cosmul` in place of `most_similar`; there ours gets gensim's epsilon, 1e-6. All must be
equal: every count of every section, every correlation to 1e-12; otherwise the exit code is 1. gensim takes minutes:
--every N asks the first of every N questions only.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

TESTS = "test/test_data/"
DEFAULT = Path(os.environ.get("LM_KERAS_DATA", "data")) / "glove-6b-50d" / "glove.6B.50d.top20000.txt.gz"
METHODS = ("3cosadd", "3cosmul")
PAIRS = {"wordsim353": "wordsim353.tsv", "simlex999": "simlex999.txt"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=Path, default=DEFAULT, help="GloVe's text format")
    parser.add_argument("--method", choices=METHODS, help="default: both")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="ask the first of every N questions")
    parser.add_argument("--json", type=Path, help="append the JSON lines to this file, too")
    options = parser.parse_args()
    from lm_keras import embeddings

    vectors = embeddings.load_glove(options.vectors)
    print(f"{options.vectors.name}: {len(vectors):,} words, {vectors.vector_size} dimensions")
    rows = list(similarity(vectors))
    with tempfile.TemporaryDirectory() as folder:
        file = some_questions(Path(folder) / "questions.txt", options.every)
        for method in [options.method] if options.method else METHODS:
            rows += answers(vectors, method, file, options.every)
    print(f"\n{'':<42}{'lm_keras':>16}{'gensim':>16}")
    for row in rows:
        ours, theirs = (shown(row[side]) for side in ("lm_keras", "gensim"))
        print(f"{row['name']:<42}{ours:>16}{theirs:>16}{'' if row['equal'] else '   DIFFERENT'}")
    lines = [json.dumps(row) for row in rows]
    print("", *lines, sep="\n")
    if options.json:
        with options.json.open("a") as file:
            file.writelines(line + "\n" for line in lines)
    different = sum(not row["equal"] for row in rows)
    print(f"\n{different} of {len(rows)} figures differ" if different else f"\nall {len(rows)} figures are equal")
    return 1 if different else 0


def shown(value):
    """A correlation, [correct, asked], or None: no such section."""
    if value is None:
        return "-"
    return f"{value[0]:,} of {value[1]:,}" if isinstance(value, list) else f"{value:.4f}"


def similarity(vectors):
    from lm_keras import data, embeddings
    from lm_keras.data.corpora.running_text import gensim_file

    for name, file in PAIRS.items():
        ours = embeddings.word_similarity(vectors, data.load(name, split="all"))
        pearson, spearman, missed = vectors.evaluate_word_pairs(str(gensim_file(TESTS + file)))
        total = ours.pairs + ours.missed
        yield compared(f"{name}, Spearman", ours.spearman, float(spearman[0]))
        yield compared(f"{name}, Pearson", ours.pearson, float(pearson[0]))
        yield compared(f"{name}, pairs missed", [ours.missed, total], [round(missed * total / 100), total])


def some_questions(path, every):
    """gensim's file with the first of every so many questions."""
    from lm_keras.data.corpora.running_text import gensim_file

    lines, number = [], 0
    for line in gensim_file(TESTS + "questions-words.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith(":") or number % every == 0:
            lines.append(line)
        number += not line.startswith(":")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def answers(vectors, method, file, every):
    from lm_keras import data, embeddings

    questions = data.load("word-analogies", split="all")[::every]
    start = time.perf_counter()
    ours = embeddings.analogies(vectors, questions, method, epsilon=1e-6)
    seconds = [time.perf_counter() - start]
    if method == "3cosmul":
        vectors.most_similar = vectors.most_similar_cosmul  # of this object alone
    start = time.perf_counter()
    try:
        _, sections = vectors.evaluate_word_analogies(file)
    finally:
        vars(vectors).pop("most_similar", None)
    seconds.append(time.perf_counter() - start)
    theirs = {told["section"]: [len(told["correct"]), len(told["correct"] + told["incorrect"])] for told in sections}
    total = theirs.pop("Total accuracy")
    for name in dict.fromkeys([*ours.sections, *theirs]):
        part = ours.sections.get(name)
        yield compared(f"{method}, {name}", part and [part.correct, part.questions], theirs.get(name))
    for name, is_it in (("semantic", False), ("syntactic", True)):
        part, counts = getattr(ours, name), [theirs[key] for key in theirs if key.startswith("gram") == is_it]
        summed = [sum(each) for each in zip(*counts, strict=True)]
        yield compared(f"{method}, {name}", [part.correct, part.questions], summed)
    yield compared(f"{method}, total", [ours.total.correct, ours.total.questions], total)
    print(f"{method}: {seconds[0]:.1f} s, gensim {seconds[1]:.1f} s", flush=True)


def compared(name, ours, theirs):
    equal = abs(ours - theirs) < 1e-12 if isinstance(ours, float) else ours == theirs
    return {"name": name, "lm_keras": ours, "gensim": theirs, "equal": equal}


if __name__ == "__main__":
    sys.exit(main())
