"""Words of tests and of users to rows of a KeyedVectors, and what to say about a word that is not there."""

import difflib

from lm_keras.errors import InputError
from lm_keras.utils.checks import check_sizes

_SEARCHED = 100_000  # words, of the most frequent, that a misspelt one is compared with
_SHOWN = 5


def upper_cased(vectors, restrict_vocab=None):
    """{word in capitals: row} of the first `restrict_vocab` words (None: all); of those that differ in case one.

    So the words of the tests, "Athens", find those of lower-cased vectors. The first of several counts, as in gensim.
    """
    if restrict_vocab is not None:
        check_sizes(restrict_vocab=restrict_vocab)
    rows = {}
    for row, word in enumerate(vectors.index_to_key[:restrict_vocab]):
        rows.setdefault(str(word).upper(), row)
    return rows


def check_known(vectors, words):
    """InputError for the first of `words` that has no vector, with words of about the same spelling."""
    unknown = [word for word in words if not isinstance(word, str) or word not in vectors]
    if not unknown:
        return
    near = suggestions(vectors, unknown[0]) if isinstance(unknown[0], str) else []
    others = ", ".join(map(repr, unknown[1 : 1 + _SHOWN]))
    others = f", nor have {others}{' ...' if len(unknown) > 1 + _SHOWN else ''}" if others else ""
    said = f"did you mean {' or '.join(map(repr, near))}?" if near else "give words of their vocabulary"
    raise InputError(f"{unknown[0]!r} has no vector among the {len(vectors.index_to_key):,}{others}; {said}")


def suggestions(vectors, word, n=3):
    """Up to `n` words that have a vector: `word` in another case, then those of about its spelling, nearest first.

    These begin with the same letter, and are among the first 100,000.
    """
    cases = dict.fromkeys((word.strip(), word.lower(), word.capitalize(), word.title(), word.upper()))
    found = [case for case in cases if case != word and case in vectors.key_to_index]
    wanted = word.strip().lower()
    spellings = {}
    for other in vectors.index_to_key[:_SEARCHED]:
        if abs(len(other) - len(wanted)) <= 2 and other[:1].lower() == wanted[:1]:
            spellings.setdefault(other.lower(), other)
    near = difflib.get_close_matches(wanted, spellings, n, cutoff=0.7)
    found += [spellings[spelling] for spelling in near if spellings[spelling] not in (word, *found)]
    return found[:n]
