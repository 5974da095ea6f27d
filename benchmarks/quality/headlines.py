"""Headlines with and without copying: titles of the news items in the test part of AG News, from their descriptions.

    export LM_KERAS_DATA=...   # a folder with ag-news
    python benchmarks/quality/headlines.py --log runs/headlines.jsonl
    python benchmarks/quality/headlines.py --methods pointer_generator --dev --options '{"dropout": 0.5}'
    python benchmarks/quality/headlines.py --report --log runs/headlines.jsonl

The official test.csv has titles, the training sample has not. So its 7,600 items are cut here, by a hash of the
description: 80 % to train on, 10 % for development, 10 % to measure. As classes they are test items; no classifier of
this library is trained on what is trained here. Of a title the agency in brackets at its end is left out; marks of
HTML are read as what they stand for; all is in lower case.

`lead` is the first words of the description, `lstm` sequence to sequence with additive attention,
`pointer_generator` the same sizes with copying, `coverage` that with the coverage loss. All have one vocabulary of
5,000 words. The weights are those of the epoch that writes the development part best; options were chosen there, and
the test part is used once.
"""

import csv
import gzip
import hashlib
import html
import os
import re
import statistics
import time
from pathlib import Path

from _runs import main, tables

import lm_keras as lk  # which imports TensorFlow and Keras at first use

METHODS = ("lead", "lstm", "pointer_generator", "coverage")
LEADS = (8, 9, 10)
MEASURES = ("rouge1", "rouge2", "rougeL")
SIZES = {"embedding_dim": 128, "hidden_dim": 128, "dropout": 0.3}
SETTINGS = {"epochs": 8, "batch_size": 64, "learning_rate": 2e-3, "warmup_steps": 100, "average_checkpoints": 3}
TOKENS = {"max_source_tokens": 60, "max_target_tokens": 20}
CHOSEN: dict[str, dict] = {}  # on the development part, beside these


# === Data ===


def items():
    """The (description, title) of each item, without those that lack one."""
    folder = Path(os.environ["LM_KERAS_DATA"]) / "ag-news"
    path = folder / "test.csv"
    content = path.read_bytes() if path.exists() else gzip.decompress((folder / "test.csv.gz").read_bytes())
    rows = [tuple(map(plain, (row[2], row[1]))) for row in csv.reader(content.decode().splitlines())]
    rows = [(description, re.sub(r"\s*\([^()]*\)$", "", title)) for description, title in rows]
    return [row for row in rows if all(row)]


def plain(text):
    """A text without marks of HTML, some of which have lost their "&"."""
    text = re.sub(r"\s?#(\d+);", lambda found: chr(int(found[1])), text.replace("\\", " "))
    return " ".join(re.sub(r"<[^<>]*>", " ", html.unescape(text)).split()).lower()


def parts():
    """To train on, for development, and to measure."""
    found = ([], [], [])
    for row in items():
        tenth = int.from_bytes(hashlib.sha256(row[0].encode()).digest()[:4], "big") * 10 >> 32
        found[max(tenth - 7, 0)].append(lk.data.TextPair(*row))
    return found


# === Methods ===


