"""Translations side by side: Multi30k between English, German and French, Tatoeba from English to Chinese.

    export LM_KERAS_DATA=...   # a folder with multi30k and tatoeba-cmn
    python benchmarks/quality/translation.py --log runs/translation.jsonl --seeds 0
    python benchmarks/quality/translation.py --sets de-en --methods transformer --dev --options '{"dropout": 0.3}'
    python benchmarks/quality/translation.py --report --log runs/translation.jsonl

Multi30k has 29,000 pairs to train on, 1,014 for development, by which the weights are chosen, and a test part of
1,000 (test_2016_flickr). Models are trained on the texts as they are, with capitals. Two figures: BLEU of sacrebleu
as it comes, of cased text (13a), and BLEU of text that is tokenized (13a) and in lower case, the way of the course
figures, whose models read and write such text. Tatoeba has no parts of its own: nine tenths, by a hash of the
sentence, are trained on and a tenth is the test part; a tenth of the former is for development. Chinese is written
and measured by characters.

Options are chosen on the development part (`--dev` measures there, too; `--options` tries some); the test part is
used once. Each result is a line of the log as soon as it is there, with its first translations and BLEU by length.
"""

import statistics
import time

from _runs import main, tables

import lm_keras as lk  # which imports TensorFlow and Keras at first use

SETS = ("de-en", "en-de", "en-fr", "en-zh")
METHODS = ("transformer", "attention", "lstm")
BEAMS = {"num_beams": 5, "length_penalty": 1.0, "max_new_tokens": 80}
# What was chosen on the development parts, beside the settings of the library.
CHOSEN: dict[str, dict] = {
    "transformer": {},
    "attention": {"model": "lstm"},
    "lstm": {"model": "lstm", "attention": None},
}
OF_SET: dict[str, dict] = {"en-zh": {"tokenizer": "bpe", "target_tokenizer": "char"}}
LENGTHS = (8, 11, 14, 18)  # words of a source: where BLEU by length is cut


def pairs_of(name, split):
    """The pairs of a set's part."""
    if name == "en-zh":
        return lk.data.load("tatoeba-cmn", "train" if split == "train" else "validation")
    source, target = name.split("-")
    return [lk.data.TextPair(getattr(row, source), getattr(row, target)) for row in lk.data.load("multi30k", split)]


def measure(options, facts):
    name, started = facts["set"], time.perf_counter()
    train = pairs_of(name, "train")
    if name == "en-zh":
        from lm_keras.tasks.text_to_text_training import train_and_held_out

        train, dev = train_and_held_out(train, None, 0.1, 0)
    else:
        dev = pairs_of(name, "validation")
    arguments = {**OF_SET.get(name, {}), **CHOSEN[facts["method"]], **options.options}
    model = lk.tasks.TextToText.train(train, validation=dev, seed=facts["seed"], **arguments)
    trained = time.perf_counter() - started
    test = dev if facts["dev"] else pairs_of(name, "test")
    sources, references = zip(*test, strict=True)
    written = [found.text for found in model.generate(sources, **BEAMS)]
    kinds = {"tokenize": "char"} if name == "en-zh" else {}
    cased = lk.tasks.translation_report(written, references, **kinds)
    lower = lk.tasks.translation_report(written, references, lowercase=True, **kinds)
    if options.log:
        model.save(options.log.parent / f"{options.log.stem}-{name}-{facts['method']}-{facts['seed']}")
    return {
        "bleu": cased.bleu,
        "interval": cased.bleu_interval,
        "lower": lower.bleu,
        "chrf": cased.chrf,
        "signature": cased.bleu_signature,
        "lower_signature": lower.bleu_signature,
        "by_length": by_length(sources, written, references, kinds),
        "parameters": model.model.count_params(),
        "curve": model.history["val_bleu"],
        "trained_s": trained,
        "seconds": time.perf_counter() - started,
        "texts": [*zip(sources[:5], written[:5], references[:5], strict=True)],
    }


def by_length(sources, written, references, kinds):
    """BLEU of the sources of each length in words: up to 8, 11, 14, 18, and longer."""
    groups = [[] for _ in range(len(LENGTHS) + 1)]
    for row in zip(sources, written, references, strict=True):
        groups[sum(len(row[0].split()) > most for most in LENGTHS)].append(row)
    found = []
    for rows in groups:
        if rows:
            _, texts, golds = zip(*rows, strict=True)
            found.append([len(rows), lk.tasks.translation_report(texts, golds, **kinds).bleu])
        else:
            found.append([0, None])
    return found


# === Tables ===


def report(log):
    for name, part, methods in tables(log):
        print(
            f"\n{name}, {part} part\n\n| | BLEU, cased | 95 % interval | BLEU, lower case | chrF | seeds | minutes |"
        )
        print("|---|---|---|---|---|---|---|")
        for method, rows in methods.items():
            shown = [_mean([row[key] for row in rows]) for key in ("bleu", "lower", "chrf")]
            low, high = rows[0]["interval"]
            minutes = statistics.mean(row["trained_s"] for row in rows) / 60
            print(
                f"| {method} | {shown[0]} | {low:.1f} to {high:.1f} | {shown[1]} | {shown[2]} | {len(rows)} |"
                f" {minutes:.0f} |"
            )


def _mean(values):
    deviation = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{deviation}"


if __name__ == "__main__":
    main(__file__, __doc__, SETS, METHODS, measure, report)
