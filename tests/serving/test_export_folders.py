"""Where exports land, and that a server never sees half of one."""

import importlib
import json
import os
import resource
import signal
import stat
import subprocess
import sys
from concurrent import futures
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import lm_keras as lk

TEXTS = ["a b a b c", "b a c"]


@pytest.fixture(scope="module")
def small():
    """The cheapest model there is to export."""
    tokenizer = lk.text.WordTokenizer.train(TEXTS, language=None)
    sizes = {"num_classes": 2, "embedding_dim": 2, "kernel_sizes": (2,), "num_filters": 2}
    model = lk.models.build_cnn_classifier(tokenizer.vocab_size, **sizes)
    return lk.tasks.TextClassifier(model, tokenizer, ["yes", "no"])


def listing(folder):
    return {p.relative_to(folder): p.read_bytes() if p.is_file() else None for p in Path(folder).rglob("*")}


def test_versions_count_up_and_appear_only_when_whole(small, tmp_path, monkeypatch):
    target, seen = tmp_path / "deep" / "name", []
    module = importlib.import_module("lm_keras.serving.export.exporting")
    real_save, real_write = tf.saved_model.save, module.write_json

    def look(path):
        seen.append(Path(path).name)
        siblings = [p.name for p in target.iterdir()]
        assert not [name for name in siblings if name.isdigit() and not (target / name / "assets.extra").is_dir()]

    def save(module, folder, *rest):
        look(folder)
        real_save(module, folder, *rest)

    def write(path, value):
        look(path.parents[1])
        real_write(path, value)

    monkeypatch.setattr(tf.saved_model, "save", save)
    monkeypatch.setattr(module, "write_json", write)
    assert lk.export(small, target) == str(target / "1")
    monkeypatch.undo()
    assert len(seen) == 3 and not any(name.isdigit() for name in seen)

    (target / "9.tmp").mkdir()
    (target / "²").mkdir()
    (target / "notes.txt").write_text("mine")
    assert lk.export(small, target) == str(target / "2")
    assert lk.export(small, target / "7") == str(target / "7")
    assert sorted(p.name for p in target.iterdir()) == ["1", "2", "7", "9.tmp", "notes.txt", "²"]
    assert stat.S_IMODE((target / "1").stat().st_mode) & 0o555 == 0o555  # the server is another user


def test_a_version_that_exists_is_refused_and_untouched(small, tmp_path):
    version = tmp_path / "name" / "3"
    version.mkdir(parents=True)
    (version / "saved_model.pb").write_bytes(b"precious")
    before = listing(tmp_path)
    with pytest.raises(lk.InputError, match="exists already"):
        lk.export(small, version)
    (tmp_path / "file").write_text("x")
    for target in (tmp_path / "file", tmp_path / "file" / "name"):
        with pytest.raises(lk.InputError, match="is a file"):
            lk.export(small, target)
    (tmp_path / "file").unlink()
    assert listing(tmp_path) == before


def test_a_failing_export_leaves_no_folder(small, tmp_path, monkeypatch):
    def full(*args):
        Path(args[1], "variables").mkdir(parents=True)
        raise OSError(28, "No space left on device")

    (tmp_path / "old" / "1").mkdir(parents=True)
    monkeypatch.setattr(tf.saved_model, "save", full)
    for target in (tmp_path / "new" / "name", tmp_path / "old"):
        with pytest.raises(lk.InputError, match="No space left on device.*; make room"):
            lk.export(small, target)
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "old", tmp_path / "old" / "1"]


def test_a_tokenizer_without_a_graph_is_refused(tmp_path):
    tokenizer = lk.text.WordTokenizer.train(["今天天气很好"], language="zh")
    model = lk.models.build_lstm_lm(tokenizer.vocab_size, embedding_dim=2, hidden_dim=2)
    with pytest.raises(lk.InputError, match="CharTokenizer"):
        lk.export(lk.LanguageModel(model, tokenizer), tmp_path / "zh")
    assert list(tmp_path.iterdir()) == []


