"""Makes tests/golden/fasttext: small models that the official fastText trained, and the vectors that it gives.

Run it in an environment of its own: pip install fasttext-wheel==0.9.2; python tools/make_fasttext_golden.py
"""

import json
import tempfile
from pathlib import Path

import fasttext
from fasttext_pybind import Vector

FOLDER = Path(__file__).parents[1] / "tests" / "golden" / "fasttext"
LINES = [
    b"the cat sat on the mat",
    b"the dogs sat on the log",
    "北京 is a city".encode(),
    "naïve café owners like the cat".encode(),
    b"__label__x looks like a label",
    b"caf\xe9 is latin-1",
]
LABELLED = [b"__label__a the cat sat", b"__label__b the dogs ran"]
UNSUPERVISED = {
    "skipgram": {"model": "skipgram", "minn": 3, "maxn": 5, "bucket": 30},
    "cbow": {"model": "cbow", "minn": 1, "maxn": 2, "bucket": 25, "wordNgrams": 2},
    "words": {"model": "skipgram", "minn": 0, "maxn": 0, "bucket": 20},
    "no-buckets": {"model": "skipgram", "minn": 0, "maxn": 0, "bucket": 0},
    "crossed": {"model": "skipgram", "minn": 4, "maxn": 2, "bucket": 20},
}
SUPERVISED = {
    "supervised": {},
    "supervised-ngrams": {"minn": 2, "maxn": 3, "bucket": 20, "wordNgrams": 2},
}
UNSEEN = ["cats", "</s>", "北", "naïveté", "x", "neverseen"]
COMMON = {"dim": 4, "epoch": 50, "lr": 0.5, "minCount": 1, "thread": 1, "verbose": 0}


def write(model, name):
    """Saves a model; returns {word: vector} of its own words, bytes that are no UTF-8 as surrogates, and others."""
    path = FOLDER / f"{name}.bin"
    model.save_model(str(path))
    words = model.get_words(on_unicode_error="surrogateescape")
    seen = {word: vector(model, word) for word in words}
    unseen = {word: vector(model, word) for word in UNSEEN if word not in seen}
    return {"words": seen, "unseen": unseen}


def vector(model, word):
    found = Vector(model.get_dimension())
    model.f.getWordVector(found, word.encode("utf-8", "surrogateescape"))
    return memoryview(found).tolist()


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    expected = {}
    with tempfile.TemporaryDirectory() as folder:
        text, labelled = Path(folder) / "text", Path(folder) / "labelled"
        text.write_bytes(b"\n".join(LINES * 3) + b"\n")
        labelled.write_bytes(b"\n".join(LABELLED * 3) + b"\n")
        for name, settings in UNSUPERVISED.items():
            expected[name] = write(fasttext.train_unsupervised(str(text), **COMMON, **settings), name)
        for name, settings in SUPERVISED.items():
            expected[name] = write(fasttext.train_supervised(str(labelled), **COMMON, **settings), name)
    text = json.dumps(expected).replace("], ", "],\n")
    (FOLDER / "expected.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
