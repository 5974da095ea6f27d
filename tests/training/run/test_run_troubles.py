"""What a disk, a pipe and other programs do to a training: it goes on, or one line says what is wrong."""

import contextlib
import io
import json
import os
import resource
import shutil
import subprocess
import sys
import types

import keras
import numpy as np
import pytest

import lm_keras as lk
from lm_keras.cli.parser import main
from lm_keras.errors import InputError, WriteError
from lm_keras.training.run.log import RunLog, read_rows
from lm_keras.utils.atomic_files import read_tensors, write_tensors
from lm_keras.utils.quiet import on_terminal, tell
from lm_keras.utils.saved_kinds import CHECKPOINT

X = np.random.default_rng(0).integers(0, 9, (16, 5)).astype("int32")
SETTINGS = {"batch_size": 4, "warmup_steps": 0, "epochs": 2, "logging_steps": 2, "checkpoint_steps": 1}


def small(vocab_size=9):
    return lk.models.build_feedforward_lm(vocab_size, context_length=2, embedding_dim=4, hidden_dim=(5,), seed=0)


def fit(folder, **settings):
    """Trains; returns the weights."""
    model = small()
    lk.fit(model, (X, X), (X, X), lk.TrainingConfig(output_dir=folder, **{**SETTINGS, **settings}))
    return model.get_weights()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The folder of a run of two epochs, and its weights."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return folder, fit(folder)


class CutOffError(Exception):
    pass


@pytest.fixture(scope="module")
def cut_off(tmp_path_factory):
    """A run that was cut off in its second epoch, between two rows of its table."""
    folder, steps = tmp_path_factory.mktemp("cut_off"), []

    def stop(batch, logs):
        steps.append(batch)
        if len(steps) == 7:
            raise CutOffError

    callback = keras.callbacks.LambdaCallback(on_train_batch_end=stop)
    with pytest.raises(CutOffError):
        lk.fit(small(), (X, X), (X, X), lk.TrainingConfig(output_dir=folder, **SETTINGS), [callback])
    return folder


@pytest.fixture
def half(cut_off, tmp_path):
    return shutil.copytree(cut_off, tmp_path / "half")


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def train(text, out, *more):
    sizes = ["--embedding-dim", "4", "--hidden-dim", "5", "--context-length", "2", "--length", "5", "--epochs", "1"]
    command = ["train", "--model", "feedforward", "--tokenizer", "word", "--language", "none", *sizes]
    return [*command, "--data", str(text), "--out", str(out), *more]


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("texts") / "text.txt"
    path.write_text("\n".join(["the cat sat on the mat and " * 3] * 12), encoding="utf-8")
    return path


