"""The export check: what can be proven about a SavedModel without the server binary."""

import contextlib
import itertools
import json
import math
import os
from collections.abc import Sequence

from lm_keras.errors import InputError
from lm_keras.serving.export.session import query
from lm_keras.serving.export.versions import as_path
from lm_keras.utils.atomic_files import read_json

DTYPES = ("float32", "int32", "int64", "bool", "string")


def check(version: str | os.PathLike, requests: Sequence[dict] = ()) -> list[str]:
    """Returns what is wrong with an exported version folder, one line each; an empty list means it serves.

    (1) Every signature runs in a fresh process in a TF1 Session with XLA off and keras and lm_keras blocked;
    (2) every op is a core op that the server has; (3) inputs and outputs are dense, [B, ...] and of served
    types; (4) the warm-up records replay; (5) the variables take at most 1.05 x the parameters; (6) the
    answers equal those that the model gave in Python, in a batch and row by row, and all text is UTF-8;
    (7) signatures of text alone answer to a request without any row, and to an empty text with numbers; (8) the state
    of a prompt, which the card lists apart from the parameters, is a constant of the graph.
    `requests`: further ones, {"signature", "inputs", "outputs"}, each {name: list}; an output that is not given may
    be anything. Raises InputError for a folder that is none.
    """
    version = as_path(version, "version")
    if not (version / "saved_model.pb").is_file():
        raise InputError(f"{version} holds no saved_model.pb; give a version folder such as saved_models/name/1")
    extra = version / "assets.extra"
    try:
        expected, parameter_bytes, prompt_numbers = _recorded(extra)
        warmup = list(_warmup_calls(version))
    except InputError as error:
        return [str(error)]
    except Exception as error:
        return [f"the warm-up file cannot be read: {' '.join(str(error).split())}"]
    if not warmup:
        return ["the warm-up file holds no request"]
    rows = [_row(call, i) for call in expected for i in range(len(next(iter(call["inputs"].values()))))]
    try:
        report = query(version, [*expected, *rows, *requests, *warmup, *(empty := _empty_calls(expected))])
    except RuntimeError as error:
        return [str(error)]
    answers = iter(report["results"])
    problems = [*_wrong_ops(report["ops"]), *_wrong_signatures(report["signatures"])]
    for call in [*expected, *rows, *requests]:
        problems += _differences(call, next(answers))
    for call, answer in zip(warmup, itertools.islice(answers, len(warmup)), strict=True):
        if "error" in answer:
            problems.append(f"warm-up request of {call['signature']} fails: {answer['error']}")
    for call, answer in zip(empty, answers, strict=True):
        problems += _wrong_on_nothing(call, answer)
    missing = {"serving_default", *(call["signature"] for call in expected)} - set(report["signatures"])
    problems += [f"signature {name} is missing" for name in sorted(missing)]
    return problems + _wrong_size(version, parameter_bytes) + _wrong_prompt(version, prompt_numbers)


def _recorded(extra):
    """The model's answers in Python, bytes of parameters and numbers of a prompt; InputError when damaged."""
    expected, card = read_json(extra / "expected.json"), read_json(extra / "model_card.json")
    try:
        sizes = {len(v) for call in expected for side in ("inputs", "outputs") for v in call[side].values()}
        whole = all(call["inputs"] and call["outputs"] and call["signature"] for call in expected)
        parameter_bytes, prompt_numbers = int(card["parameter_bytes"]), int(card.get("prompt_numbers", 0))
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
        sizes, whole = (), False
    if not sizes or not whole:
        raise InputError(f"{extra}: expected.json or model_card.json is damaged; export the model again")
    return expected, parameter_bytes, prompt_numbers


def _warmup_calls(version):
    from lm_keras.serving.export.warmup import FILE, read_warmup

    for call in read_warmup(version / FILE):
        yield {**call, "inputs": {name: values.tolist() for name, values in call["inputs"].items()}}


def _row(call, i):
    """Row i of a call as a call of its own."""
    return {
        "signature": call["signature"],
        **{side: {name: values[i : i + 1] for name, values in call[side].items()} for side in ("inputs", "outputs")},
    }


