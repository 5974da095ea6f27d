"""In-context learning made visible: loss by what stands in the window, and the head that copies.

    python benchmarks/quality/in_context.py code --log runs/in_context.jsonl
    LM_KERAS_DATA=... python benchmarks/quality/in_context.py pretrained MODEL --log runs/in_context.jsonl

`code`: a GPT of two layers with rotary positions is trained on texts such as "aQeBaQ", each with a letter code of its
own; nothing but the text itself says what the code is. A text for training uses 1 to 12 of the letters: from texts
that all use 12 a GPT-2 learned nothing in 3,000 steps. Loss of an answer by the number of pairs before, and by
whether its letter has been seen in the text. `pretrained`: news items and their topics as examples; and loss by
position of texts. Control of both: the answers of the examples before are shuffled among them, the one that is scored
stays right (as in Min et al. 2022). Three seeds; a JSON line each. MODEL: a .gguf file, a folder or a name.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

import lm_keras as lk  # which imports TensorFlow and Keras at first use
from lm_keras.utils.quiet import load_tensorflow

sys.path.append(str(Path(__file__).parents[1]))
from _common import memory_bytes  # noqa: E402

LETTERS, PAIRS = "abcdefghijkl", 24  # of a text
SHOTS, ITEMS = 8, 100


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("code", "pretrained"))
    parser.add_argument("model", nargs="?", help="of pretrained: a .gguf file, a folder, or a name")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3000, help="of the small GPT")
    parser.add_argument("--log", type=Path, default=Path("runs/in_context.jsonl"))
    options = parser.parse_args()
    if options.what == "pretrained" and not options.model:
        parser.error("give MODEL")
    load_tensorflow()
    for seed in range(options.seeds):
        started = time.perf_counter()
        line = code(options, seed) if options.what == "code" else pretrained(options, seed)
        line |= {"seconds": round(time.perf_counter() - started, 1), "peak_mb": memory_bytes() >> 20}
        line = {"what": options.what, "seed": seed, **line}
        options.log.parent.mkdir(parents=True, exist_ok=True)
        with options.log.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)


# === A letter code that changes from text to text ===


def series(rng, used=None):
    """A row of (letter, its letter in the code) by one code, of `used` different letters at most; None: of all."""
    code, letters = rng.permutation(list(LETTERS.upper())), rng.permutation(len(LETTERS))[:used]
    return [(LETTERS[i], str(code[i])) for i in rng.choice(letters, PAIRS)]


def text_of(row):
    return "".join(question + answer for question, answer in row)


def code(options, seed):
    rng = np.random.default_rng(seed)
    tokenizer = lk.text.CharTokenizer.train([LETTERS + LETTERS.upper()])
    count, batch = 64 * 500, 64
    texts = [text_of(series(rng, rng.integers(1, len(LETTERS) + 1))) for _ in range(count)]
    ids = np.array([[tokenizer.bos_id, *row] for row in tokenizer.encode_batch(texts)], "int32")
    model = lk.models.build_llama(
        tokenizer.vocab_size, max_length=64, hidden_dim=64, num_heads=2, num_layers=2, seed=seed
    )
    config = lk.TrainingConfig(
        max_steps=options.steps, batch_size=batch, learning_rate=2e-3, beta_2=0.99, schedule="constant", seed=seed,
        epochs=-(-options.steps * batch // count), logging_steps=500,
    )  # fmt: skip
    lk.fit(model, (ids[:, :-1], ids[:, 1:]), config=config)
    lm = lk.LanguageModel(model, tokenizer)
    held_out = [series(rng) for _ in range(500)]
    curve = lk.contexts.loss_by_examples(lm, held_out, "")
    known, new = known_or_new(lm, held_out[:200])
    rows = np.array([[tokenizer.bos_id, *row] for row in tokenizer.encode_batch(map(text_of, held_out[:50]))])
    scores = lk.contexts.copying_scores(model, rows)
    copying = scores == scores.max()
    return {
        "right": np.round(curve.nats, 3).tolist(),
        "right_accuracy": np.round(curve.accuracy, 3).tolist(),
        **shuffled(lm, held_out[:200], "", rng),
        "nats_letter_seen": known, "nats_letter_new": new, "of_a_guess": round(float(np.log(len(LETTERS))), 3),
        "copying_scores": np.round(scores, 3).tolist(), "copying_head": np.argwhere(copying)[0].tolist(),
        "last_8": round(float(curve.nats[-8:].mean()), 3),
        "last_8_without_it": round(without(lm, held_out[:200], copying), 3),
    }  # fmt: skip


def shuffled(lm, rows, separator, rng):
    """Loss of right answers after 0, 2, 4 ... examples whose answers are in another order."""
    counts, nats, accuracy = range(0, len(rows[0]), 2), [], []
    for count in counts:
        given = []
        for row in rows:
            order = rng.permutation(count)
            examples = [(question, row[i][1]) for (question, _), i in zip(row[:count], order, strict=True)]
            given.append([*examples, row[count]])
        curve = lk.contexts.loss_by_examples(lm, given, separator)
        nats.append(round(float(curve.nats[-1]), 3))
        accuracy.append(round(float(curve.accuracy[-1]), 3))
    return {"shuffled_counts": [*counts], "shuffled": nats, "shuffled_accuracy": accuracy}


def known_or_new(lm, rows):
    """Mean nats of answers whose letter stands in the text before, and of the others."""
    seen, unseen = [], []
    for row in rows:
        curve = lk.contexts.loss_by_examples(lm, [row], "")
        for k, (question, _) in enumerate(row):
            (seen if question in [asked for asked, _ in row[:k]] else unseen).append(curve.nats[k])
    return round(float(np.mean(seen)), 3), round(float(np.mean(unseen)), 3)


def without(lm, rows, heads):
    """Mean nats of the last 8 answers without the heads that are True in [L, H].

    A head is taken away by zeros in the rows of the output projection that read it.
    """
    kernels = [lm.model.get_layer(f"block_{layer}").attention.out.kernel for layer in range(len(heads))]
    kept = [kernel.numpy() for kernel in kernels]
    for kernel, values, away in zip(kernels, kept, heads, strict=True):
        kernel.assign(np.where(np.repeat(away, len(values) // len(away))[:, None], 0, values))
    found = lk.contexts.loss_by_examples(lk.LanguageModel(lm.model, lm.tokenizer), rows, "").nats[-8:].mean()
    for kernel, values in zip(kernels, kept, strict=True):
        kernel.assign(values)
    return float(found)


# === A pretrained model ===


def pretrained(options, seed):
    lm, rng = lk.models.load_pretrained(options.model), np.random.default_rng(seed)
    names = {"world": " World", "sports": " Sports", "business": " Business", "technology": " Technology"}
    items = lk.data.load("ag-news", "test")
    classes = list(names)
    rows = []
    for _ in range(ITEMS):
        chosen = [items[i] for i in rng.choice(len(items), SHOTS + 1, replace=False)]
        texts = [" ".join(item.text.split()[:25]) for item in chosen]
        answers = [names[classes[item.label]] for item in chosen]
        rows.append([(f"Article: {text}\nTopic:", a) for text, a in zip(texts, answers, strict=True)])
    curve = lk.contexts.loss_by_examples(lm, rows, "\n\n")
    running = lk.data.load("wiki-excerpt", "validation")
    long = [" ".join(running[i : i + 12]) for i in rng.choice(len(running) - 12, 32, replace=False)]
    by_position = lk.contexts.loss_by_position(lm, long, length=512).nats
    edges = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
    return {
        "right": np.round(curve.nats, 3).tolist(),
        "right_stderr": np.round(curve.stderr, 3).tolist(),
        "right_accuracy": np.round(curve.accuracy, 3).tolist(),
        **shuffled(lm, rows, "\n\n", rng),
        "nats_at_positions": {
            f"{a}-{b - 1}": round(float(np.nanmean(by_position[a:b])), 3)
            for a, b in zip(edges, edges[1:], strict=False) if a < len(by_position)
        },
    }  # fmt: skip


if __name__ == "__main__":
    main()