def test_what_a_folder_of_an_export_tells(exported):
    language_model, version = exported
    card = json.loads(Path(version, "assets.extra", "model_card.json").read_text())
    model, tokenizer = language_model.model, language_model.tokenizer
    size = sum(np.asarray(weight).nbytes for weight in model.weights)
    assert card["lm_keras"] == lk.__version__
    assert (card["builder"], card["sizes"]["hidden_dim"]) == ("build_lstm_lm", 32)
    assert (card["parameters"], card["parameter_bytes"]) == (model.count_params(), size)
    told = card["tokenizer"]
    assert (told["kind"], told["vocab_size"]) == (type(tokenizer).__name__, tokenizer.vocab_size)
    assert (card["family"], card["training_data"], card["max_new_tokens_limit"]) == ("lstm", None, 256)
    rebuilt = getattr(lk.models, card["builder"])(**card["sizes"])
    assert rebuilt.count_params() == card["parameters"]

    reader = tf.train.load_checkpoint(str(Path(version, "variables", "variables")))
    types = reader.get_variable_to_dtype_map()
    shapes = reader.get_variable_to_shape_map()
    on_disk = sum(int(np.prod(shape)) * types[k].size for k, shape in shapes.items() if types[k] != tf.string)
    assert size <= on_disk <= 1.05 * size


# === Where an export lands ===
@pytest.fixture
def quick(monkeypatch):
    """An export that writes one small file: these tests are about places alone."""

    def write(folder, name, *_):
        (folder / "saved_model.pb").write_text(name)

    monkeypatch.setattr(importlib.import_module("lm_keras.serving.export.exporting"), "_write", write)


def make_versions(folder, *versions):
    for version in versions:
        (folder / version).mkdir(parents=True)
        (folder / version / "saved_model.pb").touch()


@pytest.mark.parametrize("made", [(), ("lm/1",)])
def test_a_version_of_a_folder_of_models_is_refused(small, quick, tmp_path, made):
    """`saved_models/6` would be version 6 of a model called saved_models, which no server finds there."""
    folder = tmp_path / ("models" if made else "saved_models")
    make_versions(folder, *made)
    right = f"give {folder / 'NAME'} for the next version of NAME, or {folder / 'NAME' / '6'}"
    with pytest.raises(lk.InputError) as refused:
        lk.export(small, folder / "6")
    assert right in str(refused.value) and "\n" not in str(refused.value)
    with pytest.raises(lk.InputError, match="is a folder of models; give .*NAME for the next version"):
        lk.export(small, folder)
    assert lk.export(small, folder / "lm") == str(folder / "lm" / ("2" if made else "1"))


@pytest.mark.parametrize("number", ["0", "-1", "+3", "007", str(2**63), "9" * 30, " 6"])
def test_a_number_that_is_no_version_is_refused(small, quick, tmp_path, number):
    with pytest.raises(lk.InputError, match="a version is a whole number from 1 to 9223372036854775807"):
        lk.export(small, tmp_path / "lm" / number)
    assert not list(tmp_path.iterdir())
    assert lk.export(small, tmp_path / "lm" / str(2**63 - 1))
    with pytest.raises(lk.InputError, match="the last one"):
        lk.export(small, tmp_path / "lm")


def test_the_next_version_knows_what_a_server_would_read(small, quick, tmp_path):
    make_versions(tmp_path / "lm", "007", str(2**63))
    with pytest.raises(lk.InputError, match="007 exists already"):
        lk.export(small, tmp_path / "lm" / "7")
    assert lk.export(small, tmp_path / "lm") == str(tmp_path / "lm" / "8")


def test_home_relative_and_linked_places(small, quick, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert lk.export(small, "~/lm") == str(tmp_path / "home" / "lm" / "1")
    assert lk.export(small, "here/lm") == "here/lm/1" and (tmp_path / "here/lm/1").is_dir()
    (tmp_path / "link").symlink_to(tmp_path / "home" / "lm")
    assert lk.export(small, "link") == "link/2"
    assert (tmp_path / "home/lm/2/saved_model.pb").read_text() == "link"  # the model's name for the warm-up
    monkeypatch.chdir(tmp_path / "here" / "lm")
    assert lk.export(small, ".") == "2" and Path("2/saved_model.pb").read_text() == "lm"
    assert lk.export(small, "7") == "7"
    odd = tmp_path / "Äpfel & \n 'x' {0} %s"
    assert lk.export(small, odd) == str(odd / "1")


def test_places_that_cannot_be_are_one_line(small, quick, tmp_path):
    make_versions(tmp_path / "lm", "1")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "lm" / "5").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    before = sorted(tmp_path.rglob("*"))
    places = ["", "/", None, 5, "a\0b", "~nobody-of-this-name/lm", b"/tmp/\xff/lm", "/dev/null/lm", "/proc/lm/name",
              tmp_path / "lm" / "1" / "lm", tmp_path / "lm" / "5", tmp_path / "dangling", tmp_path / "loop" / "lm",
              tmp_path / ("x" * 300)]  # fmt: skip
    for place in places:
        with pytest.raises(lk.InputError) as refused:
            lk.export(small, place)
        assert "\n" not in str(refused.value) and "give" in str(refused.value), place
    assert sorted(tmp_path.rglob("*")) == before


