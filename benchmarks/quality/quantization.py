"""Weights of 8 and 4 bits: size on disk, speed and perplexity.

LM_KERAS_DATA=... python benchmarks/quality/quantization.py MODEL --data ptb [--texts N] [--joined] [--in-process]

MODEL: a run folder, or a .gguf file. Each variant is exported, checked, and answers from a TF1 Session, XLA off, as
in TF Serving: `score` of the first N texts of a part of the data, with --joined as one text, and `generate`, greedy,
one prompt, that beginning of a text after which the float32 model has most to say. The rounds go through all variants
in turn, so that what else the machine does hits all alike; printed are medians, and medians of the ratios to the
first variant in the same round. "int8, activations too" is Keras' own `model.quantize("int8")`. --in-process exports
nothing (to trace 30 layers four times takes minutes): the LanguageModel answers, and its folder's weights are
measured.
"""

import argparse
import ctypes
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

VARIANTS = ("float32", "int8", "int4", "int8, activations too")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--joined", action="store_true")
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--in-process", action="store_true")
    parser.add_argument("--variants", nargs="+", default=VARIANTS, choices=VARIANTS)
    options = parser.parse_args()

    from lm_keras.utils.quiet import load_tensorflow

    load_tensorflow()
    import tensorflow as tf

    import lm_keras as lk

    library = Path(tf.__file__).with_name("libtensorflow_cc.so.2")
    ctypes.CDLL(str(library))._ZN10tensorflow21DisableXlaCompilationEv()
    texts = lk.data.load(options.data, options.split)[: options.texts]
    prompts = [" ".join(text.split()[:5]) for text in texts[: options.prompts]]
    texts = ["\n".join(texts)] if options.joined else texts
    with tempfile.TemporaryDirectory() as folder:
        make = Local if options.in_process else Served
        variants = {
            name: make(lk, _variant(lk, options.model, name), Path(folder) / name) for name in options.variants
        }
        counts = [variants[options.variants[0]].generate(prompt, options.new_tokens)[0] for prompt in prompts]
        prompt = prompts[np.argmax(counts)]
        for one in variants.values():  # the first run optimises the graph
            measure(one, texts, prompt, 2)
        rounds = []
        for number in range(options.rounds):
            first = number % len(variants)
            turn = [*variants][first:] + [*variants][:first]
            rounds.append({name: measure(variants[name], texts, prompt, options.new_tokens) for name in turn})
            print(f"round {number + 1} of {options.rounds}", flush=True)
    report(variants, rounds)


def _variant(lk, path, name):
    language_model = (lk.models.load_pretrained if path.suffix == ".gguf" else lk.LanguageModel.load)(path)
    start = time.perf_counter()
    if name == VARIANTS[3]:
        language_model.model.quantize("int8")
    elif name != "float32":
        language_model = lk.quantize(language_model, name)
    print(f"{name}: quantized in {time.perf_counter() - start:.0f} s", flush=True)
    return language_model


class Served:
    """A variant, exported, in a Session of its own."""

    def __init__(self, lk, language_model, target):
        import tensorflow as tf

        start = time.perf_counter()
        version = Path(lk.export(language_model, target, num_beams=2))
        print(f"  exported in {time.perf_counter() - start:.0f} s; ", end="", flush=True)
        print("; ".join(lk.check(version)[:3]) or "ready to serve", flush=True)
        self.bytes = sum(path.stat().st_size for path in (version / "variables").iterdir())
        self.session = tf.compat.v1.Session(graph=tf.Graph())
        with self.session.graph.as_default():
            self.signatures = tf.compat.v1.saved_model.loader.load(
                self.session, ["serve"], str(version)
            ).signature_def

    def ask(self, signature, **inputs):
        signature = self.signatures[signature]
        feed = {signature.inputs[name].name: values for name, values in inputs.items()}
        return self.session.run({name: tensor.name for name, tensor in signature.outputs.items()}, feed)

    def score(self, texts):
        """log p and number of tokens, of all texts."""
        parts = [self.ask("score", text=texts[i : i + 32]) for i in range(0, len(texts), 32)]
        return [sum(part[name].sum(dtype="float64") for part in parts) for name in ("log_prob", "num_tokens")]

    def generate(self, prompt, count):
        """How many new tokens, and the text."""
        made = self.ask("generate", prompt=[prompt], max_new_tokens=np.array([count], np.int32))
        return int(made["num_new_tokens"][0]), made["completion"][0].decode()


class Local:
    """A variant as a LanguageModel."""

    def __init__(self, lk, language_model, target):
        language_model.save(target)
        self.language_model, self.bytes = language_model, (target / "model.safetensors").stat().st_size

    def score(self, texts):
        scores = self.language_model.score(texts)
        return sum(score.log_prob for score in scores), sum(score.num_tokens for score in scores)

    def generate(self, prompt, count):
        (made,) = self.language_model.generate(prompt, max_new_tokens=count, temperature=0)
        return len(made.token_ids), made.text


def measure(variant, texts, prompt, new_tokens):
    start = time.perf_counter()
    log_prob, tokens = variant.score(texts)
    scored, count = time.perf_counter(), 0
    while count < new_tokens:  # a text may end before
        made, text = variant.generate(prompt, new_tokens)
        count += made
    new = (time.perf_counter() - scored) / count
    perplexity = np.exp(-log_prob / tokens)
    return {"scored": (scored - start) / tokens, "new": new, "perplexity": perplexity, "tokens": tokens, "text": text}


def report(variants, rounds):
    first = next(iter(variants))
    print(f"\n{rounds[0][first]['tokens']:.0f} tokens scored; {len(rounds)} rounds\n")
    print("| weights | MB on disk | perplexity | scored tokens/s | greedy tokens/s |")
    print("|---|---|---|---|---|")
    for name, one in variants.items():
        size = one.bytes / variants[first].bytes
        cells = [name, f"{one.bytes / 1e6:.1f} ({size:.2f})", f"{rounds[0][name]['perplexity']:.2f}"]
        for kind in ("scored", "new"):
            speed = statistics.median(1 / each[name][kind] for each in rounds)
            ratio = statistics.median(each[first][kind] / each[name][kind] for each in rounds)
            cells.append(f"{speed:,.0f} ({ratio:.2f})" if speed > 100 else f"{speed:.1f} ({ratio:.2f})")
        print("|", " | ".join(cells), "|")
    print()
    for name in variants:
        print(f"{name}: {rounds[0][name]['text']!r}")


if __name__ == "__main__":
    main()
