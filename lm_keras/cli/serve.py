"""`lm-keras query`: a request to a running server from the command line."""

import base64
import json
import math
import os

from lm_keras.errors import InputError
from lm_keras.generation.config import inputs_of
from lm_keras.serving.client.results import escaped, one_line
from lm_keras.text.unicode import valid


def query(options):
    """Prints the answer, or without any input what the server has under that name."""
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


def _inputs(signatures, options):
    """`{name: values}` of the given inputs, typed as the signature says, and of those with a default."""
    from lm_keras.serving.client.client import row_seeds

    if options.signature not in signatures:
        raise InputError(
            f"{options.name} has no signature {options.signature!r}; it has {one_line(_listed(signatures))}"
        )
    known, inputs = signatures[options.signature]["inputs"], {}
    defaults = inputs_of("generate") | inputs_of("sample") | inputs_of("beam")  # those may be left out
    for name, text in options.input:
        if name not in known:
            raise InputError(f"{options.signature} has no input {name!r}; it takes {one_line(_listed(known))}")
        inputs.setdefault(name, []).append(_typed(name, text, known[name].dtype))
    for name in known.keys() - inputs.keys():
        if name not in defaults:
            shown = one_line(name)
            raise InputError(f"{options.signature} needs {shown} ({known[name].dtype}): --input {shown}=...")
        inputs[name] = [defaults[name]]
    texts = inputs.get("prompt") or inputs.get("source")
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
