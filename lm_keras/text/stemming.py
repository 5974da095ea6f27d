"""Inflected words to one form: stems by rule, lemmas by dictionary."""

import functools
from collections.abc import Callable, Iterable

from lm_keras.errors import InputError
from lm_keras.text import nltk_resources
from lm_keras.utils.checks import check_list, check_words

_SNOWBALL = {
    "ar": "arabic", "da": "danish", "de": "german", "en": "english", "es": "spanish", "fi": "finnish",
    "fr": "french", "hu": "hungarian", "it": "italian", "nl": "dutch", "no": "norwegian", "pt": "portuguese",
    "ro": "romanian", "ru": "russian", "sv": "swedish",
}  # fmt: skip
# The first two letters of Penn Treebank tags, and WordNet's parts of speech. Other words have one form only there.
_WORDNET = {"NN": "n", "VB": "v", "JJ": "a", "RB": "r"}


def stem(words: Iterable[str], language: str = "en") -> list[str]:
    """Returns the stems of words, lower case, by NLTK's Snowball stemmer (Porter 2001): "running" is "run".

    Needs no download. A stem need not be a word ("happy" is "happi").

    Args:
        words: A list of str.
        language: Of them. Chinese words, which have no endings, come back as they are.

    Raises:
        InputError: For a language that Snowball does not know.
    """
    words = check_words(words, "stem")
    if language == "zh":
        return words
    if language not in _SNOWBALL:
        raise InputError(f"there is no stemmer for {language!r}; choose one of {', '.join([*_SNOWBALL, 'zh'])}")
    stemmer = _stemmer(language)
    return [stemmer(word) for word in words]


def lemmas(words: Iterable[str | tuple[str, str]], language: str = "en") -> list[str]:
    """Returns the lemmas of words, by NLTK's WordNet lemmatizer: "mice" is "mouse".

    Words that WordNet does not hold, capitals among them, come back as they are.

    Args:
        words: A list of str, each taken for a noun; or the (word, tag) pairs of `lk.text.tags`, so that "left" is
            "leave" where it is a verb.
        language: "en" needs nltk.download("wordnet"), and nothing stands in for it (`stem` needs no download). Words
            of "zh", which do not inflect, come back as they are.

    Raises:
        InputError: For other languages, and without WordNet.
    """
    pairs = [(word, "NN") if isinstance(word, str) else word for word in check_list(words, "lemmas")]
    for pair in pairs:
        if not isinstance(pair, tuple) or len(pair) != 2 or not all(isinstance(part, str) for part in pair):
            raise InputError(f"lemmas takes words, or the pairs of lk.text.tags, got {pair!r}")
    if language == "zh":
        return [word for word, _ in pairs]
    if language != "en":
        raise InputError(
            f"there are lemmas of en and zh only, not of {language!r}; lk.text.stem knows more languages"
        )
    if nltk_resources.find("corpora/wordnet") is None:
        raise nltk_resources.missing("lemmas need NLTK's WordNet", "wordnet")
    from nltk.stem import WordNetLemmatizer

    lemma = WordNetLemmatizer().lemmatize
    return [lemma(word, _WORDNET[tag[:2]]) if tag[:2] in _WORDNET else word for word, tag in pairs]


@functools.cache
def _stemmer(language: str) -> Callable[[str], str]:
    from nltk.stem import SnowballStemmer

    return functools.lru_cache(100_000)(SnowballStemmer(_SNOWBALL[language]).stem)
