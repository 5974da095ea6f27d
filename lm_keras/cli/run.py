"""The commands of `lm-keras`; each takes the parsed options. TensorFlow is imported by those that need it."""

import importlib
import json
import sys
import types
import warnings
from pathlib import Path

from lm_keras.cli.data import report
from lm_keras.cli.serve import query  # noqa: F401
from lm_keras.cli.train import default_unit, evaluation_windows, load_texts, read_run, told_by
from lm_keras.cli.vectors import vectors  # noqa: F401
from lm_keras.errors import InputError
from lm_keras.generation.config import GenerationConfig, options_of
from lm_keras.utils import quiet
from lm_keras.utils.atomic_files import path_of
from lm_keras.utils.quiet import complain, load_tensorflow
from lm_keras.utils.saved_kinds import RUN, kind_of, refusal


def evaluate(options):
    language_model = _load(options.run)
    from lm_keras import evaluate

    run = path_of(options.run) / RUN
    settings = {"length": 35, "batch_size": 32, "contiguous": False, "unit": None}
    if run.exists():
        settings |= read_run(run)
    elif language_model.model.context_length is not None:
        settings["length"] = min(settings["length"], language_model.model.context_length)
    tokenizer = language_model.tokenizer
    unit = settings["unit"] or default_unit(tokenizer.kind)
    texts = load_texts(options.data, unit, options.split, ("test", "validation", "all"), encoding=options.encoding)
    windows = evaluation_windows(texts, tokenizer, types.SimpleNamespace(**settings))
    _print(evaluate(language_model.model, windows), options.json)


def score(options):
    _print(_load(options.run).score([options.text], begin=options.begin)[0]._asdict(), options.json)


def _print(result, as_json):
    if as_json:  # JSON has no NaN
        print(json.dumps({key: None if value != value else value for key, value in result.items()}))
        return
    for key, value in result.items():
        print(f"{key:<14} {value:,}" if isinstance(value, int) else f"{key:<14} {value:.4f}")


def generate(options):
    language_model = _load(options.run)
    if options.choices:
        for choice in language_model.choose(options.prompt, options.choices, begin=options.begin)[0]:
            print(f"{choice.probability:.4f} {choice.answer}")
        return
    known = options_of()
    config = GenerationConfig(**{name: value for name, value in vars(options).items() if name in known})
    if options.stream:
        for name in config.changed():
            if not known[name].stream:
                flag = f"--{name.replace('_', '-')}"
                raise InputError(
                    f"--stream does not go with {flag}, which is about whole texts; leave one of them out"
                )
        pieces = language_model.stream(options.prompt, config)
        print(options.prompt, end="", flush=True)
        for piece in pieces:
            quiet.check()
            print(piece, end="", flush=True)
        print()
    else:
        for made in language_model.generate(options.prompt, config):
            print(options.prompt + made.text)


def export(options):
    if kind_of(options.run) == "task":
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
    kind, takes = kind_of(options.version), "check takes a version folder such as saved_models/name/1"
    if kind == "exports":
        raise InputError(f"{takes}, and {options.version} holds several; give one of them")
    if kind not in ("export", "missing", "nothing", "file"):
        raise refusal(options.version, kind, takes)
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

    kind, takes = kind_of(options.folder), "serve-config takes the folder above the exports, such as saved_models"
    models = any(Path(options.folder).glob("*/[0-9]*/saved_model.pb"))  # beside which a stray version is named
    if kind in ("export", "exports") and not models:
        above = Path(options.folder).absolute().parents[kind == "export"]
        raise InputError(f"there is no export in {options.folder}, which is of one itself; {takes}: give {above}")
    if kind not in ("missing", "nothing") and not models:
        raise refusal(options.folder, kind, takes)
    labels = {"stable": dict(options.stable), "canary": dict(options.canary)}
    with warnings.catch_warnings(record=True) as omitted:
        warnings.simplefilter("always")
        files = serve_config(options.folder, **labels, image=options.image, max_batch_size=options.max_batch_size)
    for warning in omitted:
        complain(f"lm-keras: {warning.message}")
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
def import_modules(names):
    """Imports the modules that the user names, from the current folder too."""
    if names:
        load_tensorflow(compute=False)  # which a strategy of several workers must come before
        sys.path.append(str(Path.cwd()))
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # whatever the module raises
            raise InputError(f"--import {name}: {type(error).__name__}: {error}") from error


def _load(path):
    """The language model that a command works with: of a run, or of a checkpoint of other libraries."""
    kind = kind_of(path)
    if kind not in ("language model", "pretrained", "gguf"):
        raise refusal(path, kind)
    load_tensorflow()
    from lm_keras import LanguageModel, models

    if kind == "language model":
        return LanguageModel.load(path)
    loaded = models.load_pretrained(path)
    if not isinstance(loaded, LanguageModel):
        raise InputError(
            f"{path} is an encoder ({loaded.name}), which scores and writes no text; lk.models.load_pretrained reads "
            "it, and a head of lk.models with a bundle of lk.tasks makes a task of it"
        )
    if loaded.tokenizer is None:
        raise InputError(
            f"{path} has no tokenizer, so it takes no text; add the files of its tokenizer to the folder"
        )
    return loaded
