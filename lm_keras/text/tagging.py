"""Nouns, verbs and the rest: a tag for each word."""

import functools

from lm_keras.errors import InputError
from lm_keras.text import nltk_resources, segmentation
from lm_keras.utils.checks import check_words

_NLTK = {"en": "eng", "ru": "rus"}


def tags(words, language="en"):
    """The part of speech of each word of a sentence, a list of (word, tag).

    "en", "ru": NLTK's averaged perceptron (tags of the Penn Treebank; of the Russian National Corpus), which needs
    nltk.download("averaged_perceptron_tagger_eng") or "..._rus", and nothing stands in for it: InputError without.
    "zh": jieba's dictionary and hidden Markov model (tags as of ICTCLAS), no download.
    InputError for other languages. Source: document 003, preprocessing (词性标注).
    """
    words = check_words(words, "tags")
    if language == "zh":
        segmentation.load_jieba()
        from jieba import posseg

        return [(word, _chinese_tag(word, posseg.dt)) for word in words]
    if language not in _NLTK:
        raise InputError(f"there are tags for en, ru and zh only, not for {language!r}")
    return _perceptron(language).tag(words)


def _chinese_tag(word, tagger):
    """The tag of a word that jieba found: its dictionary's; for a new word what the model says of its last part."""
    if word in tagger.word_tag_tab:
        return tagger.word_tag_tab[word]
    parts = tagger.lcut(word)
    return parts[-1].flag if parts else "x"


@functools.cache
def _perceptron(language):
    from nltk.tag import PerceptronTagger

    try:
        return PerceptronTagger(lang=_NLTK[language])
    except LookupError:
        resource = f"averaged_perceptron_tagger_{_NLTK[language]}"
        raise nltk_resources.missing(f"tags of {language!r} need NLTK's perceptron tagger", resource) from None
