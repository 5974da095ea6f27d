"""A prefix from another sense: a frozen language model names the digit of an image, and says whether it is even.

    python benchmarks/quality/digits.py --log runs/digits.jsonl

The images are scikit-learn's: 1,797 digits of 8 x 8 pixels, written by 43 people. A GPT of two layers learns to
speak from text alone, such as "three. It is three. Is it even? no." Then it is frozen, and two dense layers learn to
make of an image eight vectors that stand before the first token (as in Frozen, Tsimpoukelli et al. 2021; a prompt as
in Lester et al. 2021). `names`: they learn from "It is three." alone, so that nobody ever said which images are even;
`names and parity`: from both sentences. Beside them logistic regression on the pixels. 1,197 images are for training,
200 chose the epochs, 400 are measured once. Three seeds; a JSON line each.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import keras
import numpy as np

import lm_keras as lk

sys.path.append(str(Path(__file__).parents[1]))
from _common import memory_bytes  # noqa: E402

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NAME, PARITY = "It is {word}.", "Is it even? {answer}."
NUM_VECTORS = 8
METHODS = {"names": [NAME], "names and parity": [NAME, PARITY]}  # what the images' vectors learn from


def sentence(form, digit):
    return form.format(word=WORDS[digit], answer="no" if digit % 2 else "yes")


def speaker(seed, epochs=4):
    """A language model of numbers, from text alone."""
    rng = np.random.default_rng(seed)
    texts = []
    for digit in rng.integers(0, 10, 4000):
        forms = [NAME, PARITY][:: rng.choice([1, -1])]
        texts.append(" ".join([f"{WORDS[digit]}.", *(sentence(form, digit) for form in forms)]))
    tokenizer = lk.text.WordTokenizer.train(texts, vocab_size=40)
    model = lk.models.build_gpt2(
        tokenizer.vocab_size, max_length=64, hidden_dim=64, num_heads=4, num_layers=2, dropout=0.0, seed=seed
    )
    rows = [[tokenizer.bos_id, *ids, tokenizer.eos_id] for ids in tokenizer.encode_batch(texts)]
    ids = keras.utils.pad_sequences(rows, value=-1, padding="post")
    lk.fit(model, (ids[:, :-1], ids[:, 1:]), config=lk.TrainingConfig(epochs=epochs, learning_rate=2e-3, seed=seed))
    return lk.LanguageModel(model, tokenizer)


class Seeing(keras.Model):
    """Images [B, 64] and ids [B, T] -> logits [B, T, V] of a frozen language model after the images' vectors."""

    def __init__(self, lm, seed):
        super().__init__()
        self.model, width = lm.model, lm.model.word_vectors_model.output_shape[-1]
        self.eyes = keras.Sequential([
            keras.Input([64]),
            keras.layers.Dense(128, "relu", kernel_initializer=keras.initializers.GlorotUniform(seed)),
            keras.layers.Dropout(0.2, seed=seed),
            keras.layers.Dense(NUM_VECTORS * width, kernel_initializer=keras.initializers.GlorotUniform(seed + 1)),
            keras.layers.Reshape([NUM_VECTORS, width]),
        ])  # fmt: skip

    def call(self, inputs):
        model, ids = self.model, inputs["ids"]
        state = model.initial_state(keras.ops.shape(ids)[0], NUM_VECTORS + ids.shape[1])
        _, state = model.step_vectors(self.eyes(inputs["image"]), state)
        return model.step(ids, state)[0]


def rows_of(lm, forms, images, digits):
    """The inputs and labels of an image with each of its sentences; only the word that answers counts."""
    tokenizer, rows, labels = lm.tokenizer, [], []
    for form in forms:
        known = len(tokenizer.encode(form.split("{")[0]))
        for digit in digits:
            ids = [tokenizer.bos_id, *tokenizer.encode(sentence(form, digit))]
            rows.append(ids[:-1])
            labels.append([-1] * known + ids[known + 1 : known + 2])
    rows, labels = (keras.utils.pad_sequences(x, maxlen=8, value=-1, padding="post") for x in (rows, labels))
    return {"image": np.tile(images, (len(forms), 1)), "ids": rows}, labels


def answers(lm, vectors, beginning):
    """What the language model writes after an image's vectors and the beginning of a sentence."""
    seen = lm.with_prompt(lk.prompting.LearnedPrompt(NUM_VECTORS, vectors=vectors))
    return seen.generate(beginning, max_new_tokens=8, temperature=0.0, stop=["."])[0].text.strip(" .")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=40, help="of the dense layers")
    parser.add_argument("--log", type=Path, default=Path("runs/digits.jsonl"))
    parser.add_argument("--test", action="store_true", help="measure on the test part, not on the validation part")
    options = parser.parse_args()
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    images, digits = load_digits(return_X_y=True)
    images = (images / 16).astype("float32")
    order = np.random.default_rng(0).permutation(len(images))
    train, valid, test = np.split(order, [1197, 1397])
    measured = test if options.test else valid
    plain = LogisticRegression(max_iter=1000)
    even = plain.fit(images[train], digits[train] % 2).score(images[measured], digits[measured] % 2)
    number = plain.fit(images[train], digits[train]).score(images[measured], digits[measured])
    write(options.log, {"method": "logistic regression", "number": number, "even": even, "images": len(measured)})
    for seed in range(options.seeds):
        started = time.perf_counter()
        lm = speaker(seed)
        spoken = time.perf_counter() - started
        lm.model.trainable = False
        for method, forms in METHODS.items():
            started = time.perf_counter()
            seeing = Seeing(lm, seed)
            x, y = rows_of(lm, forms, images[train], digits[train])
            rate = keras.optimizers.schedules.CosineDecay(2e-3, options.epochs * -(-len(y) // 32))
            seeing.compile(keras.optimizers.Adam(rate), loss=lk.losses.CrossEntropy())
            seeing.fit(x, y, batch_size=32, epochs=options.epochs, verbose=0)
            trained = time.perf_counter() - started
            vectors = seeing.eyes.predict(images[measured], verbose=0)
            said, parity = ([answers(lm, v, form.split("{")[0]) for v in vectors] for form in (NAME, PARITY))
            of_word = {word: "no" if i % 2 else "yes" for i, word in enumerate(WORDS)}
            write(options.log, {
                "method": method, "seed": seed, "part": "test" if options.test else "validation",
                "number": share(word == WORDS[d] for word, d in zip(said, digits[measured], strict=True)),
                "even": share(word == of_word[WORDS[d]] for word, d in zip(parity, digits[measured], strict=True)),
                "agree": share(word == of_word.get(name) for name, word in zip(said, parity, strict=True)),
                "images": len(measured), "speaker_seconds": round(spoken, 1), "eyes_seconds": round(trained, 1),
                "seconds": round(time.perf_counter() - started, 1), "peak_mb": memory_bytes() >> 20,
            })  # fmt: skip


def share(right):
    return round(float(np.mean(list(right))), 4)


def write(path, line):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