def _empty_calls(expected):
    """An empty text, and no row at all, for each signature whose inputs are all text."""
    texts = {
        call["signature"]: list(call["inputs"])
        for call in expected
        if all(isinstance(value, str) for values in call["inputs"].values() for value in values)
    }
    texts.pop("serving_default", None)  # is one of them
    return [{"signature": key, "inputs": dict.fromkeys(names, rows)} for key, names in texts.items()
            for rows in ([""], [])]  # fmt: skip


def _wrong_on_nothing(call, answer):
    (rows, *_) = call["inputs"].values()
    what = "an empty text" if rows else "a request without any row"
    if "error" in answer:
        return [f"{call['signature']} fails on {what}: {answer['error']}"]
    wrong = [f"{call['signature']}: {name} of {what} is not a number" for name, v in answer.items() if _holds_nan(v)]
    sizes = {name: len(values) for name, values in answer.items() if isinstance(values, list)}
    return wrong + [
        f"{call['signature']}: {name} of {what} has {size} rows, not {len(rows)}"
        for name, size in sizes.items()
        if size != len(rows)
    ]


def _holds_nan(value):
    return any(map(_holds_nan, value)) if isinstance(value, list) else value != value


def _wrong_ops(ops):
    return [f"op {name} {wrong}" for name, wrong in sorted(ops.items()) if wrong]


def _wrong_signatures(signatures):
    for name, sides in signatures.items():
        for side, tensors in sides.items():
            for key, tensor in tensors.items():
                where = f"{name}: {side[:-1]} {key}"
                if not tensor["dense"]:
                    yield f"{where} is not a dense tensor"
                if tensor["dtype"] not in DTYPES:
                    yield f"{where} is {tensor['dtype']}, which clients cannot send or read"
                if not tensor["shape"] or tensor["shape"][0] != -1:
                    yield f"{where} has shape {tensor['shape']}; its first dimension must be the batch"


def _differences(call, answer):
    if "error" in answer:
        return [f"{call['signature']} fails: {answer['error']}"]
    wrong = [f"{call['signature']}: {name} is not UTF-8" for name, rows in answer.items() if _holds_bytes(rows)]
    for name, values in call["outputs"].items():
        rows = len(answer.get(name, ()))
        if rows != len(values):
            wrong.append(f"{call['signature']}: output {name} has {rows} rows, not {len(values)}")
            continue
        for got, want in zip(answer[name], values, strict=True):
            if not _same(got, want):
                wrong.append(f"{call['signature']}: {name} is {got!r}, the model in Python gives {want!r}")
    return wrong


def _holds_bytes(value):
    return isinstance(value, bytes) or (isinstance(value, list) and any(map(_holds_bytes, value)))


def _same(got, want):
    """Equal; numbers within 1e-4, also in lists and in text that is JSON."""
    if isinstance(want, float) and isinstance(got, (int, float)):
        return math.isclose(got, want, rel_tol=1e-4, abs_tol=1e-4)
    if isinstance(want, (list, dict)) and isinstance(got, type(want)) and len(got) == len(want):
        if isinstance(want, list):
            return all(map(_same, got, want))
        return got.keys() == want.keys() and all(_same(got[key], want[key]) for key in want)
    if isinstance(want, str) and want.startswith("[{") and isinstance(got, str) and got != want:
        with contextlib.suppress(ValueError):
            return _same(json.loads(got), json.loads(want))
    return got == want


def _wrong_size(version, parameter_bytes):
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(version / "variables" / "variables"))
    types = reader.get_variable_to_dtype_map()
    size = sum(
        math.prod(shape) * types[name].size
        for name, shape in reader.get_variable_to_shape_map().items()
        if types[name] != tf.string  # the object graph
    )
    if size > 1.05 * parameter_bytes:
        return [f"variables take {size:,} bytes for {parameter_bytes:,} bytes of parameters"]
    return []


def _wrong_prompt(version, prompt_numbers):
    if not prompt_numbers:
        return []
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString((version / "saved_model.pb").read_bytes())
    graphs = [meta.graph_def for meta in saved.meta_graphs]
    parts = [part for graph in graphs for part in (graph.node, *(f.node_def for f in graph.library.function))]
    constants = [node.attr["value"].tensor for part in parts for node in part if node.op == "Const"]
    held = sum(math.prod(size.size for size in tensor.tensor_shape.dim) for tensor in constants)
    if held < prompt_numbers:
        return [f"the graph holds {held:,} constant numbers, fewer than the {prompt_numbers:,} of the prompt's state"]
    return []
