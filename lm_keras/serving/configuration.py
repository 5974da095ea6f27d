"""What a TF Serving program is started with for a folder of exports."""

import json
import os
import warnings

from lm_keras.errors import InputError
from lm_keras.serving.export.versions import as_path, version_of, writing
from lm_keras.utils.atomic_files import write_text
from lm_keras.utils.checks import check_whole

IMAGE = "tensorflow/serving:latest"
LABELS = ("stable", "canary")


def serve_config(
    folder: str | os.PathLike,
    *,
    stable: dict[str, int] | None = None,
    canary: dict[str, int] | None = None,
    image: str = IMAGE,
    max_batch_size: int = 64,
) -> list[str]:
    """Writes models.config, batching_parameters.txt, monitoring.config and compose.yaml for a folder of exports.

    Of each model the version labelled "stable" and the one labelled "canary" are loaded: the newest is the canary and
    the one before it stable; a single one is stable. A client asks for /v1/models/<name>/labels/stable. A
    UserWarning names each export that the server will not find, and why.

    Args:
        folder: Where the exports are, `folder/<name>/<version>/`.
        stable: {name: version} of models whose stable version is another one.
        canary: The same for the canary; a version that is both is stable only.
        image: Docker image of the server.
        max_batch_size: Rows that the server joins to one batch.

    Returns:
        The paths of the files.

    Raises:
        InputError: There is no export, or not that version, or the files cannot be written.
    """
    folder = as_path(folder, "folder")
    check_whole("max_batch_size", max_batch_size, 1, 2**63 - 1)
    chosen = {"stable": dict(stable or {}), "canary": dict(canary or {})}
    with writing(folder):
        found, omitted = _exports(folder)
    models = {name: _labelled(name, versions, chosen) for name, versions in found.items()}
    for label, names in chosen.items():
        if unknown := sorted(set(names) - set(models)):
            raise InputError(f"there is no export {folder / unknown[0]} to be {label}; there is {', '.join(models)}")
    files = {
        "models.config": _models(models),
        "batching_parameters.txt": _batching(max_batch_size),
        "monitoring.config": 'prometheus_config { enable: true path: "/monitoring/prometheus/metrics" }\n',
        "compose.yaml": _compose(image),
    }
    with writing(folder):
        for name, text in files.items():
            write_text(folder / name, text)
    for told in omitted:
        warnings.warn(told, stacklevel=2)
    return [str(folder / name) for name in files]


def _exports(folder):
    """({name: its versions, in order} of all models below `folder`, what is left out, a line each)."""
    found, omitted = {}, []
    for model in sorted(folder.iterdir()) if folder.is_dir() else ():
        versions, wrong = _versions(model)
        if versions and not _is_text(model.name):
            wrong = [f"{ascii(str(model))} is left out: its name is not UTF-8; rename it"]
        elif versions:
            found[model.name] = sorted(versions)
        omitted += wrong
    if not found:
        hint = f"; {omitted[0]}" if omitted else ""
        raise InputError(f"there is no export in {folder}; `lm-keras export RUN {folder}/NAME` makes one{hint}")
    return found, omitted


def _versions(model):
    """(the numbers of the versions that a server finds in a folder, why others are left out, a line each)."""
    if (model / "saved_model.pb").is_file():
        right = model.parent / "NAME" / model.name if version_of(model.name) else model / "1"
        return [], [f"{model} is left out: a version without a model's folder; move it to {right}"]
    versions, wrong = [], []
    for version in sorted(model.iterdir()) if model.is_dir() else ():
        if version.name.startswith("."):  # an export that is being written
            continue
        number, whole = version_of(version.name), (version / "saved_model.pb").is_file()
        if whole and number is not None and version.name == str(number):
            versions.append(number)
        elif whole:
            wrong.append(f"{version} is left out: {version.name!r} is no version such as 1; rename it")
        elif number is not None and version.is_dir():
            wrong.append(f"{version} is left out: it holds no saved_model.pb")
        elif version_of(version.name) is None and any(version.glob("[0-9]*/saved_model.pb")):
            wrong.append(f"{version} is left out: models are looked for in {model.parent} alone; move it there")
    return versions, wrong


def _is_text(name):
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _labelled(name, versions, chosen):
    """{label: version} of one model."""
    labels = {"stable": versions[-2], "canary": versions[-1]} if len(versions) > 1 else {"stable": versions[0]}
    for label in LABELS:
        if name in chosen[label]:
            labels[label] = chosen[label][name]
            if labels[label] not in versions:
                known = ", ".join(map(str, versions))
                raise InputError(f"{name} has no version {labels[label]} to be {label}; it has {known}")
    if labels.get("canary") == labels["stable"]:
        del labels["canary"]
    return labels


def _models(models):
    lines = ["model_config_list {"]
    for name, labels in models.items():
        lines += ["  config {", f"    name: {_quoted(name)}", f"    base_path: {_quoted('/models/' + name)}"]
        lines += ['    model_platform: "tensorflow"', "    model_version_policy {", "      specific {"]
        lines += [f"        versions: {version}" for version in sorted(set(labels.values()))] + ["      }", "    }"]
        lines += [f'    version_labels {{ key: "{label}" value: {version} }}' for label, version in labels.items()]
        lines += ["  }"]
    return "\n".join([*lines, "}"]) + "\n"


def _quoted(text):
    """A string of a text proto: bytes of UTF-8, those that are not plain in octal."""
    plain = (chr(byte) if 31 < byte < 127 and byte not in b'"\\' else f"\\{byte:03o}" for byte in os.fsencode(text))
    return f'"{"".join(plain)}"'


def _batching(max_batch_size):
    threads = os.cpu_count() or 1
    return (
        f"max_batch_size {{ value: {max_batch_size} }}\n"
        "batch_timeout_micros { value: 2000 }\n"
        f"num_batch_threads {{ value: {threads} }}\n"
        f"max_enqueued_batches {{ value: {25 * threads} }}\n"
    )


def _compose(image):
    # A label may name a version only once it is loaded, unless the server is told to wait for it.
    return f"""services:
  serving:
    image: {json.dumps(image)}
    command:
      - --model_config_file=/models/models.config
      - --model_config_file_poll_wait_seconds=30
      - --allow_version_labels_for_unavailable_models=true
      - --enable_batching=true
      - --batching_parameters_file=/models/batching_parameters.txt
      - --monitoring_config_file=/models/monitoring.config
    ports:
      - "8500:8500"  # gRPC
      - "8501:8501"  # REST
    volumes:
      - .:/models:ro
    restart: unless-stopped
"""
