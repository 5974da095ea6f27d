"""Dialogue: the act of a turn, replies that a model writes, and the right reply among candidates.

    export LM_KERAS_DATA=...   # a folder with dailydialog and chatterbot-corpus
    python benchmarks/quality/dialogue.py --sets acts --methods cnn --seeds 0 --log runs/dialogue.jsonl
    python benchmarks/quality/dialogue.py --sets replies --methods transformer --seeds 0
    python benchmarks/quality/dialogue.py --sets chatterbot-en --methods bm25 --seeds 0
    python benchmarks/quality/dialogue.py --report --log runs/dialogue.jsonl

DailyDialog has a validation and a test part here, of 1,000 dialogues each, and no training part. So the first 900
dialogues of the validation part are trained on, and its last 100 are for development; the test part is used once.

acts: inform, question, directive or commissive, of each turn by itself.

replies: the last three turns, a line each, and the next turn, which is to be written. What is measured are the
replies to the same test contexts, drawn by a fixed seed: bits a byte of the reply that a person gave (its end mark
included; "-" for what gives no probability), chrF to it, and, of the replies themselves, distinct-1 and distinct-2,
the share of repeated pairs of words, and the length. "people" are the replies of the set, and "bm25" the reply that
followed the most similar turn of the part that is trained on. SmolLM2-135M-Instruct reads the turns as a chat, is not
trained, and answers the first `--options '{"contexts": 100}'` of the contexts; `{"model": "FOLDER"}` says where it
lies.

chatterbot-en, chatterbot-zh, dailydialog: which of ten candidates is the reply to a turn, the other nine being
replies to other turns of the same part, drawn by a fixed seed (as the Ubuntu corpus is measured, Lowe et al. 2015);
and which of all replies. The candidates are the entries of a `Retriever` that is asked with the turn: nothing is
learned. Of chatterbot-corpus a tenth of the conversations, by a hash, is measured on; the others give the words their
weights. Of turns with the same reply the first counts, and a thousand of DailyDialog's, drawn by a fixed seed.

A method that a set does not have makes no line.
"""

import hashlib
import math
import time

import numpy as np
from _runs import main, tables

import lm_keras as lk  # which imports TensorFlow and Keras at first use

METHODS = {
    "acts": ("cnn", "bigru", "minilm"),
    "replies": ("people", "bm25", "transformer", "lstm", "smollm2"),
    **dict.fromkeys(("chatterbot-en", "chatterbot-zh", "dailydialog"), ("tfidf", "bm25", "minilm")),
}
CONTEXTS, TURNS, CANDIDATES, MOST = 500, 3, 10, 1000
SETTINGS = {
    "transformer": {"hidden_dim": 128, "num_layers": 2, "epochs": 5, "batch_size": 64},
    "lstm": {"hidden_dim": 128, "embedding_dim": 128, "epochs": 4, "batch_size": 64},
}
SYSTEM = "You are talking with a friend. Answer in one short sentence."


def measure(options, facts):
    if facts["method"] not in METHODS[facts["set"]]:
        raise SystemExit(0)
    kind = {"acts": acts, "replies": replies}.get(facts["set"], candidates)
    start = time.perf_counter()
    found = kind(options, facts)
    return found | {"seconds": round(time.perf_counter() - start, 1)}


def parts_of(options):
    """The dialogues to train on, those of development, and those that are measured."""
    rows = lk.data.load("dailydialog", "validation")
    train, dev = rows[:900], rows[900:]
    return train, dev, dev if options.dev else lk.data.load("dailydialog", "test")


# === Acts ===
def acts(options, facts):
    parts = []
    for dialogues in parts_of(options):
        turns = [turn for dialogue in dialogues for turn in zip(dialogue.turns, dialogue.acts, strict=True)]
        parts.append(tuple(map(list, zip(*turns, strict=True))))
    train, dev, test = parts
    encoder = options.embedder if facts["method"] == "minilm" else facts["method"]
    classifier = lk.tasks.TextClassifier.train(
        *train, encoder=encoder, validation=dev, seed=facts["seed"], **options.options
    )
    report = classifier.evaluate(*test)
    sure = dev_threshold(classifier, dev)
    p = classifier.probabilities(test[0])
    right = np.array([classifier.classes[i] for i in p.argmax(1)]) == np.array(test[1])
    taken = p.max(1) >= sure
    if options.log:
        classifier.save(options.log.parent / f"{options.log.stem}-acts-{facts['method']}-{facts['seed']}")
    return {
        "turns": len(test[0]),
        "trained_on": len(train[0]),
        "accuracy": report.accuracy,
        "interval": report.intervals["accuracy"],
        "macro_f1": report.macro_f1,
        "threshold": sure,
        "taken": float(taken.mean()),
        "accuracy_of_taken": float(right[taken].mean()),
        "majority": max(test[1].count(name) for name in set(test[1])) / len(test[1]),
    }