# === A full disk ===
@contextlib.contextmanager
def full(size):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_checkpoint_that_finds_no_room_leaves_the_last_one(half, undisturbed):
    before = (half / CHECKPOINT).read_bytes()
    with (
        full(len(before) // 2),
        pytest.raises(WriteError, match=rf"{CHECKPOINT} cannot be written \(File too large\)"),
    ):
        fit(half, resume=True)
    assert (half / CHECKPOINT).read_bytes() == before
    assert not list(half.glob(".*"))
    assert same(fit(half, resume=True), undisturbed[1])


def test_a_saved_model_stays_when_there_is_no_room_for_another(tmp_path):
    words = [lk.text.WordTokenizer.train([text], language=None) for text in ("a b c d", "q r s t")]
    lk.LanguageModel(small(words[0].vocab_size), words[0]).save(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with full(600), pytest.raises(WriteError, match="model.safetensors cannot be written"):
        lk.LanguageModel(small(words[1].vocab_size), words[1]).save(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_text_model_stays_when_there_is_no_room_for_another(tmp_path):
    words = lk.text.WordTokenizer.train(["a b c d e f g"], vocab_size=9, language=None)
    model = lk.models.build_cnn_classifier(9, num_classes=2, embedding_dim=4, num_filters=3, kernel_sizes=(2,))
    saved = lk.tasks.TextClassifier(model, words, ["x", "y"])
    lk.tasks.save(saved, tmp_path)
    (tmp_path / ".save-abc.tmp").mkdir()  # of a kill
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for size in (100, 600):
        with full(size), pytest.raises(WriteError, match="cannot be written"):
            lk.tasks.save(saved, tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert not list(tmp_path.glob(".*"))
    (tmp_path / "tokenizer" / "tokenizer.json").unlink()
    (tmp_path / "tokenizer").rmdir()
    (tmp_path / "tokenizer").write_text("mine")
    with pytest.raises(WriteError, match=r"cannot be written \(File exists\)"):
        lk.tasks.save(saved, tmp_path)


def test_the_command_line_says_so_in_one_line(text, tmp_path, capsys):
    with full(1200):
        assert main(train(text, tmp_path / "run", "--checkpoint-steps", "1")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot be written (File too large); make room" in line


# === Standard output ===
class Gone(io.StringIO):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def write(self, text):
        raise self.error


def test_a_training_that_nobody_listens_to_goes_on(undisturbed, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdout", Gone(BrokenPipeError(32, "Broken pipe")))
    assert same(fit(tmp_path), undisturbed[1])
    for error in (OSError(28, "No space left"), ValueError("closed")):
        monkeypatch.setattr(sys, "stdout", Gone(error))
        tell("epoch 1")
    monkeypatch.setattr(sys, "stdout", None)
    tell("epoch 1")
    assert not on_terminal()


def test_a_stream_that_cannot_show_a_sign_gets_a_mark(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    tell("epoch 1/2 · loss")
    assert stream.buffer.getvalue() == b"epoch 1/2 ? loss\n"


def test_a_train_whose_output_is_closed_ends_well(text, tmp_path, warm_python):
    command = [warm_python, "-m", "lm_keras"]
    with subprocess.Popen([*command, *train(text, tmp_path / "piped")], stdout=-1, stderr=-1) as piped:
        piped.stdout.close()  # as `| head` does
        assert (piped.stderr.read(), piped.wait(120)) == (b"", 0)
    assert (tmp_path / "piped" / "result.json").exists()
    lk.LanguageModel.load(tmp_path / "piped")


def test_a_line_that_nobody_reads_changes_no_exit_code(monkeypatch):
    for error in (BrokenPipeError(32, "Broken pipe"), OSError(28, "No space left")):
        monkeypatch.setattr(sys, "stderr", Gone(error))
        assert main(["score", "none", "--text", "x"]) == 2
        with pytest.raises(SystemExit) as told:
            main(["nothing"])
        assert told.value.code == 2


def test_streams_that_are_closed_from_the_start_are_no_trouble(tmp_path):
    """Files that are opened later must not get their numbers: what is printed would end in them."""
    script = "import os; from lm_keras.cli import main; code = main(['score', 'none', '--text', 'x']); "
    script += "file = open('made', 'w'); file.write(f'{code} {file.fileno() > 2}'); file.close()"
    closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", script]
    subprocess.run(closed, cwd=tmp_path, timeout=60, check=True)
    assert (tmp_path / "made").read_text() == "2 True"


# === Names ===
def test_names_that_are_no_utf8_work_as_all_others(text, tmp_path, capsys):
    data, out = (tmp_path / os.fsdecode(name) for name in (b"caf\xe9.txt", b"run\xe9"))
    data.write_bytes(text.read_bytes())
    assert main(train(data, out)) == 0
    assert f"{tmp_path}/run?: validation perplexity" in capsys.readouterr().out
    assert json.loads((out / "run.json").read_text())["data"] == str(data)
    assert any((out / "logs").iterdir())
    lk.LanguageModel.load(out)
    capsys.readouterr()
    assert main(train(tmp_path / os.fsdecode(b"none\xe9"), tmp_path / "new")) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1

    from lm_keras.cli.train import told_by

    assert told_by(out)["training_data"]["data"] == f"{tmp_path}/caf\ufffd.txt"  # in the card of an export


# === What is found in the folder of a run ===
DAMAGED = {
    "random": np.random.default_rng(1).bytes(3000),
    "NUL": b"step,epoch,loss\n\0\0\0\n2,1,2.5\n",
    "other columns": b"step,epoch,loss,mine\n2,1,2.5,7\n",
    "more values": b"step,epoch,loss,learning_rate\n2,1,2.5,1e-3,9,9\n4,1,2.4,1e-3\n",
    "words": b"step,epoch,loss,learning_rate\ntwo,1,high,1e-3\n4,1,2.4,1e-3\n",
    "not finite": b"step,epoch,loss,learning_rate\n2,1,nan,1e-3\n4,1,inf,1e-3\n6,2,2.4,1e-3\n",
    "no step": b"epoch,loss\n1,2.5\n",
    "large number": b"step,epoch,loss\n" + b"9" * 400 + b",1,2.5\n2,1,2.5\n",
    "long number": b"step,epoch,loss\n" + b"9" * 5000 + b",1,2.5\n2,1,2.5\n",
    "UTF-16": "step,epoch,loss\n2,1,2.5\n".encode("utf-16"),
}


def test_a_run_with_a_damaged_table_goes_on(half, undisturbed, capsys):
    (half / "metrics.csv").write_bytes(DAMAGED["random"])
    assert same(fit(half, resume=True), undisturbed[1])
    assert "metrics.csv is damaged" in capsys.readouterr().out
    rows, expected = (
        [row for row in read_rows(folder / "metrics.csv") if row["step"] > 6] for folder in (half, undisturbed[0])
    )
    assert len(rows) == len(expected) == 2
    for row, other in zip(rows, expected, strict=True):
        assert row == pytest.approx(other, rel=1e-5)


@pytest.mark.parametrize(
    "changed", [{"step": 10**400}, {"step": True}, {"best_loss": 10**400}, {"logged": [10**400, 1]}]
)
def test_a_place_in_the_run_that_is_none_is_one_line(changed, half):
    tensors, progress = read_tensors(half / CHECKPOINT)
    write_tensors(half / CHECKPOINT, tensors, progress | changed)
    with pytest.raises(InputError, match="its place in the run is none"):
        fit(half, resume=True)


def taken_over(folder, content):
    """The rows that a log finds in a metrics.csv."""
    (folder / "metrics.csv").write_bytes(content)
    state = types.SimpleNamespace(measures=(), step=6)
    log = RunLog(state, lk.TrainingConfig(output_dir=folder, resume=True))
    log.close()
    assert read_rows(folder / "metrics.csv") == log.rows
    return log.rows


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_table_is_put_aside(kind, tmp_path, capsys):
    for row in taken_over(tmp_path, DAMAGED[kind]):
        assert row.keys() <= {"step", "epoch", "loss", "learning_rate"}
    assert "metrics.csv is damaged" in capsys.readouterr().out
    assert (tmp_path / "metrics.csv.damaged").read_bytes() == DAMAGED[kind]


@pytest.mark.parametrize("content", [b"", b"step,epoch,loss,learning_rate\n2,1,2.5,1e-3\n4,1,2.5,", b"step\n2\n4"])
def test_a_table_that_a_kill_cut_short_is_no_damage(content, tmp_path, capsys):
    rows = taken_over(tmp_path, content)
    assert [row["step"] for row in rows] == ([2, 4] if b"4" in content else [])
    assert capsys.readouterr().out == ""
    assert not (tmp_path / "metrics.csv.damaged").exists()


@pytest.mark.parametrize("name", ["logs", "metrics.csv", "learning_curve.png"])
def test_a_file_for_a_folder_or_a_folder_for_a_file_is_one_line(name, half):
    if name == "logs":
        shutil.rmtree(half / name)
        (half / name).write_text("mine")
    else:
        (half / name).unlink()
        (half / name).mkdir()
    with pytest.raises(InputError, match=rf"{name} is a f\w+, and a run has a f\w+ there; move it away"):
        fit(half, resume=True)


def test_a_log_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "logs").symlink_to("/proc/none")
    with pytest.raises(WriteError, match=r"logs cannot be written \(No such file or directory\); make room or"):
        fit(tmp_path)


def test_what_kills_left_is_removed_and_what_is_not_ours_stays(half, undisturbed):
    (half / f".{CHECKPOINT}.123.tmp").write_text("half a checkpoint")
    for folder in (".save-abc.tmp", ".mine.tmp", ".other.1.tmp"):
        (half / folder).mkdir()
        (half / folder / "file").write_text("x")
    (half / ".notes.tmp").write_text("mine")
    assert same(fit(half, resume=True), undisturbed[1])
    assert {path.name for path in half.glob(".*")} == {".mine.tmp", ".other.1.tmp", ".notes.tmp"}


# === The order of variables, which stand in a checkpoint by number ===
IDS = np.arange(48, dtype="int32").reshape(8, 6) % 9


def transformer():
    return lk.models.build_seq2seq_transformer(9, hidden_dim=4, num_layers=1, num_heads=1, seed=0)


def two_layers(*names):
    return keras.Sequential([keras.Input((6,)), *(keras.layers.Dense(6, name=name) for name in names)])


def test_a_checkpoint_of_the_same_sizes_in_another_order_is_refused(tmp_path):
    data, settings = (IDS.astype("float32"), IDS[:, 0] % 6), {"batch_size": 4, "output_dir": tmp_path}
    lk.fit(two_layers("first", "second"), data, config=lk.TrainingConfig(epochs=1, **settings))
    with pytest.raises(InputError, match="is of another model"):
        lk.fit(two_layers("second", "first"), data, config=lk.TrainingConfig(epochs=2, resume=True, **settings))
    lk.fit(two_layers("first", "second"), data, config=lk.TrainingConfig(epochs=2, resume=True, **settings))


def test_release_0_1_had_the_weights_of_the_encoder_decoder_in_another_order(tmp_path):
    data = {"source_ids": IDS, "target_ids": IDS}, IDS
    settings = {"batch_size": 4, "output_dir": tmp_path}
    lk.fit(transformer(), data, config=lk.TrainingConfig(epochs=1, **settings))
    tensors, progress = read_tensors(tmp_path / "checkpoint.safetensors")
    lk.fit(transformer(), data, config=lk.TrainingConfig(epochs=2, resume=True, **settings))
    del progress["variables"]  # as that release wrote it
    write_tensors(tmp_path / "checkpoint.safetensors", tensors, progress)
    with pytest.raises(InputError, match="was written by release 0.1, which had the weights"):
        lk.fit(transformer(), data, config=lk.TrainingConfig(epochs=2, resume=True, **settings))