def measure(options, facts):
    train, dev, test = parts()
    method, seed, tested = facts["method"], facts["seed"], dev if options.dev else test
    told = {"train": len(train), "texts": len(tested)}
    start = time.perf_counter()
    if method == "lead":
        count = max(LEADS, key=lambda n: figures(leads(dev, n), dev)["rougeL"])
        return {**told, "words": count, **figures(leads(tested, count), tested), "copied": {}, "seconds": 0}
    tokenizer = lk.text.WordTokenizer.train(
        [text for pair in train for text in pair], vocab_size=5000, lowercase=True
    )
    own = {"coverage": 1.0} if method == "coverage" else {}
    if method == "lstm":
        own = {"bidirectional": True, "attention": "additive", "label_smoothing": 0.0}
    arguments = {**SIZES, **SETTINGS, **TOKENS, **own, **CHOSEN.get(method, {}), **options.options}
    beams = {"num_beams": 4, "max_new_tokens": TOKENS["max_target_tokens"], "length_penalty": 1.0}
    model = lk.tasks.TextToText.train(
        train,
        model="lstm" if method == "lstm" else "pointer_generator",
        tokenizer=tokenizer,
        validation=dev,
        metric="rougeL",
        seed=seed,
        **arguments,
    )
    trained = time.perf_counter()
    made = model.generate([pair.source for pair in tested], **beams)
    return {
        **told,
        "parameters": model.model.num_parameters,
        **figures([one.text for one in made], tested),
        "words": round(statistics.fmean(len(one.text.split()) for one in made), 1),
        "copied": copied(model, tested, made) if model.model.copy_slots else {},
        "examples": [[*pair, one.text] for pair, one in list(zip(tested, made, strict=True))[:12]],
        "best_epoch": 1 + max(range(len(model.history["loss"])), key=model.history["val_rougeL"].__getitem__),
        "dev_greedy": max(model.history["val_rougeL"]),
        "epochs": len(model.history["loss"]),
        "seconds": round(trained - start, 1),
        "write_seconds": round(time.perf_counter() - trained, 1),
    }


def leads(pairs, count):
    """The first words of each description, as they stand between spaces, without the name of the agency."""
    texts = [re.sub(r"^(.{0,40}?) (-|--) ", "", pair.source) for pair in pairs]
    return [" ".join(text.split()[:count]) for text in texts]


def figures(texts, pairs):
    report = lk.tasks.summary_report(texts, [pair.target for pair in pairs]).as_dict()
    return {name: report[name] for name in MEASURES} | {"interval": report["rougeL_interval"]}


def copied(model, pairs, made):
    """Of the headlines that hold a word out of the vocabulary, and of these words: how many the title has too."""
    first, known = model.source_tokenizer.vocab_size, model.source_tokenizer.encode_words
    with_one = with_right = words = right = possible = 0
    for pair, one in zip(pairs, made, strict=True):
        names = model.sources.encode(pair.source).words
        title = {word for _, word in known(pair.target)}
        found = {names[i - first] for i in one.token_ids if i >= first}
        words, right, possible = words + len(found), right + len(found & title), possible + len({*names} & title)
        with_one, with_right = with_one + bool(found), with_right + bool(found & title)
    return {
        "headlines": with_one,
        "right_headlines": with_right,
        "words": words,
        "right_words": right,
        "possible_words": possible,
    }


# === The log ===


def report(log):
    for _, part, methods in tables(log):
        first = next(iter(methods.values()))[0]
        print(f"\n{part} part: {first['train']:,} items to train on, {first['texts']:,} measured\n")
        head = ["method", "runs", *MEASURES, "95 % interval of rougeL", "words", "with a copied word", "right"]
        head += ["words right", "of possible", "parameters", "epoch", "training s", "MB"]
        print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
        for method, rows in methods.items():
            means = [f"{statistics.fmean(row[name] for row in rows):.1f}" for name in MEASURES]
            low, high = rows[0]["interval"]
            cells = [method, str(len(rows)), *means, f"{low:.1f} to {high:.1f}", f"{rows[0]['words']}"]
            print(f"| {' | '.join([*cells, *more(rows[0])])} |")


def more(row):
    """Of one run: what was copied, and what the training took."""
    if "parameters" not in row:
        return ["-"] * 8
    found, cells = row["copied"], ["-"] * 4
    if found:
        shares = (found["headlines"] / row["texts"], found["right_headlines"] / max(found["headlines"], 1))
        shares = (*shares, found["right_words"] / max(found["words"], 1))
        cells = [
            f"{100 * share:.1f} %" for share in (*shares, found["right_words"] / max(found["possible_words"], 1))
        ]
    return [*cells, f"{row['parameters']:,}", str(row["best_epoch"]), f"{row['seconds']:.0f}", str(row["peak_mb"])]


if __name__ == "__main__":
    main(__file__, __doc__, ("ag-news-titles",), METHODS, measure, report)
