"""The files that a server is started with, read by the server's own message types."""

import pytest
import yaml
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st

from lm_keras import cli
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
    assert cli.main(["serve-config", str(tmp_path), "--stable", "lm=2"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        str(tmp_path / name)
        for name in ("models.config", "batching_parameters.txt", "monitoring.config", "compose.yaml")
    ]
    assert dict(read(tmp_path)["lm"].version_labels) == {"stable": 2}
    assert cli.main(["serve-config", str(tmp_path / "lm")]) == 2
    assert "there is no export in" in capsys.readouterr().err
    with pytest.raises(SystemExit) as refused:
        cli.main(["serve-config", str(tmp_path), "--stable", "lm"])
    assert refused.value.code == 2 and "NAME=VERSION" in capsys.readouterr().err
