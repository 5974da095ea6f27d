"""A request to an exported prompt classifier: its prompt a constant of the graph, or in the text.

    LM_KERAS_DATA=... python benchmarks/speed/prompted_requests.py FILE.gguf --examples 8

Both exports are of one model and one template with film reviews as examples. To the one a request is a review, to the
other all examples and the review. One row a request, in a TF1 Session of one process, in turns; the answers agree.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.append(str(Path(__file__).parents[1]))
from _common import memory_bytes  # noqa: E402

TEMPLATE, WORDS = "Review: {text}\nSentiment:", {"negative": " negative", "positive": " positive"}
FIELD = 30  # tokens of a review at most


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", metavar="RUN|FILE.gguf")
    parser.add_argument("--examples", type=int, default=8)
    parser.add_argument("--requests", type=int, default=20)
    parser.add_argument("--ask", nargs=2, metavar="FOLDER", help=argparse.SUPPRESS)  # in a process of its own
    options = parser.parse_args()
    if options.ask:
        ask(*options.ask, json.load(sys.stdin))
        os._exit(0)
    from lm_keras.utils.quiet import load_tensorflow

    load_tensorflow()
    with tempfile.TemporaryDirectory() as folder:
        pairs, facts = export_both(Path(folder), options)
        exports = [str(next((Path(folder) / name).iterdir())) for name in ("constant", "in_text")]
        command = [sys.executable, __file__, options.model, "--ask", *exports]
        subprocess.run(command, input=json.dumps([facts, pairs]), text=True, check=True)


def export_both(folder, options):
    """Writes both exports; returns [(review, the same behind the whole prompt)] and the sizes."""
    import lm_keras as lk

    prompting = lk.prompting
    lm = (lk.models.load_pretrained if options.model.endswith(".gguf") else lk.LanguageModel.load)(options.model)
    reviews = lk.data.load("mr", "train")
    short = [one for one in lk.data.load("mr", "validation") if len(lm.tokenizer.encode(one.text)) <= FIELD]
    shown = [reviews[i * len(reviews) // options.examples] for i in range(options.examples)]
    plain = prompting.PromptClassifier(lm, TEMPLATE, WORDS)
    with_prompt = plain.with_examples(([one.text for one in shown], [one.label for one in shown]))
    texts = [one.text for one in short[: options.requests + 3]]
    whole = with_prompt.render(texts)
    prompt = len(lm.tokenizer.encode(whole[0])) - len(lm.tokenizer.encode(texts[0]))
    lk.export(with_prompt, folder / "constant")
    lk.export(prompting.PromptClassifier(lm, "{text}", WORDS), folder / "in_text")
    return list(zip(texts, whole, strict=True)), {"prompt_tokens": prompt, "field_tokens_at_most": FIELD}


def ask(constant, in_text, given):
    """Prints the medians of both, and by how much their probabilities differ at most."""
    import tensorflow as tf

    facts, pairs = given
    asking = [_opened(tf, version) for version in (constant, in_text)]
    times, apart = ([], []), 0.0
    for turn, texts in enumerate(pairs):
        answers = []
        for place in (0, 1) if turn % 2 else (1, 0):
            started = time.perf_counter()
            answers.append((place, asking[place](texts[place])))
            if turn >= 3:
                times[place].append(time.perf_counter() - started)
        (_, one), (_, other) = answers
        apart = max(apart, float(abs(one - other).max()))
    medians = [1000 * statistics.median(part) for part in times]
    print(json.dumps({
        **facts, "requests": len(times[0]), "constant_ms": round(medians[0], 1), "in_text_ms": round(medians[1], 1),
        "ratio": round(medians[1] / medians[0], 2), "probabilities_differ_by": apart,
        "peak_mb": memory_bytes() // 10**6,
    }))  # fmt: skip


def _opened(tf, version):
    """A function text -> probabilities [1, C] of an export."""
    v1, graph = tf.compat.v1, tf.Graph()
    session = v1.Session(graph=graph)
    with graph.as_default():
        signature = v1.saved_model.loader.load(session, ["serve"], version).signature_def["classify"]
    put, get = signature.inputs["text"].name, signature.outputs["scores"].name
    return lambda text: session.run(get, {put: [text]})


if __name__ == "__main__":
    main()
