"""Fine-tuning of a BERT classifier: lm_keras, KerasHub and Transformers on PyTorch (fused AdamW).

    python benchmarks/speed/bert_finetuning.py --torch ENV/bin/python --keras-hub ENV/bin/python

6 layers, 384 wide, 12 heads, 30,522 words, 2 classes; 16 texts a step, 64 to 128 of their 128 places tokens and the
rest padding, which counts as tokens here. Random weights and tokens, which cost what real ones cost; AdamW, gradient
clipped to norm 1, dropout on every side. Each rival runs in its own process, rounds of some steps in turns; the first
round is not counted. The losses under the table are no rivals' measure: Keras tells the mean of all steps so far,
PyTorch the last step's.
"""

import argparse
import os
import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[1]))
from _common import commands, measure_in_turns, print_table, take_turns, turns_callback  # noqa: E402

LAYERS, HEADS, WIDTH, VOCAB, PLACES, CLASSES = 6, 12, 384, 30522, 512, 2
ROWS, LENGTH, STEPS = 16, 128, 5


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch", help="Python of an environment with torch and transformers; else no such rival")
    parser.add_argument("--keras-hub", help="Python of an environment with keras-hub")
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", help="some of the rivals")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        SIDES[options.side](options.dropout)
        return
    pythons = {"Transformers": options.torch, "KerasHub": options.keras_hub}
    sides = commands(__file__, options.only or SIDES, pythons, "--dropout", options.dropout)
    speeds, told = measure_in_turns(sides, options.rounds, STEPS * ROWS * LENGTH)
    print_table(speeds, "tokens/s", next(iter(sides)))
    print({name: round(answer["loss"], 3) for name, answer in told.items()})


def texts():
    """Token ids and padding mask [ROWS, LENGTH], labels [ROWS]."""
    random = np.random.default_rng(0)
    ids = random.integers(1, VOCAB, (ROWS, LENGTH), dtype="int32")
    mask = (np.arange(LENGTH) < random.integers(LENGTH // 2, LENGTH + 1, (ROWS, 1))).astype("int32")
    return ids * mask, mask, random.integers(0, CLASSES, ROWS, dtype="int32")


def ours(dropout, **changes):
    from lm_keras.utils.quiet import load_tensorflow

    load_tensorflow()
    import lm_keras as lk

    sizes = {"hidden_dim": WIDTH, "num_layers": LAYERS, "num_heads": HEADS, "max_length": PLACES}
    encoder = lk.models.build_bert(VOCAB, **sizes, dropout=dropout, seed=0)
    model = lk.models.sequence_classifier(encoder, CLASSES, dropout=dropout, seed=0)
    config = lk.TrainingConfig(
        epochs=1, learning_rate=5e-5, schedule="constant", warmup_steps=0, clip_norm=1.0, **changes
    )
    in_rounds(lambda data, callback: lk.fit(model, data, config=config, callbacks=[callback]))


def keras_hub(dropout, policy="float32", **changes):
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras
    import keras_hub

    keras.config.set_dtype_policy(policy)
    backbone = keras_hub.models.BertBackbone(
        VOCAB, LAYERS, HEADS, WIDTH, 4 * WIDTH, dropout=dropout, max_sequence_length=PLACES
    )
    model = keras_hub.models.BertTextClassifier(backbone, CLASSES, dropout=dropout)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        optimizer=keras.optimizers.AdamW(5e-5, weight_decay=0.01, global_clipnorm=1.0), loss=loss, **changes
    )
    in_rounds(lambda data, callback: model.fit(data, steps_per_epoch=10**6, verbose=0, callbacks=[callback]))


def in_rounds(fit):
    import tensorflow as tf

    ids, mask, labels = texts()
    inputs = {"token_ids": ids, "segment_ids": np.zeros_like(ids), "padding_mask": mask}
    fit(tf.data.Dataset.from_tensors((inputs, labels)).repeat(10**6), turns_callback(STEPS))


def transformers(dropout, attention="sdpa", dtype=None, compiled=False):
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    torch.set_num_threads(os.cpu_count())
    config = BertConfig(
        vocab_size=VOCAB,
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=4 * WIDTH,
        max_position_embeddings=PLACES,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        num_labels=CLASSES,
        attn_implementation=attention,
    )
    model = BertForSequenceClassification(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), 5e-5, weight_decay=0.01, fused=True)
    ids, mask, labels = (torch.from_numpy(part).long() for part in texts())
    run_model = torch.compile(model) if compiled else model

    def run():
        for _ in range(STEPS):
            with torch.autocast("cpu", dtype or torch.float32, enabled=dtype is not None):
                loss = run_model(input_ids=ids, attention_mask=mask, labels=labels).loss
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        return {"loss": loss.item()}

    take_turns(run)


def transformers_bfloat16(dropout, **changes):
    import torch

    transformers(dropout, dtype=torch.bfloat16, **changes)


SIDES = {
    "lm_keras": ours,
    "lm_keras XLA": lambda dropout: ours(dropout, jit_compile=True),
    "lm_keras bfloat16": lambda dropout: ours(dropout, dtype="mixed_bfloat16"),
    "lm_keras bfloat16 XLA": lambda dropout: ours(dropout, dtype="mixed_bfloat16", jit_compile=True),
    "KerasHub": keras_hub,
    "KerasHub XLA": lambda dropout: keras_hub(dropout, jit_compile=True),
    "KerasHub bfloat16": lambda dropout: keras_hub(dropout, "mixed_bfloat16"),
    "Transformers": transformers,
    "Transformers eager": lambda dropout: transformers(dropout, "eager"),
    "Transformers compiled": lambda dropout: transformers(dropout, compiled=True),
    "Transformers bfloat16": transformers_bfloat16,
    "Transformers bfloat16 eager": lambda dropout: transformers_bfloat16(dropout, attention="eager"),
    "Transformers bfloat16 compiled": lambda dropout: transformers_bfloat16(dropout, compiled=True),
}

if __name__ == "__main__":
    main()
