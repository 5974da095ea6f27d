"""Decoding with a recurrent model: lm_keras and the loop of many tutorials, `model.predict` on the text so far.

    python benchmarks/speed/predict_loop.py

2 layers of 200 over 10,000 words with their starting weights, one text, greedy, 64 tokens; in turns, in one process.
Both find the same words.
"""

import argparse
import statistics
import time

from lm_keras.utils.quiet import load_tensorflow

load_tensorflow()

import keras  # noqa: E402
import numpy as np  # noqa: E402

import lm_keras as lk  # noqa: E402

WORDS, NEW = 10_000, 64


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    keras.utils.disable_interactive_logging()
    tokenizer = lk.text.WordTokenizer.train([" ".join(f"word{i}" for i in range(WORDS))], vocab_size=WORDS)
    for family in ("rnn", "lstm"):
        build = getattr(lk.models, lk.models.BUILDERS[family])
        lm = lk.LanguageModel(build(WORDS, embedding_dim=200, hidden_dim=200, num_layers=2, seed=0), tokenizer)
        times = {loop: [], ours: [], ours_compiled: []}
        for turn in range(options.rounds + 1):
            found = []
            for way, taken in times.items():
                start = time.perf_counter()
                found.append(way(lm))
                if turn:
                    taken.append(time.perf_counter() - start)
            assert all(one == found[0] for one in found), "two ways have found other words"
        for way, taken in times.items():
            ratio = statistics.median(b / a for a, b in zip(taken, times[loop], strict=True))
            print(
                f"{family:<6}{way.__name__:<16}{NEW / statistics.median(taken):>8,.0f} tokens/s{ratio:>8,.0f} x loop"
            )


def ours(lm, **changes):
    (made,) = lm.generate("word1", max_new_tokens=NEW, temperature=0, min_new_tokens=NEW, **changes)
    return made.token_ids


def ours_compiled(lm):
    return ours(lm, jit_compile=True)


def loop(lm):
    """As it is written everywhere, with the words that `generate` never chooses left out."""
    tokenizer = lm.tokenizer
    never = [i for i in (tokenizer.pad_id, tokenizer.unk_id, tokenizer.eos_id) if i is not None]
    ids = [tokenizer.bos_id, *tokenizer.encode("word1")]
    begun = len(ids)
    for _ in range(NEW):
        logits = lm.model.predict(np.array([ids]))[0, -1]
        logits[never] = -np.inf
        ids.append(int(logits.argmax()))
    return ids[begun:]


if __name__ == "__main__":
    main()
