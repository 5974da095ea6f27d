"""Requests to exports, with the answers of the same model in Python: in batches of 1, 7, 64 and 0.

LM_KERAS_FULL=1 asks 200 texts and 10,000 strings of random bytes at every signature, else a few.
"""

import os
import random

from lm_keras.generation.config import inputs_of
from lm_keras.serving.export.completions import NO_TEXT

FULL = bool(os.environ.get("LM_KERAS_FULL"))
TEXTS, BYTES, BATCHES = (200, 10_000, (1, 7, 64)) if FULL else (16, 64, (1, 7, 64))
ALONE = TEXTS if FULL else 3
NEW_TOKENS = 8
SAMPLE = {"temperature": 1.0, "top_k": 0, "top_p": 0.95}


def sample_inputs(**given):
    """The inputs of the signature `sample`: lists of those that are given, with the defaults of the others."""
    rows = len(next(iter(given.values())))
    return {name: [default] * rows for name, default in inputs_of("sample").items()} | given


def beginnings(texts):
    """Different texts of one to a dozen words."""
    found = dict.fromkeys(" ".join(t.split()[i % 5 :][: 1 + i % 12]) for i, t in enumerate(texts))
    assert len(found) >= TEXTS
    return list(found)[:TEXTS]


def batched(signature, inputs, outputs):
    """The rows of `inputs`, each time in another order, in batches of each size."""
    size, rng = len(next(iter(inputs.values()))), random.Random(7)
    for batch in BATCHES:
        order = rng.sample(range(size), size)[: ALONE if batch == 1 else size]
        for at in range(0, len(order), batch):
            rows = order[at : at + batch]
            yield {
                "signature": signature,
                "inputs": {name: [values[i] for i in rows] for name, values in inputs.items()},
                "outputs": {name: [values[i] for i in rows] for name, values in outputs.items()},
            }


def completions(bundle, given, texts, num_beams):
    """{signature: (inputs, outputs)} of a model that writes text."""
    counts = {given: texts, "max_new_tokens": [NEW_TOKENS] * len(texts)}
    chances = {name: [value] * len(texts) for name, value in SAMPLE.items()} | {"seed": list(range(len(texts)))}
    drawn = sample_inputs(**counts, **chances)
    sampled = [
        bundle.generate(text, max_new_tokens=NEW_TOKENS, **SAMPLE, seed=seed)[0] for seed, text in enumerate(texts)
    ]
    options = {"num_beams": num_beams, "num_return_sequences": num_beams, "length_penalty": 1.0}
    beams = bundle.generate(texts, max_new_tokens=NEW_TOKENS, **options)
    rows = [beams[i : i + num_beams] for i in range(0, len(beams), num_beams)]
    kept = [
        i
        for i, text in enumerate(texts)
        if decided(rows[i], bundle.generate(text, max_new_tokens=NEW_TOKENS, **options))
    ]
    # Which ones are depends on the weights; of small character models a third or more are not.
    assert len(kept) >= len(texts) // 4, f"{len(kept)} of {len(texts)} beam searches are decided"
    rows, searched = [rows[i] for i in kept], [texts[i] for i in kept]
    lists = {
        "completions": [[made.text for made in row] for row in rows],
        "scores": [[max(made.score, NO_TEXT) for made in row] for row in rows],
    }
    search = {given: searched, "max_new_tokens": [NEW_TOKENS] * len(kept), "length_penalty": [1.0] * len(kept)}
    return {
        "generate": (counts, written(bundle.generate(texts, max_new_tokens=NEW_TOKENS, temperature=0))),
        "sample": (drawn, written(sampled)),
        "beam": (search, written([row[0] for row in rows]) | lists),
    }


def decided(row, alone):
    """Does the last bit of a sum not decide which beams are the best, and in which order?"""
    scores = [made.score for made in row]
    gaps = [a - b for a, b in zip(scores, scores[1:], strict=False) if b > NO_TEXT]
    return [made.text for made in row] == [made.text for made in alone] and min(gaps, default=1.0) > 1e-5


def written(made):
    return {
        "completion": [one.text for one in made],
        "num_new_tokens": [len(one.token_ids) for one in made],
        "log_prob": [sum(one.log_probs) for one in made],
    }


def noise(signature, inputs):
    """Random bytes in the place of each text; any answer in UTF-8 will do."""
    rng = random.Random(3)
    for at in range(0, BYTES, 500):
        size, first = min(500, BYTES - at), {name: values[0] for name, values in inputs.items()}
        yield {
            "signature": signature,
            "inputs": {
                name: [rng.randbytes(rng.randrange(60)) if isinstance(value, str) else value for _ in range(size)]
                for name, value in first.items()
            },
            "outputs": {},
        }


def requests(asked):
    """All requests of {signature: (inputs, outputs)}."""
    return [
        request
        for signature, (inputs, outputs) in asked.items()
        for request in (
            *batched(signature, inputs, outputs),
            *noise(signature, inputs),
            {"signature": signature, "inputs": dict.fromkeys(inputs, []), "outputs": dict.fromkeys(outputs, [])},
        )
    ]
