"""The files that a server is started with, read by the server's own message types."""

import resource
import signal

import pytest
import yaml
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st

from lm_keras.cli import parser
from lm_keras.errors import InputError
from lm_keras.serving import serve_config

apis = pytest.importorskip("tensorflow_serving.config.model_server_config_pb2", reason="no tensorflow-serving-api")


def exports(folder, **models):
    for name, versions in models.items():
        for version in versions:
            (folder / name / version).mkdir(parents=True)
            (folder / name / version / "saved_model.pb").touch()
    return folder


def read(folder):
    config = text_format.Parse((folder / "models.config").read_text("utf-8"), apis.ModelServerConfig())
    return {model.name: model for model in config.model_config_list.config}


def test_the_newest_version_is_the_canary_and_the_one_before_stable(tmp_path):
    exports(tmp_path, two=["1", "9", "10"], one=["3"], none=["x"])
    (tmp_path / "two" / "11").mkdir()  # not whole: no model in it
    with pytest.warns(UserWarning, match="11 is left out: it holds no saved_model.pb"):
        serve_config(tmp_path)
    models = read(tmp_path)
    assert sorted(models) == ["one", "two"]
    assert dict(models["two"].version_labels) == {"stable": 9, "canary": 10}
    assert list(models["two"].model_version_policy.specific.versions) == [9, 10]
    assert dict(models["one"].version_labels) == {"stable": 3}
    assert list(models["one"].model_version_policy.specific.versions) == [3]
    assert models["two"].base_path == "/models/two" and models["two"].model_platform == "tensorflow"


def test_versions_are_promoted_and_held_back(tmp_path):
    exports(tmp_path, lm=["1", "2", "3"])
    serve_config(tmp_path, stable={"lm": 3})
    assert dict(read(tmp_path)["lm"].version_labels) == {"stable": 3}
    serve_config(tmp_path, stable={"lm": 1}, canary={"lm": 2})
    assert dict(read(tmp_path)["lm"].version_labels) == {"stable": 1, "canary": 2}


def test_what_a_server_does_not_find_is_named(tmp_path, capsys):
    exports(tmp_path, lm=["1", "007", str(2**63), "old", "-3", ".export-01234567.tmp"], group=["x"])
    exports(tmp_path / "group", deep=["1"])
    exports(tmp_path, **{"b\udcff": ["1"]})
    for path in (tmp_path / "6" / "saved_model.pb", tmp_path / "bare" / "saved_model.pb"):
        path.parent.mkdir()
        path.touch()
    assert parser.main(["serve-config", str(tmp_path)]) == 0
    told = capsys.readouterr().err.splitlines()
    assert {name: list(model.model_version_policy.specific.versions) for name, model in read(tmp_path).items()} == {
        "lm": [1]
    }
    for words in (
        f"{tmp_path / '6'} is left out: a version without a model's folder; move it to {tmp_path / 'NAME' / '6'}",
        f"{tmp_path / 'bare'} is left out: a version without a model's folder; move it to {tmp_path / 'bare' / '1'}",
        "'007' is no version",
        f"'{2**63}' is no version",
        "'old' is no version",
        "'-3' is no version",
        f"{tmp_path / 'group' / 'deep'} is left out: models are looked for in {tmp_path} alone",
        r"b\udcff' is left out: its name is not UTF-8; rename it",
    ):
        assert len([line for line in told if words in line and line.startswith("lm-keras: ")]) == 1, words
    assert len(told) == 9  # and group/x


def test_a_model_given_in_place_of_its_folder_is_told(tmp_path):
    exports(tmp_path, lm=["1"])
    with pytest.raises(InputError, match="there is no export in .*/lm; .*1 is left out: a version without a model's"):
        serve_config(tmp_path / "lm")


def test_home_is_found(tmp_path, monkeypatch):
    exports(tmp_path / "models", lm=["1"])
    monkeypatch.setenv("HOME", str(tmp_path))
    assert serve_config("~/models")[0] == str(tmp_path / "models" / "models.config")


def test_files_that_cannot_be_written_are_one_line(tmp_path):
    exports(tmp_path, lm=["1"])
    serve_config(tmp_path)
    before = (tmp_path / "models.config").read_bytes()
    exports(tmp_path, ml=["1"])
    heard, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before), limits[1]))
        with pytest.raises(InputError, match=r"cannot be written \(File too large\); make room"):
            serve_config(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, heard)
    assert (tmp_path / "models.config").read_bytes() == before and not list(tmp_path.glob("*.tmp"))
    with pytest.raises(InputError, match="max_batch_size is 0"):
        serve_config(tmp_path, max_batch_size=0)


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_any_name_of_a_folder_is_read_back(tmp_path_factory, name):
    if name in (".", ".."):
        return
    folder = exports(tmp_path_factory.mktemp("any"), **{name: ["1"]})
    serve_config(folder)
    (model,) = read(folder).values()
    assert (model.name, model.base_path) == (name, f"/models/{name}")


def test_the_composition_mounts_what_was_written(tmp_path):
    written = serve_config(exports(tmp_path, lm=["1"]), image="tensorflow/serving:2.21.0", max_batch_size=8)
    service = yaml.safe_load((tmp_path / "compose.yaml").read_text())["services"]["serving"]
    assert service["image"] == "tensorflow/serving:2.21.0" and service["volumes"] == [".:/models:ro"]
    options = dict(option.removeprefix("--").split("=") for option in service["command"])
    for name in ("model_config_file", "batching_parameters_file", "monitoring_config_file"):
        assert str(tmp_path / options[name].removeprefix("/models/")) in written
    assert "max_batch_size { value: 8 }" in (tmp_path / "batching_parameters.txt").read_text()


@pytest.mark.parametrize(
    "versions, options, message",
    [
        ({}, {}, "there is no export in"),
        ({"lm": ["1"]}, {"stable": {"lm": 2}}, "lm has no version 2 to be stable; it has 1"),
        ({"lm": ["1"]}, {"canary": {"ml": 1}}, "there is no export .*ml to be canary; there is lm"),
    ],
)
def test_what_is_not_there_is_named_and_nothing_is_written(tmp_path, versions, options, message):
    exports(tmp_path, **versions)
    with pytest.raises(InputError, match=message):
        serve_config(tmp_path, **options)
    assert not list(tmp_path.glob("*.*"))


def test_from_the_command_line(tmp_path, capsys):
    exports(tmp_path, lm=["1", "2"])
    assert parser.main(["serve-config", str(tmp_path), "--stable", "lm=2"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        str(tmp_path / name)
        for name in ("models.config", "batching_parameters.txt", "monitoring.config", "compose.yaml")
    ]
    assert dict(read(tmp_path)["lm"].version_labels) == {"stable": 2}
    assert parser.main(["serve-config", str(tmp_path / "lm")]) == 2
    assert "there is no export in" in capsys.readouterr().err
    with pytest.raises(SystemExit) as refused:
        parser.main(["serve-config", str(tmp_path), "--stable", "lm"])
    assert refused.value.code == 2 and "NAME=VERSION" in capsys.readouterr().err
