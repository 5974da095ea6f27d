"""The commands of `lm-keras`; each takes the parsed options. TensorFlow is imported by those that need it."""

import json
import sys
import types
import warnings
from pathlib import Path

from lm_keras import interruption
from lm_keras.errors import InputError
from lm_keras.query_command import query  # noqa: F401
from lm_keras.quiet import load_tensorflow
from lm_keras.report_command import report
from lm_keras.train_command import (  # noqa: F401
    DEFAULT_UNIT,
    RUN,
    evaluation_windows,
    load_texts,
    read_run,
    told_by,
    train,
)
from lm_keras.vectors_command import vectors  # noqa: F401


def evaluate(options):
    language_model = _load(options.run)
    from lm_keras import evaluate

    run = Path(options.run) / RUN
    settings = {"length": 35, "batch_size": 32, "contiguous": False, "unit": None}
    settings |= read_run(run) if run.exists() else {}
    tokenizer = language_model.tokenizer
    unit = settings["unit"] or DEFAULT_UNIT[tokenizer.kind]
    texts = load_texts(options.data, unit, options.split, ("test", "validation", "all"))
    windows = evaluation_windows(texts, tokenizer, types.SimpleNamespace(**settings))
    _print(evaluate(language_model.model, windows), options.json)


def score(options):
    _print(_load(options.run).score([options.text])[0]._asdict(), options.json)


def _print(result, as_json):
    if as_json:  # JSON has no NaN
        print(json.dumps({key: None if value != value else value for key, value in result.items()}))
        return
    for key, value in result.items():
        print(f"{key:<14} {value:,}" if isinstance(value, int) else f"{key:<14} {value:.4f}")


def generate(options):
    language_model = _load(options.run)
    names = ("max_new_tokens", "min_new_tokens", "temperature", "top_k", "top_p", "min_p", "repetition_penalty")
    chosen = {name: getattr(options, name) for name in (*names, "stop", "seed")} | {"stop_tokens": options.stop_token}
    at_the_end = ("num_beams", "length_penalty", "penalty_alpha", "num_return_sequences")
    if options.choices:
        for choice in language_model.choose(options.prompt, options.choices)[0]:
            print(f"{choice.probability:.4f} {choice.answer}")
    elif options.stream:
        if options.num_beams > 1 or options.penalty_alpha > 0:
            raise InputError(
                "--stream does not go with --num-beams or --penalty-alpha: a search knows its text at the end"
            )
        if options.num_return_sequences > 1:
            raise InputError("--stream does not go with --num-return-sequences: it prints one text")
        pieces = language_model.stream(options.prompt, **chosen)
        print(options.prompt, end="", flush=True)
        for piece in pieces:
            interruption.check()
            print(piece, end="", flush=True)
        print()
    else:
        chosen |= {name: getattr(options, name) for name in at_the_end}
        for made in language_model.generate(options.prompt, **chosen):
            print(options.prompt + made.text)


def export(options):
    if (Path(options.run) / "task.json").exists():
        load_tensorflow()
        from lm_keras import tasks

        model = tasks.load(options.run)
    else:
        model = _load(options.run)
    from lm_keras import export, quantize

    if options.quantize:
        model = quantize(model, options.quantize)
    sizes = {name: getattr(options, name) for name in ("max_new_tokens_limit", "num_beams", "max_text_bytes")}
    card = told_by(options.run) | {"licence": options.licence}
    print(export(model, options.target, **sizes, model_card=card))


def check(options):
    load_tensorflow()
    from lm_keras import check

    problems = check(options.version)
    for problem in problems:
        print(problem)
    if not problems:
        print(f"{options.version}: ready to serve")
    return 1 if problems else 0


def serve_config(options):
    from lm_keras.serving.configuration import serve_config

    labels = {"stable": dict(options.stable), "canary": dict(options.canary)}
    with warnings.catch_warnings(record=True) as omitted:
        warnings.simplefilter("always")
        files = serve_config(options.folder, **labels, image=options.image, max_batch_size=options.max_batch_size)
    for warning in omitted:
        print(f"lm-keras: {warning.message}", file=sys.stderr)
    for file in files:
        print(file)


def data(options):
    from lm_keras import data

    if options.action == "fetch":
        print(data.fetch(options.name))
    elif options.action == "report":
        report(options)
    else:
        for name in data.available():
            print(data.describe(name))


# === Parts ===
def _run_folder(path):
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give a run folder that `lm-keras train` made")
    return folder


def _load(path):
    _run_folder(path)
    load_tensorflow()
    from lm_keras import LanguageModel

    return LanguageModel.load(path)
