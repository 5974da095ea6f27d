"""Speed and memory of the tools of lm_keras.data that look after training text.

python benchmarks/speed/data_tools.py speed [--texts N]     texts a second, and planted duplicates found
python benchmarks/speed/data_tools.py report [--lines N]    time and peak memory of a whole report
"""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

import lm_keras as lk

sys.path.append(str(Path(__file__).parents[1]))
from _common import memory_bytes  # noqa: E402


def made_texts(number, words_a_text=40, seed=0):
    """Texts of pieces of four words of the Wikipedia excerpt; one in ten is an earlier one with one word changed.

    With 40 words the similarity of such a pair is 35 / 41, more where the word is near an end; other pairs have next
    to nothing in common. Returns the texts and the places of the copies.
    """
    rng = random.Random(seed)
    words = " ".join(lk.data.load("wiki-excerpt", "all")).split()
    texts, originals, planted = [], [], []
    for index in range(number):
        if originals and rng.random() < 0.1:
            copy = rng.choice(originals).split()
            copy[rng.randrange(words_a_text)] = words[rng.randrange(len(words))]
            planted.append(index)
        else:
            starts = [rng.randrange(len(words) - 4) for _ in range(words_a_text // 4)]
            copy = [word for start in starts for word in words[start : start + 4]]
            originals.append(" ".join(copy))
        texts.append(" ".join(copy))
    return texts, planted


def timed(name, texts, function):
    start = time.perf_counter()
    result = function()
    seconds = time.perf_counter() - start
    print(f"{name:<34} {seconds:8.2f} s {len(texts) / seconds:12,.0f} texts/s   peak {peak():,.0f} MiB", flush=True)
    return result


def peak():
    return memory_bytes() / 2**20


def speed(options):
    texts, planted = made_texts(options.texts)
    print(f"{len(texts):,} texts of 40 words, {len(planted):,} planted near-duplicates, {peak():,.0f} MiB")
    lk.data.duplicates(texts[:100])  # imports
    lk.data.language(texts[0])
    exact = timed("duplicates(threshold=None)", texts, lambda: lk.data.duplicates(texts, threshold=None))
    found = timed("duplicates()", texts, lambda: lk.data.duplicates(texts))
    missed = set(planted) - {pair.index for pair in found}
    print(f"  {len(exact):,} exact, {len(found):,} in all; {len(missed):,} of the planted not among them")
    content = lk.data.ContentFilter()
    timed("statistics(language_sample=0)", texts, lambda: lk.data.statistics(texts, language_sample=0))
    timed("language", texts[:10_000], lambda: list(map(lk.data.language, texts[:10_000])))
    timed("scrub", texts, lambda: [lk.data.scrub(text) for text in texts])
    timed("ContentFilter().filter", texts, lambda: list(content.filter(texts)))
    timed("overlap(test: 1,000 texts)", texts, lambda: lk.data.overlap(texts, texts[:1000]))


def report(options):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lines.txt"
        with path.open("w", encoding="utf-8") as file:
            for start in range(0, options.lines, 50_000):
                file.writelines(
                    f"{text}\n" for text in made_texts(min(50_000, options.lines - start), 20, seed=start)[0]
                )
        print(f"{options.lines:,} lines, {path.stat().st_size / 2**20:,.0f} MiB")
        before, start = peak(), time.perf_counter()
        from lm_keras.cli.parser import main

        main(["data", "report", str(path), "--out", str(Path(folder) / "report.html")])
        print(f"report: {time.perf_counter() - start:.1f} s, peak {peak():,.0f} MiB (before it {before:,.0f} MiB)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "report"))
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--lines", type=int, default=1_000_000)
    chosen = parser.parse_args()
    {"speed": speed, "report": report}[chosen.what](chosen)
