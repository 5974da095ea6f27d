"""Nouns, verbs and the rest: a tag for each word."""

import functools
from collections.abc import Iterable
from typing import Any

from lm_keras.errors import InputError
from lm_keras.text import nltk_resources, segmentation
from lm_keras.utils.checks import check_words

_NLTK = {"en": "eng", "ru": "rus"}


def tags(words: Iterable[str], language: str = "en") -> list[tuple[str, str]]:
    """Returns the part of speech of each word of a sentence.

    Source: document 003, preprocessing (词性标注).

    Args:
        words: A list of str.
        language: "en", "ru": NLTK's averaged perceptron (tags of the Penn Treebank; of the Russian National Corpus),
            which needs nltk.download("averaged_perceptron_tagger_eng") or "..._rus", and nothing stands in for it.
            "zh": jieba's dictionary and hidden Markov model (tags as of ICTCLAS), no download.

    Returns:
        A list of (word, tag).

    Raises:
        InputError: For other languages, and without the tagger.
    """
    words = check_words(words, "tags")
    if language == "zh":
        segmentation.load_jieba()
        from jieba import posseg

        return [(word, _chinese_tag(word, posseg.dt)) for word in words]
    if language not in _NLTK:
        raise InputError(f"there are tags for en, ru and zh only, not for {language!r}")
    return _perceptron(language).tag(words)


def _chinese_tag(word: str, tagger: Any) -> str:
    """The tag of a word that jieba found: its dictionary's; for a new word what the model says of its last part."""
    if word in tagger.word_tag_tab:
        return tagger.word_tag_tab[word]
    parts = tagger.lcut(word)
    return parts[-1].flag if parts else "x"


@functools.cache
def _perceptron(language: str) -> Any:
    from nltk.tag import PerceptronTagger

    try:
        return PerceptronTagger(lang=_NLTK[language])
    except LookupError:
        resource = f"averaged_perceptron_tagger_{_NLTK[language]}"
        raise nltk_resources.missing(f"tags of {language!r} need NLTK's perceptron tagger", resource) from None
