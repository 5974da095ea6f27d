"""Exact and near duplicates."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from lm_keras.data.minhash import band_hasher, bands
from lm_keras.data.units import check_text_stream, normalize, runs
from lm_keras.utils.checks import check_number, check_whole

CROWD = 100  # kept texts of one bucket that a text is compared with
LEAST_THRESHOLD = 0.2  # below, 128 hashes find too few of the pairs, and half of all text is alike


class Duplicate(NamedTuple):
    """Text `index` is like the earlier text `of`, which is kept; `kind` is "exact" or "near"."""

    index: int
    of: int
    similarity: float
    kind: str


def duplicates(texts, threshold=0.8, *, shingle_size=3, seed=1):
    """A list of `Duplicate`, one for each text that repeats an earlier text that is not one itself.

    Exact: the same after `units.normalize` (Unicode NFKC, case, white space). Near: the Jaccard similarity of
    their shingles, runs of `shingle_size` words (characters, in Chinese), is at least `threshold`. Near pairs are
    looked for by MinHash (99 % of those just at the threshold are found, more of the others) and each is checked by
    its true similarity, so none that is reported is false. So that form letters, all a little less alike than that,
    take no quadratic time, a bucket gives at most 100 texts to compare with: of such a crowd more may be missed.
    `threshold=None`: exact ones alone.

    `texts`: an iterable of str; a stream such as `read_texts(path)` is read twice, not held: about 400 bytes a text
    are, and the shingles of texts that look like another.
    Raises InputError for a threshold outside [0.2, 1], and where datasketch is missing.
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


def without_duplicates(texts, threshold=0.8, *, shingle_size=3, seed=1):
    """The list of the texts that are no `duplicates` of an earlier one, in their order."""
    _check(texts, threshold, shingle_size)
    if isinstance(texts, Iterator):
        texts = list(texts)
    gone = {found.index for found in duplicates(texts, threshold, shingle_size=shingle_size, seed=seed)}
    return [text for index, text in enumerate(texts) if index not in gone]


def jaccard(a, b):
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
