"""Word error rates of a speech recognizer's 5-best lists, rescored by language models: HyPoradise's ATIS and others.

    export LM_KERAS_DATA=...   # a folder with hyporadise-nbest
    python benchmarks/quality/rescoring.py --sets atis --log runs/rescoring.jsonl
    python benchmarks/quality/rescoring.py --sets atis --methods ngrams --seeds 0 --dev --options '{"order": 4}'
    python benchmarks/quality/rescoring.py --sets ls-clean spoken --methods llm --seeds 0 \
        --options '{"lists": 200}'
    python benchmarks/quality/rescoring.py --report --log runs/rescoring.jsonl

atis: a hash of what was said puts a fifth of the training part aside, by which the weights are chosen; language
models read what was said in the other four fifths, no guess of the recognizer. The test part is measured once. With
`--dev` half of that fifth, by the same hash, chooses the weights, and the other half is measured.
With the option "folds" nothing is put aside: the weights are chosen on all lists of the training part, each scored by
language models (of seed 0) that have not read what was said in its fold; the language models of the test read all. Of
`--dev` the training part is without that fifth, which is measured.

ls-clean (LibriSpeech test-clean) and spoken (spoken-nbest) have no training part: half of the lists, by the hash of
what was said, choose the weights, and the other half is measured. Their language model is llm, which others trained:
SmolLM2-135M-Instruct, which `lk.models.load_pretrained` finds. The option "lists" takes the first so many lists of
each half.

Language models, and several of them together as in ngrams+characters: ngrams (Kneser-Ney, all words of the training
text), characters (the same, of ten characters), lstm and gpt (of words, trained here; pieces of words by BPE with the
option "pieces"), llm. Trained ones are kept in a folder beside the log.
"""

import hashlib
import statistics
import time

from _runs import main, tables

import lm_keras as lk  # which imports TensorFlow and Keras at first use
from lm_keras.tasks.rescoring_weights import search

SETS = ("atis", "ls-clean", "spoken")
MIXED = (
    "ngrams+characters",
    "characters+lstm",
    "characters+gpt",
    "ngrams+characters+lstm",
    "ngrams+characters+gpt",
    "characters+lstm+gpt",
    "ngrams+characters+lstm+gpt",
)
METHODS = ("ngrams", "characters", "lstm", "gpt", *MIXED, "llm")
ORDER, CHARACTERS, LENGTH, BATCH = 3, 10, 24, 32
SIZES = {
    "lstm": {"embedding_dim": 128, "hidden_dim": 256, "dropout": 0.4, "tie_embeddings": True},
    "gpt": {"max_length": 64, "hidden_dim": 128, "num_layers": 3, "num_heads": 4, "dropout": 0.3},
}
SETTINGS = {
    "lstm": {"epochs": 14, "learning_rate": 4e-3, "warmup_steps": 50, "batch_size": 8},
    "gpt": {"epochs": 16, "learning_rate": 2e-3, "warmup_steps": 50},
}
HELD_OUT = 51  # of 256 hashes


def measure(options, facts):
    folds, kinds = facts["options"].get("folds"), facts["method"].split("+")
    said, chosen_by, tested = parts(facts["set"], options.dev, folds)
    if limit := facts["options"].get("lists"):
        chosen_by, tested = chosen_by[:limit], tested[:limit]
    start = time.perf_counter()
    models = [language_model(kind, said, options, facts["seed"]) for kind in kinds]
    trained = time.perf_counter()
    rescorer = lk.tasks.Rescorer.of(models)
    found = crossed(chosen_by, kinds, folds, options) if folds else rescorer.fit_weights(chosen_by)
    rescorer = rescorer.with_weights(**found.weights)
    begun = time.perf_counter()
    report = rescorer.evaluate(tested)
    seconds = time.perf_counter() - begun
    rates = {name: round(100 * getattr(report, name).wer, 3) for name in ("first", "rescored", "oracle")}
    return {
        "lists": len(tested),
        "words": report.first.words,
        "weights": found.weights,
        "chosen_by": [len(chosen_by), round(100 * found.wer, 3)],
        **rates,
        "interval": [round(100 * end, 3) for end in report.rescored.wer_interval],
        "difference": [round(100 * value, 3) for value in report.difference[:3]],
        "p": report.difference.p_value,
        "train_seconds": round(trained - start, 1),
        "ms_per_list": round(1000 * seconds / len(tested), 1),
    }


