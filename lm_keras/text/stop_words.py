"""Words that say little about what a text is about: "the", "of", "不过"."""

import functools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lm_keras.errors import InputError
from lm_keras.text import nltk_resources, segmentation
from lm_keras.utils.checks import check_words

# NLTK's names of languages that `segmentation` calls by their code.
_NAMES = segmentation.PUNKT | {"zh": "chinese"}


def stop_words(language: str = "en", downloaded: bool = False) -> frozenset[str]:
    """Returns the stop words of a language, lower-case words as `lk.text.words` cuts them.

    Of "don't" the set holds the whole, "do" and "n't".

    Args:
        language: "en" and "zh": the lists of this package, the same on every machine. Others ("de", ...): NLTK's,
            which nltk.download("stopwords") brings.
        downloaded: True: for "en" and "zh" too NLTK's list.

    Raises:
        InputError: For a language without a list, and where the list that was asked for is not installed.
    """
    segmentation.check_language(language)
    if language is None:
        raise InputError("stop words belong to a language, and None is not one: give en, zh, ...")
    if language in _packaged() and not downloaded:
        return _prepared(_packaged()[language], language)
    folder = nltk_resources.find("corpora/stopwords")
    if folder is None:
        raise nltk_resources.missing(f"language {language!r} needs NLTK's stop words", "stopwords")
    text = _nltk_list(folder, _NAMES[language])
    if text is None:
        raise InputError(f"NLTK has no stop words for {language!r}; leave out the most frequent words instead")
    return _prepared(text, language)


def without_stop_words(words: Iterable[str], language: str = "en") -> list[str]:
    """Returns the words of a list that are no stop words, in any case, in their order. Punctuation marks stay.

    Raises:
        InputError: As `stop_words`, and for a text in place of words.
    """
    stop = stop_words(language)
    return [word for word in check_words(words, "without_stop_words") if word.lower() not in stop]


def _nltk_list(folder: Any, name: str) -> str | None:
    try:
        with folder.join(name).open() as file:
            return file.read().decode("utf-8")
    except OSError:  # no list of this language
        return None


@functools.cache
def _packaged() -> dict[str, str]:
    return json.loads(Path(__file__).with_name("stop_words.json").read_text(encoding="utf-8"))


@functools.cache
def _prepared(text: str, language: str) -> frozenset[str]:
    words = set(text.split())
    if language == "en":
        short = [word for word in words if "'" in word]
        words.update(*(segmentation.words(word) for word in short))  # "do" and "n't"
        # The tokenizer cuts "don’t" around its apostrophe. "won" is a word of its own.
        words.update(*(word.split("'") for word in short if word != "won't"))
    return frozenset(words)
