"""Inflected words to one form: stems by rule, lemmas by dictionary."""

import functools

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


def stem(words, language="en"):
    """The stems of a list of words, lower case, by NLTK's Snowball stemmer (Porter 2001): "running" is "run".

    Needs no download. A stem need not be a word ("happy" is "happi"). Chinese words, which have no endings, come back
    as they are. InputError for a language that Snowball does not know.
    """
    words = check_words(words, "stem")
    if language == "zh":
        return words
    if language not in _SNOWBALL:
        raise InputError(f"there is no stemmer for {language!r}; choose one of {', '.join([*_SNOWBALL, 'zh'])}")
    stemmer = _stemmer(language)
    return [stemmer(word) for word in words]


def lemmas(words, language="en"):
    """The lemmas of a list of words, by NLTK's WordNet lemmatizer: "mice" is "mouse".

    `words`: strings, each taken for a noun; or the (word, tag) pairs of `lk.text.tags`, so that "left" is "leave"
    where it is a verb. Words that WordNet does not hold, capitals among them, come back as they are; so do Chinese
    words, which do not inflect. English needs nltk.download("wordnet"), and nothing stands in for it: InputError
    without (`stem` needs no download). InputError for other languages.
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
def _stemmer(language):
    from nltk.stem import SnowballStemmer

    return functools.lru_cache(100_000)(SnowballStemmer(_SNOWBALL[language]).stem)
