"""How varied texts are: n-grams that are different among all, and n-grams that a text repeats."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from lm_keras.errors import InputError
from lm_keras.utils.checks import check_sizes, check_texts


def distinct_n(texts: Iterable[str], n: int = 2, *, words: Callable[[str], Sequence[str]] = str.split) -> float:
    """Returns distinct-n (Li et al. 2016): the different n-grams of all texts over all their n-grams.

    It is low where a model writes the same for every prompt. It falls with the amount of text, whoever wrote it:
    compare as many texts of the same length. Li et al. divide by the words in place of the n-grams, as few others do.

    Args:
        texts: The texts that a model wrote.
        n: Words of an n-gram.
        words: How a text is split: `str.split`, at white space; for Chinese `list`, into characters, or
            `lambda text: lk.text.words(text, "zh")`.

    Returns:
        A number above 0 and up to 1.

    Raises:
        InputError: For what are no strings, and where no text has n words.

    Example:

    ```python
    lk.tasks.distinct_n(["a b a b"], 1), lk.tasks.distinct_n(["a b a b"], 2)  # 2 of 4 words, 2 of 3 pairs
    ```
    """
    found = _ngrams(texts, n, words)
    return len(set().union(*found)) / sum(map(len, found))


def repetition(texts: Iterable[str], n: int = 4, *, words: Callable[[str], Sequence[str]] = str.split) -> float:
    """Returns seq-rep-n (Welleck et al. 2020): the share of a text's n-grams that it had before, a mean over texts.

    1 - (different n-grams of the text) / (all its n-grams). It is high where a model runs in circles, as greedy
    decoding does; texts of people have some too.

    Args:
        texts: The texts that a model wrote; those of fewer than n words are left out.
        n: Words of an n-gram.
        words: How a text is split, as in `distinct_n`.

    Returns:
        A number of at least 0 and below 1.

    Raises:
        InputError: For what are no strings, and where no text has n words.

    Example:

    ```python
    lk.tasks.repetition(["to be or not to be"], 2)  # 0.2: one of five pairs is there twice
    ```
    """
    return float(np.mean([1 - len(set(grams)) / len(grams) for grams in _ngrams(texts, n, words)]))


def _ngrams(texts, n, words):
    """The n-grams of each text that has some."""
    check_sizes(n=n)
    split = [list(words(text)) for text in check_texts(texts)]
    found = [list(zip(*(part[i:] for i in range(n)), strict=False)) for part in split]
    found = [grams for grams in found if grams]
    if not found:
        raise InputError(f"no text has {n} words, so that there are no n-grams; give longer texts, or a smaller n")
    return found
