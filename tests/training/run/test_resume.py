"""A run that is killed at any moment, resumed, ends as if it had not been disturbed, to the last bit."""

import os
import random
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
from paths import SUPPORT
from resume_child import EPOCHS, run

from lm_keras.errors import InputError
from lm_keras.training.run.log import read_rows
from lm_keras.utils.saved_kinds import CHECKPOINT

CHANCE = random.SystemRandom()  # `fit` seeds the common one
CHILD = SUPPORT / "resume_child.py"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    runs = {}

    def get(kind):
        if kind not in runs:
            folder = tmp_path_factory.mktemp(kind)
            model, history = run(folder, kind)
            runs[kind] = folder, model.get_weights(), history
        return runs[kind]

    return get


def start(python, folder, kind, *arguments):
    command = [python, str(CHILD), str(folder), kind, *map(str, arguments)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)


def killed_at_step(python, folder, kind, step):
    child = start(python, folder, kind, step)
    errors = child.communicate(timeout=120)[1]
    assert child.returncode == -signal.SIGKILL, errors.decode()[-2000:]


def killed_while_writing(python, folder, kind, after):
    """Kills a run while the temporary file of a checkpoint is there, `after` seconds after the first sight of it."""
    child, begun = start(python, folder, kind), time.monotonic()
    while child.poll() is None and time.monotonic() - begun < 120:
        if any(name.startswith(f".{CHECKPOINT}.") for name in os.listdir(folder)):  # noqa: PTH208 (fast)
            time.sleep(after)
            child.kill()
            break
        time.sleep(0.0002)  # much less than a checkpoint takes; without it this loop takes a core from the run
    errors = child.communicate(timeout=120)[1]
    assert child.returncode == -signal.SIGKILL, errors.decode()[-2000:]


def assert_same_run(kind, folder, model, history, undisturbed):
    expected_folder, weights, expected = undisturbed(kind)
    for a, b in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert history.epoch == list(range(EPOCHS))
    assert history.history.keys() == expected.history.keys()
    for key, values in expected.history.items():
        np.testing.assert_allclose(history.history[key], values, rtol=1e-6, err_msg=key)
    rows, expected_rows = (read_rows(path / "metrics.csv") for path in (folder, expected_folder))
    assert [row.keys() for row in rows] == [row.keys() for row in expected_rows]
    for row, expected_row in zip(rows, expected_rows, strict=True):
        assert row == pytest.approx(expected_row, rel=1e-5)


def test_shuffled_run_killed_at_steps_and_while_writing(tmp_path, undisturbed, warm_python):
    total = EPOCHS * steps_an_epoch(undisturbed)
    step = CHANCE.randrange(3, total // 2)
    print("killed at step", step, "of", total)
    killed_at_step(warm_python, tmp_path, "shuffled", step)
    killed_while_writing(warm_python, tmp_path, "shuffled", after=CHANCE.uniform(0, 0.002))
    print("left behind:", sorted(path.name for path in tmp_path.iterdir()))
    model, history = run(tmp_path, "shuffled", resume=True)
    assert_same_run("shuffled", tmp_path, model, history, undisturbed)


def test_contiguous_run_killed_within_an_epoch(tmp_path, undisturbed, warm_python):
    step = steps_an_epoch(undisturbed) + CHANCE.randrange(6, 12)
    print("killed at step", step)
    killed_at_step(warm_python, tmp_path, "contiguous", step)
    model, history = run(tmp_path, "contiguous", resume=True)
    assert_same_run("contiguous", tmp_path, model, history, undisturbed)


def steps_an_epoch(undisturbed):
    folder, _, _ = undisturbed("shuffled")
    return next(row["step"] for row in read_rows(folder / "metrics.csv") if "val_loss" in row)


# === Damage ===
@pytest.fixture
def finished(tmp_path, undisturbed):
    folder = tmp_path / "run"
    shutil.copytree(undisturbed("shuffled")[0], folder)
    return folder


def snapshot(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kept", [0, 500, -1])
def test_a_checkpoint_that_is_cut_short_is_never_loaded(finished, kept):
    path = finished / CHECKPOINT
    path.write_bytes(path.read_bytes()[:kept])
    before = snapshot(finished)
    with pytest.raises(InputError, match="damaged or cut short"):
        run(finished, "shuffled", resume=True)
    assert snapshot(finished) == before


@pytest.mark.parametrize("settings", [{"optimizer": "sgd"}])
def test_a_checkpoint_of_another_optimizer_is_not_loaded(finished, settings):
    before = snapshot(finished)
    with pytest.raises(InputError, match="another model or optimizer"):
        run(finished, "shuffled", resume=True, **settings)
    assert snapshot(finished) == before


def test_what_a_kill_left_of_a_file_is_ignored(finished, undisturbed):
    (finished / f".{CHECKPOINT}.123.tmp").write_bytes(b"half a checkp")
    model, history = run(finished, "shuffled", resume=True)
    assert_same_run("shuffled", finished, model, history, undisturbed)
