"""Tokenizers against their peers, all giving ids: words against NLTK, BPE inside tf.data against KerasHub.

    python benchmarks/speed/text_peers.py words [--rounds N]
    python benchmarks/speed/text_peers.py bpe --peer PYTHON [--gpt2 FOLDER] [--calls N] [--rounds N]

Text: the embedded Wikipedia excerpt, a paragraph a string. Each rival has its own process and they take turns, a
round each; medians. "words": `WordTokenizer.encode_batch` and a loop of NLTK's word_tokenize over the same texts,
each taken as one piece (preserve_line=True) as `encode` takes them, with the same vocabulary. What the tokenizer
remembers of pieces is there from the first, uncounted round; "new" is a tokenizer that has seen nothing.
"bpe": `BPETokenizer.tf_encode` and KerasHub's BytePairTokenizer in `tf.data`, batches of 256, --calls at a time (-1:
as tf.data decides), same vocabulary: 8,000 tokens trained on the text, or GPT-2's (--gpt2: encoder.json, vocab.bpe).
KerasHub remembers words: so besides the same texts again and again there is a new part of them a round. PYTHON has
KerasHub; with --calls 1 each rival has one core.
"""

import argparse
import itertools
import json
import os
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
from _common import measure_in_turns, print_table, take_turns  # noqa: E402

BATCH = 256  # paragraphs


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("words", "bpe", "rival"))
    parser.add_argument("--peer", default=sys.executable, help="an interpreter that has keras_hub")
    parser.add_argument("--gpt2", type=Path)
    parser.add_argument("--calls", type=int, default=1, help="num_parallel_calls of tf.data's map")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rival", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task == "rival":
        name, folder, *rest = options.rival
        globals()[name](Path(folder), *map(int, rest))
        return
    from lm_keras.utils.quiet import load_tensorflow

    load_tensorflow()
    with tempfile.TemporaryDirectory() as folder:
        compare = compare_words if options.task == "words" else compare_bpe
        compare(Path(folder), options)


def compare_words(folder, options):
    import lm_keras as lk

    texts = lk.data.load("wiki-excerpt")
    tokenizer = lk.text.WordTokenizer.train(texts, vocab_size=10_000)
    write(folder, texts)
    tokenizer.save(folder)
    rivals = {
        "lm_keras, encode_batch": "our_words",
        "lm_keras, new": "our_new_words",
        "NLTK, word_tokenize": "nltk_words",
    }
    commands = {name: command(sys.executable, rival, folder) for name, rival in rivals.items()}
    show(commands, options.rounds, [texts] * 2)


