"""Two real processes train as one does, also when one is killed on the way; what is said when a worker is missing."""

import json
import os
import shutil
import signal
import subprocess
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from multi_worker_child import answers, free_addresses, run, tags_and_more
from paths import SUPPORT

import lm_keras as lk
from lm_keras.cli import parser
from lm_keras.errors import InputError
from lm_keras.training.distributed.steps import SharedStep
from lm_keras.training.label_weights import labels_of
from lm_keras.training.run.log import read_rows
from lm_keras.utils.atomic_files import read_json

CHILD = SUPPORT / "multi_worker_child.py"


def config(addresses, index):
    return json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}})


def two_workers(*command):
    """Runs `command` as two workers; returns [(exit code, output) of each]."""
    addresses = free_addresses(2)
    environments = [{**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "TF_CONFIG": config(addresses, i)} for i in range(2)]
    children = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
        for environment in environments
    ]
    try:
        return [(child.wait(timeout=120), child.stdout.read()) for child in children]
    finally:
        for child in children:
            child.kill()
            child.stdout.close()


def test_a_worker_killed_and_the_run_resumed_equals_one_process(tmp_path, warm_python):
    command = [warm_python, str(CHILD), str(tmp_path / "run")]
    (code, told), (killed, _) = two_workers(*command, "13")
    assert killed == -signal.SIGKILL
    assert code == 1
    line = told.splitlines()[-1]
    assert line.startswith("WorkerLostError: worker 1 is gone (")
    assert line.endswith(
        "start all workers again with resume=True (--resume), and it goes on from its last checkpoint"
    )
    assert read_rows(tmp_path / "run" / "metrics.csv")[-1]["step"] >= 12  # the checkpoint: within the second epoch

    shutil.copytree(tmp_path / "run", tmp_path / "onward")
    (code, told), (other, told_other) = two_workers(*command)
    assert (code, other) == (0, 0), told + told_other
    assert "epoch 2/2" in told
    assert told_other == ""  # only the chief tells and writes

    alone = [run(tmp_path / "alone"), answers(), tags_and_more()]
    model = alone[0][0]
    for worker in ("worker0", "worker1"):
        for history, (_, expected) in zip(read_json(tmp_path / f"{worker}.json"), alone, strict=True):
            assert history.keys() == expected.history.keys()
            for name, values in expected.history.items():
                np.testing.assert_allclose(history[name], values, rtol=1e-5, err_msg=name)
        weights = np.load(tmp_path / f"{worker}.npz")
        for i, weight in enumerate(w for model, _ in alone for w in model.get_weights()):
            np.testing.assert_allclose(weights[str(i)], weight, atol=1e-5)
    onward, _ = run(tmp_path / "onward", resume=True)  # one process goes on with what two began
    for weight, expected_weight in zip(onward.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(weight, expected_weight, atol=1e-5)
    rows, expected_rows = (read_rows(tmp_path / name / "metrics.csv") for name in ("run", "alone"))
    assert len(rows) == len(expected_rows)
    for row, expected_row in zip(rows, expected_rows, strict=True):
        assert row == pytest.approx(expected_row, rel=1e-5)


def test_the_command_line_trains_on_two_workers(tmp_path, capsys, warm_python):
    text = tmp_path / "news.txt"
    text.write_text("\n".join(lk.data.load("lee-news")[:12]), encoding="utf-8")
    options = ["train", "--model", "lstm", "--data", str(text), "--tokenizer", "word", "--language", "none"]
    options += ["--vocab-size", "300", "--hidden-dim", "16", "--embedding-dim", "16", "--epochs", "1"]
    options += ["--optimizer", "sgd", "--learning-rate", "1"]  # Adam makes much of the last bit of a tiny gradient
    together = [*options, "--strategy", "multi_worker", "--out", str(tmp_path / "two")]
    for code, told in two_workers(warm_python, "-m", "lm_keras", *together):
        assert code == 0, told
    assert parser.main([*options, "--out", str(tmp_path / "one")]) == 0
    capsys.readouterr()
    models = [lk.LanguageModel.load(tmp_path / name).model for name in ("two", "one")]
    for weight, expected in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(weight, expected, atol=1e-5)
    assert (tmp_path / "two" / "run.json").read_text() == (tmp_path / "one" / "run.json").read_text()


# === TF_CONFIG ===


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "needs TF_CONFIG in the environment"),
        ("{'cluster'", "is not JSON"),
        ("[]", "names no workers"),
        ('{"cluster": {"worker": "a:1"}}', "names no workers"),
        ('{"cluster": {"ps": ["a:1"], "worker": ["b:1"]}}', "has the jobs ps, worker"),
        ('{"cluster": {"chief": null, "worker": ["a:1"]}}', "has None as the addresses of chief"),
        ('{"cluster": {"chief": 5, "worker": ["a:1"]}}', "has 5 as the addresses of chief; give a list of host:port"),
        ('{"cluster": {"worker": ["a"]}}', "has the address 'a'; give host:port"),
        ('{"cluster": {"worker": ["a:1"]}}', "has the task type None"),
        (config(["a:1", "b:1"], 2), "has the task index 2; worker has the indices 0 to 1"),
        (config(["a:1", "b:1"], -1), "has the task index -1"),
        (config(["a:1", "b:1"], 0), "call lm_keras.training.multi_worker() first in the program"),  # these tests ran
    ],
)
def test_what_cannot_start_is_said_in_one_line(text, said, monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    np.asarray(lk.models.build_lstm_lm(9, embedding_dim=2, hidden_dim=2).weights[0])  # TensorFlow has begun
    options = ["train", "--model", "lstm", "--data", "x", "--tokenizer", "char", "--strategy", "multi_worker"]
    assert parser.main([*options, "--out", str(tmp_path / "run")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not (tmp_path / "run").exists()


def test_state_cannot_be_carried_from_the_command_line_either(tmp_path, capsys):
    options = ["train", "--model", "lstm", "--data", "x", "--tokenizer", "char", "--strategy", "multi_worker"]
    assert parser.main([*options, "--contiguous", "--out", str(tmp_path / "run")]) == 2
    assert "--strategy multi_worker cannot carry state along" in capsys.readouterr().err


def test_fit_refuses_what_it_cannot_spread():
    model = lk.models.build_lstm_lm(9, embedding_dim=2, hidden_dim=2)
    x = np.zeros((4, 3), "int32")
    with pytest.raises(InputError, match="strategy is 'mirrored'; it must be None or 'multi_worker'"):
        lk.fit(model, (x, x), strategy="mirrored")
    tokenizer = lk.text.CharTokenizer.train(["abc"])
    windows = lk.data.lm_windows(["abc" * 20], tokenizer, length=3, batch_size=2, contiguous=True)
    with pytest.raises(InputError, match="cannot carry state along; give windows made with contiguous=False"):
        lk.fit(model, windows, strategy="multi_worker")


def test_losses_whose_labels_cannot_be_counted_are_refused():
    ids = keras.Input((3,), dtype="int32")
    plain, masked = (keras.layers.Dense(2)(keras.layers.Embedding(9, 2, mask_zero=zero)(ids)) for zero in (0, 1))
    for loss, outputs, said in (
        ("mse", masked, "an output has a mask of Keras"),
        ("mse", {"a": plain, "b": plain}, "2 outputs need a loss for each"),
        ({"a": "mse"}, {"a": plain, "b": plain}, "2 outputs need a loss for each"),
        (keras.losses.MeanSquaredError(reduction="sum"), plain, "the loss has the reduction 'sum'"),
    ):
        with pytest.raises(InputError, match=said):
            labels_of(loss, outputs, "several workers")


@pytest.mark.parametrize("other", ["x", "y", "weights"])
def test_the_mark_of_a_batch_tells_its_texts_labels_and_weights(other):
    workers = types.SimpleNamespace(count=2, index=0)
    batch = {"x": tf.range(4), "y": tf.zeros(4, "int32"), "weights": tf.ones(4)}
    changed = {**batch, other: batch[other] + 1}

    def mark(batch):
        counts = labels_of("mse", keras.Input((1,)), "several workers")
        step = SharedStep.__new__(SharedStep)  # of a batch alone: no model is needed
        step.workers, step.labels_of, step.summed = workers, counts, False
        return np.asarray(step.part(*batch.values())[1][3:])

    assert np.array_equal(mark(batch), mark(dict(batch)))
    assert not np.array_equal(mark(batch), mark(changed))