def dev_threshold(classifier, dev, wanted=0.9):
    """The least probability from which on nine of ten acts of the development part are right."""
    p = classifier.probabilities(dev[0])
    right = np.array([classifier.classes[i] for i in p.argmax(1)]) == np.array(dev[1])
    order = np.argsort(-p.max(1))
    shares = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    good = np.flatnonzero(shares >= wanted)
    return float(p.max(1)[order[good[-1]]]) if len(good) else 1.0


# === Replies ===
def pairs_of(dialogues):
    """The last turns, a line each, and the next one, of each turn that follows another."""
    return [
        lk.data.TextPair("\n".join(one.turns[max(i - TURNS, 0) : i]), one.turns[i])
        for one in dialogues
        for i in range(1, len(one.turns))
    ]


def replies(options, facts):
    train, dev, test = map(pairs_of, parts_of(options))
    test = [test[i] for i in np.random.default_rng(0).permutation(len(test))[:CONTEXTS]]
    given, bits, written, name = dict(options.options), None, None, facts["method"]
    if name == "people":
        written = [pair.target for pair in test]
    elif name == "bm25":
        last = [(pair.source.split("\n")[-1], pair.target) for pair in train]
        retriever = lk.tasks.Retriever.of(last, method="bm25", threshold=0.0)
        found = retriever.retrieve([pair.source.split("\n")[-1] for pair in test])
        written = [one.candidates[0].answer for one in found]
    elif name == "smollm2":
        test = test[: given.pop("contexts", 100)]
        written, bits = by_chat(lk.models.load_pretrained(given.pop("model", "smollm2-135m-instruct")), test)
    else:
        arguments = {"model": name, "vocab_size": 4000, "metric": "chrf", "average_checkpoints": 1, **SETTINGS[name]}
        arguments |= {"max_source_tokens": 96, "max_target_tokens": 48} | given
        model = lk.tasks.TextToText.train(train, validation=dev[:100], seed=facts["seed"], **arguments)
        written = [one.text for one in model.generate([pair.source for pair in test], max_new_tokens=40)]
        bits = bits_a_byte(model, test)
        if options.log:
            model.save(options.log.parent / f"{options.log.stem}-replies-{name}-{facts['seed']}")
    return figures(written, [pair.target for pair in test]) | {
        "bits_a_byte": bits,
        "texts": [(*pair, text) for pair, text in zip(test[:10], written, strict=False)],
    }


def figures(written, references):
    report = lk.tasks.translation_report([text or "-" for text in written], references)
    return {
        "contexts": len(written),
        "chrf": report.chrf,
        "bleu": report.bleu,
        "distinct_1": lk.tasks.distinct_n(written, 1),
        "distinct_2": lk.tasks.distinct_n(written, 2),
        "repetition_2": lk.tasks.repetition(written, 2),
        "words": float(np.mean([len(text.split()) for text in written])),
        "different": len(set(written)),
    }


def bits_a_byte(model, test):
    """Of the references, the end mark included, by a `TextToText`."""
    from lm_keras.losses import CrossEntropy

    nats, loss = 0.0, CrossEntropy(reduction="sum")
    for x, y in lk.data.pairs(test, None, model.source_tokenizer, model.target_tokenizer, 32, shuffle=False):
        nats += float(loss(y, model.model(x, training=False)))
    return nats / math.log(2) / sum(len(pair.target.encode()) for pair in test)


def by_chat(lm, test):
    """What a chat model replies, and the bits a byte of the references, which end with its end mark."""
    import tensorflow as tf

    from lm_keras.generation.answers import score_answers
    from lm_keras.generation.chat import reply_ends

    written, nats = [], 0.0
    end = reply_ends(lm.tokenizer)[-1]
    for pair in test:
        turns = pair.source.split("\n")
        turns = turns if len(turns) % 2 else turns[1:]
        roles = ("user", "assistant")
        messages = [{"role": "system", "content": SYSTEM}]
        messages += [{"role": roles[i % 2], "content": turn} for i, turn in enumerate(turns)]
        written.append(lm.chat(messages, max_new_tokens=30, temperature=0).text.strip())
        ids = tf.constant([lm.tokenizer.encode_chat(messages)], tf.int32)
        answer = tf.constant([[*lm.tokenizer.encode(pair.target), end]], tf.int32)
        nats -= float(tf.reduce_sum(score_answers(lm.model, ids, answer)))
    return written, nats / math.log(2) / sum(len(pair.target.encode()) for pair in test)


