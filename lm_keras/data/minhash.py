"""MinHash bands: two texts that are alike share at least one band's key, two that are not rarely do."""

import zlib

import numpy as np

from lm_keras.extra import analysis

NUM_HASHES = 128
FOUND = 0.99  # of the pairs that are just alike enough
AT_ONCE = 10_000  # shingles hashed at once: 5 MB


def bands(threshold):
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


def band_hasher(num_bands, rows, seed):
    """A function from the shingles of a text (str) to its band keys, uint64 [num_bands]."""
    sketch = analysis("datasketch", "finding near-duplicates").MinHash(NUM_HASHES, seed=seed, hashfunc=zlib.crc32)
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
