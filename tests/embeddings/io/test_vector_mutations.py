"""Files of vectors with bytes that are changed, lost or added: one InputError, or a reading that is sound."""

import gzip
import io
import struct
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paths import GOLDEN

import lm_keras as lk
from lm_keras.embeddings import load_fasttext, load_glove, load_word2vec, save_vectors
from lm_keras.embeddings.io import streams
from lm_keras.embeddings.io.table import keyed_vectors

FASTTEXT = GOLDEN / "fasttext"
LOADERS = {
    "glove": load_glove,
    "word2vec": load_word2vec,
    "word2vec-binary": lambda path: load_word2vec(path, binary=True),
    "skipgram": load_fasttext,
    "supervised-ngrams": lambda path: load_fasttext(path, vocabulary=["the", "cat"]),
}
NUMBERS = [0, 1, -1, 2, 255, 65536, 10**5, 10**6, 2**31 - 1, -(2**31)]
ODD = [b" ", b"\n", b"\t", b"\r", b"\0", b",", b"nan", b"1e999", b"9" * 30, b"\xff", b"</s>", b"\xef\xbb\xbf"]
NEW = st.one_of(
    st.binary(max_size=5),
    st.sampled_from(ODD),
    st.sampled_from(NUMBERS).map(struct.Struct("<i").pack),
    st.sampled_from([*NUMBERS, 2**40, 2**63 - 1, -(2**63)]).map(struct.Struct("<q").pack),
    st.sampled_from([np.inf, np.nan, 1e38, 1e-45]).map(struct.Struct("<f").pack),
)
CHANGES = st.lists(st.tuples(st.integers(0, 1600), NEW, st.integers(0, 40) | st.just(4)), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("mutations")


@pytest.fixture(scope="module")
def files(folder):
    vectors = keyed_vectors([f"w{i}é" for i in range(20)], np.random.default_rng(0).normal(size=(20, 4)))
    found = {name: (FASTTEXT / f"{name}.bin").read_bytes() for name in LOADERS if (FASTTEXT / f"{name}.bin").exists()}
    for kind in LOADERS.keys() - found.keys():
        save_vectors(vectors, folder / "whole", kind)
        found[kind] = (folder / "whole").read_bytes()
    return found


def packed(content, packing):
    if packing == "gzip":
        return gzip.compress(content)
    if packing == "zip":
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("vectors", content)
        return file.getvalue()
    return content


@pytest.mark.parametrize("kind", LOADERS)
@given(CHANGES, st.sampled_from(["", "gzip", "zip"]), st.booleans())
@settings(max_examples=60)
def test_any_change(files, folder, kind, changes, packing, before):
    """`before`: the change is one of the file before it is packed, or of the packed one."""
    content = files[kind] if before else packed(files[kind], packing)
    for place, new, lost in changes:
        place %= len(content) + 1
        content = content[:place] + new + content[place + lost :]
    (folder / "v").write_bytes(packed(content, packing) if before else content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            vectors = LOADERS[kind](folder / "v")
        except lk.InputError as error:
            assert "\n" not in str(error) and len(str(error)) < 600
            return
    assert len(vectors.index_to_key) == len(vectors.key_to_index) == len(vectors.vectors)
    assert np.isfinite(vectors.vectors).all()
    for word in vectors.index_to_key[:3]:
        assert np.array_equal(vectors[word], vectors.vectors[vectors.key_to_index[word]])


def test_an_archive_whose_file_has_no_name(folder):
    content = packed(b"a 1 2\n", "zip").replace(b"vectors", b"\0ector7")
    (folder / "v").write_bytes(content)
    assert list(load_glove(folder / "v").index_to_key) == ["a"]


@pytest.mark.parametrize("packing", ["gzip", "zip"])
@pytest.mark.parametrize("kind", ["glove", "word2vec-binary", "skipgram"])
def test_what_expands_without_end(folder, files, monkeypatch, packing, kind):
    monkeypatch.setattr(streams, "_SMALL", 1 << 16)
    content = {
        "glove": b"a 0 0\n" * 400_000,
        "word2vec-binary": b"120000 4\n" + (b"a " + bytes(16)) * 120_000,
        "skipgram": files["skipgram"][:8] + struct.pack("<i", 50_000) + files["skipgram"][12:] + bytes(2_000_000),
    }[kind]
    if kind == "skipgram":  # as if its vectors had 50,000 numbers
        start = content.index(struct.pack("<q", 4), 88)
        content = content[:start] + struct.pack("<q", 50_000) + content[start + 8 :]
    content = packed(content, packing)
    if packing == "zip":  # its size in the archive is what the archive says
        place = content.index(b"PK\1\2") + 20
        content = content[:place] + struct.pack("<I", 2**32 - 2) + content[place + 4 :]
    (folder / "v").write_bytes(content)
    with pytest.raises(lk.InputError, match="it expands without end|cut off or damaged .EOFError"):
        LOADERS[kind](folder / "v")


@pytest.mark.timeout(60)
def test_very_long_words_and_numbers_take_no_hours(folder):
    long = 300_000
    for line in (b"a" * long + b" 1 2", b"a 1 " + b"1" * long + b"x", b"a 1 " + b"." * long, b"a:" * long + b" 1 2"):
        for content in (line + b"\nb 1 2\nc 1 2\n", b"2 2\nb 1 2\n" + line + b"\n"):
            (folder / "v").write_bytes(content)
            for load in (load_glove, load_word2vec):
                try:
                    assert np.isfinite(load(folder / "v").vectors).all()
                except lk.InputError as error:
                    assert len(str(error)) < 600
    (folder / "v").write_bytes(b"50 25000\n" + (b" ".join([b"a"] * 4000) + b" " + b"aa  " * 25_000) * 50)
    with pytest.raises(lk.InputError):
        load_word2vec(folder / "v", binary=True)