def crossed(lists, kinds, folds, options):
    """The weights for lists of which each is scored by language models that have not read its fold."""
    features = [None] * len(lists)
    for fold in range(folds):
        own = [i for i, one in enumerate(lists) if code(one) % folds == fold]
        said = [one.reference for one in lists if code(one) % folds != fold]
        models = [language_model(kind, said, options, 0) for kind in kinds]
        for i, found in zip(own, lk.tasks.Rescorer.of(models).features([lists[i] for i in own]), strict=True):
            features[i] = found
    return search(lists, features)


def parts(name, dev, folds=None):
    """What was said in the training part, the lists that choose the weights, and those that are measured."""
    if name != "atis":
        source = ("spoken-nbest", "test") if name == "spoken" else ("hyporadise-nbest", "test-ls-clean")
        lists = lk.data.load(*source)
        return [], *([one for one in lists if code(one) % 2 == side] for side in (1, 0))
    train = lk.data.load("hyporadise-nbest", "train")
    said = [one.reference for one in train if code(one) >= HELD_OUT]
    held_out = [one for one in train if code(one) < HELD_OUT]
    if folds:
        lists = [one for one in train if code(one) >= HELD_OUT] if dev else train
        return [one.reference for one in lists], lists, held_out if dev else lk.data.load("hyporadise-nbest", "test")
    if dev:
        return said, [one for one in held_out if code(one) % 2], [one for one in held_out if code(one) % 2 == 0]
    return said, held_out, lk.data.load("hyporadise-nbest", "test")


def code(one):
    """A number from 0 to 255 by what was said."""
    return hashlib.sha256(one.reference.encode()).digest()[0]


def language_model(kind, said, options, seed):
    if kind == "ngrams":
        return lk.tasks.NGramLM.train(said, order=options.options.get("order", ORDER))
    if kind == "characters":
        return lk.tasks.NGramLM.train(said, order=CHARACTERS, tokenizer=lk.text.CharTokenizer.train(said))
    if kind == "llm":
        return lk.models.load_pretrained("smollm2-135m-instruct")
    sizes = SIZES[kind] | options.options.get("sizes", {})
    settings = SETTINGS[kind] | options.options.get("settings", {})
    pieces = options.options.get("pieces")
    changed = hashlib.sha256(repr((sizes, settings, pieces, sorted(said))).encode()).hexdigest()[:6]
    folder = options.log.with_suffix("") / f"{kind}-{seed}-{changed}"
    if folder.exists():
        return lk.LanguageModel.load(folder)
    tokenizer = lk.text.BPETokenizer.train(said, pieces) if pieces else lk.text.WordTokenizer.train(said)
    build = lk.models.build_lstm_lm if kind == "lstm" else lk.models.build_gpt2
    model = build(tokenizer.vocab_size, seed=seed, **sizes)
    windows = lk.data.lm_windows(
        said, tokenizer, length=LENGTH, batch_size=settings.get("batch_size", BATCH), seed=seed
    )
    lk.fit(model, windows, config=lk.TrainingConfig(seed=seed, **settings))
    made = lk.LanguageModel(model, tokenizer)
    made.save(folder)
    return made


def report(log):
    """Of each set and part a table."""
    for name, part, methods in tables(log):
        first = next(iter(methods.values()))[0]
        told = f"{first['lists']:,} lists of {first['words']:,} words, weights by {first['chosen_by'][0]:,} others"
        print(f"\n{name}, {part} part: {told}; first best {first['first']:.2f}, oracle {first['oracle']:.2f}\n")
        head = [
            "language model",
            "WER %",
            "95% interval",
            "less first best",
            "p",
            "weights",
            "training s",
            "ms a list",
        ]
        print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
        for method, rows in methods.items():
            print(f"| {' | '.join([method, *cells(rows)])} |")


def cells(rows):
    """Of one seed its own figures; of several the mean and the standard deviation, and the rest of the first."""
    rates, row = [row["rescored"] for row in rows], rows[0]
    several = f" ± {statistics.stdev(rates):.2f} ({len(rates)} seeds)" if len(rates) > 1 else ""
    low, high = row["interval"]
    difference, *ends = row["difference"]
    weights = row["weights"]
    yield f"{statistics.mean(rates):.2f}{several}"
    yield f"{low:.2f} to {high:.2f}"
    yield f"{difference:+.2f} ({ends[0]:+.2f} to {ends[1]:+.2f})"
    yield f"{row['p']:.2g}"
    yield ", ".join(f"{value:.3g}" for value in [*weights["weights_lm"], weights["weight_length"]])
    yield f"{row['train_seconds']:.0f}"
    yield f"{row['ms_per_list']:.1f}"


if __name__ == "__main__":
    main(__file__, __doc__, SETS, METHODS, measure, report)
