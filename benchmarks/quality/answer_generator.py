"""Document 004's project made to work: a language model of two LSTMs that answers questions from memory.

    export LM_KERAS_DATA=...   # a folder with cmu-qa and cornell-pairs
    python benchmarks/quality/answer_generator.py --log runs/answer_generator.jsonl
    python benchmarks/quality/answer_generator.py --sets cmu-qa --seeds 0 --dev --options '{"epochs": 10}'
    python benchmarks/quality/answer_generator.py --report --log runs/answer_generator.jsonl

The model reads "question → answer", one text after another with the state carried on, and writes what follows
"question →". cmu-qa: the questions of 2008 and 2009 without a tenth of them, by a hash of the question, which is the
development part; the questions of 2010 are the test part. Questions that stand in the test part, too, are dropped
from training. cornell-pairs: lines of films and their replies, a tenth by hash for development, a tenth for the test.

Exact match and F1 of the words are SQuAD's, of questions that were trained on and of those that were not, greedily
decoded. Beside them: what "yes" to everything, or the most frequent answer, would get; the perplexity of the right
answers, each end mark counted; how many different answers the model gives; and ten of what it invents. The method
bm25 is a `Retriever` of the same pairs, with the threshold of the library; a refused question has no answer.
"""

import collections
import gzip
import hashlib
import math
import random
import statistics
import time

from _runs import main, tables

import lm_keras as lk  # which imports TensorFlow and Keras at first use
from lm_keras.data.corpora.corpus import mended
from lm_keras.data.corpora.questions import read_articles
from lm_keras.data.quality.duplicates import normalize
from lm_keras.tasks.answer_metrics import exact_match, normalized_answer

SETS, METHODS = ("cmu-qa", "cornell-pairs"), ("lstm", "bm25")
SEPARATOR = "→"
SIZES = {"embedding_dim": 128, "hidden_dim": 256, "num_layers": 2}  # as in the document
SETTINGS = {"learning_rate": 4e-3, "warmup_steps": 50}
OF_SET = {
    "cmu-qa": {"vocab_size": 6000, "dropout": 0.0, "batch": 8, "epochs": 60},
    "cornell-pairs": {"vocab_size": 6000, "dropout": 0.1, "batch": 32, "epochs": 4},
}
LENGTH = 24
ASKED = 500  # questions of each kind that are answered, at most
NEW_TOKENS = 30


# === Pairs of a question and its answers ===


def parts(name, dev):
    """`(train, tested)`: {question: answers} of each."""
    train, dev_part, test = cmu_qa() if name == "cmu-qa" else cornell_pairs()
    tested = dev_part if dev else test
    keys = {normalize(question) for part in (dev_part, test) for question in part}
    left = {q: a for q, a in train.items() if normalize(q) not in keys}
    return left, tested


def cmu_qa():
    contents = []
    for path in sorted(lk.data.locate("cmu-qa").glob("S*_question_answer_pairs.txt*")):
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8", "surrogateescape")
        contents.append(mended(text.replace("\r\n", "\n")))
    earlier, later = read_articles(*contents[:2], "", "all"), read_articles("", "", contents[2], "all")
    known = answers_of((record.question, answer.text) for record in earlier for answer in record.answers)
    test = answers_of((record.question, answer.text) for record in later for answer in record.answers)
    return *by_hash(known, (0.9, 1.0)), test


def cornell_pairs():
    return by_hash(answers_of(dialogue.turns for dialogue in lk.data.load("cornell-pairs", "all")), (0.8, 0.9, 1.0))


def answers_of(pairs):
    """{question: its answers, those that SQuAD's rules take for the same once}."""
    made = {}
    for question, answer in pairs:
        answers = made.setdefault(question, {})
        if normalized_answer(answer):
            answers.setdefault(normalized_answer(answer), answer)
    return {question: list(answers.values()) for question, answers in made.items() if answers}


def by_hash(pairs, shares):
    made = [{} for _ in shares]
    for question, answers in pairs.items():
        place = int.from_bytes(hashlib.sha256(question.encode()).digest()[:4], "big") / 2**32
        made[next(i for i, share in enumerate(shares) if place < share)][question] = answers
    return made


# === The model ===


def measure(options, facts):
    return (retrieved if facts["method"] == "bm25" else generated)(options, facts)


def retrieved(options, facts):
    """The figures of a retriever: what it gives to a known question is right by definition, unless two share it."""
    train, tested = parts(facts["set"], options.dev)
    entries = [(question, answer) for question, answers in train.items() for answer in answers[:1]]
    retriever = lk.tasks.Retriever.of(entries, method="bm25", **options.options)
    kinds = {}
    for kind, pairs in (("seen", sample(train)), ("unseen", sample(tested))):
        found = retriever.retrieve(list(pairs))
        texts = [each.answer if each.answered else "" for each in found]
        kinds[kind] = counted(texts, list(pairs.values()), None) | {
            "invented": [[q, row[0], text] for (q, row), text in zip(pairs.items(), texts, strict=True)][:10],
        }
    return {"pairs": len(entries), "questions": len(train), "threshold": retriever.threshold, **kinds}