def test_a_place_of_another_user_is_one_line(small, quick, tmp_path):
    (tmp_path / "lm").mkdir(mode=0o555)
    tmp_path.chmod(0o755)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)  # root may write anywhere
        with pytest.raises(
            lk.InputError, match=r"cannot be written \(Permission denied\); make room or give another place"
        ):
            lk.export(small, tmp_path / "lm")
    finally:
        os.seteuid(user)


def test_exports_at_the_same_time_get_versions_in_a_row(small, tmp_path):
    make_versions(tmp_path / "lm", "4")
    with futures.ThreadPoolExecutor(3) as pool:
        versions = sorted(pool.map(lambda _: lk.export(small, tmp_path / "lm"), range(3)))
    assert versions == [str(tmp_path / "lm" / number) for number in "567"]
    assert all(Path(version, "assets.extra", "model_card.json").is_file() for version in versions)
    assert sorted(path.name for path in (tmp_path / "lm").iterdir()) == ["4", "5", "6", "7"]


def test_many_processes_never_take_the_same_version(tmp_path):
    """Also while others fail and remove the empty folders above."""
    code = """if True:
        import sys
        from pathlib import Path
        from lm_keras.errors import InputError
        from lm_keras.serving.export.versions import write_version

        def write(folder):
            (folder / "saved_model.pb").touch()
            if fails:
                raise OSError(28, "No space left on device")

        for i in range(20):
            fails = i % 2
            try:
                print(write_version(Path(sys.argv[1]), None, write).name)
            except InputError as error:
                assert "No space left" in str(error)"""
    command = [sys.executable, "-c", code, str(tmp_path / "deep" / "lm")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    versions = [int(line) for process in running for line in process.communicate()[0].split()]
    assert [process.returncode for process in running] == [0] * 3
    assert sorted(versions) == list(range(1, 31))
    assert len(list((tmp_path / "deep" / "lm").iterdir())) == 30


def test_a_killed_export_leaves_only_what_the_next_one_removes(small, quick, tmp_path):
    code = """if True:
        import os, sys
        from pathlib import Path
        from lm_keras.serving.export.versions import write_version

        def write(folder):
            (folder / "saved_model.pb").touch()
            print("half", flush=True)
            sys.stdin.read()

        write_version(Path(sys.argv[1]), None, write)"""
    command = [sys.executable, "-c", code, str(tmp_path / "lm")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert lk.export(small, tmp_path / "lm") == str(tmp_path / "lm" / "1")
        (half,) = [path for path in (tmp_path / "lm").iterdir() if path.name != "1"]  # that of a living process stays
        assert half.name.startswith(".") and (half / "saved_model.pb").exists()
        process.kill()
    assert half.exists()
    assert lk.export(small, tmp_path / "lm") == str(tmp_path / "lm" / "2")
    assert sorted(path.name for path in (tmp_path / "lm").iterdir()) == ["1", "2"]


def test_a_full_disk_is_one_line_and_the_version_before_stays(small, tmp_path):
    """A limit on the size of a file says what a full disk says; TensorFlow's own writers meet it too."""
    target = tmp_path / "name"
    lk.export(small, target)
    before, largest = listing(target), max(path.stat().st_size for path in target.rglob("*") if path.is_file())
    heard, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        for size in (0, 200, largest // 2):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
            with pytest.raises(lk.InputError, match=r"name cannot be written \(File too large\); make room"):
                lk.export(small, target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, heard)
    assert listing(target) == before


def test_memory_that_is_short_is_not_a_full_disk(small, tmp_path, monkeypatch):
    def short(*_):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[10,10]")

    monkeypatch.setattr(tf.saved_model, "save", short)
    with pytest.raises(tf.errors.ResourceExhaustedError):
        lk.export(small, tmp_path / "name")
    assert not list(tmp_path.iterdir())