# === The right one of ten ===
def candidates(options, facts):
    train, test = turns_and_replies(options, facts["set"])
    first = {}
    for turn, reply in test:  # five replies of chatterbot-en follow hundreds of turns: each reply counts once
        first.setdefault(reply, turn)
    test = [(turn, reply) for reply, turn in first.items()]
    test = [test[i] for i in np.random.default_rng(0).permutation(len(test))[:MOST]]
    replies = [reply for _, reply in test]
    place = {reply: i for i, reply in enumerate(replies)}
    arguments = {"method": facts["method"], "threshold": 0.0} | options.options
    if facts["method"] == "minilm":
        arguments |= {"method": "embedder", "embedder": options.embedder}
    # The replies that are trained on give the words their weights, and are no candidates.
    others = [] if facts["method"] == "minilm" else [reply for _, reply in train if reply not in place]
    entries = [*replies, *dict.fromkeys(others)]
    retriever = lk.tasks.Retriever.of([(reply, reply) for reply in entries], **arguments)
    blocks = retriever.score_blocks([turn for turn, _ in test])
    scores = np.concatenate([block[:, : len(replies)] for block in blocks])
    own = np.array([place[reply] for _, reply in test])
    rng = np.random.default_rng(0)
    ten = [[at, *rng.choice(np.delete(np.arange(len(replies)), at), CANDIDATES - 1, False)] for at in own]
    of_ten = np.take_along_axis(scores, np.array(ten), 1)
    # Of equal scores a candidate has the mean of its places: the right one is not favored by standing first.
    ranks = {"ten": ranked(of_ten, of_ten[:, :1]), "all": ranked(scores, scores[np.arange(len(own)), own][:, None])}
    found = {"turns": len(test)}
    for name, ks in (("ten", (1, 2, 5)), ("all", (1, 5))):
        for k in ks:
            share = ranks[name](k)
            found[f"{name}_at_{k}"] = float(share.mean())
    found["interval"] = lk.tasks.wilson(float(ranks["ten"](1).sum()), len(test))
    return found


def ranked(scores, right):
    """A function of k: of each row the probability that the right one is among the first k, ties drawn."""
    above, level = (scores > right).sum(1), (scores == right).sum(1)
    return lambda k: np.clip((k - above) / level, 0, 1)


def turns_and_replies(options, name):
    """Turns with the reply to each: those of other conversations, and those that are measured."""
    if name == "dailydialog":
        train, dev, test = parts_of(options)
        parts = train, test
    else:
        language = name.split("-")[1]
        rows = [one for one in lk.data.load("chatterbot-corpus", "all") if one.language == language]
        held = [hashlib.sha256("\n".join(one.turns).encode()).digest()[0] for one in rows]
        first = (0, 26) if not options.dev else (26, 52)
        test = [one for one, code in zip(rows, held, strict=True) if first[0] <= code < first[1]]
        parts = [one for one, code in zip(rows, held, strict=True) if code >= 52], test
    return [[pair for one in part for pair in zip(one.turns, one.turns[1:], strict=False)] for part in parts]


# === Tables ===
COLUMNS = {
    "acts": ("accuracy", "macro_f1", "threshold", "taken", "accuracy_of_taken", "seconds"),
    "replies": (
        *("contexts", "bits_a_byte", "chrf", "bleu", "distinct_1", "distinct_2", "repetition_2"),
        *("words", "different", "seconds"),
    ),
}
CANDIDATE_COLUMNS = ("turns", "ten_at_1", "ten_at_2", "ten_at_5", "all_at_1", "all_at_5", "seconds")


def report(log):
    for name, part, methods in tables(log):
        columns = COLUMNS.get(name, CANDIDATE_COLUMNS)
        print(f"\n{name}, {part} part\n\n| | {' | '.join(columns)} | interval |\n|{'---|' * (len(columns) + 2)}")
        for method, rows in methods.items():
            cells = [shown([row[column] for row in rows]) for column in columns]
            ends = " to ".join(f"{end:.3f}" for end in rows[0].get("interval", ())) or "-"
            print(f"| {method} | {' | '.join(cells)} | {ends} |")


def shown(values):
    return "-" if values[0] is None else f"{np.mean(values):.4g}"


if __name__ == "__main__":
    main(__file__, __doc__, METHODS, sorted({one for some in METHODS.values() for one in some}), measure, report)
