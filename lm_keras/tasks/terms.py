"""Texts to the words that topics and clusters are made of."""

from collections import Counter

from lm_keras.errors import InputError
from lm_keras.text import stop_words, words


def term_lists(texts, language="en", content=True):
    """A list of words for each text: lower case, without numbers and punctuation marks.

    `content`: without stop words too (language None: none are known), and without words of one or two letters
    ("zh": of one character). A text that is a list of words is taken as it is.
    """
    if isinstance(texts, str):
        raise InputError("a list of texts is needed, not one text: give [text]")
    stop = stop_words(language) if content and language is not None else frozenset()
    shortest = 1 if not content else 2 if language == "zh" else 3

    def keep(word):
        if len(word) < shortest or word in stop:
            return False
        return any(map(str.isalpha, word)) and not any(map(str.isdigit, word))

    return [
        [word for word in words(text, language, str.lower) if keep(word)] if isinstance(text, str) else list(text)
        for text in texts
    ]


def vocabulary(lists, min_count, max_share=1.0, vocab_size=None):
    """The words of at least `min_count` of the lists and at most the share `max_share`, the most frequent first."""
    counts = Counter(word for some in lists for word in set(some))
    most = max_share * len(lists)
    known = sorted((-count, word) for word, count in counts.items() if min_count <= count <= most)
    if not known:
        raise InputError(
            f"no word is in {min_count} or more of the {len(lists)} texts and in at most {max_share:.0%} of them; "
            "give more texts or a smaller min_count"
        )
    return [word for _, word in known[:vocab_size]]
