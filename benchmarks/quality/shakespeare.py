"""Characters of Tiny Shakespeare in nanoGPT's CPU configuration: 4 layers, 4 heads, 128 wide, block 64, batch 12.

LM_KERAS_DATA=... python benchmarks/quality/shakespeare.py          # 2,000 steps; nanoGPT's README gives 1.88 nats
"""

import argparse

from lm_keras.utils.quiet import load_tensorflow

load_tensorflow()

import tensorflow as tf  # noqa: E402

import lm_keras as lk  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1337)
    parser.add_argument("--out", default="runs/shakespeare")
    options = parser.parse_args()

    texts = {split: list(lk.data.load("tinyshakespeare", split)) for split in ("train", "validation")}
    tokenizer = lk.text.CharTokenizer.train(texts["train"])
    train = lk.data.lm_windows(texts["train"], tokenizer, 64, 12, seed=options.seed)
    train = train.repeat().take(options.steps).apply(tf.data.experimental.assert_cardinality(options.steps))
    validation = lk.data.lm_windows(texts["validation"], tokenizer, 64, 64, shuffle=False)
    model = lk.models.build_gpt2(
        tokenizer.vocab_size, max_length=64, hidden_dim=128, num_layers=4, num_heads=4, seed=options.seed
    )
    config = lk.TrainingConfig(
        epochs=1, learning_rate=1e-3, min_learning_rate=1e-4, warmup_steps=100, beta_2=0.99, weight_decay=0.1,
        jit_compile=True, seed=options.seed, logging_steps=100, output_dir=options.out,
    )  # fmt: skip
    lk.fit(model, train, validation, config)
    language_model = lk.LanguageModel(model, tokenizer)
    language_model.save(options.out)
    print({name: round(value, 4) for name, value in lk.evaluate(model, validation).items()})
    print(language_model.generate("ROMEO:", max_new_tokens=200, temperature=0.8, seed=options.seed)[0].text)


if __name__ == "__main__":
    main()
