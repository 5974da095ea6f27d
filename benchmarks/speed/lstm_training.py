"""Training of the documents' LSTM language model: lm_keras, plain Keras and PyTorch on the same batches.

    python benchmarks/speed/lstm_training.py --torch ENV/bin/python [--hidden-dim 650]

Embedding -> 2 LSTM layers -> Dense over 10,000 words of the embedded Wikipedia excerpt, 20 rows of 35 words, the
state carried from batch to batch, plain SGD with a clipped gradient (Zaremba et al. 2014, without dropout). Each
rival runs in its own process, rounds of --steps in turns; the first round is not counted.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[1]))
from _common import commands, measure_in_turns, print_table, take_turns, turns_callback  # noqa: E402

ROWS, LENGTH, WORDS, LAYERS = 20, 35, 10_000, 2


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch", help="Python of an environment with torch; without it there is no such rival")
    parser.add_argument("--hidden-dim", type=int, default=200)
    parser.add_argument("--steps", type=int, default=40, help="a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", help="some of the rivals")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--ids", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        SIDES[options.side](np.load(options.ids), options)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ids.npy"
        np.save(path, stream())
        arguments = ["--ids", path, "--steps", options.steps, "--hidden-dim", options.hidden_dim]
        sides = commands(__file__, options.only or SIDES, {"torch": options.torch}, *arguments)
        speeds, told = measure_in_turns(sides, options.rounds, options.steps * ROWS * LENGTH)
    print_table(speeds, "tokens/s", "lm_keras")
    print({name: round(answer["loss"], 3) for name, answer in told.items()})


def stream():
    """The ids of the excerpt, [20, n]: each row goes on where its last batch ended."""
    import lm_keras as lk

    texts = lk.data.load("wiki-excerpt")
    tokenizer = lk.text.WordTokenizer.train(texts, vocab_size=WORDS)
    ids = np.concatenate([[*row, tokenizer.eos_id] for row in tokenizer.encode_batch(texts)]).astype("int32")
    return ids[: len(ids) // ROWS * ROWS].reshape(ROWS, -1)


def batches(ids):
    while True:
        for start in range(0, ids.shape[1] - LENGTH, LENGTH):
            yield ids[:, start : start + LENGTH], ids[:, start + 1 : start + LENGTH + 1]


# === lm_keras and Keras: `fit` stops at the end of each round until the next is asked for ===


def ours(ids, options, **changes):
    from lm_keras.utils.quiet import load_tensorflow

    load_tensorflow()
    import lm_keras as lk

    train(lk.models.build_lstm_lm(WORDS, **sizes(options), seed=0), ids, options, **changes)


def plain_keras(ids, options, **changes):
    """The same layers of Keras, as a user would write them."""
    from lm_keras.utils.quiet import load_tensorflow

    load_tensorflow()
    import keras
    from keras import layers

    inputs = keras.Input(batch_shape=(ROWS, None), dtype="int32")
    x = layers.Embedding(WORDS, options.hidden_dim)(inputs)
    for _ in range(LAYERS):
        x = layers.LSTM(options.hidden_dim, return_sequences=True, stateful=True)(x)
    model = keras.Model(inputs, layers.Dense(WORDS)(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(1.0, global_clipnorm=0.25), loss, **changes)
    run_in_rounds(
        lambda data, callback: model.fit(data, steps_per_epoch=10**6, verbose=0, callbacks=[callback]), ids, options
    )


def train(model, ids, options, **changes):
    import lm_keras as lk

    config = lk.TrainingConfig(epochs=1, learning_rate=1.0, optimizer="sgd", schedule="constant", warmup_steps=0,
                               weight_decay=0.0, clip_norm=0.25, **changes)  # fmt: skip
    run_in_rounds(lambda data, callback: lk.fit(model, data, config=config, callbacks=[callback]), ids, options)


def sizes(options):
    return {"embedding_dim": options.hidden_dim, "hidden_dim": options.hidden_dim, "num_layers": LAYERS}


def run_in_rounds(fit, ids, options):
    import tensorflow as tf

    from lm_keras.data import TextDataset

    spec = tf.TensorSpec([ROWS, LENGTH], tf.int32)
    data = tf.data.Dataset.from_generator(lambda: batches(ids), output_signature=(spec, spec)).prefetch(4)
    data = data.apply(tf.data.experimental.assert_cardinality(10**6))
    fit(TextDataset(data, contiguous=True, batch_size=ROWS), turns_callback(options.steps))


# === PyTorch ===


def torch_side(ids, options, dtype=None):
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(os.cpu_count())
    embed = torch.nn.Embedding(WORDS, options.hidden_dim)
    lstm = torch.nn.LSTM(options.hidden_dim, options.hidden_dim, LAYERS, batch_first=True)
    head = torch.nn.Linear(options.hidden_dim, WORDS)
    model = torch.nn.ModuleList([embed, lstm, head])
    for weight in model.parameters():
        torch.nn.init.uniform_(weight, -0.05, 0.05)
    optimizer = torch.optim.SGD(model.parameters(), 1.0)
    data, state = batches(ids), None

    def run():
        nonlocal state
        for _ in range(options.steps):
            x, y = (torch.from_numpy(part).long() for part in next(data))
            with torch.autocast("cpu", dtype or torch.float32, enabled=dtype is not None):
                out, state = lstm(embed(x), state)
                logits = head(out)
            loss = torch.nn.functional.cross_entropy(logits.float().view(-1, WORDS), y.reshape(-1))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.25)
            optimizer.step()
            state = tuple(part.detach() for part in state)
        return {"loss": loss.item()}

    take_turns(run)


def torch_bfloat16(ids, options):
    import torch

    torch_side(ids, options, torch.bfloat16)


SIDES = {
    "lm_keras": ours,
    "lm_keras bfloat16": lambda ids, options: ours(ids, options, dtype="mixed_bfloat16"),
    "lm_keras XLA": lambda ids, options: ours(ids, options, jit_compile=True),
    "keras": plain_keras,
    "keras XLA": lambda ids, options: plain_keras(ids, options, jit_compile=True),
    "torch": torch_side,
    "torch bfloat16": torch_bfloat16,
}

if __name__ == "__main__":
    main()
