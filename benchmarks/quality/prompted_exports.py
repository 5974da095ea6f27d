"""Do exports of a prompt answer as Python does? An exported PromptClassifier with examples, and a tuned prompt.

LM_KERAS_DATA=... python benchmarks/quality/prompted_exports.py MODEL

MODEL: a .gguf file, a folder or a name. 200 film reviews are asked in batches of 1, 7 and 64, each time in another
order, then random bytes in the place of texts; `lk.serving.check` compares the answers, in a fresh process without
lm_keras. The tuned prompt is trained for some steps; the classifier after it is exported too. One JSON line each.
"""

import argparse
import json
import random
import tempfile
import time
from pathlib import Path

import lm_keras as lk  # which imports TensorFlow and Keras at first use
from lm_keras.utils.quiet import load_tensorflow

TEMPLATE, WORDS = "Review: {text}\nSentiment:", {"negative": " negative", "positive": " positive"}
BATCHES, TEXTS, NOISE, SEED = (1, 7, 64), 200, 1000, 19
MARKS = (b"<|im_end|>", b"<|im_start|>system\n", b"<|endoftext|>", b"{text}", b"\0", b"")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a .gguf file, a folder, or a name")
    parser.add_argument("--steps", type=int, default=8, help="of the tuned prompt, 8 labelled texts each")
    options = parser.parse_args()
    load_tensorflow()
    lm = lk.models.load_pretrained(options.model)
    shown, (asked, _) = labelled("train", 64), labelled("validation", TEXTS)
    plain = lk.prompting.PromptClassifier(lm, TEMPLATE, WORDS, "contextual")
    report("4 examples", plain.with_examples(shown, 4, "balanced"), asked)
    tuned = lk.prompting.PromptTuning(lm, num_tokens=20, init_text="Is the film review negative or positive?")
    classifier = plain.with_model(tuned)
    rates = {"learning_rate": 0.01, "weight_decay": 0.0, "warmup_steps": 0}
    lk.fit(tuned, classifier.training_data(*shown), config=lk.TrainingConfig(max_steps=options.steps, **rates))
    report("tuned prompt, classes", classifier, asked)
    report("tuned prompt, texts", tuned, asked)


def labelled(split, count):
    items = lk.data.load("mr", split)
    items = [items[i * len(items) // count] for i in range(count)]
    return [item.text for item in items], [item.label for item in items]


def report(name, model, texts):
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        limits = {"max_new_tokens_limit": 16, "num_beams": 2} if isinstance(model, lk.LanguageModel) else {}
        version = Path(lk.export(model, folder, **limits))
        exported = time.perf_counter() - start
        signature, outputs = answers(model, texts)
        asked = [*requests(signature, texts, outputs), *noise(signature)]
        start = time.perf_counter()
        problems = lk.serving.check(version, asked)
        card = json.loads((version / "assets.extra" / "model_card.json").read_text())
        found = {key: card[key] for key in card if "prompt" in key or key == "parameters"}
        size = sum(part.stat().st_size for part in version.rglob("*") if part.is_file())
        print(json.dumps({
            "what": name, "texts": len(texts), "requests": len(asked), "problems": problems,
            "export_s": round(exported, 1), "check_s": round(time.perf_counter() - start, 1),
            "mb": round(size / 1e6, 1), "card": found,
        }), flush=True)  # fmt: skip


def answers(model, texts):
    """The signature that is asked, and its outputs of each text in Python."""
    if isinstance(model, lk.LanguageModel):
        scores = [score._asdict() for score in model.score(texts)]
        return "score", {name: [score[name] for score in scores] for name in ("log_prob", "num_tokens", "perplexity")}
    found = [model.classify([text])[0] for text in texts]
    return "classify", {"label": [one.label for one in found], "scores": [list(one.scores.values()) for one in found]}


def requests(signature, texts, outputs):
    """Requests of each batch size, with the answers that are wanted."""
    rng = random.Random(SEED)
    for size in BATCHES:
        order = rng.sample(range(len(texts)), len(texts))
        for at in range(0, len(order), size):
            rows = order[at : at + size]
            wanted = {name: [values[i] for i in rows] for name, values in outputs.items()}
            yield {"signature": signature, "inputs": {"text": [texts[i] for i in rows]}, "outputs": wanted}


def noise(signature):
    """Random bytes, marks and long texts; any answer in UTF-8 will do."""
    rng = random.Random(SEED)
    rows = [rng.randbytes(rng.randrange(60)) + rng.choice(MARKS) for _ in range(NOISE)]
    for at in range(0, NOISE, 100):
        yield {"signature": signature, "inputs": {"text": rows[at : at + 100]}, "outputs": {}}
    yield {"signature": signature, "inputs": {"text": ["a film " * 2000, "", "\ufeff \u202e\n"]}, "outputs": {}}


if __name__ == "__main__":
    main()
