"""`lm-keras export`, `check`, `serve-config` and `query`: a model on its way to a server, and its answers."""

import argparse
import base64
import json
import math
import os
import warnings
from pathlib import Path

from lm_keras.cli.options import Commands, add_import, number
from lm_keras.cli.run import MODELS, load_text_model
from lm_keras.cli.train import told_by
from lm_keras.errors import InputError
from lm_keras.generation.config import inputs_of
from lm_keras.models.pretrained.named import named
from lm_keras.serving.client.results import escaped, one_line
from lm_keras.text.unicode import valid
from lm_keras.utils.atomic_files import read_json
from lm_keras.utils.quiet import complain, load_tensorflow
from lm_keras.utils.saved_kinds import kind_of, refusal


def add_commands(commands: Commands) -> None:
    """Adds `export`, `check`, `serve-config` and `query` to the commands of `lm-keras`."""
    exporting = commands.add_parser("export", help="write a SavedModel for TF Serving; prints the version folder")
    exporting.set_defaults(call=export)
    exporting.add_argument("run", help=f"{MODELS}, or folder of lm_keras.tasks.save")
    exporting.add_argument("target", help="e.g. saved_models/name; the next free version is made below it")
    exporting.add_argument(
        "--max-new-tokens-limit", type=number(int, 1), metavar="N", help="cap of a text (default: 256)"
    )
    exporting.add_argument("--num-beams", type=number(int, 2, 1000), metavar="N", help="width of `beam` (default: 4)")
    text = "cut of a text in a request (default: 131072; 4096 for a text-to-text transformer)"
    exporting.add_argument("--max-text-bytes", type=number(int, 4, 2**30), metavar="N", help=text)
    text = "the signature `chat`, or none (default: where the chat template allows it)"
    exporting.add_argument("--chat", action=argparse.BooleanOptionalAction, help=text)
    exporting.add_argument("--quantize", choices=("int8", "int4"), help="weights of 8 or 4 bits")
    exporting.add_argument("--licence", metavar="NAME", help="for the model card, e.g. Apache-2.0")
    add_import(exporting)
    checking = commands.add_parser("check", help="prove that an export serves; exit 0, or a list of what is wrong")
    checking.set_defaults(call=check)
    checking.add_argument("version", help="version folder, e.g. saved_models/name/1")
    config = commands.add_parser("serve-config", help="write what TF Serving is started with for a folder of exports")
    config.set_defaults(call=serve_config)
    config.add_argument("folder", help="saved_models/, or another folder of exports")
    for label, help in {
        "stable": "default: the newest but one, or the only one",
        "canary": "default: the newest",
    }.items():
        config.add_argument(f"--{label}", action="append", default=[], type=version_of, metavar="NAME=N", help=help)
    config.add_argument("--image", default="tensorflow/serving:latest", help="Docker image")
    config.add_argument("--max-batch-size", type=number(int, 1), default=64, metavar="N")
    _add_query(commands)


def _add_query(commands):
    query_command = commands.add_parser(
        "query", help="ask a model that TF Serving serves, or an export without a server"
    )
    query_command.set_defaults(call=query)
    text = "the server, e.g. http://localhost:8501 (REST) or grpc://localhost:8500; or a folder, saved_models/name/1"
    query_command.add_argument("url", help=text)
    query_command.add_argument("name", nargs="?", help="the model's name on the server; none with a folder")
    add = query_command.add_argument
    add("--signature", default="serving_default", metavar="NAME", help="what to ask for, e.g. generate")
    text = "repeat a name for more rows; without any: show versions and signatures"
    add("--input", action="append", type=input_of, metavar="NAME=VALUE", help=text)
    which = query_command.add_mutually_exclusive_group()
    which.add_argument("--version", type=number(int, 0, 2**63 - 1), metavar="N", help="default: the newest")
    which.add_argument("--label", metavar="L", help="version label, e.g. stable")
    add("--timeout", type=number(float, 1e-3, 1e5), default=60.0, metavar="X", help="seconds a request may take")
    add("--retries", type=number(int, 0), default=3, metavar="N", help="tries more while the server is unavailable")
    add("--json", action="store_true", help="print one JSON object")


def export(options):
    model, known = load_text_model(options.run), named(options.run)
    from lm_keras import export, quantize

    if options.quantize:
        model = quantize(model, options.quantize)
    sizes = {name: getattr(options, name) for name in ("max_new_tokens_limit", "num_beams", "chat", "max_text_bytes")}
    card = told_by(options.run) | {"licence": options.licence or (known.licence if known else None)}
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
        card = read_json(Path(options.version) / "assets.extra" / "model_card.json")
        sizes = [card.get(name) for name in ("parameters", "prompt_tokens", "prompt_numbers")]
        if all(type(size) is int for size in sizes) and sizes[-1]:  # what `check` does not look at may be anything
            told = "beside {:,} parameters the graph holds the state of a prompt of {:,} tokens, {:,} numbers"
            print(told.format(*sizes))
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


def query(options):
    """Prints the answer, or without any input what the server has under that name."""
    if "://" not in options.url:
        return _query_folder(options)
    if options.name is None:
        raise InputError(f"there is no name of a model; give lm-keras query {options.url} NAME")
    from lm_keras.serving import Client, ServingError

    names = ("version", "label", "timeout", "retries")
    try:
        with Client(options.url, options.name, **{name: getattr(options, name) for name in names}) as client:
            if options.input:
                answer = client.predict(options.signature, **_inputs(client.metadata(), options))
                _print(answer, options.json)
            else:
                _describe(client.status(), client.metadata(), options.json)
    except ServingError as error:
        raise InputError(str(error)) from None


