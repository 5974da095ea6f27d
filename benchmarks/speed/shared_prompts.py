"""Few-shot prompts: what they have in common read once, and with each of them.

    python benchmarks/speed/shared_prompts.py --model SmolLM2.gguf --items 200 --common 1000

`score` and `choose` on items after the same examples, and `LanguageModel.with_prompt`; prints the seconds of each and
the largest difference between the log-probabilities. Without `--model` a GPT-2 of 124 M parameters with starting
weights, which cost what trained ones cost. To read everything with each item takes minutes: `--baseline-items` says
how many items of it are measured, and the rest is computed from them.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[1]))
sys.path.append(str(Path(__file__).parent))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a checkpoint that lk.models.load_pretrained reads")
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--common", type=int, default=1000, help="tokens that all prompts begin with")
    parser.add_argument("--baseline-items", type=int, default=32)
    options = parser.parse_args()

    lm = language_model(options.model)
    common, items = prompts(lm, options.items, options.common)
    texts, few = [common + item for item in items], options.baseline_items
    tokens = [len(lm.tokenizer.encode(text)) for text in texts]
    print(f"{len(items)} items of {min(tokens)} to {max(tokens)} tokens, {options.common} or so in common")
    for call in (lm.score, choices(lm)):
        call([text[-40:] for text in texts[:2]])  # traced before it is measured

    answers = {}
    for name, call, given in (
        ("score, read once", lm.score, texts),
        ("score, with_prompt", lm.with_prompt(common).score, items),
        ("score, read with each", apart(lm.score), texts[:few]),
        ("choose, read once", choices(lm), texts),
        ("choose, with_prompt", choices(lm.with_prompt(common)), items),
        ("choose, read with each", apart(choices(lm)), texts[:few]),
    ):
        start = time.perf_counter()
        found = call(given)
        seconds = (time.perf_counter() - start) * len(items) / len(given)
        answers[name] = values(found), seconds
        print(f"{name:<24}{seconds:>9.1f} s", f"(from {len(given)} items)", flush=True)
    compare(answers, lm.score(common, end=False)[0].log_prob)


def compare(answers, before):
    for kind in ("score", "choose"):
        once, prompted, each = (answers[f"{kind}, {how}"] for how in ("read once", "with_prompt", "read with each"))
        shift = before if kind == "score" else 0.0  # with_prompt leaves out what it knows
        ratio, apart_by = each[1] / once[1], np.abs(each[0] - once[0][: len(each[0])]).max()
        also = np.abs(prompted[0] + shift - once[0]).max()
        size = np.abs(each[0]).max()
        print(f"{kind}: {ratio:.1f} times faster; log-probabilities up to {size:.0f} differ by {apart_by:.1e}, "
              f"with_prompt by {also:.1e}")  # fmt: skip


def language_model(path):
    from lm_keras.utils.quiet import load_tensorflow

    load_tensorflow()
    import lm_keras as lk

    if path:
        return lk.models.load_pretrained(path)
    from decoding import language_model

    return language_model()


def prompts(lm, count, size):
    """A beginning of so many tokens, and items, of real text where the tokenizer knows it."""
    import lm_keras as lk

    words = " ".join(lk.data.load("wiki-excerpt")).split()
    if len(lm.tokenizer.encode(" ".join(words[:100]))) < 50 or "word0" in lm.tokenizer.tokens:
        words = [f"word{i}" for i in np.random.default_rng(0).integers(0, 50_000, 20_000)]
    n = size
    while len(lm.tokenizer.encode(" ".join(words[:n]))) > size:
        n -= 1 + n // 100
    rng = np.random.default_rng(1)
    starts = rng.integers(n, len(words) - 40, count)
    return " ".join(words[:n]), [" " + " ".join(words[i : i + rng.integers(10, 30)]) for i in starts]


def choices(lm):
    return lambda prompts: lm.choose(prompts, [" word1", " word2"])


def apart(call):
    """The same with nothing shared: what rows have in common is read with each of them."""
    from lm_keras.generation import sharing

    def run(texts):
        worth, sharing.WORTH_SHARING = sharing.WORTH_SHARING, float("inf")
        try:
            return call(texts)
        finally:
            sharing.WORTH_SHARING = worth

    return run


def values(found):
    if hasattr(found[0], "log_prob"):
        return np.array([one.log_prob for one in found])
    return np.array([[c.log_prob for c in sorted(row, key=lambda c: c.answer)] for row in found])


if __name__ == "__main__":
    main()
