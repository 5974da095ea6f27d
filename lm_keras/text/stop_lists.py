"""Words that say little about what a text is about: "the", "of", "不过"."""

import functools
import json
from pathlib import Path

from lm_keras.errors import InputError
from lm_keras.text import nltk_resources, segmentation
from lm_keras.text.checks import check_words

# NLTK's names of languages that `segmentation` calls by their code.
_NAMES = segmentation.PUNKT | {"zh": "chinese"}


def stop_words(language="en"):
    """The stop words of a language, a frozenset of lower-case words as `lk.text.words` cuts them.

    NLTK's list where nltk.download("stopwords") has been run; the packaged one for "en" and "zh" otherwise.
    InputError for other languages without it. Of "don't" the set holds the whole, "do" and "n't".
    """
    segmentation.check_language(language)
    if language is None:
        raise InputError("stop words belong to a language, and None is not one: give en, zh, ...")
    folder = nltk_resources.find("corpora/stopwords")
    if folder is not None and (text := _nltk_list(folder, _NAMES[language])) is not None:
        return _prepared(text, language)
    if language in _packaged():
        return _prepared(_packaged()[language], language)
    if folder is None:
        raise nltk_resources.missing(f"language {language!r} needs NLTK's stop words", "stopwords")
    raise InputError(f"NLTK has no stop words for {language!r}; leave out the most frequent words instead")


def without_stop_words(words, language="en"):
    """The words of a list that are no stop words, in any case, in their order. Punctuation marks stay."""
    stop = stop_words(language)
    return [word for word in check_words(words, "without_stop_words") if word.lower() not in stop]


def _nltk_list(folder, name):
    try:
        with folder.join(name).open() as file:
            return file.read().decode("utf-8")
    except OSError:  # no list of this language
        return None


@functools.cache
def _packaged():
    return json.loads(Path(__file__).with_name("stop_words.json").read_text(encoding="utf-8"))


@functools.cache
def _prepared(text, language):
    words = set(text.split())
    if language == "en":
        short = [word for word in words if "'" in word]
        words.update(*(segmentation.words(word) for word in short))  # "do" and "n't"
        # The tokenizer cuts "don’t" around its apostrophe. "won" is a word of its own.
        words.update(*(word.split("'") for word in short if word != "won't"))
    return frozenset(words)