def _query_folder(options):
    """The same of an export, which a fresh process reads and runs as a server does."""
    folder, takes = (
        options.url,
        "query takes a server, http://... or grpc://..., or a version folder, saved_models/name/1",
    )
    if (kind := kind_of(folder)) == "exports":
        raise InputError(f"{takes}, and {folder} holds such folders; give one of them")
    if kind != "export":
        raise refusal(folder, kind, takes)
    given = [flag for flag in ("name", "version", "label") if getattr(options, flag) is not None]
    if given:
        raise InputError(f"{given[0]} is for a server, and {folder} is a folder; leave it out")
    from lm_keras.serving.client.columns import as_columns
    from lm_keras.serving.client.results import Tensor
    from lm_keras.serving.export.session import query as ask

    try:
        signatures = {
            name: {
                part: {
                    key: Tensor(one["dtype"], one["shape"] and [None if size < 0 else size for size in one["shape"]])
                    for key, one in tensors.items()
                }
                for part, tensors in parts.items()
            }
            for name, parts in ask(folder, [])["signatures"].items()
        }
        if not options.input:
            return _describe([], signatures, options.json)
        options.name = folder
        inputs = _inputs(signatures, options)
        columns, _ = as_columns(inputs, signatures[options.signature]["inputs"])
        (answer,) = ask(folder, [{"signature": options.signature, "inputs": columns}])["results"]
    except RuntimeError as error:  # of the process
        raise InputError(f"{folder}: {one_line(str(error))}") from None
    if "error" in answer:
        raise InputError(f"{folder}: {one_line(answer['error'])}")
    return _print(answer, options.json)


def _inputs(signatures, options):
    """`{name: values}` of the given inputs, typed as the signature says, and of those with a default."""
    from lm_keras.serving.client.columns import row_seeds

    if options.signature not in signatures:
        raise InputError(
            f"{options.name} has no signature {options.signature!r}; it has {one_line(_listed(signatures))}"
        )
    known, inputs = signatures[options.signature]["inputs"], {}
    defaults = inputs_of("sample") | inputs_of("beam")  # those may be left out
    for name, text in options.input:
        if name not in known:
            raise InputError(f"{options.signature} has no input {name!r}; it takes {one_line(_listed(known))}")
        inputs.setdefault(name, []).append(_typed(name, text, known[name].dtype))
    for name in known.keys() - inputs.keys():
        if name not in defaults:
            shown = one_line(name)
            raise InputError(f"{options.signature} needs {shown} ({known[name].dtype}): --input {shown}=...")
        inputs[name] = [defaults[name]]
    texts = inputs.get("prompt") or inputs.get("source") or inputs.get("messages")
    if texts and len(inputs.get("seed", ())) == 1:
        inputs["seed"] = row_seeds(texts, inputs["seed"][0])
    return {name: values[0] if len(values) == 1 else values for name, values in inputs.items()}


def _typed(name, text, dtype):
    kind = (
        _text if dtype == "string" else _boolean if dtype == "bool" else float if dtype.startswith("float") else int
    )
    try:
        return kind(text)
    except ValueError:
        raise InputError(f"{name} is {text!r}; the model takes {dtype} there") from None


def _text(text):
    """The text, or the bytes that the command line had where they are not UTF-8."""
    return text if valid(text) == text else os.fsencode(text)


def _boolean(text):
    return {"true": True, "false": False}[text] if text in ("true", "false") else int("not a truth value")


def _print(answer, as_json):
    if as_json:
        print(escaped(json.dumps(_plain(answer), ensure_ascii=False)))
        return
    names = sorted(answer)
    for i, row in enumerate(zip(*(answer[name] for name in names), strict=True)):
        print(end="\n" if i else "")
        for name, value in zip(names, row, strict=True):
            print(f"{escaped(name):<14} {_shown(value)}")


def _shown(value):
    if isinstance(value, str):
        return escaped(value.replace("\n", "\\n"))
    if isinstance(value, float):
        return f"{value:.4f}"
    return escaped(json.dumps(_plain(value), ensure_ascii=False))


def _plain(value):
    """JSON has neither bytes nor NaN."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _describe(versions, signatures, as_json):
    if as_json:
        told = {"versions": [one._asdict() for one in versions], "signatures": {}}
        for name, parts in signatures.items():
            told["signatures"][name] = {
                part: {key: tensor._asdict() for key, tensor in tensors.items()} for part, tensors in parts.items()
            }
        print(json.dumps(told))
        return
    for one in versions:
        print(escaped(f"version {one.version} {one.state} {one.error}".rstrip()))
    for name, parts in sorted(signatures.items()):
        inputs, outputs = (_listed(parts[part]) for part in ("inputs", "outputs"))
        print(escaped(f"{name}: {inputs} -> {outputs}"))


def _listed(names):
    return ", ".join(sorted(names))


def version_of(text):
    """An argparse type: NAME=VERSION as (name, version)."""
    name, _, version = text.rpartition("=")
    if not name or not (version.isascii() and version.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VERSION, such as lm=2")
    return name, int(version)


def input_of(text):
    """An argparse type: NAME=VALUE as (name, value)."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE, such as prompt='The fire'")
    return name, value
