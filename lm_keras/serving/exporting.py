"""A language model as one SavedModel: text in, text out."""

import contextlib
import os
import shutil
from pathlib import Path

import numpy as np
import tensorflow as tf

import lm_keras
from lm_keras.errors import InputError
from lm_keras.files import write_json
from lm_keras.serving.signatures import make_signatures
from lm_keras.serving.warmup import FILE as WARMUP
from lm_keras.serving.warmup import write_warmup


def export(language_model, target, max_new_tokens_limit=256):
    """Writes `target/<next free version>` and returns its path; tokenizer, decoding and detokenizer are inside.

    Signatures: `score` (also `serving_default`), `generate`, `sample`, inputs and outputs as in docs/serving.md.
    A target that ends in a number is that version itself. The version appears under its name only when it is
    whole. `assets.extra/` gets warm-up requests, the answers expected for them, and a model card. Raises
    InputError when the version exists or the tokenizer cannot run in a graph.
    """
    if getattr(language_model, "tokenizer", None) is None:
        what = type(language_model).__name__
        raise InputError(f"a {what} without tokenizer cannot be exported; give a LanguageModel(model, tokenizer)")
    target = Path(target)
    version = _version_folder(target)
    language_model.tokenizer.tf_encode(tf.constant([""]))  # its InputError would be lost while a graph is traced
    signatures = make_signatures(language_model, max_new_tokens_limit)
    module = tf.Module()
    # The raw variables: tracking the Keras model itself would write every weight twice.
    module.weights = [weight.value for weight in language_model.model.weights]
    module.tables = language_model.tokenizer.tf_resources()
    module.signatures_ = list(signatures.values())
    with _renamed_when_whole(version) as folder:
        with _quiet():
            tf.saved_model.save(module, str(folder), {"serving_default": signatures["score"], **signatures})
        extra = folder / "assets.extra"
        extra.mkdir(exist_ok=True)
        calls = list(_example_calls(language_model))
        write_warmup(folder / WARMUP, version.parent.name, calls)
        write_json(extra / "expected.json", [_expected(language_model, call) for call in calls])
        write_json(extra / "model_card.json", model_card(language_model, max_new_tokens_limit))
    return str(version)


def model_card(language_model, max_new_tokens_limit):
    model, tokenizer = language_model.model, language_model.tokenizer
    return {
        "lm_keras": lm_keras.__version__,
        "builder": model.views.builder,
        "arguments": model.views.arguments,
        "parameters": int(sum(np.prod(w.shape) for w in model.weights)),
        "parameter_bytes": int(sum(np.prod(w.shape) * 4 for w in model.weights)),
        "tokenizer": type(tokenizer).__name__,
        "vocab_size": tokenizer.vocab_size,
        "max_new_tokens_limit": max_new_tokens_limit,
    }


def _version_folder(target):
    if _is_number(target.name):
        version = target
    else:
        taken = [int(p.name) for p in target.glob("*") if _is_number(p.name)] if target.is_dir() else []
        version = target / str(max(taken, default=0) + 1)
    if version.exists():
        raise InputError(f"{version} exists already; give {version.parent} for the next free version")
    for parent in (target, *target.parents):
        if parent.exists():
            if not parent.is_dir():
                raise InputError(f"{parent} is a file; give a folder such as saved_models/name")
            break
    return version


def _is_number(name):
    return name.isascii() and name.isdecimal()


@contextlib.contextmanager
def _quiet():
    """Without TensorFlow's line on the temporary folder."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("WARNING")
    try:
        yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def _renamed_when_whole(version):
    # TF Serving polls for numeric folders every second: a half-written one must not have such a name.
    folder = version.with_name(f".{version.name}.{os.getpid()}.tmp")
    made = [parent for parent in version.parents if not parent.exists()]
    shutil.rmtree(folder, ignore_errors=True)  # of a killed process with the same id
    try:
        folder.mkdir(parents=True)
        yield folder
        folder.rename(version)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        for parent in made:
            with contextlib.suppress(OSError):  # not there, or another export's by now
                parent.rmdir()
        raise


def _example_calls(language_model):
    """A request or two for each signature, of different lengths, from the tokenizer's own words."""
    tokenizer = language_model.tokenizer
    common = [i for i, token in enumerate(tokenizer.tokens) if not token.startswith("<")][:12]
    texts = [tokenizer.decode(common[:n]) for n in (3, 12, 1)] + [""]
    size = len(texts)
    counts = np.array([8, 0, 3, 16], np.int32)
    yield {"signature": "score", "inputs": {"text": texts}}
    yield {"signature": "serving_default", "inputs": {"text": texts[:1]}}
    yield {"signature": "generate", "inputs": {"prompt": texts, "max_new_tokens": counts}}
    options = {
        "temperature": np.array([1.0, 0.7, 0.0, 1.3], np.float32),
        "top_k": np.array([0, 5, 0, 20], np.int32),
        "top_p": np.array([1.0, 1.0, 0.9, 0.8], np.float32),
        "seed": np.arange(size, dtype=np.int32),
    }
    yield {"signature": "sample", "inputs": {"prompt": texts, "max_new_tokens": counts, **options}}


def _expected(language_model, call):
    """The call with the answer of the LanguageModel itself, row by row."""
    inputs = {name: np.asarray(values).tolist() for name, values in call["inputs"].items()}
    if "text" in inputs:
        scores = language_model.score(inputs["text"])
        outputs = {name: [getattr(s, name) for s in scores] for name in ("log_prob", "num_tokens", "perplexity")}
        return {"signature": call["signature"], "inputs": inputs, "outputs": outputs}
    outputs = {"completion": [], "num_new_tokens": [], "log_prob": []}
    for row in zip(*inputs.values(), strict=True):
        options = dict(zip(inputs, row, strict=True))
        prompt = options.pop("prompt")
        if call["signature"] == "generate":
            options["temperature"] = 0
        (made,) = language_model.generate(prompt, **options)
        outputs["completion"].append(made.text)
        outputs["num_new_tokens"].append(len(made.token_ids))
        outputs["log_prob"].append(sum(made.log_probs))
    return {"signature": call["signature"], "inputs": inputs, "outputs": outputs}
