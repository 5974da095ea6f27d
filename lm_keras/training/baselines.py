"""Count-based language models: what a neural model has to beat, on the very same targets."""

from collections.abc import Sequence

import numpy as np

from lm_keras.errors import InputError
from lm_keras.utils.checks import check_number, check_whole

Texts = Sequence[Sequence[int]]


def unigram_perplexity(train: Texts, valid: Texts, vocab_size: int, eos_id: int | None = None) -> float:
    """Perplexity on `valid` of add-one unigrams of `train`, (count + 1) / (targets + events).

    Args:
        train: Lists of ids, one a text, as `kneser_ney_perplexity` takes them.
        valid: The same, of other texts.
        vocab_size: The number of ids.
        eos_id: The id at the end of each text; None: one event more than the ids.

    Returns:
        The perplexity of a target of `valid`.

    Raises:
        InputError: For no text, and for ids outside of the vocabulary.
    """
    events = vocab_size + (eos_id is None)
    words = [_targets(texts, vocab_size, eos_id) for texts in (train, valid)]
    counts = np.bincount(words[0], minlength=events)
    probabilities = (counts + 1) / (counts.sum() + events)
    return _perplexity(probabilities[words[1]])


def kneser_ney_perplexity(
    train: Texts,
    valid: Texts,
    vocab_size: int,
    order: int = 3,
    discount: float | None = None,
    eos_id: int | None = None,
) -> float:
    """Perplexity on `valid` of an interpolated Kneser-Ney model trained on `train`.

    Every text gets an eos as its last target and as padding before its first token, the targets of `lm_windows`.

    Args:
        train: Lists of ids, one a text, without marks.
        valid: The same, of other texts.
        vocab_size: The number of ids.
        order: The length of the longest n-grams.
        discount: What each count is lowered by, above 0 and at most 1; None: estimated for each order.
        eos_id: The tokenizer's; None: eos is one event more than the ids.

    Returns:
        The perplexity of a target of `valid`.

    Raises:
        InputError: For no text, ids outside of the vocabulary, an order below 1 or another discount.
    """
    return _perplexity(kneser_ney_probabilities(train, valid, vocab_size, order, discount, eos_id))


def kneser_ney_probabilities(
    train: Texts,
    texts: Texts,
    vocab_size: int,
    order: int = 3,
    discount: float | None = None,
    eos_id: int | None = None,
) -> np.ndarray:
    """The probability of every target of `texts`, in order: float64 [number of ids + number of texts].

    Chen & Goodman 1998, equations 27 to 29, one discount an order: raw counts at the highest order, below it
    the number of different words seen before an n-gram; the unigrams rest on 1 / events. `discount`
    None is their estimate n1 / (n1 + 2 n2) from the counts of that order.
    """
    order = check_whole("order", order)
    if discount is not None:
        check_number("discount", discount, above=0, most=1)
    events = vocab_size + (eos_id is None)
    # Train and texts are numbered together, so that an n-gram has one number in both; only the first
    # `num_train` positions are ever counted.
    words = [_targets(part, vocab_size, eos_id) for part in (train, texts)]
    num_train, eos = len(words[0]), vocab_size if eos_id is None else eos_id
    words = np.concatenate(words)
    grams, contexts = _number_ngrams(words, _positions(train, texts), events, order, eos)

    probabilities = np.full(len(words) - num_train, 1.0 / events)
    for k in range(order):
        counts = _counts(grams, k, num_train)
        probabilities = _interpolate(grams[k], contexts[k], counts, num_train, probabilities, discount)
    return probabilities


def _interpolate(grams, contexts, counts, num_train, lower, discount):
    """One order on top of the `lower` one: (max(c - D, 0) + D * types * lower) / total."""
    if discount is None:
        n1, n2 = np.sum(counts == 1), np.sum(counts == 2)
        discount = n1 / (n1 + 2 * n2) if n1 else 0.75  # n1 = 0 would leave nothing for unseen words
    context_of = np.zeros(len(counts), np.int64)
    context_of[grams] = contexts
    num_contexts = contexts.max() + 1
    totals = np.bincount(context_of, weights=counts, minlength=num_contexts)
    types = np.bincount(context_of, weights=counts > 0, minlength=num_contexts)
    gram, context = grams[num_train:], contexts[num_train:]
    total = totals[context]
    mixed = (np.maximum(counts[gram] - discount, 0) + discount * types[context] * lower) / np.maximum(total, 1)
    return np.where(total > 0, mixed, lower)


def _counts(grams, k, num_train):
    """Of every n-gram of k + 1 words: how often in train; below the top, after how many different words."""
    num_grams = grams[k].max() + 1
    if k == len(grams) - 1:
        return np.bincount(grams[k][:num_train], minlength=num_grams)
    _, first = np.unique(grams[k + 1][:num_train], return_index=True)  # one place of each longer n-gram
    return np.bincount(grams[k][first], minlength=num_grams)


def _number_ngrams(words, positions, events, order, eos):
    """For every target and every k < order: the number of its (k+1)-gram and of that n-gram's k-word context."""
    grams, contexts = [], []
    context = np.zeros(len(words), np.int64)
    for k in range(order):
        if k:
            earlier = np.where(positions >= k, np.roll(words, k), eos)
            context = np.unique(earlier * (context.max() + 1) + context, return_inverse=True)[1]
        contexts.append(context)
        grams.append(np.unique(context * events + words, return_inverse=True)[1])
    return grams, contexts


def _targets(texts, vocab_size, eos_id):
    eos = vocab_size if eos_id is None else eos_id
    if not texts:
        raise InputError("there is no text to count; give at least one list of ids")
    for text in texts:
        if len(text) and not 0 <= min(text) <= max(text) < vocab_size:
            raise InputError(f"ids go from {min(text)} to {max(text)}, outside a vocabulary of {vocab_size}")
    return np.concatenate([np.append(np.asarray(text, np.int64), eos) for text in texts])


def _positions(*parts):
    """The place of every target in its own text: 0, 1, ..., length."""
    return np.concatenate([np.arange(len(text) + 1) for part in parts for text in part])


def _perplexity(probabilities):
    return float(np.exp(-np.mean(np.log(probabilities))))
