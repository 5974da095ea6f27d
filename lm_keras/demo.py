"""From text to a checked export on the embedded corpus: `make demo`, or `python -m lm_keras.demo`."""

import os
import shutil
import sys
import time
from pathlib import Path

STARTED = time.perf_counter()
PROMPTS = ("The city was founded in", "In the nineteenth century ,", "He was born in")


def main(run="runs/demo", target="saved_models/demo", epochs=4, vocab_size=5000):
    """Text, tokens, LSTM, training, evaluation, generation, export, check and queries; prints as it goes."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from lm_keras.utils.quiet import load_tensorflow

    load_tensorflow()
    shutil.rmtree(run, ignore_errors=True)
    language_model, perplexity, trigram = train(Path(run), epochs, vocab_size)
    problems = serve(language_model, target)
    heading("Done")
    if problems or perplexity >= trigram:
        print("FAILED: " + ("the export check found problems" if problems else "the trigram is better"))
        return 1
    return 0


def heading(text):
    print(f"\n[{time.perf_counter() - STARTED:5.0f} s] {text}", flush=True)


def train(run, epochs, vocab_size):
    """From text to a trained language model; returns it, its held-out perplexity and the trigram's."""
    import lm_keras as lk
    from lm_keras.training import kneser_ney_perplexity, plot_learning_curve, unigram_perplexity
    from lm_keras.training.run.log import read_rows

    heading("Text: an excerpt of the English Wikipedia that comes with gensim")
    train, valid = (
        [lk.text.clean(text) for text in lk.data.load("wiki-excerpt", split)] for split in ("train", "validation")
    )
    print(f"{len(train):,} paragraphs to train on, {len(valid):,} held out, for example:\n  {train[0][:150]} ...")

    heading("Words: NLTK's tokenizer, the most frequent words of the training part")
    tokenizer = lk.text.WordTokenizer.train(train, vocab_size=vocab_size)
    train_ids, valid_ids = tokenizer.encode_batch(train), tokenizer.encode_batch(valid)
    known = 1 - sum(ids.count(tokenizer.unk_id) for ids in valid_ids) / sum(map(len, valid_ids))
    print(f"{tokenizer.vocab_size:,} tokens cover {known:.1%} of the {sum(map(len, valid_ids)):,} held-out words")
    print(f"  {tokenizer.tokens[3:15]} ...")

    heading("Baselines on the same held-out tokens")
    unigram = unigram_perplexity(train_ids, valid_ids, tokenizer.vocab_size, eos_id=tokenizer.eos_id)
    trigram = kneser_ney_perplexity(train_ids, valid_ids, tokenizer.vocab_size, eos_id=tokenizer.eos_id)
    print(f"unigram perplexity {unigram:.1f}, interpolated Kneser-Ney trigram perplexity {trigram:.1f}")

    heading("Model: Embedding -> LSTM -> Dense, the output tied to the embedding")
    model = lk.models.build_lstm_lm(
        tokenizer.vocab_size, embedding_dim=128, hidden_dim=256, dropout=0.2, tie_embeddings=True, seed=0
    )
    model.summary(line_length=80)

    heading("Training")
    windows = lk.data.lm_windows(train, tokenizer, length=35, batch_size=32, seed=0)
    held_out = lk.data.lm_windows(valid, tokenizer, length=35, batch_size=64, shuffle=False)
    config = lk.TrainingConfig(epochs=epochs, learning_rate=4e-3, warmup_steps=100, output_dir=run)
    lk.fit(model, windows, held_out, config)

    heading("Evaluation on the held-out paragraphs")
    result = lk.evaluate(model, held_out)
    baselines = {"unigram": unigram, "Kneser-Ney trigram": trigram}
    for name, value in {**baselines, "LSTM": result["perplexity"]}.items():
        print(f"  {name:<20} perplexity {value:7.1f}")
    print(
        f"  {result['tokens']:,} tokens, accuracy {result['accuracy']:.3f}, {result['bits_per_byte']:.3f} bits a byte"
    )
    picture = plot_learning_curve(read_rows(run / "metrics.csv"), run / "learning_curve.png", baselines)
    print(f"  learning curve: {picture}")
    language_model = lk.LanguageModel(model, tokenizer)
    language_model.save(run)
    return language_model, result["perplexity"], trigram


def serve(language_model, target):
    """Samples, exports, checks and queries; returns what the check found."""
    import lm_keras as lk
    from lm_keras.generation.config import inputs_of
    from lm_keras.serving import query

    heading("Three sampled continuations")
    for prompt, made in zip(
        PROMPTS, language_model.generate(list(PROMPTS), max_new_tokens=30, temperature=0.8, top_k=40), strict=True
    ):
        print(f"  {prompt} |{made.text}")

    heading("Export: a SavedModel that takes text and gives text")
    version = lk.export(language_model, target)
    print(version)

    heading("Check: a fresh process, a TF1 Session, XLA off, without keras and lm_keras")
    problems = lk.check(version)
    print("\n".join(problems) or f"{version}: ready to serve")

    heading("One query of each signature")
    options = inputs_of("sample") | {"max_new_tokens": 12, "temperature": 0.8, "top_k": 40, "top_p": 0.95, "seed": 1}
    options = {name: [value] for name, value in options.items()}
    calls = [
        {"signature": "score", "inputs": {"text": ["The city was founded in 1850."]}},
        {"signature": "generate", "inputs": {"prompt": [PROMPTS[0]], "max_new_tokens": [12]}},
        {"signature": "sample", "inputs": {"prompt": [PROMPTS[0]], **options}},
    ]
    for call, answer in zip(calls, query(version, calls)["results"], strict=True):
        print(f"  {call['signature']:<9} { ({k: v[0] for k, v in call['inputs'].items()}) }")
        print(f"  {'':<7}-> { ({k: v[0] for k, v in answer.items()}) }")

    return problems


if __name__ == "__main__":
    sys.exit(main())
