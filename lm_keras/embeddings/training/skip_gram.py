"""Skip-gram with negative sampling (Mikolov et al. 2013b), from scratch: its training pairs and its Keras model."""

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np
from keras import layers, ops

from lm_keras.data.windows import token_stream
from lm_keras.embeddings.io.table import keyed_vectors
from lm_keras.errors import InputError
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.utils.checks import check_number, check_seed, check_sizes

if TYPE_CHECKING:
    import tensorflow as tf
    from gensim.models import KeyedVectors


_CHUNK = 1 << 18  # tokens whose pairs are shuffled together


def skip_gram_pairs(
    texts: str | Path | Iterable[str],
    tokenizer: Tokenizer,
    window: int = 5,
    negatives: int = 5,
    batch_size: int = 1024,
    *,
    subsample: float | None = 1e-3,
    seed: int = 0,
) -> "tf.data.Dataset":
    """Returns what skip-gram with negative sampling learns from, for `fit` (Mikolov et al. 2013b).

    Each center word draws how far it looks, 1 to `window` words, so that near words count more; windows stay within a
    text. Frequent tokens are taken out before, at random (`keep_probabilities`); special tokens, <unk> among them,
    always. Each iteration is another draw and another order, which `seed` and the number of the iteration decide; all
    have as many batches as the first one fills.

    Args:
        texts: An iterable of str, or a path for `read_texts`.
        tokenizer: A tokenizer.
        window: The largest distance of two words, in tokens.
        negatives: K, how many noise words each true one has.
        batch_size: B, pairs of a batch.
        subsample: Tokens whose share is larger are dropped at random. None: none.
        seed: Of all that is drawn.

    Returns:
        A `tf.data.Dataset` of `({"centre": [B], "candidates": [B, 1 + K]}, labels [B, 1 + K])`, ids int32, labels
        float32. Candidate 0, label 1, is a word near the center word; the K others, label 0, are drawn from the
        words' frequencies to the power 3/4, whatever the first one is.

    Raises:
        InputError: For impossible sizes, no text, and texts too short for one batch.
    """
    import tensorflow as tf

    check_sizes(window=window, negatives=negatives, batch_size=batch_size)
    if subsample is not None:
        check_number("subsample", subsample, above=0, below=1)
    check_seed(seed)
    ids, _ = token_stream(texts, tokenizer)
    bounds = _bounds(ids, [tokenizer.bos_id, tokenizer.eos_id])
    counts = sum(np.bincount(ids[a:b], minlength=tokenizer.vocab_size) for a, b in bounds)
    counts[list(tokenizer.special_ids)] = 0
    if not counts.any():
        raise InputError("the texts hold no token that the tokenizer knows; give other texts or another tokenizer")
    keep, limits = keep_probabilities(counts, subsample), np.cumsum(noise_distribution(counts))
    limits /= limits[-1]

    def chunks(rng):
        for number in rng.permutation(len(bounds)):
            a, b = bounds[number]
            yield _pairs(ids[a:b], keep, window, (tokenizer.bos_id, tokenizer.eos_id), rng)

    num_batches = sum(map(len, chunks(np.random.default_rng([seed, 0, 0])))) // batch_size
    if not num_batches:
        raise InputError(f"the texts do not fill a batch of {batch_size} pairs; give more or a smaller batch_size")

    def batches(number):
        rng, noise = np.random.default_rng([seed, number, 0]), np.random.default_rng([seed, number, 1])
        labels = np.zeros((batch_size, 1 + negatives), np.float32)
        labels[:, 0] = 1
        rest = np.empty((0, 2), np.int32)
        for found in itertools.chain.from_iterable(chunks(rng) for _ in itertools.count()):
            rest = np.concatenate([rest, found])
            full = len(rest) - len(rest) % batch_size
            for centre, context in rest[:full].reshape(-1, batch_size, 2).transpose(0, 2, 1):
                drawn = np.searchsorted(limits, noise.random((batch_size, negatives)), side="right")
                candidates = np.concatenate([context[:, None], drawn], axis=1).astype(np.int32)
                yield {"centre": centre, "candidates": candidates}, labels
            rest = rest[full:]

    numbers = itertools.count()
    spec = {
        "centre": tf.TensorSpec([batch_size], tf.int32),
        "candidates": tf.TensorSpec([batch_size, 1 + negatives], tf.int32),
    }
    dataset = tf.data.Dataset.from_generator(
        lambda: itertools.islice(batches(next(numbers)), num_batches),
        output_signature=(spec, tf.TensorSpec([batch_size, 1 + negatives], tf.float32)),
    )
    return dataset.apply(tf.data.experimental.assert_cardinality(num_batches)).prefetch(2)


