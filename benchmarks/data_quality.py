"""Speed, memory and precision of the tools of lm_keras.data that look after training text.

python benchmarks/data_quality.py speed [--texts N]     texts a second, and the share of planted duplicates found
python benchmarks/data_quality.py report [--lines N]    time and peak memory of a whole report
python benchmarks/data_quality.py filter                the content filter on sms-spam and other sets of LM_KERAS_DATA
"""

import argparse
import random
import resource
import tempfile
import time
from pathlib import Path

import lm_keras as lk


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
    print(f"{name:<34} {seconds:8.2f} s {len(texts) / seconds:12,.0f} texts/s   peak {peak():,.0f} MB", flush=True)
    return result


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def speed(options):
    texts, planted = made_texts(options.texts)
    print(f"{len(texts):,} texts of 40 words, {len(planted):,} planted near-duplicates, {peak():,.0f} MB")
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
        from lm_keras.cli import main

        main(["data", "report", str(path), "--out", str(Path(folder) / "report.html")])
        print(f"report: {time.perf_counter() - start:.1f} s, peak {peak():,.0f} MB (before it {before:,.0f} MB)")


def filtered(options):
    train, valid = (lk.data.load("sms-spam", split) for split in ("train", "validation"))
    # Many messages of the set are copies; a validation message that repeats another proves nothing.
    found = lk.data.duplicates([record.text for record in train + valid])
    repeated = {pair.index - len(train) for pair in found}
    print(f"sms-spam: {len(valid)} validation messages, {sum(place >= 0 for place in repeated)} repeat another one")
    valid = [record for place, record in enumerate(valid) if place not in repeated]
    for precision in (0.9, 0.95, 0.99):
        content = lk.data.train_content_filter(*zip(*train, strict=True), words=(), precision=precision)
        dropped = [record.label for record in valid if content.reason(record.text)]
        spam = sum(record.label for record in valid)
        print(
            f"sms-spam, precision {precision:.0%} asked: on the texts the threshold was chosen by"
            f" {content.measured['precision']:.1%} / recall {content.measured['recall']:.1%}; on the validation split"
            f" {sum(dropped)}/{len(dropped)} = {sum(dropped) / len(dropped):.1%}"
            f" / recall {sum(dropped)}/{spam} = {sum(dropped) / spam:.1%} (of {len(valid)} messages); threshold"
            f" {content.threshold:.3f}"
        )
    words = lk.data.ContentFilter()
    every = lk.data.load("sms-spam", "all")
    for label, name in enumerate(lk.data.classes("sms-spam")):
        texts = [record.text for record in every if record.label == label]
        print(f"word list: {sum(map(bool, map(words.reason, texts)))} of {len(texts):,} {name} messages")
    for name in ("lee-news", "wiki-excerpt", "mr", "ptb", "tinyshakespeare", "hongloumeng", "tang-poems"):
        split = "all" if "all" in lk.data.splits(name) else "train"
        texts = [getattr(record, "text", record) for record in lk.data.load(name, split)]
        lines = [line for text in texts for line in text.split("\n") if line.strip()]
        dropped = []
        list(words.filter(lines, dropped))
        print(f"word list: {len(dropped)} of {len(lines):,} lines of {name}", [d.text[:60] for d in dropped[:3]])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("speed", "report", "filter"))
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--lines", type=int, default=1_000_000)
    chosen = parser.parse_args()
    {"speed": speed, "report": report, "filter": filtered}[chosen.what](chosen)
