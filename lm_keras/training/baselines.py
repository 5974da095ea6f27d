"""Count-based language models: what a neural model has to beat, on the very same targets."""

from collections.abc import Sequence
from typing import NamedTuple

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
    tables = kneser_ney_tables(train, vocab_size, order, discount, eos_id)
    events, eos = vocab_size + (eos_id is None), vocab_size if eos_id is None else eos_id
    words, positions = _targets(texts, vocab_size, eos_id), _positions(texts)
    probabilities = np.full(len(words), 1.0 / events)
    contexts = np.zeros(len(words), np.int64)  # the place of each target's context, -1 where train has none
    for k, table in enumerate(tables):
        if k:
            earlier = _earlier(words, positions, k, eos)
            keys = np.where(contexts >= 0, earlier * len(tables[k - 1].contexts) + contexts, -1)
            contexts = _places(table.contexts, keys)
        grams = _places(table.grams, np.where(contexts >= 0, contexts * events + words, -1))
        seen = np.where(grams >= 0, table.values[grams], 0.0)
        probabilities = np.where(contexts >= 0, seen + table.backoff[contexts] * probabilities, probabilities)
    return probabilities


class NGramTable(NamedTuple):
    """The n-grams of one order, n = k + 1: p = value + backoff * (p of the order below).

    Attributes:
        contexts: int64 [C], sorted: earliest word * (number of contexts of k - 1 words) + place of the rest among
            these; [0] for k = 0.
        grams: int64 [G], sorted: place of the context * events + last word.
        values: float64 [G], (count - D) / total of the context.
        backoff: float64 [C], D * different words after the context / total of the context.
    """

    contexts: np.ndarray
    grams: np.ndarray
    values: np.ndarray
    backoff: np.ndarray


def kneser_ney_tables(
    train: Texts, vocab_size: int, order: int = 3, discount: float | None = None, eos_id: int | None = None
) -> list[NGramTable]:
    """Returns the interpolated Kneser-Ney model of `kneser_ney_probabilities`, a table for each order.

    Args:
        train: Lists of ids, one a text, without marks.
        vocab_size: The number of ids.
        order: The length of the longest n-grams.
        discount: What each count is lowered by, above 0 and at most 1; None: estimated for each order.
        eos_id: The tokenizer's; None: eos is one event more than the ids.

    Raises:
        InputError: As of `kneser_ney_perplexity`.
    """
    order = check_whole("order", order)
    if discount is not None:
        check_number("discount", discount, above=0, most=1)
    events, eos = vocab_size + (eos_id is None), vocab_size if eos_id is None else eos_id
    words, positions = _targets(train, vocab_size, eos_id), _positions(train)
    contexts, grams, keys = [np.zeros(len(words), np.int64)], [], []
    known = [np.zeros(1, np.int64)]
    for k in range(order):
        if k:
            longer = _earlier(words, positions, k, eos) * len(known[-1]) + contexts[-1]
            found, places = np.unique(longer, return_inverse=True)
            known.append(found), contexts.append(places)
        found, places = np.unique(contexts[k] * events + words, return_inverse=True)
        keys.append(found), grams.append(places)
    return [_table(known[k], keys[k], _counts(grams, k), keys[k] // events, discount) for k in range(order)]


def _table(contexts, grams, counts, context_of, discount):
    """The table of one order, of its n-grams' counts and the context of each."""
    if discount is None:
        n1, n2 = np.sum(counts == 1), np.sum(counts == 2)
        discount = n1 / (n1 + 2 * n2) if n1 else 0.75  # n1 = 0 would leave nothing for unseen words
    totals = np.bincount(context_of, weights=counts, minlength=len(contexts))
    types = np.bincount(context_of, minlength=len(contexts))
    values = np.maximum(counts - discount, 0) / totals[context_of]
    return NGramTable(contexts, grams, values, discount * types / totals)


def _counts(grams, k):
    """Of every n-gram of k + 1 words: how often it is there; below the top, after how many different words."""
    if k == len(grams) - 1:
        return np.bincount(grams[k])
    _, first = np.unique(grams[k + 1], return_index=True)  # one place of each longer n-gram
    return np.bincount(grams[k][first])


def _earlier(words, positions, k, eos):
    """The word k places before each target, eos before the text."""
    return np.where(positions >= k, np.roll(words, k), eos)


def _places(keys, wanted):
    """The place of each wanted key among sorted ones, -1 where it is not there."""
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, places, -1)


def _targets(texts, vocab_size, eos_id):
    eos = vocab_size if eos_id is None else eos_id
    if not texts:
        raise InputError("there is no text to count; give at least one list of ids")
    for text in texts:
        if len(text) and not 0 <= min(text) <= max(text) < vocab_size:
            raise InputError(f"ids go from {min(text)} to {max(text)}, outside a vocabulary of {vocab_size}")
    return np.concatenate([np.append(np.asarray(text, np.int64), eos) for text in texts])


def _positions(texts):
    """The place of every target in its own text: 0, 1, ..., length."""
    return np.concatenate([np.arange(len(text) + 1) for text in texts])


def _perplexity(probabilities):
    return float(np.exp(-np.mean(np.log(probabilities))))
