"""What a language model learns by heart of secrets that stand in its training text once to 64 times.

    export LM_KERAS_DATA=...   # a folder with sms-spam
    python benchmarks/quality/memorization.py --log runs/memorization.jsonl
    python benchmarks/quality/memorization.py --report --log runs/memorization.jsonl

Eight people's telephone numbers, "the new number of anna is (212) 555-0147" with four random digits, are put among
short messages: one number never, the others 1, 2, 4, ... 64 times, at random places; which name is repeated how often
changes with the seed. A character LSTM is trained on the text as it is, on what `scrub` leaves of it, on what
`without_duplicates` leaves, and on what both do. Then each number is ranked among all 10,000 of its form by log p
(Carlini et al. 2019); all of a treatment's numbers are in one training. The characters are those of the whole text in
all four, so that none of the models lacks a digit.

Each treatment runs in a process of its own; each result is a line of the log as soon as it is there, and a run that
was stopped leaves out what the log has.
"""

import math
import random
import statistics
import time

from _runs import main, tables

import lm_keras as lk  # which imports TensorFlow and Keras at first use

SETS = ("sms-spam",)
TREATMENTS = ("as it is", "scrubbed", "without duplicates", "both")
NAMES = ("anna", "boris", "clara", "david", "elena", "frank", "greta", "henry")
TIMES = (0, 1, 2, 4, 8, 16, 32, 64)
TEMPLATE = "the new number of {} is (212) 555-####"
TRAIN, HELD_OUT = 800, 200  # messages
SIZES = {"embedding_dim": 64, "hidden_dim": 128}
LENGTH, BATCH = 64, 16
SETTINGS = {"epochs": 20, "learning_rate": 5e-3, "warmup_steps": 50}


def planted(seed):
    """`({name: its secret text}, {name: how often it stands there})`."""
    names = random.Random(seed).sample(NAMES, len(NAMES))
    secrets = {name: lk.tasks.canaries(TEMPLATE.format(name), 1, seed * 100 + i)[0] for i, name in enumerate(NAMES)}
    return secrets, dict(zip(names, TIMES, strict=True))


def treated(texts, treatment):
    if treatment in ("scrubbed", "both"):
        texts = [lk.data.scrub(text).text for text in texts]
    return lk.data.without_duplicates(texts) if treatment in ("without duplicates", "both") else texts


def measure(options, facts):
    seed, generator = facts["seed"], random.Random(facts["seed"])
    messages = [record.text for record in lk.data.load(facts["set"], "train")]
    held = random.Random(0).sample([record.text for record in lk.data.load(facts["set"], "validation")], HELD_OUT)
    secrets, times = planted(seed)
    raw = [*generator.sample(messages, TRAIN), *(secrets[name] for name in NAMES for _ in range(times[name]))]
    generator.shuffle(raw)
    texts = treated(raw, facts["method"])
    tokenizer = lk.text.CharTokenizer.train(raw)
    model = lk.models.build_lstm_lm(tokenizer.vocab_size, **SIZES, seed=seed)
    lm = lk.LanguageModel(model, tokenizer)
    start = time.perf_counter()
    windows = lk.data.lm_windows(texts, tokenizer, LENGTH, BATCH, seed=seed)
    lk.fit(lm, windows, config=lk.TrainingConfig(seed=seed, **SETTINGS | options.options))
    trained = time.perf_counter()
    found = {
        times[name]: lk.tasks.exposure(lm, secrets[name], lk.tasks.canaries(TEMPLATE.format(name)))[0]
        for name in NAMES
    }
    scored = time.perf_counter()
    scores = lm.score(held)
    return {
        "texts": len(texts),
        "characters": sum(map(len, texts)),
        "rank": {str(count): found[count].rank for count in TIMES},
        "exposure": {str(count): round(found[count].exposure, 2) for count in TIMES},
        "candidates": found[0].candidates,
        "perplexity": round(math.exp(-sum(s.log_prob for s in scores) / sum(s.num_tokens for s in scores)), 3),
        "train_seconds": round(trained - start, 1),
        "rank_seconds": round(scored - trained, 1),
    }


def report(log):
    """Of each treatment and number of repetitions: the mean exposure in bits, and the rank in each run."""
    for name, _, methods in tables(log):
        first = next(iter(methods.values()))[0]
        runs, candidates = max(map(len, methods.values())), first["candidates"]
        print(f"\n{name}: mean exposure in bits of up to {runs} seeds, and the rank among {candidates:,} of each\n")
        head = ["training text", "texts", "perplexity", *(f"{count} ×" for count in TIMES)]
        print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
        for method, rows in methods.items():
            cells = [method, f"{statistics.fmean(row['texts'] for row in rows):,.0f}"]
            cells += [f"{statistics.fmean(row['perplexity'] for row in rows):.2f}"]
            for count in map(str, TIMES):
                mean = statistics.fmean(row["exposure"][count] for row in rows)
                ranks = ", ".join(f"{row['rank'][count]:,}" for row in rows)
                cells.append(f"{mean:.1f} ({ranks})")
            print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main(__file__, __doc__, SETS, TREATMENTS, measure, report)
