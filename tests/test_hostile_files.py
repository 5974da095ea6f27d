"""Files of strangers load or are refused in one line, before anything large is made of what stands in them."""

import functools
import io
import json
import os
import resource
import struct
import time
import types
import zipfile

import fuzz_files
import h5py
import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers
from paths import SUPPORT

import lm_keras as lk
from lm_keras.models.keras_file import weights_within
from lm_keras.training.run.state import RunState, load_checkpoint, save_checkpoint
from lm_keras.utils.atomic_files import read_json, read_tensors, write_tensors
from lm_keras.utils.saved_kinds import CHECKPOINT

HUGE, LIMIT = 10**12, resource.getrlimit(resource.RLIMIT_AS)
CASES = [json.loads(line) for line in (SUPPORT / "hostile_files.jsonl").read_text().splitlines()]


@functools.cache
def valid(kind):
    """{name: {file: bytes}} of the small folders that the runner damages."""
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        return fuzz_files.made(kind, scratch)


@pytest.fixture
def folder(tmp_path):
    """folder(kind, variant) writes one of them anew."""
    return lambda kind, variant: fuzz_files.written(tmp_path / "case", valid(kind)[variant])


def read(kind, folder):
    return fuzz_files.KINDS[kind][1](folder)


def refused(kind, folder, match):
    """In one short line, and at once: nothing of the size that was asked for is made."""
    begin = time.process_time()
    with pytest.raises(lk.InputError, match=match) as caught:
        read(kind, folder)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 500
    assert time.process_time() - begin < 10


def change_json(path, change):
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content))


# === Cases that the runner has found ===


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['kind']}-{case['seed']}-{case['case']}")
def test_cases_that_were_failures(case, tmp_path):
    what, said = fuzz_files.answer(
        fuzz_files.KINDS[case["kind"]][1],
        fuzz_files.written(tmp_path / "case", fuzz_files.changed_files(case, valid(case["kind"]))),
    )
    assert what in ("valid", "InputError"), said


# === Sizes ===


@pytest.mark.parametrize("family", ["lstm", "gpt2", "llama", "gpt2-quantized"])
@pytest.mark.parametrize("name", ["vocab_size", "hidden_dim", "num_layers"])
def test_a_run_cannot_ask_for_more_than_its_file_holds(folder, family, name):
    path = folder("run", family)
    for size in (10**6, HUGE):
        change_json(path / "config.json", lambda content, size=size: content["arguments"].update({name: size}))
        refused("run", path, "has no room|has room for")


def test_a_weight_is_refused_before_it_is_made():
    with pytest.raises(lk.InputError, match="has room for 100 numbers"), weights_within(100, 9):
        layers.Dense(HUGE).build((None, HUGE))
    with pytest.raises(lk.InputError, match="has room"), weights_within(100, 1):
        layers.Dense(3).build((None, 3))
    assert len(layers.Dense(50).weights) == 0 and layers.Dense(50)(np.ones((1, 9))).shape == (1, 50)


@pytest.mark.parametrize("name", ["vocab_size", "num_hidden_layers", "intermediate_size", "num_attention_heads"])
def test_a_checkpoint_cannot_ask_for_more_than_its_file_holds(folder, name):
    for size in (10**8, 10**6):
        path = folder("safetensors", "llama")
        change_json(path / "config.json", lambda content, size=size: content.update({name: size}))
        refused("safetensors", path, ".")


def header(text, rest=b""):
    return len(text).to_bytes(8, "little") + text + rest


@pytest.mark.parametrize(
    "content",
    [
        (5 << 30).to_bytes(8, "little") + b"{" + bytes(100),
        header(
            b'{"wte.weight": {"dtype": "X9", "shape": [1000000, 1000000, 1000000], "data_offsets": [0, 4]}}', bytes(4)
        ),
        header(b'{"a": {"dtype": "F32", "shape": [9999999999999, 9999999999999], "data_offsets": [0, 4]}}', bytes(4)),
        header(b'{"a":' * 5000 + b"1" + b"}" * 5000),
        header(b'{"a": {"dtype": "F32", "shape": [' + b"8, " * 999 + b'8], "data_offsets": [0, 4]}}', bytes(4)),
    ],
)
def test_headers_of_tensors(folder, content):
    for kind, name in (("safetensors", "gpt2"), ("run", "gpt2")):
        path = folder(kind, name)
        (path / "model.safetensors").write_bytes(content)
        refused(kind, path, "damaged or cut short")


