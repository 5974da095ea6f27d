"""Exact and near duplicates among texts."""

import hashlib
import re
import unicodedata
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from lm_keras.errors import InputError
from lm_keras.utils.checks import check_number, check_text, check_whole
from lm_keras.utils.optional import library

CROWD = 100  # kept texts of one bucket that a text is compared with
LEAST_THRESHOLD = 0.2  # below, 128 hashes find too few of the pairs, and half of all text is alike


class Duplicate(NamedTuple):
    """Text `index` is like the earlier text `of`, which is kept; `kind` is "exact" or "near"."""

    index: int
    of: int
    similarity: float
    kind: str


def duplicates(
    texts: Iterable[str], threshold: float | None = 0.8, *, shingle_size: int = 3, seed: int = 1
) -> list[Duplicate]:
    """Finds the texts that repeat an earlier text, to the letter or nearly.

    Near pairs are looked for by MinHash (99 % of those just at the threshold are found, more of the others) and each
    is checked by its true similarity, so none that is reported is false. So that form letters, all a little less
    alike than that, take no quadratic time, a bucket gives at most 100 texts to compare with: of such a crowd more
    may be missed.

    Args:
        texts: An iterable of str. A stream such as `read_texts(path)` is read twice, not held: about 400 bytes a text
            are, and the shingles of texts that look like another.
        threshold: The least Jaccard similarity of the shingles of two near duplicates, from 0.2 to 1. None: exact
            duplicates alone, which are the same after `normalize` (Unicode NFKC, case, white space).
        shingle_size: Words (characters, in Chinese) of a shingle.
        seed: Of the hashes.

    Returns:
        A list of `Duplicate`, one for each text that repeats an earlier text that is not one itself.

    Raises:
        InputError: For a threshold outside [0.2, 1], and where datasketch is missing.
    """
    _check(texts, threshold, shingle_size)
    if isinstance(texts, Iterator):
        texts = list(texts)
    repeated, unique, keys = _first_pass(texts, threshold, shingle_size, seed)
    near = {} if threshold is None else _near(texts, unique, keys, threshold, shingle_size)
    for index, first in repeated.items():
        like = near.get(first)  # what repeats a near-duplicate is as near to the text that is kept
        near[index] = like._replace(index=index) if like else Duplicate(index, first, 1.0, "exact")
    return [near[index] for index in sorted(near)]


def without_duplicates(
    texts: Iterable[str], threshold: float | None = 0.8, *, shingle_size: int = 3, seed: int = 1
) -> list[str]:
    """Returns the texts that are no `duplicates` of an earlier one, in their order.

    Args:
        texts: An iterable of str.
        threshold: As for `duplicates`.
        shingle_size: As for `duplicates`.
        seed: As for `duplicates`.
    """
    _check(texts, threshold, shingle_size)
    if isinstance(texts, Iterator):
        texts = list(texts)
    gone = {found.index for found in duplicates(texts, threshold, shingle_size=shingle_size, seed=seed)}
    return [text for index, text in enumerate(texts) if index not in gone]


def jaccard(a: set, b: set) -> float:
    """|a and b| / |a or b| of two sets; 1 for two empty ones."""
    common = len(a & b)
    return common / (len(a) + len(b) - common) if a or b else 1.0


def _check(texts, threshold, shingle_size):
    check_text_stream(texts)
    if threshold is not None:
        check_number("threshold", threshold, least=LEAST_THRESHOLD, most=1)
    check_whole("shingle_size", shingle_size)


def _first_pass(texts, threshold, shingle_size, seed):
    """What repeats exactly {index: first}, the indices of the others, and the band keys of those [n, bands]."""
    firsts, repeated, unique, keys = {}, {}, [], bytearray()
    num_bands, rows = bands(threshold or 1)
    band_keys = None if threshold is None else band_hasher(num_bands, rows, seed)
    for index, text in enumerate(texts):
        normal = normalize(text).encode("utf-8", "surrogatepass")
        first = firsts.setdefault(hashlib.blake2b(normal, digest_size=16).digest(), index)
        if first != index:
            repeated[index] = first
        elif band_keys is not None:
            unique.append(index)
            keys += band_keys(set(runs(text, shingle_size))).tobytes()
    return repeated, unique, np.frombuffer(keys, np.uint64).reshape(-1, num_bands)


def _near(texts, unique, keys, threshold, shingle_size):
    """{index: Duplicate} of the texts that are near an earlier one that is kept."""
    buckets = _shared_buckets(keys)
    alike = {unique[row]: row for row in np.flatnonzero((buckets >= 0).any(axis=1))}
    members = [defaultdict(list) for _ in range(buckets.shape[1])]  # a band's bucket -> the kept texts in it
    kept, found = {}, {}
    for index, text in enumerate(texts):
        if index not in alike:
            continue
        mine = set(runs(text, shingle_size))
        places = [(band, bucket) for band, bucket in enumerate(buckets[alike[index]].tolist()) if bucket >= 0]
        for other in sorted({other for band, bucket in places for other in members[band][bucket]}):
            if _may_reach(mine, kept[other], threshold) and jaccard(mine, kept[other]) >= threshold:
                found[index] = Duplicate(index, other, jaccard(mine, kept[other]), "near")
                break
        else:
            kept[index] = mine
            for band, bucket in places:
                if len(members[band][bucket]) < CROWD:  # form letters with other names share most bands
                    members[band][bucket].append(index)
    return found