def compare_bpe(folder, options):
    import lm_keras as lk

    texts = lk.data.load("wiki-excerpt")
    texts = texts[: len(texts) // (BATCH * (options.rounds + 1)) * BATCH * (options.rounds + 1)]
    write(folder, texts)
    if options.gpt2:
        tokenizer = lk.text.BPETokenizer.from_files(options.gpt2 / "encoder.json", options.gpt2 / "vocab.bpe")
    else:
        tokenizer = lk.text.BPETokenizer.train(texts, vocab_size=8_000)
    tokenizer.save(folder)
    merges = [f"{left} {right}" for left, right in tokenizer.merges]
    vocabulary = {token: i for i, token in enumerate(tokenizer.tokens)}
    (folder / "keras_hub.json").write_text(json.dumps({"vocabulary": vocabulary, "merges": merges}))
    parts = options.rounds + 1
    for title, count in (("the same texts again", 1), ("new texts each round", parts)):
        print(f"\n{title}, num_parallel_calls={options.calls}")
        commands = {
            "lm_keras": command(sys.executable, "our_bpe", folder, count, options.calls),
            "KerasHub": command(options.peer, "hub_bpe", folder, count, options.calls),
        }
        size = len(texts) // count
        show(commands, options.rounds, [texts[-size:], texts])  # of the last round


def command(python, rival, folder, *rest):
    return [python, __file__, "rival", "--rival", rival, str(folder), *map(str, rest)]


def show(commands, rounds, texts):
    """`texts`: those of the last round, and all of them (the rounds have about as many bytes each)."""
    last, every = texts
    share = round(len(every) / len(last))
    megabytes = sum(len(text.encode()) for text in every) / 1e6 / share
    speeds, told = measure_in_turns(commands, rounds, megabytes * 1000)
    sums = {name: tuple(answer["check"]) for name, answer in told.items()}
    assert len(set(sums.values())) == 1, f"the rivals give different ids: {sums}"
    print(f"{len(last):,} paragraphs, {megabytes:.2f} MB a round; {sums.popitem()[1][0]:,} tokens in the last one")
    print_table(speeds, "kB/s", next(iter(commands)))


def write(folder, texts):
    (folder / "texts.json").write_text(json.dumps(texts))


def read(folder):
    return json.loads((folder / "texts.json").read_text())


# === Rivals, each in a process of its own ===


def check(rows):
    """How many ids there are, and their sum."""
    flat = list(itertools.chain.from_iterable(rows))
    return {"check": (len(flat), sum(flat))}


def our_words(folder):
    import lm_keras as lk

    texts, tokenizer = read(folder), lk.text.load_tokenizer(folder)
    kept = []

    def run():
        kept[:] = tokenizer.encode_batch(texts)

    turns(run, lambda: check(kept))


def our_new_words(folder):
    import lm_keras as lk

    texts, tokens = read(folder), lk.text.load_tokenizer(folder).tokens
    kept = []

    def run():
        kept[:] = lk.text.WordTokenizer(tokens).encode_batch(texts)

    turns(run, lambda: check(kept))


def nltk_words(folder):
    from nltk.tokenize import word_tokenize

    texts, tokens = read(folder), json.loads((folder / "tokenizer.json").read_text())["tokens"]
    ids = {token: i for i, token in enumerate(tokens) if i > 2}
    kept = []

    def look_up(word):  # as WordTokenizer: the period of a sentence inside the text stays on its word
        if word in ids:
            return [ids[word]]
        if len(word) > 1 and word[-1] == "." and word[-2] != ".":
            return [ids.get(word[:-1], 1), ids["."]]
        return [1]

    def run():
        kept[:] = [[i for word in word_tokenize(text, preserve_line=True) for i in look_up(word)] for text in texts]

    turns(run, lambda: check(kept))


def turns(run, told):
    """take_turns, but what is told is worked out after the first round only."""
    answer = {}

    def turn():
        run()
        return answer

    run()
    answer.update(told())
    take_turns(turn)


def our_bpe(folder, parts, calls):
    one_core(calls)
    from lm_keras.utils.quiet import load_tensorflow

    load_tensorflow()
    import lm_keras as lk

    run_dataset(folder, lk.text.load_tokenizer(folder).tf_encode, parts, calls)


def hub_bpe(folder, parts, calls):
    one_core(calls)
    import keras_hub

    run_dataset(
        folder,
        keras_hub.tokenizers.BytePairTokenizer(**json.loads((folder / "keras_hub.json").read_text())),
        parts,
        calls,
    )


def one_core(calls):
    os.environ["KERAS_BACKEND"] = "tensorflow"
    if calls == 1:
        os.environ.update(TF_NUM_INTRAOP_THREADS="1", TF_NUM_INTEROP_THREADS="1")


def run_dataset(folder, encode, parts, calls):
    """Each round the next of `parts` of the texts, out of one dataset that goes on and on."""
    import tensorflow as tf

    texts = tf.constant(read(folder))
    starts = tf.data.Dataset.range(0, len(texts), BATCH).repeat()
    encoded = iter(starts.map(lambda i: encode(texts[i : i + BATCH]), num_parallel_calls=calls))

    def run():
        tokens = total = 0
        for ids in itertools.islice(encoded, len(texts) // BATCH // parts):
            tokens, total = tokens + ids.flat_values.shape[0], total + ids.flat_values.numpy().sum(dtype="int64")
        return {"check": (tokens, int(total))}

    take_turns(run)


if __name__ == "__main__":
    main()