def changed_archive(path, change):
    """Rewrites a .keras file after change(its members)."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def model_file(path, model, change):
    model.save(path / "x.keras")
    changed_archive(path / "x.keras", change)


def changed_config(change):
    def all_members(members):
        content = json.loads(members["config.json"])
        change(content)
        members["config.json"] = json.dumps(content).encode()

    return all_members


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5", "metadata.json", "assets/a"])
def test_an_archive_that_expands_without_end(tmp_path, name):
    def grow(members):
        members[name] = bytes(80 << 20)

    model_file(tmp_path, keras.Sequential([layers.Input((2,)), layers.Dense(2)]), grow)
    assert (tmp_path / "x.keras").stat().st_size < 1 << 20
    refused("keras", tmp_path, "would expand")


@pytest.mark.parametrize("storage", [{}, {"chunks": (100, 100), "compression": "gzip"}], ids=["whole", "in pieces"])
def test_an_archive_of_weights_without_bytes(tmp_path, storage):
    def grow(members):
        file = io.BytesIO(members["model.weights.h5"])
        with h5py.File(file, "r+") as h5:
            del h5["layers/dense/vars/0"]
            h5.create_dataset("layers/dense/vars/0", (10**6, 10**6), "f4", **storage)
        members["model.weights.h5"] = file.getvalue()

    model_file(tmp_path, keras.Sequential([layers.Input((2,)), layers.Dense(2)]), grow)
    refused("keras", tmp_path, "in pieces" if storage else "weight of shape")


def test_an_archive_of_weights_with_a_header_of_gigabytes(tmp_path):
    """HDF5 takes memory for whatever length the header of the first group gives, and fills it."""

    def grow(members):
        weights = bytearray(members["model.weights.h5"])
        weights[104:108] = b"\xf0\xff\xff\xff"
        members["model.weights.h5"] = bytes(weights)

    model_file(tmp_path, keras.Sequential([layers.Input((2,)), layers.Dense(2)]), grow)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused("keras", tmp_path, "damaged")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2 << 20  # KB
    assert resource.getrlimit(resource.RLIMIT_AS) == LIMIT


def test_an_archive_whose_config_asks_for_more(tmp_path, folder):
    dense = changed_config(lambda content: content["config"]["layers"][1]["config"].update(units=10**9))
    model_file(tmp_path, keras.Sequential([layers.Input((2,)), layers.Dense(2)]), dense)
    refused("keras", tmp_path, "has room for")
    path = folder("keras", "embedder")
    changed_archive(
        path / "x.keras", changed_config(lambda content: content["config"]["arguments"].update(num_layers=HUGE))
    )
    refused("keras", path, "has no room")


def test_gguf_numbers(folder):
    path = folder("gguf", "f32")
    content = (path / "m.gguf").read_bytes()
    count = struct.unpack("<QQ", content[8:24])
    key = b"general.alignment"

    def with_field(kind, value):
        field = struct.pack("<Q", len(key)) + key + struct.pack("<I", kind) + value
        return content[:8] + struct.pack("<QQ", count[0], count[1] + 1) + field + content[24:]

    for kind, value in [
        (6, struct.pack("<f", float("inf"))), (6, struct.pack("<f", float("nan"))), (4, struct.pack("<I", 0)),
        (11, struct.pack("<q", -32)), (10, struct.pack("<Q", 2**63)), (7, b"\1"), (8, struct.pack("<Q", 2**63)),
        (9, struct.pack("<IQ", 0, 2**40)), (9, struct.pack("<IQ", 9, 1) * 50 + struct.pack("<IQ", 0, 0)),
    ]:  # fmt: skip
        (path / "m.gguf").write_bytes(with_field(kind, value))
        refused("gguf", path, "damaged or cut short")
    place = content.index(b"output_norm.weight") + len(b"output_norm.weight")
    for dims in (0, 5, 2**32 - 1):
        (path / "m.gguf").write_bytes(content[:place] + struct.pack("<I", dims) + content[place + 4 :])
        refused("gguf", path, "damaged or cut short")


# === What a file may name ===


class Runs(layers.Layer):
    """Not registered, so a file that names it is not for this process."""


LAMBDA = keras.saving.serialize_keras_object(layers.Lambda(lambda x: x, name="x"))
FOREIGN = [
    (LAMBDA, "run code"),
    ({**LAMBDA, "class_name": "TFSMLayer", "config": {"filepath": "/tmp"}}, "run code"),
    (
        {"module": "os", "class_name": "system", "config": {"command": "true"}, "registered_name": None},
        "not registered",
    ),
    (
        {"module": "keras.utils", "class_name": "function", "config": "get_file", "registered_name": None},
        "not registered",
    ),
    ({"module": "keras_hub.layers", "class_name": "X", "config": {}, "registered_name": None}, "not registered"),
    ({"module": __name__, "class_name": "Runs", "config": {}, "registered_name": "Runs"}, "not registered"),
    ({"module": 3, "class_name": "Runs", "config": {}, "registered_name": None}, "damaged"),
]


@pytest.mark.parametrize("part, said", FOREIGN, ids=lambda value: value if isinstance(value, str) else "")
def test_a_file_names_only_classes_that_compute(tmp_path, part, said):
    model = keras.Sequential([layers.Input((2,)), layers.Dense(2)])
    for change in (
        lambda content: content["config"]["layers"].insert(1, part),
        lambda content: content["config"]["layers"][1]["config"].update(kernel_initializer=part),
    ):
        model_file(tmp_path, model, changed_config(change))
        refused("keras", tmp_path, said)


INT4 = "Int4QuantizationConfig"


def test_quantization_names_only_what_is_known(folder):
    path = folder("run", "gpt2-quantized")
    assert read("run", path) is None
    for config in (
        {"module": "os", "class_name": "system", "config": "true", "registered_name": None},
        {"module": "keras.layers", "class_name": "Dense", "config": {"units": HUGE}, "registered_name": None},
        {
            "module": "keras.quantizers",
            "class_name": "Int4QuantizationConfig",
            "config": {"weight_quantizer": FOREIGN[2][0]},
        },
        {"module": "keras.quantizers", "class_name": "Int4QuantizationConfig", "config": {"block_size": 10**6}},
        "int4",
    ):
        change_json(path / "config.json", lambda content, new=config: content["quantized"][0].update(config=new))
        refused("run", path, "names the quantization|in blocks of 1000000")


# === Any JSON in any place ===

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from([-1, 0, 10**6, HUGE, 2**63, 10**400])
    | st.floats() | st.text(max_size=9) | st.sampled_from(["float16", "nan", "int8", "\0", "x" * 9999, "../x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)  # fmt: skip
JSON_FILES = [
    ("run", "lstm-quantized", "config.json"),
    ("run", "gpt2", "config.json"),
    ("run", "llama", "tokenizer.json"),
    ("task", "classifier", "task.json"),
    ("safetensors", "llama", "config.json"),
    ("safetensors", "bert", "config.json"),
    ("safetensors", "qwen2", "tokenizer.json"),
    ("safetensors", "qwen2", "tokenizer_config.json"),
    ("safetensors", "bert", "tokenizer.json"),
    ("safetensors", "shards", "model.safetensors.index.json"),
    ("tokenizer", "BPE", "tokenizer.json"),
    ("tokenizer", "WordPiece", "tokenizer.json"),
    ("tokenizer", "Word", "tokenizer.json"),
]


def places(value, found=()):
    """The place of every value within a JSON value, as a tuple of keys; of long lists the first ones."""
    yield found
    for key in value if isinstance(value, dict) else range(min(3, len(value))) if isinstance(value, list) else ():
        yield from places(value[key], (*found, key))


def with_value(value, place, new):
    if not place:
        return new
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[place[0]] = with_value(value[place[0]], place[1:], new)
    return changed


@pytest.mark.parametrize("kind, variant, file", JSON_FILES)
@settings(max_examples=15)
@given(data=st.data())
def test_any_json_in_any_place(kind, variant, file, data, tmp_path_factory):
    files = valid(kind)[variant]
    content = json.loads(files[file])
    changed = with_value(content, data.draw(st.sampled_from(list(places(content)))), data.draw(VALUES))
    text = json.dumps(changed).encode()
    folder = fuzz_files.written(tmp_path_factory.getbasetemp() / "json", files | {file: text})
    what, said = fuzz_files.answer(fuzz_files.KINDS[kind][1], folder)
    assert what in ("valid", "InputError"), f"{what}: {said}"


@pytest.mark.parametrize("kind, variant, file", JSON_FILES)
@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 900 + "1" + "}" * 900, "[" * 200 + "]" * 200, "9" * 9999, "\ud800"]
)
def test_json_too_deep_or_none(folder, kind, variant, file, text):
    path = folder(kind, variant)
    (path / file).write_text(text, encoding="utf-8", errors="surrogatepass")
    refused(kind, path, ".")


def test_json_that_is_no_file(tmp_path):
    with pytest.raises(lk.InputError, match="is no file"):
        read_json(tmp_path)
    with pytest.raises(lk.InputError, match="is damaged"):
        read_json(tmp_path / ("x" * 5000))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path, folder):
    os.mkfifo(tmp_path / "pipe")
    for load in (read_json, lk.models.load_model, lk.models.load_pretrained):
        with pytest.raises(lk.InputError, match="is no"):
            load(tmp_path / "pipe")
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        path = folder("run", "gpt2")
        (path / name).unlink()
        os.mkfifo(path / name)
        refused("run", path, ".")


# === A run that goes on ===


@pytest.fixture(scope="module")
def net():
    x = keras.Input((2,))
    net = keras.Model(x, layers.Dense(1)(x))
    net.compile("sgd", "mse")
    return net


PROGRESS = {
    "step": 3,
    "steps_per_epoch": 2,
    "epochs": [{"loss": 1.0}],
    "stopped": False,
    "waited": 0,
    "best_loss": None,
}


@pytest.mark.parametrize(
    "name, value",
    [
        *(("step", value) for value in (-1, None, "3", 0.5)), ("steps_per_epoch", 0), ("steps_per_epoch", []),
        *(("epochs", value) for value in (3, "ab", [3], [{"loss": "x"}], None)), ("stopped", 2), ("waited", None),
        *(("best_loss", value) for value in ("a", [])),
    ],
)  # fmt: skip
def test_a_checkpoint_whose_place_is_none(net, tmp_path, name, value):
    save_checkpoint(tmp_path, net, PROGRESS)
    assert load_checkpoint(tmp_path, net, 2) == (PROGRESS, None)
    missing = {key: kept for key, kept in PROGRESS.items() if key != name}
    tensors, _ = read_tensors(tmp_path / CHECKPOINT)
    for progress in (PROGRESS | {name: value}, missing, [], None, "a"):
        write_tensors(tmp_path / CHECKPOINT, tensors, progress)
        with pytest.raises(lk.InputError, match="damaged"):
            load_checkpoint(tmp_path, net, 2)


def test_best_weights_of_another_model(net):
    state = RunState(net, net, None, lk.TrainingConfig(), 2, types.SimpleNamespace(task=None, measures=(), loss=None))
    state.restore(PROGRESS, [np.zeros((2, 1)), np.zeros(1)])
    with pytest.raises(lk.InputError, match="best weights of another model"):
        state.restore(PROGRESS, [np.zeros((2, 1)), np.zeros(3)])


# === Messages ===


def test_a_message_is_one_short_line():
    for told in ("a\nb", "\x1b[31mred", "x" * 10**6, "\ud800", "\u2028", "a\tb"):
        said = str(lk.InputError(f"{told}; do this"))
        assert said.isprintable() and len(said) < 500 and said.endswith("do this")
    assert str(lk.InputError("数据 is wrong")) == "数据 is wrong"