def generated(options, facts):
    seed, chosen = facts["seed"], SIZES | SETTINGS | OF_SET[facts["set"]] | options.options
    train, tested = parts(facts["set"], options.dev)
    texts = [f"{question} {SEPARATOR} {answer}" for question, answers in train.items() for answer in answers]
    random.Random(seed).shuffle(texts)
    tokenizer = lk.text.WordTokenizer.train(texts, vocab_size=chosen.pop("vocab_size"))
    batch = chosen.pop("batch")
    sizes = {key: chosen.pop(key) for key in (*SIZES, "dropout")}
    lm = lk.LanguageModel(lk.models.build_lstm_lm(tokenizer.vocab_size, **sizes, seed=seed), tokenizer)
    start = time.perf_counter()
    windows = lk.data.lm_windows(texts, tokenizer, LENGTH, batch, contiguous=True)
    history = lk.fit(lm, windows, config=lk.TrainingConfig(seed=seed, **chosen)).history
    trained = time.perf_counter()
    frequent = collections.Counter(normalized_answer(answer) for row in train.values() for answer in row)
    frequent = frequent.most_common(1)[0][0]
    line = {
        "pairs": len(texts),
        "questions": len(train),
        "vocabulary": tokenizer.vocab_size,
        "train_perplexity": round(history["perplexity"][-1], 2),
        "train_seconds": round(trained - start, 1),
        "frequent": frequent,
        "seen": figures(lm, sample(train), frequent),
        "unseen": figures(lm, sample(tested), frequent),
        "answer_seconds": round(time.perf_counter() - trained, 1),
    }
    for row in line["unseen"]["invented"]:
        print(" | ".join(row))
    return line


def sample(pairs):
    chosen = random.Random(0).sample(sorted(pairs), min(ASKED, len(pairs)))
    return {question: pairs[question] for question in chosen}


def figures(lm, pairs, frequent):
    """What the model gets right of questions, and what it costs it to read the right answers."""
    prompts, golds = [f"{question} {SEPARATOR}" for question in pairs], list(pairs.values())
    found = [made.text.strip() for made in lm.generate(prompts, temperature=0, max_new_tokens=NEW_TOKENS)]
    before = lm.score(prompts, end=False)
    whole = lm.score([f"{prompt} {row[0]}" for prompt, row in zip(prompts, golds, strict=True)])
    bits = [(b.log_prob - a.log_prob, b.num_tokens - a.num_tokens) for a, b in zip(before, whole, strict=True)]
    log_prob, tokens = map(sum, zip(*bits, strict=True))
    return counted(found, golds, frequent) | {
        "perplexity": round(math.exp(-log_prob / tokens), 1),
        "invented": [[q, row[0], made] for q, row, made in zip(pairs, golds, found, strict=True)][:10],
    }


def counted(found, golds, frequent):
    """What is right of answers, and what "yes" to everything or the most frequent answer would get."""
    report = lk.tasks.answer_report(found, golds).as_dict()
    right = [bool(exact_match(*pair)) for pair in zip(found, golds, strict=True)]
    binary = [exact_match("yes", row) or exact_match("no", row) for row in golds]
    return {
        "questions": len(found),
        "answered": report["answered"],
        "exact_match": report["exact_match"],
        "f1": report["f1"],
        "intervals": report["intervals"],
        "yes_or_no": sum(map(bool, binary)),
        "right": sum(right),
        "right_yes_or_no": sum(each and bool(both) for each, both in zip(right, binary, strict=True)),
        "always_yes": statistics.fmean(exact_match("yes", row) for row in golds),
        "always_frequent": statistics.fmean(exact_match(frequent or "yes", row) for row in golds),
        "different": len(set(map(normalized_answer, found))),
    }


# === The log ===


def report(log):
    """Of each set a table: exact match and F1 in %, of questions that were trained on and of others."""
    for name, part, methods in tables(log):
        print(f"\n{name}, {part} part\n")
        head = ["questions", "runs", "asked", "exact match %", "95 % interval", "F1 %", "always yes %"]
        head += ["most frequent %", "right: yes or no", "right: other", "perplexity", "different answers"]
        print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
        for method, rows in methods.items():
            for kind in ("seen", "unseen"):
                print(f"| {' | '.join(cells_of(f'{method}, {kind}', [row[kind] for row in rows]))} |")
        for question, gold, made in next(iter(methods.values()))[0]["unseen"]["invented"]:
            print(f"    {question} | {gold} | {made}")


def cells_of(label, rows):
    def mean(key):
        return statistics.fmean(row[key] for row in rows)

    values = [100 * row["exact_match"] for row in rows]
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    low, high = (100 * statistics.fmean(row["intervals"]["exact_match"][end] for row in rows) for end in (0, 1))
    cells = [label, str(len(rows)), f"{mean('questions'):,.0f}", f"{mean('exact_match') * 100:.1f}{spread}"]
    cells += [f"{low:.1f} to {high:.1f}", f"{100 * mean('f1'):.1f}", f"{100 * mean('always_yes'):.1f}"]
    cells += [f"{100 * mean('always_frequent'):.1f}", f"{mean('right_yes_or_no'):.0f} of {mean('yes_or_no'):.0f}"]
    others = statistics.fmean(row["right"] - row["right_yes_or_no"] for row in rows)
    cells += [
        f"{others:.0f} of {mean('questions') - mean('yes_or_no'):.0f}",
        f"{mean('perplexity'):,.1f}" if "perplexity" in rows[0] else "",
    ]
    return [*cells, f"{mean('different'):.0f}"]


if __name__ == "__main__":
    main(__file__, __doc__, SETS, METHODS, measure, report)