def keep_probabilities(counts: np.ndarray, subsample: float | None) -> np.ndarray:
    """How likely a token stays, float64 [V]: min(1, sqrt(t / f)), equation 5; f: its share of the `counts`."""
    frequencies = counts / counts.sum()
    stays = np.minimum(1, np.sqrt((subsample or np.inf) / np.maximum(frequencies, np.finfo(float).tiny)))
    return np.where(counts > 0, stays, 0.0)


def noise_distribution(counts: np.ndarray) -> np.ndarray:
    """The unigram distribution to the power 3/4, float64 [V] (section 2.2)."""
    powers = counts**0.75
    return powers / powers.sum()


def _bounds(ids, marks):
    """[(start, end)] of the parts of the stream, of about _CHUNK tokens; they end at a mark where one is near."""
    bounds, start = [], 0
    while start < len(ids):
        end = min(start + _CHUNK, len(ids))
        found = np.flatnonzero(np.isin(ids[end : end + _CHUNK], marks))
        end = end + int(found[0]) if len(found) else min(end + _CHUNK, len(ids))
        bounds.append((start, end))
        start = end
    return bounds


def _pairs(ids, keep, window, marks, rng):
    """The pairs (centre, context) of a part of the stream, int32 [N, 2], shuffled."""
    text = np.cumsum(np.isin(ids, marks))
    stays = rng.random(len(ids)) < keep[ids]
    words, text = ids[stays].astype(np.int32), text[stays]
    reach = rng.integers(1, window + 1, len(words))
    pairs = []
    for distance in range(1, window + 1):
        first = np.flatnonzero(text[distance:] == text[:-distance])
        for here, there in ((first, first + distance), (first + distance, first)):
            looks = reach[here] >= distance
            pairs.append(np.stack([words[here[looks]], words[there[looks]]], axis=1))
    return rng.permutation(np.concatenate(pairs))


# === The model ===


def build_skip_gram(
    vocab_size: int, *, embedding_dim: int = 100, seed: int | None = None, name: str = "skip_gram"
) -> keras.Model:
    """Builds skip-gram with negative sampling as a Keras model: is the candidate near the center word?

    The logit is the product of the center word's input vector and the candidate's output vector. The binary
    cross-entropy of the logits, with the labels of `skip_gram_pairs`, is equation 4 of Mikolov et al. 2013b, negated,
    divided by 1 + K and averaged over the batch. Vectors start as in word2vec, U(-0.5 / E, 0.5 / E) and zeros.

    Args:
        vocab_size: V, tokens of the vocabulary.
        embedding_dim: E, numbers of a vector.
        seed: Of the first vectors.
        name: Of the model.

    Returns:
        A functional `keras.Model`: {"centre": ids [B], "candidates": ids [B, 1 + K]} -> logits [B, 1 + K].
    """
    check_sizes(2, vocab_size=vocab_size)
    check_sizes(embedding_dim=embedding_dim)

    # === Layers ===
    start = keras.initializers.RandomUniform(-0.5 / embedding_dim, 0.5 / embedding_dim, seed=seed)
    embed = layers.Embedding(vocab_size, embedding_dim, embeddings_initializer=start, name="vectors")
    embed_context = layers.Embedding(vocab_size, embedding_dim, embeddings_initializer="zeros", name="contexts")

    # === Functional model ===
    centre = keras.Input((), dtype="int32", name="centre")
    candidates = keras.Input((None,), dtype="int32", name="candidates")
    v = embed(centre)  # (B, E)
    c = embed_context(candidates)  # (B, 1 + K, E)
    logits = ops.einsum("be,bke->bk", v, c)  # (B, 1 + K)
    return keras.Model({"centre": centre, "candidates": candidates}, logits, name=name)


def vectors_of(model: keras.Model, tokenizer: Tokenizer) -> "KeyedVectors":
    """Returns the input vectors of a `build_skip_gram` model.

    Args:
        model: The model.
        tokenizer: The tokenizer that it was trained with.

    Returns:
        gensim's `KeyedVectors` of the tokenizer's words, in the order of the ids. Special tokens and pieces inside of
        words are left out.

    Raises:
        InputError: For a tokenizer with another number of tokens.
    """
    matrix = model.get_layer("vectors").get_weights()[0]
    if len(matrix) != tokenizer.vocab_size:
        raise InputError(
            f"the model has {len(matrix)} vectors and the tokenizer {tokenizer.vocab_size} tokens; "
            "give the tokenizer that the model was trained with"
        )
    special = tokenizer.special_ids
    words = {i: word for i, word in enumerate(tokenizer.token_words()) if word is not None and i not in special}
    return keyed_vectors(words.values(), matrix[list(words)])