def _may_reach(a, b, threshold):
    """Sets of very different sizes cannot be alike; this spares most comparisons."""
    return min(len(a), len(b)) >= threshold * max(len(a), len(b))


def _shared_buckets(keys):
    """int32 [n, bands]: the number of the bucket of a text in each band, -1 where it is alone in it."""
    buckets = np.full(keys.shape, -1, np.int32)
    for band in range(keys.shape[1] if len(keys) else 0):
        _, inverse, counts = np.unique(keys[:, band], return_inverse=True, return_counts=True)
        buckets[:, band] = np.where(counts[inverse] > 1, inverse, -1)
    return buckets


# === MinHash: texts that are alike share the key of a band at least, others rarely do ===

NUM_HASHES = 128
FOUND = 0.99  # of the pairs that are just alike enough
AT_ONCE = 10_000  # shingles hashed at once: 5 MB


def bands(threshold: float) -> tuple[int, int]:
    """`(num_bands, rows)`: how the hashes of a text are put together to keys.

    Two sets of Jaccard similarity s agree in a hash with probability s, in a band of r with s^r, and in one of b
    bands with 1 - (1 - s^r)^b (Broder 1997; Leskovec, Rajaraman & Ullman, Mining of Massive Datasets, 3.4.2).
    The longest bands are taken that still find a pair at the threshold with probability 0.99.
    """
    for rows in range(NUM_HASHES, 0, -1):
        number = NUM_HASHES // rows
        if 1 - (1 - threshold**rows) ** number >= FOUND:
            return number, rows
    return NUM_HASHES, 1


def band_hasher(num_bands: int, rows: int, seed: int) -> Callable[[Iterable[str]], np.ndarray]:
    """A function from the shingles of a text (str) to its band keys, uint64 [num_bands]."""
    sketch = library("datasketch", "finding near-duplicates", "analysis").MinHash(
        NUM_HASHES, seed=seed, hashfunc=zlib.crc32
    )
    mix = np.random.default_rng(seed).integers(0, 2**63, rows, np.uint64) * np.uint64(2) + np.uint64(1)

    def band_keys(shingles):
        shingles = list(shingles)
        sketch.clear()
        for start in range(0, len(shingles), AT_ONCE):
            some = shingles[start : start + AT_ONCE]
            sketch.update_batch([shingle.encode("utf-8", "surrogatepass") for shingle in some])
        hashes = sketch.hashvalues[: num_bands * rows].reshape(num_bands, rows)
        # A sum modulo 2^64: unlike bands fall together with probability 2^-32, and are told apart later.
        return (hashes * mix).sum(axis=1, dtype=np.uint64)

    return band_keys


# === What "the same text" and "a word" are, in any language ===

# Lao and Thai, Burmese, Khmer, kana, Han: no spaces between words, so each character is a unit of its own.
_ALONE = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
# Vowel signs and accents, which Python's \w leaves out: Latin and Cyrillic, Hebrew, Arabic, the scripts of India.
_MARKS = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"
    "\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0900-\u0963\u0966-\u0dff"
)
_LETTERS = f"(?:[^\\W{_ALONE}]|[{_MARKS}])+"
_UNITS = re.compile(f"[{_ALONE}]|{_LETTERS}(?:['’]{_LETTERS})*")
_ASCII_UNITS = re.compile(r"[A-Za-z0-9_]+(?:'[A-Za-z0-9_]+)*")


def check_text_stream(texts: object, name: str = "texts") -> None:
    """Raises InputError for what is no iterable of texts, such as one string, whose characters would be taken so."""
    if isinstance(texts, (str, bytes)):
        raise InputError(f"{name}: got one string; give an iterable of texts, such as a list or read_texts(path)")
    if not isinstance(texts, Iterable):
        raise InputError(f"{name}: got {type(texts).__name__}; give an iterable of texts, such as a list")


def normalize(text: str) -> str:
    """Unicode NFKC, case folded, white space runs as one space, none at the ends.

    Two texts are exact duplicates when this gives the same for both: "Ｈｅｌｌｏ  World\\n" and "hello world" are.
    Punctuation and accents stay.
    """
    check_text(text)
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.casefold().split())


def units(normal: str) -> list[str]:
    """The words of a normalized text, without punctuation; in scripts without spaces (Chinese) each character."""
    return (_ASCII_UNITS if normal.isascii() else _UNITS).findall(normal)


def runs(text: str, size: int) -> list[str]:
    """All runs of `size` units of a text, in order, each joined by spaces: its n-grams, or shingles.

    A text of fewer units is one run of all it has; one without any unit ("?!") is one run of itself.
    """
    normal = normalize(text)
    found = units(normal)
    if len(found) <= size:
        return [" ".join(found) or normal]
    if size == 1:
        return found
    return list(map(" ".join, zip(*(found[i:] for i in range(size)), strict=False)))
